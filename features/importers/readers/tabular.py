"""An opened file: what columns it has, and how to get some of them.

Parquet files.
Delimited text: CSV and TSV, plain or gzipped; records of the wrong shape are kept with the reason.
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

from features.errors import EventsError
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
    """A file of any format.

    `select` takes for each field the column that holds it and returns a table with a column a field, `row` (the
    record's number in the file, from 1), `record` (the chosen columns as JSON, or the line where it doesn't parse) and
    `reason` (null, or what is wrong with the line).
    """

    columns: list[str]
    select: Callable[[dict[str, str]], ir.Table]


def open_parquet(backend: Backend, file: Path, scratch: Path) -> TableReader:
    """Open a Parquet file; its columns keep their types.

    Raises
    ------
    EventsError : it is no Parquet

    """
    source = f"read_parquet({sql_file_literal(file)}, file_row_number = true)"
    try:
        found = backend.con.execute(f"DESCRIBE SELECT * EXCLUDE file_row_number FROM {source}").fetchall()
    except DuckDBError as error:
        raise EventsError(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}") from error

    def sql(chosen: dict[str, str]) -> str:
        fields = ", ".join(f"{sql_identifier(name)} AS {sql_identifier(field)}" for field, name in chosen.items())
        original = json_object_sql({name: sql_identifier(name) for name in chosen.values()})
        return (
            f"SELECT file_row_number + 1 AS row, {fields}, {original} AS record, NULL::VARCHAR AS reason FROM {source}"
        )

    return TableReader([name for name, *_ in found], lambda chosen: create_view(backend, scratch.stem, sql(chosen)))


DELIMITERS = (",", ";", "\t", "|")
LONGEST_HEADER = 1_000_000


def open_delimited(backend: Backend, file: Path, scratch: Path) -> TableReader:
    """Open a file of delimited text with the names of its columns in the first line; every field is text.

    Parameters
    ----------
    backend : the engine that reads
    file : plain, or gzipped where its name ends in .gz
    scratch : the Parquet file to copy the chosen columns into

    Raises
    ------
    EventsError : the file has no header, names a column twice, is truncated, is not UTF-8, or mixes line ends

    """
    line = _first_line(file)
    delimiter = _delimiter(file, line)
    names = _cut(line, delimiter)
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise EventsError(f"{file} has more than one column {', '.join(twice)}; give each its own name.")
    options = {"header": "true", "delim": sql_literal(delimiter), "quote": "'\"'", "escape": "'\"'"}

    def sql(chosen: dict[str, str]) -> str:
        columns = {f"c{each}": f"c{each}" if name in chosen.values() else "" for each, name in enumerate(names)}
        rejects = scan(backend, file, columns, scratch, **options)
        return with_malformed(_records(names, chosen, scratch), rejects, header=1)

    return TableReader(names, lambda chosen: create_view(backend, scratch.stem, sql(chosen)))


def _first_line(file: Path) -> str:
    try:
        with gzip.open(file, "rb") if file.suffix.lower() == ".gz" else file.open("rb") as lines:
            line = lines.readline(LONGEST_HEADER).decode("utf-8-sig").rstrip("\r\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise EventsError(f"{file} cannot be read as text in UTF-8: {error}.") from error
    if not line.strip() or "\0" in line:
        raise EventsError(f"{file} does not begin with the names of its columns, such as time,actor,verb,target.")
    return line


def _delimiter(file: Path, line: str) -> str:
    """Choose what cuts the first line into most names; a comma where nothing does."""
    return "\t" if ".tsv" in file.name.lower() else max(DELIMITERS, key=lambda each: len(_cut(line, each)))


def _cut(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _records(names: list[str], chosen: dict[str, str], scratch: Path) -> str:
    held = {name: f"c{names.index(name)}" for name in chosen.values()}
    fields = ", ".join(f"{held[name]} AS {sql_identifier(field)}" for field, name in chosen.items())
    record = json_object_sql(held)
    return f"SELECT row, {fields}, {record} AS record, NULL::VARCHAR AS reason FROM {read_parquet_sql(scratch)}"
