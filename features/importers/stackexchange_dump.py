"""Find and read the tables of a Stack Exchange dump. XML is streamed, one `<row .../>` after the other.

Official dumps hold characters that XML does not allow, as references such as `&#x0E;` or as they are. They and bytes
that are not UTF-8 become U+FFFD.
"""

import codecs
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NoReturn
from xml.parsers.expat import ExpatError, ParserCreate, errors

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from features.errors import EventsError
from features.events.engines import create_view, json_object_sql, read_parquet_sql
from features.importers.readers.files import byte_progress, require_utf8_name
from features.importers.readers.tabular import match_column, open_delimited
from features.progress import Progress

REQUIRED = {
    "Posts": ("Id", "PostTypeId", "ParentId", "OwnerUserId", "CreationDate"),
    "Comments": ("Id", "PostId", "UserId", "CreationDate"),
    "Votes": ("Id", "PostId", "VoteTypeId", "UserId", "CreationDate"),
}
OPTIONAL = {"Posts": ("Tags",), "Comments": (), "Votes": ()}
FORMS = (".xml", ".xml.gz", ".csv", ".csv.gz")
CHUNK_BYTES = 1 << 20
BATCH_ROWS = 50_000
TRUNCATED = (errors.XML_ERROR_NO_ELEMENTS, errors.XML_ERROR_UNCLOSED_TOKEN)
RARE_REFERENCE = re.compile("&#(?!x?[9aAdD];|10;|13;)(x[0-9a-fA-F]+|[0-9]+);")  # not tabs and line ends
MAX_REFERENCE_CHARS = 32
CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\r"))
NOT_ALLOWED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
REPLACEMENT = "\ufffd"
MAX_CODE = 0x10FFFF
ROOTS = ("posts", "comments", "votes")


def find_dump_files(folder: Path) -> dict[str, Path]:
    """Find the file of each table, by case-insensitive name; XML takes precedence over CSV.

    Raises
    ------
    EventsError : the folder does not exist, or holds no Posts

    """
    if not folder.is_dir():
        raise EventsError(f"{folder} is not a folder; expected the folder of an unpacked Stack Exchange dump.")
    names = {file.name.lower(): file for file in sorted(folder.iterdir()) if file.is_file()}
    files = {
        table: next((names[table.lower() + form] for form in FORMS if table.lower() + form in names), None)
        for table in REQUIRED
    }
    if files["Posts"] is None:
        content = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
        candidates = ", ".join(f"Posts{form}" for form in FORMS)
        raise EventsError(
            f"no Posts in {folder}: found {content}; expected {candidates}. Unpack the dump (7z x) first."
        )
    present = {table: file for table, file in files.items() if file is not None}
    for file in present.values():
        require_utf8_name(file)
    return present


def read_dump(backend: Backend, files: dict[str, Path], scratch: Path, progress: Progress) -> dict[str, ir.Table]:
    """Read the tables of a dump, in the files from `find_dump_files`; missing tables are empty.

    Returns
    -------
    for each table its columns as text (null if absent), `row`, `record` and `reason` as in `TableReader`

    """
    advance = byte_progress(files.values(), progress)
    return {
        table: _read(backend, table, files[table], scratch / f"{table}.parquet", advance)
        if table in files
        else _empty(table)
        for table in REQUIRED
    }


def _columns(table: str) -> tuple[str, ...]:
    return REQUIRED[table] + OPTIONAL[table]


def _empty(table: str) -> ir.Table:
    kinds = dict.fromkeys((*_columns(table), "record", "reason"), "string")
    return ibis.memtable([], schema={"row": "int64", **kinds})


def _read(backend: Backend, table: str, file: Path, scratch: Path, advance: Callable[[int], None]) -> ir.Table:
    if ".xml" in file.name.lower():
        rows = _xml(backend, table, file, scratch, advance)
    else:
        rows = _csv(backend, table, file, scratch)
        advance(file.stat().st_size)
    return rows.mutate(record=ibis.literal(f"{table} ") + rows.record)


def _xml(backend: Backend, table: str, file: Path, scratch: Path, advance: Callable[[int], None]) -> ir.Table:
    names = _columns(table)
    copy_xml(file, names, scratch, advance)
    record = json_object_sql({name: name for name in names})
    return create_view(
        backend, scratch.stem, f"SELECT *, {record} AS record, NULL::VARCHAR AS reason FROM {read_parquet_sql(scratch)}"
    )


def _csv(backend: Backend, table: str, file: Path, scratch: Path) -> ir.Table:
    reader = open_delimited(backend, file, scratch)
    columns = {name: column for name in _columns(table) if (column := match_column(name, reader.columns))}
    missing = [name for name in REQUIRED[table] if name not in columns]
    if missing:
        raise EventsError(f"{file} lacks {', '.join(missing)}; found {', '.join(reader.columns)}.")
    rows = reader.select(columns)
    absent = {name: ibis.null("string") for name in OPTIONAL[table] if name not in columns}
    return rows.mutate(**absent)


def copy_xml(file: Path, names: tuple[str, ...], scratch: Path, progress: Callable[[int], None]) -> None:
    """Copy some attributes of each row into the Parquet file `scratch`, as text, with `row`, its number from 1.

    `file` is XML, gzipped where its name ends in .gz, with rows of any number and size, read in pieces of 1 MiB.
    Attributes are null in rows without them. `progress` is called with the number of bytes read since the last call.

    Raises
    ------
    EventsError : the file is not XML, is truncated, or has other elements

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
            raise EventsError(f"{file} is not a table of a Stack Exchange dump: found <{tag}>, expected <row>.")

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
    """Feed a file to the parser in chunks; yield after each."""
    parser = ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        with file.open("rb") as source:
            position = 0
            for text in _allowed_text(gzip.GzipFile(fileobj=source) if file.suffix.lower() == ".gz" else source):
                parser.Parse(text, False)
                progress(source.tell() - position)
                position = source.tell()
                yield
            parser.Parse("", True)
    except (ExpatError, OSError, EOFError, zlib.error) as error:
        complete = isinstance(error, ExpatError) and errors.messages.get(getattr(error, "code", 0)) not in TRUNCATED
        hint = "" if complete else " Is the download complete?"
        raise EventsError(f"{file} cannot be read as XML: {error}.{hint}") from error


def _allowed_text(source: IO[bytes] | gzip.GzipFile) -> Iterator[str]:
    """Read XML in chunks that end outside references, with all characters that XML does not allow replaced."""
    head = source.read(CHUNK_BYTES)
    utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    decoder = codecs.getincrementaldecoder("utf-16" if utf16 else "utf-8-sig")("replace")
    rest, chunk = "", head
    while chunk:
        text = rest + _allowed(
            decoder.decode(chunk), has_control=len(chunk.translate(None, CONTROL_BYTES)) < len(chunk)
        )
        partial = text.rfind("&", max(0, len(text) - MAX_REFERENCE_CHARS))
        end = len(text) if partial < 0 or ";" in text[partial:] else partial
        yield RARE_REFERENCE.sub(_allowed_reference, text[:end])
        rest, chunk = text[end:], source.read(CHUNK_BYTES)
    yield rest + decoder.decode(b"", final=True)


def _allowed(text: str, has_control: bool) -> str:
    """Replace characters that XML does not allow; searched for only where there may be some, because that is slow."""
    return NOT_ALLOWED.sub(REPLACEMENT, text) if has_control or "\ufffe" in text or "\uffff" in text else text


def _allowed_reference(reference: re.Match[str]) -> str:
    number = reference[1]
    code = int(number[1:], 16) if number.startswith("x") else int(number)
    return REPLACEMENT if code > MAX_CODE or NOT_ALLOWED.match(chr(code)) else reference[0]


def _refuse_doctype(*_: object) -> NoReturn:
    raise ExpatError("found a document type declaration, expected none")
