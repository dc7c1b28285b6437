"""Forgetting: every row by or towards people taken out of event tables and stores, in place, a part at a time.

Forgetting in a store: people's acts, keys and names taken out of the parts that hold them.
"""

import dataclasses
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copymode

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ibis.util import gen_name

from features import atomic_files
from features.atomic_files import publish, scratch_dir
from features.errors import EventsError, OutputError
from features.events.event_table import connect, time_range
from features.events.exclusions import NAMES, anti_join
from features.events.store import (
    IDENTITIES,
    Manifest,
    Part,
    is_store,
    part_file,
    read_manifest,
    read_store_identities,
    store_lock,
    write_encoded_events,
    write_manifest,
)

ID_COLUMNS = ("actor", "target", "account", "person", "user")
ROWS_AT_ONCE = 131_072


def event_files(place: Path) -> list[Path]:
    """Return the Parquet files that an event table, a folder of them, or a store is made of.

    Raises
    ------
    EventsError : nothing is there

    """
    files = sorted(file for file in place.rglob("*.parquet") if file.is_file()) if place.is_dir() else [place]
    if not place.exists() or not files:
        raise EventsError(f"no events at {place}: expected a Parquet file, a folder of Parquet files, or a store.")
    return files


def count_rows_of_users(place: Path, users: Collection[str]) -> int:
    """Count the rows of an event table by or towards people; of a store, the ids it knows them by.

    Raises
    ------
    EventsError : nothing is there, or it cannot be read

    """
    return sum(_held(file, users) for file in event_files(place))


def erase_users(place: Path, users: Collection[str]) -> None:
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
        erase_users_from_store(place, users)
        return
    for file in event_files(place):
        if _held(file, users):
            _rewrite(file.resolve(), users)


def _held(file: Path, users: Collection[str]) -> int:
    with _whole(file), pq.ParquetFile(file) as opened:
        columns = _columns(opened.schema_arrow)
        if not columns:
            return 0
        batches = opened.iter_batches(ROWS_AT_ONCE, columns=columns, use_threads=False)
        return sum(count_matching_rows(batch, users) for batch in batches)


def _rewrite(file: Path, users: Collection[str]) -> None:
    with _whole(file), scratch_dir(file) as scratch, pq.ParquetFile(file) as opened:
        made = scratch / file.name
        with pq.ParquetWriter(made, opened.schema_arrow, compression=_compression(opened)) as writer:
            for batch in opened.iter_batches(ROWS_AT_ONCE, use_threads=False):
                writer.write_table(pa.Table.from_batches([batch.filter(rows_to_keep(batch, users))]))
        copymode(file, made)
        publish(made, file, scratch)


def count_matching_rows(batch: pa.RecordBatch, users: Collection[str]) -> int:
    """Count the rows that hold the id of one of these people."""
    return batch.num_rows - (pc.sum(rows_to_keep(batch, users)).as_py() or 0)


def rows_to_keep(batch: pa.RecordBatch, users: Collection[str]) -> pa.Array:
    """Tell of each row whether none of its ids is one of these people; numbers name people as text does."""
    sought = pa.array(list(users), pa.string())
    keep = pa.repeat(True, batch.num_rows)
    for name in _columns(batch.schema):
        ids = pc.cast(batch.column(name), pa.string())
        keep = pc.and_(keep, pc.invert(pc.is_in(ids, value_set=sought)))
    return keep


def _columns(schema: pa.Schema) -> list[str]:
    """Return the columns that hold ids of people, by name."""
    found = [field for field in schema if field.name in ID_COLUMNS]
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


KINDS = ("acts", "people")


def erase_users_from_store(folder: Path, users: Collection[str]) -> None:
    """Take people out of a store.

    The parts that hold them are written anew under other names, which the manifest then takes up in one step; what it
    names no longer is removed last, by the next call where this one is killed.

    Raises
    ------
    StoreError : it is damaged, or another process is taking events into it
    OutputError : the disk refuses

    """
    backend = connect()
    with store_lock(folder) as scratch:
        manifest = read_manifest(folder)
        names = backend.create_table(gen_name("names"), pa.table([list(users)], schema=NAMES), temp=True)
        keys = _keys(backend, folder, manifest, names)
        parts = tuple(_without(folder, part, names, keys, scratch) for part in manifest.parts)
        if parts != manifest.parts:
            manifest = dataclasses.replace(manifest, parts=parts)
            write_manifest(scratch, folder, manifest)
        _forget_accounts(folder, users, scratch)
        _clear(folder, manifest)


def _keys(backend: ibis.BaseBackend, folder: Path, manifest: Manifest, names: ir.Table) -> ir.Table:
    """Return the keys that people have, in every scope."""
    tables = [backend.read_parquet(str(part_file(folder, "people", part.name))) for part in manifest.parts]
    found = [people.join(names, people.user == names.excluded).select(excluded="key") for people in tables]
    return ibis.union(*found, distinct=True).cache() if len(found) > 1 else found[0].distinct().cache()


def _without(folder: Path, part: Part, names: ir.Table, keys: ir.Table, scratch: Path) -> Part:
    """Write a part without them and return what it is then; one that does not hold them stays as it is."""
    backend = names.get_backend()
    acts, people = (backend.read_parquet(str(part_file(folder, kind, part.name))) for kind in KINDS)
    rows = anti_join(anti_join(acts, "actor", keys), "target", keys)
    kept = rows.count().to_pyarrow().as_py(), anti_join(people, "user", names).count().to_pyarrow().as_py()
    if kept == (part.acts, part.people):
        return part
    digest = write_encoded_events(rows, scratch / "acts.parquet")
    backend.to_parquet(anti_join(people, "user", names), scratch / "people.parquet", compression="zstd")
    name = _next_name(part.name)
    for kind in KINDS:
        atomic_files.publish(scratch / f"{kind}.parquet", part_file(folder, kind, name), scratch)
    first, last = (at.isoformat() for at in time_range(rows)) if kept[0] else (part.first, part.last)
    return Part(name, *kept, first, last, digest)


def _next_name(name: str) -> str:
    base, _, times = name.partition(".")
    return f"{base}.{int(times or 0) + 1}"


def _forget_accounts(folder: Path, users: Collection[str], scratch: Path) -> None:
    identities = read_store_identities(folder)
    if identities is None:
        return
    theirs = identities["account"].isin(users) | identities["person"].isin(users)
    if theirs.any():
        identities[~theirs].to_parquet(scratch / IDENTITIES, index=False)
        atomic_files.publish(scratch / IDENTITIES, folder / IDENTITIES, scratch)


def _clear(folder: Path, manifest: Manifest) -> None:
    """Remove the parts that the manifest does not name."""
    named = {part.name for part in manifest.parts}
    for kind in KINDS:
        for file in (folder / kind).glob("*.parquet"):
            if file.name.removesuffix(".parquet") not in named:
                file.unlink()
