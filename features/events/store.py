"""The store: acts kept with their keys, so that new events are taken in without reading the old ones again.

A store is a folder: `store.json` names its parts, `acts/` and `people/` hold them as Parquet. Parts are never changed;
`store.json` is replaced last and in one step, so a process that is killed half way leaves the store as it was. Late
events are a part like any other, since acts carry their time. Nothing is computed ahead for an instant: features come
from all acts each time, read from numbers instead of text.
"""

import fcntl
import json
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
from pyarrow import parquet

from features import atomic_files
from features.errors import EventsError, OutputError, ScopeError, StoreError
from features.events import engines
from features.events.encoding import EncodedEvents, check_keys, encode_events, key
from features.events.event_table import VERBS, connect, open_events, time_range
from features.events.identities import merge_identities
from features.events.scopes import ALL, in_scopes, validate_scopes

MANIFEST = "store.json"
IDENTITIES = "identities.parquet"
CANARY = "clout"


@dataclass(frozen=True)
class Part:
    """One intake: its file name, how many acts and new people it holds, its time span and what it was made of."""

    name: str
    acts: int
    people: int
    first: str
    last: str
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What a store is made of: its scopes, the key of a fixed word, the verbs by code, and the parts."""

    scopes: tuple[str, ...]
    canary: str
    verbs: tuple[str, ...]
    parts: tuple[Part, ...] = ()


def is_store(folder: Path) -> bool:
    """Tell whether a folder is a store."""
    return (folder / MANIFEST).is_file()


def add_to_store(
    source: object, folder: Path, scopes: Sequence[str] | None = None, identities: pd.DataFrame | None = None
) -> Part:
    """Take events into a store, which is made if it is not there.

    Parameters
    ----------
    source : an event table in any form that `open_events` takes
    folder : the store
    scopes : of a new store; an older one keeps its own
    identities : of a new store; an older one keeps its own

    Raises
    ------
    EventsError : there are no events, they cannot be read, or are in the store already
    StoreError : the store is damaged or was made by another engine version, or something else is in its place
    ScopeError : other scopes are asked for than the store has

    """
    events = open_events(source)
    with store_lock(folder) as scratch:
        manifest = _manifest(folder, events.get_backend(), scopes, identities is not None)
        people = read_store_identities(folder) if manifest.parts else identities
        first, last = time_range(events)
        found = encode_events(events if people is None else merge_identities(events, people), manifest.scopes)
        digest = write_encoded_events(found.rows, scratch / "acts.parquet")
        if digest in {part.digest for part in manifest.parts}:
            raise EventsError(f"these events are in the store {folder} already; nothing was taken in.")
        _write_new_people(found.users, folder, manifest, scratch / "people.parquet")
        if identities is not None:
            identities.to_parquet(scratch / IDENTITIES)
            atomic_files.publish(scratch / IDENTITIES, folder / IDENTITIES, scratch)
        held, new = (parquet.read_metadata(scratch / f"{kind}.parquet").num_rows for kind in ("acts", "people"))
        part = Part(f"part-{len(manifest.parts):05d}", held, new, first.isoformat(), last.isoformat(), digest)
        _commit(scratch, folder, replace(manifest, parts=(*manifest.parts, part)))
    return part


def open_store(folder: Path, scopes: Sequence[str] = (ALL,)) -> EncodedEvents:
    """Open a store as acts.

    Raises
    ------
    StoreError : it is damaged, or its keys were made by another version of the engine
    ScopeError : it does not hold a scope

    """
    manifest = read_manifest(folder)
    backend = connect()
    _check_canary(manifest, _canary(backend), folder)
    _check_scopes(manifest, scopes, folder)
    rows, people = (_read(backend, folder, kind, manifest) for kind in ("acts", "people"))
    return EncodedEvents(
        rows, people if tuple(scopes) == manifest.scopes else people.filter(in_scopes(people.scope, scopes))
    )


def read_manifest(folder: Path) -> Manifest:
    """Read what a store is made of and see that its parts are there.

    Raises
    ------
    StoreError : the manifest is damaged, or a part is missing

    """
    try:
        told = json.loads((folder / MANIFEST).read_text())
        parts = tuple(Part(**part) for part in told["parts"])
        manifest = Manifest(tuple(told["scopes"]), told["canary"], tuple(told["verbs"]), parts)
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{folder / MANIFEST} is damaged ({error!r}); build the store again from the events."
        ) from error
    if manifest.verbs != VERBS[: len(manifest.verbs)]:
        raise StoreError(f"the store {folder} knows other verbs than this version of Clout; build it again.")
    for part in manifest.parts:
        for kind in ("acts", "people"):
            if not part_file(folder, kind, part.name).is_file():
                raise StoreError(
                    f"the store {folder} lacks {kind}/{part.name}.parquet; build it again from the events."
                )
    return manifest


def _manifest(folder: Path, engine: ibis.BaseBackend, scopes: Sequence[str] | None, new_identities: bool) -> Manifest:
    """Read the manifest of a store, or begin one where nothing is yet."""
    canary = _canary(engine)
    if not is_store(folder):
        if any(not each.name.startswith(".") for each in folder.iterdir()):
            raise StoreError(f"{folder} holds something else than a store; choose another folder.")
        return Manifest(validate_scopes(scopes or (ALL,)), canary, VERBS)
    manifest = read_manifest(folder)
    _check_canary(manifest, canary, folder)
    if scopes is not None and tuple(scopes) != manifest.scopes:
        raise ScopeError(f"the store {folder} has the scopes {', '.join(manifest.scopes)}; build a new one for others.")
    if new_identities:
        raise StoreError(f"the store {folder} has its identities already; build a new one for others.")
    return manifest


def _canary(engine: ibis.BaseBackend) -> str:
    """Return the key of a fixed word: it changes if ever the engine changes its hash."""
    return str(engine.to_pyarrow(key(engine.name, ibis.literal(CANARY))).as_py())


def _check_canary(manifest: Manifest, canary: str, folder: Path) -> None:
    if canary != manifest.canary:
        raise StoreError(f"the keys of the store {folder} were made by another version of DuckDB; build it again.")


def _check_scopes(manifest: Manifest, scopes: Sequence[str], folder: Path) -> None:
    for scope in validate_scopes(scopes):
        kind = scope.partition(":")[0]
        if scope not in manifest.scopes and f"{kind}:*" not in manifest.scopes:
            raise ScopeError(
                f"the store {folder} does not hold the scope {scope}; it has {', '.join(manifest.scopes)}."
            )


def _read(backend: ibis.BaseBackend, folder: Path, kind: str, manifest: Manifest) -> ir.Table:
    return backend.read_parquet([escape(str(part_file(folder, kind, part.name))) for part in manifest.parts])


def part_file(folder: Path, kind: str, name: str) -> Path:
    """Return where a part's acts or people lie."""
    return folder / kind / f"{name}.parquet"


def read_store_identities(folder: Path) -> pd.DataFrame | None:
    """Read which accounts the store puts together, None where it was made without."""
    return pd.read_parquet(folder / IDENTITIES) if (folder / IDENTITIES).is_file() else None


@contextmanager
def store_lock(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder within the store, which nobody else takes events into meanwhile; clear up older ones."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.glob(".taking-*"):
                rmtree(left)
            with TemporaryDirectory(prefix=".taking-", dir=folder) as scratch:
                yield Path(scratch)
    except BlockingIOError as error:
        raise StoreError(f"another process is taking events into {folder}; wait for it.") from error
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to: {error.strerror}.") from error


def write_encoded_events(rows: ir.Table, file: Path) -> str:
    """Write acts as they come; return a digest that the same acts always have, in any order."""
    backend = rows.get_backend()
    backend.to_parquet(rows, file, compression="zstd")
    found = backend.con.execute(
        f"SELECT count(*), sum(hash(t)::HUGEINT) FROM {engines.read_parquet_sql(file)} t"
    ).fetchone()
    return f"{found[0]}-{found[1]}"


def _write_new_people(people: ir.Table, folder: Path, manifest: Manifest, file: Path) -> None:
    """Write those people who are not in the store yet, after seeing that all keys differ."""
    backend = people.get_backend()
    if manifest.parts:
        older = _read(backend, folder, "people", manifest)
        people = people.anti_join(older, ["user", "scope", "key"]).cache()
        check_keys(older.union(people))
    else:
        people = people.cache()
        check_keys(people)
    backend.to_parquet(people.order_by("scope", "user"), file, compression="zstd")


def _commit(scratch: Path, folder: Path, manifest: Manifest) -> None:
    """Move the newest part to its place, then name it in the manifest, in one step."""
    for kind in ("acts", "people"):
        (folder / kind).mkdir(exist_ok=True)
        atomic_files.publish(scratch / f"{kind}.parquet", part_file(folder, kind, manifest.parts[-1].name), scratch)
    write_manifest(scratch, folder, manifest)


def write_manifest(scratch: Path, folder: Path, manifest: Manifest) -> None:
    """Name the parts of a store, in one step."""
    (scratch / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n")
    atomic_files.publish(scratch / MANIFEST, folder / MANIFEST, scratch)
