"""Forgetting: every row by or towards people taken out of event tables and stores, in place, a part at a time."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copymode

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.aside import aside, replace
from features.errors import EventsError, OutputError
from features.store import is_store
from features.store_forgetting import forget_in_store

HOLDING_IDS = ("actor", "target", "account", "person", "user")
ROWS_AT_ONCE = 131_072


def files_of(place: Path) -> list[Path]:
    """Return the Parquet files that an event table, a folder of them, or a store is made of.

    Raises
    ------
    EventsError : nothing is there

    """
    files = sorted(file for file in place.rglob("*.parquet") if file.is_file()) if place.is_dir() else [place]
    if not place.exists() or not files:
        raise EventsError(f"no events at {place}: expected a Parquet file, a folder of Parquet files, or a store.")
    return files


def held(place: Path, users: Collection[str]) -> int:
    """Count the rows of an event table by or towards people; of a store, the ids it knows them by.

    Raises
    ------
    EventsError : nothing is there, or it cannot be read

    """
    return sum(_held(file, users) for file in files_of(place))


def forget(place: Path, users: Collection[str]) -> None:
    """Take people out of an event table, a folder of them, or a store.

    Each file is written anew beside itself and put in its place whole, so that a process that is killed leaves files
    with and files without them, and the same call brings it to its end. Files that do not hold them are not touched.
    Memory holds some hundred thousand rows at a time.

    Raises
    ------
    EventsError : nothing is there, or it cannot be read
    StoreError : a store is damaged, or another process is taking events into it
    OutputError : the disk refuses

    """
    if is_store(place):
        forget_in_store(place, users)
        return
    for file in files_of(place):
        if _held(file, users):
            _rewrite(file.resolve(), users)


def _held(file: Path, users: Collection[str]) -> int:
    with _whole(file), pq.ParquetFile(file) as opened:
        columns = _columns(opened.schema_arrow)
        if not columns:
            return 0
        batches = opened.iter_batches(ROWS_AT_ONCE, columns=columns, use_threads=False)
        return sum(rows_of(batch, users) for batch in batches)


def _rewrite(file: Path, users: Collection[str]) -> None:
    with _whole(file), aside(file) as scratch, pq.ParquetFile(file) as opened:
        made = scratch / file.name
        with pq.ParquetWriter(made, opened.schema_arrow, compression=_compression(opened)) as writer:
            for batch in opened.iter_batches(ROWS_AT_ONCE, use_threads=False):
                writer.write_table(pa.Table.from_batches([batch.filter(kept(batch, users))]))
        copymode(file, made)
        replace(made, file, scratch)


def rows_of(batch: pa.RecordBatch, users: Collection[str]) -> int:
    """Count the rows that hold the id of one of these people."""
    return batch.num_rows - (pc.sum(kept(batch, users)).as_py() or 0)


def kept(batch: pa.RecordBatch, users: Collection[str]) -> pa.Array:
    """Tell of each row whether none of its ids is one of these people; numbers name people as text does."""
    sought = pa.array(list(users), pa.string())
    keep = pa.repeat(True, batch.num_rows)
    for name in _columns(batch.schema):
        ids = pc.cast(batch.column(name), pa.string())
        keep = pc.and_(keep, pc.invert(pc.is_in(ids, value_set=sought)))
    return keep


def _columns(schema: pa.Schema) -> list[str]:
    """Return the columns that hold ids of people, by name."""
    found = [field for field in schema if field.name in HOLDING_IDS]
    return [field.name for field in found if not pa.types.is_nested(field.type) and not pa.types.is_null(field.type)]


def _compression(opened: pq.ParquetFile) -> str:
    groups = opened.metadata.num_row_groups
    found = opened.metadata.row_group(0).column(0).compression if groups else "ZSTD"
    return "NONE" if found == "UNCOMPRESSED" else str(found)


@contextmanager
def _whole(file: Path) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise EventsError(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise OutputError(f"{file} cannot be written anew: {error}.") from error
