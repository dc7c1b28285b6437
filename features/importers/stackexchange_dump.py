"""The files of a Stack Exchange dump: which are there, in which form, and their rows.

Streaming of a Stack Exchange table in XML: one `<row .../>` after another, without holding the document.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn
from xml.parsers.expat import ExpatError, ParserCreate

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from features.errors import EventsError
from features.events.engines import create_view, json_object_sql, read_parquet_sql
from features.importers.readers.files import by_bytes
from features.importers.readers.tabular import open_delimited

NEEDED = {
    "Posts": ("Id", "PostTypeId", "ParentId", "OwnerUserId", "CreationDate"),
    "Comments": ("Id", "PostId", "UserId", "CreationDate"),
    "Votes": ("Id", "PostId", "VoteTypeId", "UserId", "CreationDate"),
}
OPTIONAL = {"Posts": ("Tags",), "Comments": (), "Votes": ()}
FORMS = (".xml", ".xml.gz", ".csv", ".csv.gz")


def dump_files(folder: Path) -> dict[str, Path]:
    """Find the tables of a dump, by name without regard to case, XML before CSV.

    Raises
    ------
    EventsError : there is no folder, or no Posts in it

    """
    if not folder.is_dir():
        raise EventsError(f"{folder} is no folder; expected the folder of a Stack Exchange dump, unpacked.")
    names = {file.name.lower(): file for file in sorted(folder.iterdir()) if file.is_file()}
    found = {
        table: next((names[table.lower() + form] for form in FORMS if table.lower() + form in names), None)
        for table in NEEDED
    }
    if found["Posts"] is None:
        held = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
        looked = ", ".join(f"Posts{form}" for form in FORMS)
        raise EventsError(f"no Posts in {folder}: looked for {looked}; found {held}. Unpack the dump (7z x) first.")
    return {table: file for table, file in found.items() if file is not None}


def read_dump(
    backend: Backend, files: dict[str, Path], scratch: Path, progress: Callable[[float], None]
) -> dict[str, ir.Table]:
    """Read the tables of a dump, absent ones as empty.

    Parameters
    ----------
    backend : where the tables live
    files : the file of each table, from `dump_files`
    scratch : folder to copy the wanted columns into
    progress : called with the share of the bytes that is read

    Returns
    -------
    for each table its columns as text (null where absent), `row`, `json_object_sql` and `reason` as in `Opened`

    """
    advance = by_bytes(files.values(), progress)
    return {
        table: _read(backend, table, files[table], scratch / f"{table}.parquet", advance)
        if table in files
        else _empty(table)
        for table in NEEDED
    }


def _columns(table: str) -> tuple[str, ...]:
    return NEEDED[table] + OPTIONAL[table]


def _empty(table: str) -> ir.Table:
    kinds = dict.fromkeys((*_columns(table), "record", "reason"), "string")
    return ibis.memtable([], schema={"row": "int64", **kinds})


def _read(backend: Backend, table: str, file: Path, scratch: Path, advance: Callable[[int], None]) -> ir.Table:
    if ".xml" in file.name.lower():
        found = _xml(backend, table, file, scratch, advance)
    else:
        found = _csv(backend, table, file, scratch)
        advance(file.stat().st_size)
    return found.mutate(record=ibis.literal(f"{table} ") + found.record)


def _xml(backend: Backend, table: str, file: Path, scratch: Path, advance: Callable[[int], None]) -> ir.Table:
    names = _columns(table)
    copy_xml(file, names, scratch, advance)
    original = json_object_sql({name: name for name in names})
    return create_view(
        backend,
        scratch.stem,
        f"SELECT *, {original} AS record, NULL::VARCHAR AS reason FROM {read_parquet_sql(scratch)}",
    )


def _csv(backend: Backend, table: str, file: Path, scratch: Path) -> ir.Table:
    opened = open_delimited(backend, file, scratch)
    missing = [name for name in NEEDED[table] if name not in opened.columns]
    if missing:
        raise EventsError(f"{file} lacks {', '.join(missing)}; found {', '.join(opened.columns)}.")
    rows = opened.select({name: name for name in _columns(table) if name in opened.columns})
    absent = {name: ibis.null("string") for name in OPTIONAL[table] if name not in opened.columns}
    return rows.mutate(**absent)


CHUNK_BYTES = 1 << 20
BATCH_ROWS = 50_000
ROOTS = ("posts", "comments", "votes")


def copy_xml(file: Path, names: tuple[str, ...], scratch: Path, progress: Callable[[int], None]) -> None:
    """Copy some attributes of each row into the Parquet file `scratch`, as text, with `row`, its number from 1.

    Parameters
    ----------
    file : XML, gzipped where its name ends in .gz; rows of any number and size, read in pieces of 1 MiB
    names : the attributes that are wanted; a row without one gets null
    scratch : the Parquet file to write
    progress : is called with the number of bytes of the file read since the last call

    Raises
    ------
    EventsError : the file is no XML, ends early, or holds other elements

    """
    schema = pa.schema([("row", pa.int64()), *((name, pa.string()) for name in names)])
    with pq.ParquetWriter(scratch, schema) as writer:
        for first, rows in _batches(file, names, progress):
            numbers = pa.array(range(first, first + len(rows)), pa.int64())
            texts = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
            writer.write_batch(pa.record_batch([numbers, *texts], schema=schema))


def _batches(
    file: Path, names: tuple[str, ...], progress: Callable[[int], None]
) -> Iterator[tuple[int, list[tuple[str | None, ...]]]]:
    rows: list[tuple[str | None, ...]] = []
    first = 1

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "row":
            rows.append(tuple(map(attributes.get, names)))
        elif tag not in ROOTS:
            raise EventsError(f"{file} is no table of a Stack Exchange dump: it holds <{tag}>, expected <row>.")

    for _ in _parsed(file, start, progress):
        if len(rows) >= BATCH_ROWS:
            yield first, rows
            first += len(rows)
            rows.clear()
    if rows:
        yield first, rows


def _parsed(
    file: Path, start: Callable[[str, dict[str, str]], None], progress: Callable[[int], None]
) -> Iterator[None]:
    """Feed a file to the parser, piece by piece."""
    parser = ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        with file.open("rb") as held:
            text: BinaryIO = gzip.GzipFile(fileobj=held) if file.suffix.lower() == ".gz" else held  # type: ignore[assignment]
            seen = 0
            while chunk := text.read(CHUNK_BYTES):
                parser.Parse(chunk, False)
                progress(held.tell() - seen)
                seen = held.tell()
                yield
            parser.Parse(b"", True)
    except (ExpatError, OSError, EOFError, zlib.error) as error:
        raise EventsError(f"{file} cannot be read as XML: {error}. Is the download complete?") from error


def _refuse_doctype(*_: object) -> NoReturn:
    raise ExpatError("it declares a document type, which no dump of Stack Exchange does")
