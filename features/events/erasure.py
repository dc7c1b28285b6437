"""Erase users from event tables and stores: every row by or towards them, in place, one file at a time."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copymode

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ibis.util import gen_name

from features.atomic_files import publish, scratch_dir
from features.errors import OutputError, first_line
from features.events import store
from features.events.event_table import connect, event_files, parquet_error, time_range
from features.events.exclusions import NAMES, anti_join
from features.events.store import KINDS, Manifest, Part, part_file

ID_COLUMNS = ("actor", "target", "account", "person", "user")
BATCH_ROWS = 131_072


def count_rows_of_users(path: Path, users: Collection[str]) -> int:
    """Count the rows of an event table by or towards users; in a store, the rows with their ids.

    Raises
    ------
    EventsError : no events, or a file cannot be read

    """
    return sum(_count_rows(file, users) for file in event_files(path))


def erase_users(path: Path, users: Collection[str]) -> None:
    """Erase users from an event table, a folder of them, or a store.

    Each file is rewritten beside itself and replaced atomically. A process that is killed leaves some files erased and
    some not; the same call completes the work. Files without these users are not touched. Memory holds some hundred
    thousand rows at a time.

    Raises
    ------
    EventsError : no events, or a file cannot be read
    StoreError : a store is damaged, or another process writes to it
    OutputError : a file cannot be written

    """
    if store.is_store(path):
        erase_users_from_store(path, users)
        return
    for file in event_files(path):
        if _count_rows(file, users):
            _rewrite(file.resolve(), users)


def _count_rows(file: Path, users: Collection[str]) -> int:
    with _file_errors(file), pq.ParquetFile(file, pre_buffer=False) as parquet:
        columns = _id_columns(parquet.schema_arrow)
        if not columns:
            return 0
        batches = parquet.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)
        return sum(count_matching_rows(batch, users) for batch in batches)


def _rewrite(file: Path, users: Collection[str]) -> None:
    with _file_errors(file), scratch_dir(file) as scratch, pq.ParquetFile(file, pre_buffer=False) as parquet:
        rewritten = scratch / file.name
        with pq.ParquetWriter(rewritten, parquet.schema_arrow, compression=_compression(parquet)) as writer:
            for batch in parquet.iter_batches(BATCH_ROWS, use_threads=False):
                writer.write_table(pa.Table.from_batches([batch.filter(rows_to_keep(batch, users))]))
        copymode(file, rewritten)
        publish(rewritten, file, scratch)


def count_matching_rows(batch: pa.RecordBatch, users: Collection[str]) -> int:
    """Count the rows that contain the id of one of these users."""
    return int(batch.num_rows - (pc.sum(rows_to_keep(batch, users)).as_py() or 0))


def rows_to_keep(batch: pa.RecordBatch, users: Collection[str]) -> pa.Array:
    """Return for each row whether none of its ids is one of these users; numeric ids are compared as text."""
    erased = pa.array(list(users), pa.string())
    keep = pa.repeat(True, batch.num_rows)
    for name in _id_columns(batch.schema):
        ids = pc.cast(batch.column(name), pa.string())
        keep = pc.and_(keep, pc.invert(pc.is_in(ids, value_set=erased)))
    return keep


def _id_columns(schema: pa.Schema) -> list[str]:
    """Return the names of the columns that hold ids of users."""
    fields = [field for field in schema if field.name in ID_COLUMNS]
    return [field.name for field in fields if not pa.types.is_nested(field.type) and not pa.types.is_null(field.type)]


def _compression(parquet: pq.ParquetFile) -> str:
    groups = parquet.metadata.num_row_groups
    codec = parquet.metadata.row_group(0).column(0).compression if groups else "ZSTD"
    return "NONE" if codec == "UNCOMPRESSED" else str(codec)


@contextmanager
def _file_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise parquet_error(file, [file], first_line(error), "Import") from error
    except OSError as error:
        raise OutputError(f"{file} cannot be rewritten: {error}.") from error


def erase_users_from_store(folder: Path, users: Collection[str]) -> None:
    """Erase users from a store.

    Parts with these users are rewritten under new names, then the manifest switches to them atomically. Parts that it
    does not list any more are removed last, or by the next call if this one is killed.

    Raises
    ------
    StoreError : the store is damaged, or another process writes to it
    OutputError : a file cannot be written

    """
    backend = connect()
    with store.store_lock(folder) as scratch:
        manifest = store.read_manifest(folder)
        names = backend.create_table(gen_name("names"), pa.table([list(users)], schema=NAMES), temp=True)
        keys = _keys(backend, folder, manifest, names)
        parts = tuple(_rewrite_part(folder, part, names, keys, scratch) for part in manifest.parts)
        if parts != manifest.parts:
            manifest = replace(manifest, parts=parts)
            store.write_manifest(scratch, folder, manifest)
        _erase_accounts(folder, users, scratch)
        _remove_unlisted_parts(folder, manifest)


def _keys(backend: ibis.BaseBackend, folder: Path, manifest: Manifest, names: ir.Table) -> ir.Table:
    """Return the keys of the named users, in every scope."""
    tables = [backend.read_parquet(str(part_file(folder, "people", part.name))) for part in manifest.parts]
    keys = [users.join(names, users.user == names.excluded).select(excluded="key") for users in tables]
    return ibis.union(*keys, distinct=True).cache() if len(keys) > 1 else keys[0].distinct().cache()


def _rewrite_part(folder: Path, part: Part, names: ir.Table, keys: ir.Table, scratch: Path) -> Part:
    """Rewrite a part without the named users and return it; a part without them is returned unchanged."""
    backend = names.get_backend()
    events, users = (backend.read_parquet(str(part_file(folder, kind, part.name))) for kind in KINDS)
    rows, others = anti_join(anti_join(events, "actor", keys), "target", keys), anti_join(users, "user", names)
    counts = rows.count().to_pyarrow().as_py(), others.count().to_pyarrow().as_py()
    if counts == (part.acts, part.people):
        return part
    digest = store.write_encoded_events(rows, scratch / "acts.parquet")
    backend.to_parquet(others, scratch / "people.parquet", compression="zstd")
    base, _, times = part.name.partition(".")
    name = f"{base}.{int(times or 0) + 1}"
    for kind in KINDS:
        publish(scratch / f"{kind}.parquet", part_file(folder, kind, name), scratch)
    first, last = (at.isoformat() for at in time_range(rows)) if counts[0] else (part.first, part.last)
    return Part(name, *counts, first, last, digest)


def _erase_accounts(folder: Path, users: Collection[str], scratch: Path) -> None:
    identities = store.read_store_identities(folder)
    if identities is None:
        return
    erased = identities["account"].isin(users) | identities["person"].isin(users)
    if erased.any():
        identities[~erased].to_parquet(scratch / store.IDENTITIES, index=False)
        publish(scratch / store.IDENTITIES, folder / store.IDENTITIES, scratch)


def _remove_unlisted_parts(folder: Path, manifest: Manifest) -> None:
    """Remove the files of parts that the manifest does not list."""
    names = {part.name for part in manifest.parts}
    for kind in KINDS:
        for file in (folder / kind).glob("*.parquet"):
            if file.name.removesuffix(".parquet") not in names:
                file.unlink()
