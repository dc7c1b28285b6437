"""The service's state: the champion and the newest snapshot, or why they are not there."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from features.errors import CloutError
from serving.snapshot import Snapshot
from serving.snapshots import open_earlier, open_snapshot
from training.bundle import Bundle
from training.documents import report
from training.home import Home
from training.registry import required_champion

T = TypeVar("T")
KEPT_OPEN = 4


@dataclass(frozen=True)
class Champion:
    """The model that answers, its version in the registry, and its out-of-time figures if they were registered."""

    bundle: Bundle
    version: str
    figures: dict | None


class Service:
    """What the routes answer from; a newer champion or snapshot is taken up by loading another one.

    Parameters
    ----------
    home : where snapshots are, of which a history reads all
    champion, newest : what was found at the start, or the error that says what is missing and what to do

    """

    def __init__(self, home: Home, champion: Champion | CloutError, newest: Snapshot | CloutError):
        self.home = home
        self._champion = champion
        self._newest = newest
        self._opened = lru_cache(maxsize=KEPT_OPEN)(lambda as_of, version: open_snapshot(home, as_of, version))
        self._earlier = lru_cache(maxsize=KEPT_OPEN)(lambda end, start: open_earlier(home, self.snapshot(end), start))

    @property
    def champion(self) -> Champion:
        """The champion.

        Raises
        ------
        RegistryError, CatalogueError : there was none that could be loaded at the start

        """
        return _present(self._champion)

    @property
    def missing(self) -> dict[str, str]:
        """What is not there, and why: empty when the service is ready."""
        parts = {"champion": self._champion, "snapshot": self._newest}
        return {name: str(part) for name, part in parts.items() if isinstance(part, CloutError)}

    def snapshot(self, as_of: datetime | None = None) -> Snapshot:
        """Return the newest snapshot as found at the start, or the one of exactly that instant.

        Raises
        ------
        SnapshotError : there is none, or it is damaged

        """
        newest = self._newest
        if as_of is None or (isinstance(newest, Snapshot) and newest.as_of == as_of):
            return _present(newest)
        return self._opened(as_of, None)

    def pinned(self, as_of: datetime, version: str) -> Snapshot:
        """Return the snapshot of exactly that instant and model version, whatever came after it.

        Raises
        ------
        SnapshotError : it is no longer there, or damaged

        """
        found = self.snapshot(as_of)
        return found if found.model_version == version else self._opened(as_of, version)

    def pair(self, start: datetime | None, end: datetime | None) -> tuple[Snapshot, Snapshot]:
        """Return two snapshots, the earlier first: of those instants, or the newest and the one before it.

        Raises
        ------
        AsOfError : the start is later than the end
        SnapshotError : there is none of an instant, or none before the later one, or it is damaged

        """
        after = self.snapshot(end)
        return self._earlier(end, start), after


def load_service(home: Home) -> Service:
    """Load what is there; what is absent or cannot be reached is told by the routes that need it."""
    return Service(home, _tried(lambda: _load_champion(home)), _tried(lambda: open_snapshot(home)))


def _load_champion(home: Home) -> Champion:
    bundle, version = required_champion(home)
    return Champion(bundle, version, report(home, version))


def _tried(load: Callable[[], T]) -> T | CloutError:
    try:
        return load()
    except CloutError as error:
        return error


def _present(part: T | CloutError) -> T:
    if isinstance(part, CloutError):
        raise type(part)(str(part))
    return part
