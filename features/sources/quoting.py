"""Quoting of names and texts that go into SQL."""

from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import ibis.expr.types as ir

if TYPE_CHECKING:  # it brings the SQL of every engine, for which a service that computes none does not wait
    from ibis.backends.duckdb import Backend


def literal(text: str) -> str:
    """Write a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Write a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def file_literal(file: Path) -> str:
    """Write a file's path as an SQL literal which DuckDB doesn't take for a pattern."""
    return literal(escape(str(file)))


def parquet(file: Path) -> str:
    """Write the SQL that reads a Parquet file."""
    return f"read_parquet({file_literal(file)})"


def record(columns: dict[str, str]) -> str:
    """Write the SQL of a JSON object; `columns` maps each key to the SQL of its value."""
    return "json_object(" + ", ".join(f"{literal(key)}, {value}" for key, value in columns.items()) + ")::VARCHAR"


def view(backend: "Backend", name: str, sql: str) -> ir.Table:
    """Name a query, and return it as a table."""
    backend.con.execute(f"CREATE TEMP VIEW {identifier(name)} AS {sql}")
    return backend.table(name)
