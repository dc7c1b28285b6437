"""Queries and temporary tables of DuckDB, where compiling takes longer than running in a small community.

SQL is compiled once in a process for equal expressions of any connection. Tables get the same names on each connection,
so that the expressions of later ones are equal.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from typing import Any, cast
from weakref import WeakKeyDictionary

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.expr.operations import DatabaseTable, Namespace, Relation

TEMPORARY = Namespace(catalog="temp", database="main")
NUMBERS: WeakKeyDictionary[Any, Iterator[int]] = WeakKeyDictionary()  # of the next tables, by connection


def new_name(backend: ibis.BaseBackend, kind: str) -> str:
    """Return a name that no other table of a connection to DuckDB has."""
    return f"{kind}_of_clout_{next(NUMBERS.setdefault(cast('Any', backend).con, count()))}"


def duckdb_sql(table: ir.Table) -> str:
    """Return the SQL of an expression, compiled once in a process for equal expressions of any connection."""
    return compile_unbound(table.unbind().op())


@lru_cache(maxsize=1024)
def compile_unbound(relation: Relation) -> str:
    """Return the SQL of an expression whose tables belong to no connection."""
    return str(ibis.to_sql(relation.to_expr(), "duckdb", pretty=False))


@contextmanager
def cached_table(table: ir.Table) -> Iterator[ir.Table]:
    """Cache a table in a temporary table that is dropped on exit."""
    backend = cast("Any", table.get_backend())
    if backend.name != "duckdb":
        with table.cache() as cached:
            yield cached
        return
    name = new_name(backend, "table")
    backend._run_pre_execute_hooks(table)  # of tables in memory
    backend.con.execute(f'CREATE TEMP TABLE "{name}" AS {duckdb_sql(table)}')
    try:
        yield DatabaseTable(name, schema=table.schema(), source=backend, namespace=TEMPORARY).to_expr()
    finally:
        backend.con.execute(f'DROP TABLE IF EXISTS "{name}"')


def fetch(table: ir.Table) -> pa.Table:
    """Run a query."""
    backend = cast("Any", table.get_backend())
    if backend.name != "duckdb":
        return table.to_pyarrow()
    backend._run_pre_execute_hooks(table)
    return backend.con.execute(duckdb_sql(table)).to_arrow_table()
