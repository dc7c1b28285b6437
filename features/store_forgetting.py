"""Forgetting in a store: people's acts, keys and names taken out of the parts that hold them."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.util import gen_name

from features import aside
from features.events import connect, span
from features.left_out import NAMES, unmatched
from features.store import (
    IDENTITIES,
    Manifest,
    Part,
    alone,
    part_file,
    put_manifest,
    read_manifest,
    read_store_identities,
    write_acts,
)

KINDS = ("acts", "people")


def forget_in_store(folder: Path, users: Collection[str]) -> None:
    """Take people out of a store.

    The parts that hold them are written anew under other names, which the manifest then takes up in one step; what it
    names no longer is removed last, by the next call where this one is killed.

    Raises
    ------
    StoreError : it is damaged, or another process is taking events into it
    OutputError : the disk refuses

    """
    backend = connect()
    with alone(folder) as scratch:
        manifest = read_manifest(folder)
        names = backend.create_table(gen_name("names"), pa.table([list(users)], schema=NAMES), temp=True)
        keys = _keys(backend, folder, manifest, names)
        parts = tuple(_without(folder, part, names, keys, scratch) for part in manifest.parts)
        if parts != manifest.parts:
            manifest = replace(manifest, parts=parts)
            put_manifest(scratch, folder, manifest)
        _forget_accounts(folder, users, scratch)
        _clear(folder, manifest)


def _keys(backend: ibis.BaseBackend, folder: Path, manifest: Manifest, names: ir.Table) -> ir.Table:
    """Return the keys that people have, in every scope."""
    tables = [backend.read_parquet(str(part_file(folder, "people", part.name))) for part in manifest.parts]
    found = [people.join(names, people.user == names.left_out).select(left_out="key") for people in tables]
    return ibis.union(*found, distinct=True).cache() if len(found) > 1 else found[0].distinct().cache()


def _without(folder: Path, part: Part, names: ir.Table, keys: ir.Table, scratch: Path) -> Part:
    """Write a part without them and return what it is then; one that does not hold them stays as it is."""
    backend = names.get_backend()
    acts, people = (backend.read_parquet(str(part_file(folder, kind, part.name))) for kind in KINDS)
    rows = unmatched(unmatched(acts, "actor", keys), "target", keys)
    kept = rows.count().to_pyarrow().as_py(), unmatched(people, "user", names).count().to_pyarrow().as_py()
    if kept == (part.acts, part.people):
        return part
    digest = write_acts(rows, scratch / "acts.parquet")
    backend.to_parquet(unmatched(people, "user", names), scratch / "people.parquet", compression="zstd")
    name = _next_name(part.name)
    for kind in KINDS:
        aside.replace(scratch / f"{kind}.parquet", part_file(folder, kind, name), scratch)
    first, last = (at.isoformat() for at in span(rows)) if kept[0] else (part.first, part.last)
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
        aside.replace(scratch / IDENTITIES, folder / IDENTITIES, scratch)


def _clear(folder: Path, manifest: Manifest) -> None:
    """Remove the parts that the manifest does not name."""
    named = {part.name for part in manifest.parts}
    for kind in KINDS:
        for file in (folder / kind).glob("*.parquet"):
            if file.name.removesuffix(".parquet") not in named:
                file.unlink()
