"""Tables in files: Parquet and delimited text (CSV and TSV, plain or gzipped).

Records of the wrong shape become rows with a reason.
"""

import csv
import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ibis.expr.types as ir
from duckdb import Error as DuckDBError
from ibis.backends.duckdb import Backend

from features.errors import EventsError, first_line
from features.events.engines import (
    create_view,
    json_object_sql,
    read_parquet_sql,
    sql_file_literal,
    sql_identifier,
    sql_literal,
)
from features.importers.readers.text_scan import scan, with_malformed


@dataclass(frozen=True)
class TableReader:
    """The columns of a file of any format, and how to read some of them.

    `select` maps fields to columns, and returns a table with one column per field, `row` (the number of the record in
    the file, from 1), `record` (the selected columns as JSON, or the line if it does not parse) and `reason` (null, or
    what is wrong with the line).
    """

    columns: list[str]
    select: Callable[[dict[str, str]], ir.Table]


def open_parquet(backend: Backend, file: Path, scratch: Path) -> TableReader:
    """Open a Parquet file; its columns keep their types.

    Raises
    ------
    EventsError : it is not a Parquet file

    """
    source = f"read_parquet({sql_file_literal(file)}, file_row_number = true)"
    try:
        columns = backend.con.execute(f"DESCRIBE SELECT * EXCLUDE file_row_number FROM {source}").fetchall()
    except DuckDBError as error:
        raise EventsError(f"{file} cannot be read as Parquet: {first_line(error)}") from error

    def sql(mapping: dict[str, str]) -> str:
        fields = ", ".join(f"{sql_identifier(name)} AS {sql_identifier(field)}" for field, name in mapping.items())
        record = json_object_sql({name: sql_identifier(name) for name in mapping.values()})
        return f"SELECT file_row_number + 1 AS row, {fields}, {record} AS record, NULL::VARCHAR AS reason FROM {source}"

    return TableReader([name for name, *_ in columns], lambda mapping: create_view(backend, scratch.stem, sql(mapping)))


DELIMITERS = (",", ";", "\t", "|")
MAX_HEADER_BYTES = 1_000_000


def open_delimited(backend: Backend, file: Path, scratch: Path) -> TableReader:
    """Open a file of delimited text with column names in the first line; all fields are text.

    Parameters
    ----------
    backend : the engine that reads
    file : plain, or gzipped where its name ends in .gz
    scratch : the Parquet file to copy the selected columns into

    Raises
    ------
    EventsError : the file has no header, names a column duplicates, is truncated, is not UTF-8, or mixes line endings

    """
    header = _header(file)
    delimiter = _delimiter(file, header)
    names = _split(header, delimiter)
    duplicates = sorted({name for name in names if name and names.count(name) > 1})
    if duplicates:
        raise EventsError(f"{file} has more than one column {', '.join(duplicates)}; give each its own name.")
    options = {"header": "true", "delim": sql_literal(delimiter), "quote": "'\"'", "escape": "'\"'"}

    def sql(mapping: dict[str, str]) -> str:
        columns = {f"c{n}": f"c{n}" if name in mapping.values() else "" for n, name in enumerate(names)}
        rejects = scan(backend, file, columns, scratch, **options)
        return with_malformed(_records(names, mapping, scratch), rejects, header=1)

    return TableReader(names, lambda mapping: create_view(backend, scratch.stem, sql(mapping)))


def _header(file: Path) -> str:
    try:
        with gzip.open(file, "rb") if file.suffix.lower() == ".gz" else file.open("rb") as lines:
            line = lines.readline(MAX_HEADER_BYTES).decode("utf-8-sig").rstrip("\r\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise EventsError(f"{file} cannot be read as text in UTF-8: {error}.") from error
    if not line.strip() or "\0" in line:
        raise EventsError(f"{file} does not begin with the names of its columns, such as time,actor,verb,target.")
    return line


def _delimiter(file: Path, line: str) -> str:
    """Return the delimiter that splits the header into most names; a comma if none does."""
    return "\t" if ".tsv" in file.name.lower() else max(DELIMITERS, key=lambda delimiter: len(_split(line, delimiter)))


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _records(names: list[str], mapping: dict[str, str], scratch: Path) -> str:
    columns = {name: f"c{names.index(name)}" for name in mapping.values()}
    fields = ", ".join(f"{columns[name]} AS {sql_identifier(field)}" for field, name in mapping.items())
    record = json_object_sql(columns)
    return f"SELECT row, {fields}, {record} AS record, NULL::VARCHAR AS reason FROM {read_parquet_sql(scratch)}"
