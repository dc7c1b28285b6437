"""Deletion of a user: hidden at once, then erased from each location, with a receipt of what was removed where.

Each location is recorded before it is cleared, and clearing is idempotent. If the process is killed half way, the user
stays hidden, and the next run of a service's worker or of `clout forget` completes the deletion.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pandas as pd
from filelock import FileLock

from features.atomic_files import remove_orphans
from features.errors import CloutError, EventsError, SnapshotError, StoreError, write_error
from features.events import erasure
from features.events.event_table import event_files
from features.events.identities import validate_identities
from features.events.store import is_store, read_store_identities
from serving.privacy.cases import delete_cases
from serving.runtime.state import discard
from serving.snapshots import erasure as snapshot_erasure
from serving.snapshots.repository import list_snapshots
from training.home import Home
from training.records.deletion_receipts import (
    DeletionRequest,
    Receipt,
    Removed,
    begin_deletion,
    finish_deletion,
    pending_deletions,
    record_removals,
)
from training.records.opt_outs import load_opted_out_users, read_user_id
from training.registry.model_registry import load_version, versions
from training.registry.run_documents import report

# Other records of a user: by name, a function that deletes them and returns how many rows there were.
RECORD_DELETERS: dict[str, Callable[[Home, str], int]] = {"cases": delete_cases}
LOCK = ".forgetting.lock"
# What remains after a deletion.
AGGREGATES = (
    "Typical values of active users, and the scores and percentiles of others, stay as published: the user counted "
    "among those they were computed from. The next 'clout score' computes them without the user."
)
NO_EVENTS = (
    "No events were given: their files may still hold what the user did and what others did to the user. Every run "
    "excludes it; 'clout forget USER --events EVENTS' removes it."
)
OBJECT_IDS = (
    "Ids of objects (the columns object and result) stay where others acted on them; a source that writes ids of users "
    "into those, as Bluesky does, leaves them there. Rejected rows, in EVENTS.rejects.csv, stay too."
)
MODELS = (
    "The registered model versions ({}) may have learnt from the user's rows among all rows: their trees, scale, "
    "intervals and reference are aggregates that contain no ids and cannot give a row back; they are not changed. "
    "Train again on events without the user, promote that version, and delete these with MLflow."
)
NOTHING_FOUND = (
    "A keyed hash of the id, so that it is hidden and excluded from every run. Nothing of the user was found, so the "
    "id may be misspelled: 'clout opt-out USER --undo' shows it again. If the id is right, the receipt of an earlier "
    "deletion says what remains, and models may have learnt from events that were not searched now."
)
COPIES = "Files written with --out and --points, backups, and copies that callers made are not known here."
SEED_MENTION = (
    "Version {} names the user among its credibility seeds (in its bundle.json, in the run's parameters and "
    "report.json): remove them from clout.toml, train again, and delete that version."
)
GATE_MENTION = (
    "The gate of version {} names the user among those who moved furthest (gate.md and report.json of its run): delete "
    "that version and its run with MLflow."
)
log = logging.getLogger("clout")


def request_deletion(
    home: Home, user: str, events: Sequence[Path] = (), identities: pd.DataFrame | None = None
) -> Receipt:
    """Hide a user from now on, and record that all data of the user is to be deleted.

    Parameters
    ----------
    home : the home with snapshots, records and models
    user : the id
    events : event tables, folders of them, or stores to be cleared as well
    identities : (account, person): all accounts of the person are deleted; a store has its own

    Returns
    -------
    the receipt as it begins; `delete_pending` completes it

    Raises
    ------
    EventsError : a path has no events
    UserIdError : the id is not valid
    RecordsError : the records cannot be written

    """
    accounts = accounts_of(user, events, identities)
    return begin_deletion(home, accounts, [str(path.resolve()) for path in events]).receipt


def accounts_of(user: str, events: Sequence[Path] = (), identities: pd.DataFrame | None = None) -> list[str]:
    """Return the ids that are deleted with a user: parameters and errors as in `request_deletion`."""
    for path in events:
        event_files(path)
    tables = [identities, *(read_store_identities(path) for path in events if is_store(path))]
    return _accounts(user, [table for table in tables if table is not None])


def delete_pending(home: Home) -> list[Receipt]:
    """Complete every pending deletion of a home, one process at a time.

    Raises
    ------
    OutputError : the disk refuses; the remaining deletions stay pending
    RecordsError : the records cannot be written

    """
    if not pending_deletions(home):
        return []
    with _deletion_lock(home):
        return [_delete(home, request) for request in pending_deletions(home)]


def _delete(home: Home, request: DeletionRequest) -> Receipt:
    failed: dict[str, str] = {}
    remove_orphans(home.snapshots)  # a killed writer may have left users there
    for folder in list_snapshots(home):
        location = f"snapshot {folder.name}"
        with _record_failure(failed, location, SnapshotError):
            request = _clear_snapshot(home, request, folder, location)
    for events in map(Path, request.events):
        location = f"events {events}"
        with _record_failure(failed, location, EventsError, StoreError):
            request = _clear_events(home, request, events, location)
    discard(home)
    for name, delete in RECORD_DELETERS.items():
        request = _record(home, request, name, sum(delete(home, user) for user in request.ids))
    may_hold_data = bool(request.receipt.removed or failed)
    remains = residual_data(home, request.ids, bool(request.events), may_hold_data)
    return finish_deletion(home, request, failed, remains)


def _clear_snapshot(home: Home, request: DeletionRequest, folder: Path, location: str) -> DeletionRequest:
    rows = snapshot_erasure.count_user_data(folder, request.ids)
    if rows:
        request = _record(home, request, location, rows)
        snapshot_erasure.erase_users_from_snapshot(home, folder, request.ids, load_opted_out_users(home).change)
    return request


def _clear_events(home: Home, request: DeletionRequest, events: Path, location: str) -> DeletionRequest:
    request = _record(home, request, location, erasure.count_rows_of_users(events, request.ids))
    erasure.erase_users(events, request.ids)
    return request


def _record(home: Home, request: DeletionRequest, location: str, rows: int) -> DeletionRequest:
    return record_removals(home, request, Removed(location, rows)) if rows else request


@contextmanager
def _record_failure(failed: dict[str, str], location: str, *errors: type[CloutError]) -> Iterator[None]:
    """Record why a location cannot be cleared, and continue with the next."""
    try:
        yield
    except errors as error:
        failed[location] = f"{error} Data of the user may still be there."


def _accounts(user: str, tables: list[pd.DataFrame]) -> list[str]:
    """Return a user's id and every other id of the same person."""
    read = read_user_id(user)
    ids = dict.fromkeys([read, user])  # events that were not imported may hold the id in another form
    for identities in map(validate_identities, tables):
        persons = identities.loc[identities["account"].isin(ids), "person"].tolist()
        is_same = identities["person"].isin([read, *persons])
        ids |= dict.fromkeys([*persons, *identities.loc[is_same, "account"]])
    return list(ids)


@contextmanager
def _deletion_lock(home: Home) -> Iterator[None]:
    lock = FileLock(home.folder / LOCK)
    try:
        home.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise write_error(home.folder, error) from error
    try:
        yield
    finally:
        lock.release()


def residual_data(home: Home, ids: Collection[str], events: bool, may_hold_data: bool) -> list[str]:
    """Describe what remains of a user after a deletion, in one or a few sentences per item.

    Parameters
    ----------
    home : the home with the models
    ids : the user's ids, searched for in what is logged with each version
    events : whether events were cleared
    may_hold_data : whether a place had data of the user, or could not be searched

    """
    of_data = [AGGREGATES, OBJECT_IDS if events else NO_EVENTS, COPIES]
    of_nobody = [NOTHING_FOUND, *([] if events else [NO_EVENTS]), COPIES]
    try:
        registered = list(versions(home))
    except CloutError as error:
        return [f"The registry could not be searched: {error}", *(of_data if may_hold_data else of_nobody)]
    models = MODELS.format(", ".join(registered)) if registered else "No model is registered."
    mentions = [sentence for version in registered for sentence in _mentions(home, version, ids)]
    return [models, *mentions, *of_data] if may_hold_data or mentions else of_nobody


def _mentions(home: Home, version: str, ids: Collection[str]) -> Iterator[str]:
    """Describe where a version names a user: only its credibility seeds and its report contain ids."""
    try:
        if set(load_version(home, version, check_catalogue=False).seeds) & set(ids):
            yield SEED_MENTION.format(version)
        document = {name: value for name, value in (report(home, version) or {}).items() if name != "config"}
        if set(_texts(document)) & set(ids):
            yield GATE_MENTION.format(version)
    except CloutError as error:
        yield f"Version {version} could not be searched: {error}"


def _texts(document: Any) -> Iterator[str]:
    """Yield every text in a JSON document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, (dict, list)):
        for item in document.values() if isinstance(document, dict) else document:
            yield from _texts(item)


class DeletionWorker:
    """Completes the pending deletions of a home in a background thread of a service, one at a time."""

    def __init__(self, home: Home):
        self._home = home
        self._lock = Lock()
        self._thread: Thread | None = None
        self._last_error = ""

    def start_if_pending(self) -> None:
        """Start the thread if a deletion is pending and the thread is not running."""
        with self._lock:
            try:
                is_running = self._thread is not None and self._thread.is_alive()
                if not is_running and pending_deletions(self._home):
                    # A daemon: if the process ends first, the next run of any process completes the work.
                    self._thread = Thread(target=self._work, name="deletions", daemon=True)
                    self._thread.start()
                self._last_error = ""
            except CloutError as error:
                if str(error) != self._last_error:
                    log.error("Pending deletions cannot be read: %s", error)
                self._last_error = str(error)

    def wait(self) -> None:
        """Wait until the thread is done."""
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            for receipt in delete_pending(self._home):
                log.info("The deletion of receipt %s is complete", receipt.receipt)
        except CloutError as error:
            log.error("A deletion is incomplete and is retried: %s", error)
        except Exception:
            log.exception("A deletion failed and is retried")
