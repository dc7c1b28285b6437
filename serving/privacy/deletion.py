"""Deletion: somebody is hidden at once, then removed from one place after the other, and a receipt says from where.

Each place is written down before it is cleared, and clearing it again changes nothing: whoever is killed half way
leaves somebody who is hidden, and work that the next look of a service or the next `clout forget` brings to its end.

The clerk of a service: brings deletions to their end, beside the requests.
"""

import fcntl
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread

import pandas as pd

from features.atomic_files import remove_orphans
from features.errors import CloutError, EventsError, OutputError, SnapshotError, StoreError
from features.events import erasure
from features.events.identities import validate_identities
from features.events.store import is_store, read_store_identities
from serving.privacy.cases import forget_cases
from serving.privacy.residual_data import remains
from serving.runtime.champion_cache import discard
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
from training.records.opt_outs import load_opted_out_users

# What else holds something of a user, and what removes it and returns how many rows it was.
FORGETS: dict[str, Callable[[Home, str], int]] = {"cases": forget_cases}
LOCK = ".forgetting.lock"


def request_deletion(
    home: Home, user: str, events: Sequence[Path] = (), identities: pd.DataFrame | None = None
) -> Receipt:
    """Hide somebody from this moment on and write down that everything of theirs is to be deleted.

    Parameters
    ----------
    home : whose snapshots, records and models
    user : the id
    events : event tables, folders of them, or stores to be cleared as well
    identities : (account, person): all accounts of the person are deleted; a store has its own

    Returns
    -------
    the receipt as it begins; `delete_pending` brings it to its end

    Raises
    ------
    EventsError : a place holds no events
    UserIdError : the id is none
    RecordsError : the records cannot be written

    """
    places = [place.resolve() for place in events]
    for place in places:
        erasure.event_files(place)
    told = [identities, *(read_store_identities(place) for place in places if is_store(place))]
    return begin_deletion(
        home, _accounts(user, [each for each in told if each is not None]), list(map(str, places))
    ).receipt


def delete_pending(home: Home) -> list[Receipt]:
    """Bring every deletion of a home that is under way to its end; another process that does so is waited for.

    Raises
    ------
    OutputError : a disk refuses; what is left of it stays under way
    RecordsError : the records cannot be written

    """
    if not pending_deletions(home):
        return []
    with _alone(home):
        return [_carry_out(home, asked) for asked in pending_deletions(home)]


def _carry_out(home: Home, asked: DeletionRequest) -> Receipt:
    failed: dict[str, str] = {}
    remove_orphans(home.snapshots)  # a writer that was killed may have left people there
    for folder in list_snapshots(home):
        place = f"snapshot {folder.name}"
        with _failing(failed, place, SnapshotError):
            asked = _clear_snapshot(home, asked, folder, place)
    for events in map(Path, asked.events):
        place = f"events {events}"
        with _failing(failed, place, EventsError, StoreError):
            asked = _clear_events(home, asked, events, place)
    discard(home)
    for what, forgets in FORGETS.items():
        asked = _noted(home, asked, what, sum(forgets(home, user) for user in asked.ids))
    return finish_deletion(home, asked, failed, remains(home, asked.ids, bool(asked.events)))


def _clear_snapshot(home: Home, asked: DeletionRequest, folder: Path, place: str) -> DeletionRequest:
    found = snapshot_erasure.count_user_data(folder, asked.ids)
    if found:
        asked = _noted(home, asked, place, found)
        snapshot_erasure.erase_users_from_snapshot(home, folder, asked.ids, load_opted_out_users(home).change)
    return asked


def _clear_events(home: Home, asked: DeletionRequest, events: Path, place: str) -> DeletionRequest:
    asked = _noted(home, asked, place, erasure.count_rows_of_users(events, asked.ids))
    erasure.erase_users(events, asked.ids)
    return asked


def _noted(home: Home, asked: DeletionRequest, place: str, rows: int) -> DeletionRequest:
    return record_removals(home, asked, Removed(place, rows)) if rows else asked


@contextmanager
def _failing(failed: dict[str, str], place: str, *errors: type[CloutError]) -> Iterator[None]:
    """Go on with the next place where one cannot be read, and say so."""
    try:
        yield
    except errors as error:
        failed[place] = f"{error} What it may hold of the person is still there."


def _accounts(user: str, told: list[pd.DataFrame]) -> list[str]:
    """Return the id asked for and every other by which its person goes."""
    found = {user: None}
    for identities in map(validate_identities, told):
        own = identities.loc[identities["account"].isin(found), "person"].tolist()
        people = identities["person"].isin([user, *own])
        found |= dict.fromkeys([*own, *identities.loc[people, "account"]])
    return list(found)


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    try:
        home.folder.mkdir(parents=True, exist_ok=True)
        lock = (home.folder / LOCK).open("w")
    except OSError as error:
        raise OutputError(f"{home.folder} cannot be written to: {error.strerror}.") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


log = logging.getLogger("clout")


class DeletionWorker:
    """Works off what is under way in a thread of its own, one at a time.

    Parameters
    ----------
    home : whose deletions

    """

    def __init__(self, home: Home):
        self._home = home
        self._alone = Lock()
        self._thread: Thread | None = None
        self._failed = ""

    def look(self) -> None:
        """Begin to work where there is something to do and nobody of this process does it."""
        with self._alone:
            try:
                busy = self._thread is not None and self._thread.is_alive()
                if not busy and pending_deletions(self._home):
                    # A daemon: what a process leaves when it ends, the next look of another takes up.
                    self._thread = Thread(target=self._work, name="clerk", daemon=True)
                    self._thread.start()
                self._failed = ""
            except CloutError as error:
                if str(error) != self._failed:
                    log.error("Deletions cannot be looked for: %s", error)
                self._failed = str(error)

    def wait(self) -> None:
        """Wait until what was begun is done."""
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            for receipt in delete_pending(self._home):
                log.info("The deletion of receipt %s is at its end", receipt.receipt)
        except CloutError as error:
            log.error("A deletion is not at its end yet and is tried again: %s", error)
        except Exception:
            log.exception("A deletion failed, and is tried again")
