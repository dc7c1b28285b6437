"""The store: encoded events on disk, to which new events are added without reading the old ones again.

A store is a folder: `store.json` lists its parts, `acts/` and `people/` hold them as Parquet. Parts are never changed;
`store.json` is replaced last and atomically, so a process that is killed half way leaves the store as it was. Late
events are a part like any other, since each row has its time. Nothing is precomputed for an instant: features are
computed from all rows each time, reading numbers instead of text.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from glob import escape
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

import ibis
import ibis.expr.types as ir
import pandas as pd
from duckdb import Error as DuckDBError
from filelock import FileLock, Timeout
from pyarrow import parquet

from features import atomic_files
from features.errors import EventsError, ScopeError, StoreError, first_line, write_error
from features.events import engines
from features.events.encoding import EncodedEvents, check_keys, encode_events, key
from features.events.event_table import VERBS, FileVersions, connect, drop_impossible_times, open_events, time_range
from features.events.identities import merge_identities
from features.events.scopes import ALL, EVERY_NAME, in_scopes, validate_scopes

log = logging.getLogger("clout")

MANIFEST = "store.json"
IDENTITIES = "identities.parquet"
CANARY = "clout"
COLUMNS = {
    "acts": ("time", "actor", "verb", "target", "object", "made", "content", "links", "topics"),
    "people": ("user", "scope", "key"),
}
KINDS = tuple(COLUMNS)
NULLABLE = ("target", "object", "made")
SCRATCH_PREFIX = ".taking-"


@dataclass(frozen=True)
class Part:
    """One batch of added events: its file name, numbers of events and new users, time range and a content digest."""

    name: str
    acts: int
    people: int
    first: str
    last: str
    digest: str


@dataclass(frozen=True)
class Manifest:
    """The manifest of a store: its scopes, the key of a fixed word, the verbs by code, and the parts."""

    scopes: tuple[str, ...]
    canary: str
    verbs: tuple[str, ...]
    parts: tuple[Part, ...] = ()


def is_store(folder: Path) -> bool:
    """Return whether a folder is a store, or was one before it lost its manifest."""
    return (folder / MANIFEST).is_file() or all(any((folder / kind).glob("part-*.parquet")) for kind in KINDS)


def is_being_created(folder: Path) -> bool:
    """Return whether a store has no manifest yet: another process creates it, or was killed before it had finished."""
    return not (folder / MANIFEST).is_file() and any(folder.glob(f"{SCRATCH_PREFIX}*"))


def add_to_store(
    source: object, folder: Path, scopes: Sequence[str] | None = None, identities: pd.DataFrame | None = None
) -> Part:
    """Add events to a store, with a warning if it has some of them already; create it if it does not exist.

    Parameters
    ----------
    source : an event table in any form that `open_events` accepts
    folder : the store
    scopes : the scopes of a new store; an existing one has its own
    identities : the identities of a new store; an existing one has its own

    Raises
    ------
    EventsError : no events, they cannot be read, or they are in the store already
    StoreError : the store is damaged, in use or made by another engine version, or the folder is not a store
    ScopeError : the requested scopes are not those of the store

    """
    events = open_events(source)
    with store_lock(folder) as scratch:
        manifest = _manifest(folder, events.get_backend(), scopes, identities is not None)
        merged = read_store_identities(folder) if manifest.parts else identities
        first, last = time_range(events)
        encoded = encode_events(events if merged is None else merge_identities(events, merged), manifest.scopes)
        digest = write_encoded_events(encoded.rows, scratch / "acts.parquet")
        if digest in {part.digest for part in manifest.parts}:
            raise EventsError(f"these events are in the store {folder} already; nothing was added.")
        if manifest.parts:
            older = _read(events.get_backend(), folder, "acts", manifest)
            _warn_of_repetition(scratch / "acts.parquet", older.filter(older.time.between(first, last)), folder)
        _write_new_users(encoded.users, folder, manifest, scratch / "people.parquet")
        if identities is not None:
            identities.to_parquet(scratch / IDENTITIES)
            atomic_files.publish(scratch / IDENTITIES, folder / IDENTITIES, scratch)
        rows, new = (parquet.read_metadata(scratch / f"{kind}.parquet").num_rows for kind in ("acts", "people"))
        part = Part(f"part-{len(manifest.parts):05d}", rows, new, first.isoformat(), last.isoformat(), digest)
        _commit(scratch, folder, replace(manifest, parts=(*manifest.parts, part)))
    return part


def open_store(folder: Path, scopes: Sequence[str] = (ALL,)) -> EncodedEvents:
    """Open a store as encoded events.

    Raises
    ------
    StoreError : it is damaged or not complete yet, or its keys were made by another version of the engine
    ScopeError : the store does not contain a scope
    EventsError : a part was erased meanwhile

    """
    if is_being_created(folder):
        raise StoreError(
            f"the store {folder} is not complete: wait until the process that creates it has finished, or start "
            "'clout store' again if there is none."
        )
    manifest = read_manifest(folder)
    backend = connect()
    _check_canary(manifest, _canary(backend), folder)
    _check_scopes(manifest, scopes, folder)
    files = FileVersions.of(_listed_files(folder, manifest))
    with files.unchanged():
        rows, users = (_read(backend, folder, kind, manifest) for kind in KINDS)
    scoped = users if tuple(scopes) == manifest.scopes else users.filter(in_scopes(users.scope, scopes))
    named_scopes = users.select("scope").distinct().filter(in_scopes(users.scope, EVERY_NAME))
    return EncodedEvents(drop_impossible_times(rows), scoped, named_scopes, files=files)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a store and check that its parts exist.

    Raises
    ------
    StoreError : the manifest is damaged, or a part is missing

    """
    manifest = _parse_manifest(folder)
    missing = next((file for file in _listed_files(folder, manifest) if not file.is_file()), None)
    if missing is None:
        return manifest
    if _parse_manifest(folder) != manifest:  # a part was erased between reading the manifest and looking for the part
        return read_manifest(folder)
    raise StoreError(f"the store {folder} lacks {missing.relative_to(folder)}; build it again from the events.")


def _parse_manifest(folder: Path) -> Manifest:
    try:
        content = json.loads((folder / MANIFEST).read_text())
        parts = tuple(Part(**part) for part in content["parts"])
        manifest = Manifest(tuple(content["scopes"]), content["canary"], tuple(content["verbs"]), parts)
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{folder / MANIFEST} is damaged ({error!r}); build the store again from the events."
        ) from error
    if manifest.verbs != VERBS[: len(manifest.verbs)]:
        raise StoreError(f"the store {folder} has other verbs than this version of Clout; build it again.")
    return manifest


def _listed_files(folder: Path, manifest: Manifest) -> list[Path]:
    return [part_file(folder, kind, part.name) for part in manifest.parts for kind in KINDS]


def _manifest(folder: Path, engine: ibis.BaseBackend, scopes: Sequence[str] | None, new_identities: bool) -> Manifest:
    """Read the manifest of a store, or start one in an empty folder."""
    canary = _canary(engine)
    if not is_store(folder):
        if any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise StoreError(f"{folder} is not a store and not empty; choose another folder.")
        return Manifest(validate_scopes(scopes or (ALL,)), canary, VERBS)
    manifest = read_manifest(folder)
    _check_canary(manifest, canary, folder)
    if scopes is not None and tuple(scopes) != manifest.scopes:
        raise ScopeError(f"the store {folder} has the scopes {', '.join(manifest.scopes)}; build a new one for others.")
    if new_identities:
        raise StoreError(f"the store {folder} has its identities already; build a new one for others.")
    return manifest


def _canary(engine: ibis.BaseBackend) -> str:
    """Return the key of a fixed word, which changes if the engine changes its hash."""
    return str(engine.to_pyarrow(key(engine.name, ibis.literal(CANARY))).as_py())


def _check_canary(manifest: Manifest, canary: str, folder: Path) -> None:
    if canary != manifest.canary:
        raise StoreError(f"the keys of the store {folder} were made by another version of DuckDB; build it again.")


def _check_scopes(manifest: Manifest, scopes: Sequence[str], folder: Path) -> None:
    for scope in validate_scopes(scopes):
        kind = scope.partition(":")[0]
        if scope not in manifest.scopes and f"{kind}:*" not in manifest.scopes:
            raise ScopeError(
                f"the store {folder} does not contain the scope {scope}; it has {', '.join(manifest.scopes)}. Build a "
                "new one for others."
            )


def _read(backend: ibis.BaseBackend, folder: Path, kind: str, manifest: Manifest) -> ir.Table:
    files = [escape(str(part_file(folder, kind, part.name))) for part in manifest.parts]
    try:
        table = backend.read_parquet(files)
    except DuckDBError as error:
        raise StoreError(
            f"the store {folder} is damaged ({first_line(error)}); build it again from the events."
        ) from error
    if missing := {*COLUMNS[kind]} - {*table.columns}:
        raise StoreError(
            f"the store {folder} is damaged: {kind} lack the column(s) {', '.join(sorted(missing))}; build it again "
            "from the events."
        )
    return table


def part_file(folder: Path, kind: str, name: str) -> Path:
    """Return the path of a part's events (`acts`) or users (`people`)."""
    return folder / kind / f"{name}.parquet"


def read_store_identities(folder: Path) -> pd.DataFrame | None:
    """Read the identities of a store; None if it was made without."""
    return pd.read_parquet(folder / IDENTITIES) if (folder / IDENTITIES).is_file() else None


@contextmanager
def store_lock(folder: Path) -> Iterator[Path]:
    """Lock a store for writing and yield a scratch folder in it; remove scratch folders of killed processes.

    The system releases the lock when the process ends, however it ends.

    Raises
    ------
    StoreError : another process holds the lock
    OutputError : the folder cannot be written to

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", blocking=False):
            for orphan in folder.glob(f"{SCRATCH_PREFIX}*"):
                rmtree(orphan)
            with TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=folder) as scratch:
                yield Path(scratch)
    except Timeout as error:
        raise StoreError(f"another process is writing to the store {folder}; wait until it has finished.") from error
    except OSError as error:
        raise write_error(folder, error) from error


def write_encoded_events(rows: ir.Table, file: Path) -> str:
    """Write encoded events; return a digest that is the same for the same rows in any order."""
    backend = rows.get_backend()
    backend.to_parquet(rows, file, compression="zstd")
    count, checksum = backend.con.execute(
        f"SELECT count(*), sum(hash(t)::HUGEINT) FROM {engines.read_parquet_sql(file)} t"
    ).fetchone()
    return f"{count}-{checksum}"


def _warn_of_repetition(file: Path, older: ir.Table, folder: Path) -> None:
    """Warn of encoded events by known users that are among the older ones of the store, as where exports overlap."""
    new = older.get_backend().read_parquet(escape(str(file)))
    equal = [new[name] == older[name] for name in ("time", "actor", "verb")]
    equal += [new[name].identical_to(older[name]) for name in NULLABLE]
    if repeated := new.semi_join(older, equal).count().to_pyarrow().as_py():
        rows = parquet.read_metadata(file).num_rows
        log.warning(
            f"{repeated:,} of the {rows:,} events are in the store {folder} already and count once more: if exports "
            "overlap, build the store again without the overlap."
        )


def _write_new_users(users: ir.Table, folder: Path, manifest: Manifest, file: Path) -> None:
    """Write the users that are not in the store yet, after checking that all keys are unique."""
    backend = users.get_backend()
    if manifest.parts:
        older = _read(backend, folder, "people", manifest)
        users = users.anti_join(older, ["user", "scope", "key"]).cache()
        check_keys(older.union(users))
    else:
        users = users.cache()
        check_keys(users)
    backend.to_parquet(users.order_by("scope", "user"), file, compression="zstd")


def _commit(scratch: Path, folder: Path, manifest: Manifest) -> None:
    """Move the newest part into the store, then add it to the manifest atomically."""
    for kind in KINDS:
        (folder / kind).mkdir(exist_ok=True)
        atomic_files.publish(scratch / f"{kind}.parquet", part_file(folder, kind, manifest.parts[-1].name), scratch)
    write_manifest(scratch, folder, manifest)


def write_manifest(scratch: Path, folder: Path, manifest: Manifest) -> None:
    """Replace the manifest of a store atomically."""
    (scratch / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n")
    atomic_files.publish(scratch / MANIFEST, folder / MANIFEST, scratch)
