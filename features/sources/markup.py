"""Streaming of a Stack Exchange table in XML: one `<row .../>` after another, without holding the document."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn
from xml.parsers.expat import ExpatError, ParserCreate

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import EventsError

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
