"""Deletion: somebody is hidden at once, then removed from one place after the other, and a receipt says from where.

Each place is written down before it is cleared, and clearing it again changes nothing: whoever is killed half way
leaves somebody who is hidden, and work that the next look of a service or the next `clout forget` brings to its end.
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from features import forgetting
from features.aside import clear_left
from features.errors import CloutError, EventsError, OutputError, SnapshotError, StoreError
from features.identities import checked
from features.store import is_store, read_store_identities
from serving.rights import kept_snapshots
from serving.rights.cases import forget_cases
from serving.rights.remains import remains
from serving.running.kept_champion import discard
from serving.snapshots.folders import list_snapshots
from training.home import Home
from training.opt_outs import left_out
from training.receipts import Asked, Receipt, Removed, begin, finish, note, under_way

# What else holds something of a user, and what removes it and returns how many rows it was.
FORGETS: dict[str, Callable[[Home, str], int]] = {"cases": forget_cases}
LOCK = ".forgetting.lock"


def ask(home: Home, user: str, events: Sequence[Path] = (), identities: pd.DataFrame | None = None) -> Receipt:
    """Hide somebody from this moment on and write down that everything of theirs is to be deleted.

    Parameters
    ----------
    home : whose snapshots, records and models
    user : the id
    events : event tables, folders of them, or stores to be cleared as well
    identities : (account, person): all accounts of the person are deleted; a store has its own

    Returns
    -------
    the receipt as it begins; `carry_out` brings it to its end

    Raises
    ------
    EventsError : a place holds no events
    UserIdError : the id is none
    RecordsError : the records cannot be written

    """
    places = [place.resolve() for place in events]
    for place in places:
        forgetting.files_of(place)
    told = [identities, *(read_store_identities(place) for place in places if is_store(place))]
    return begin(home, _accounts(user, [each for each in told if each is not None]), list(map(str, places))).receipt


def carry_out(home: Home) -> list[Receipt]:
    """Bring every deletion of a home that is under way to its end; another process that does so is waited for.

    Raises
    ------
    OutputError : a disk refuses; what is left of it stays under way
    RecordsError : the records cannot be written

    """
    if not under_way(home):
        return []
    with _alone(home):
        return [_carry_out(home, asked) for asked in under_way(home)]


def _carry_out(home: Home, asked: Asked) -> Receipt:
    failed: dict[str, str] = {}
    clear_left(home.snapshots)  # a writer that was killed may have left people there
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
    return finish(home, asked, failed, remains(home, asked.ids, bool(asked.events)))


def _clear_snapshot(home: Home, asked: Asked, folder: Path, place: str) -> Asked:
    found = kept_snapshots.held(folder, asked.ids)
    if found:
        asked = _noted(home, asked, place, found)
        kept_snapshots.forget(home, folder, asked.ids, left_out(home).change)
    return asked


def _clear_events(home: Home, asked: Asked, events: Path, place: str) -> Asked:
    asked = _noted(home, asked, place, forgetting.held(events, asked.ids))
    forgetting.forget(events, asked.ids)
    return asked


def _noted(home: Home, asked: Asked, place: str, rows: int) -> Asked:
    return note(home, asked, Removed(place, rows)) if rows else asked


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
    for identities in map(checked, told):
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
