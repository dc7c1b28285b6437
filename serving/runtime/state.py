"""The state of a service: the champion, cached for the next start, and the served snapshot, or why they are missing."""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache, partial
from hashlib import sha256
from shutil import rmtree
from threading import Lock
from typing import Any, TypeVar

from features.atomic_files import publish, scratch_dir
from features.errors import CatalogueError, CloutError
from features.utc import to_iso_utc
from serving.snapshots.repository import open_earlier, open_snapshot
from serving.snapshots.snapshot import Snapshot
from training.home import Home
from training.model.bundle import Bundle
from training.model.bundle_files import load_bundle, save_bundle
from training.records.database import RecordsError
from training.registry.model_registry import load_champion
from training.registry.run_documents import report

T = TypeVar("T")
OPEN_SNAPSHOTS = 4
METADATA = "champion.json"
log = logging.getLogger("clout")


@dataclass(frozen=True)
class Champion:
    """The model that answers, its version in the registry, and its out-of-time metrics if they were registered."""

    bundle: Bundle
    version: str
    figures: dict[str, Any] | None


@dataclass(frozen=True)
class Stale:
    """Why a part is outdated: what failed, and since when (UTC)."""

    detail: str
    since: datetime


class ServiceState:
    """What the routes answer from. It is immutable: `Watcher` replaces it when the champion or the snapshots change.

    Parameters
    ----------
    home : where snapshots are, of which a history reads all
    champion, served : the parts, or the error that says what is missing and what to do
    stale : the present parts that are outdated

    """

    def __init__(
        self,
        home: Home,
        champion: Champion | CloutError,
        served: Snapshot | CloutError,
        stale: Mapping[str, Stale] | None = None,
    ):
        self.home, self._champion, self._served = home, champion, served
        self.stale = dict(stale or {})
        # No closure refers to the state itself: it is freed with its snapshot when the last request ends.
        self._open = lru_cache(maxsize=OPEN_SNAPSHOTS)(partial(open_snapshot, home, champion=self.champion_version))
        self._at = partial(_snapshot_at, served, self._open)
        self._earlier = lru_cache(maxsize=OPEN_SNAPSHOTS)(partial(_earlier, home, self._at, self.champion_version))
        self._opening = Lock()

    @property
    def champion(self) -> Champion:
        """The champion.

        Raises
        ------
        RegistryError, CatalogueError : none could be loaded

        """
        return _present(self._champion)

    @property
    def champion_version(self) -> str | None:
        """The version by which snapshots are chosen; None without a champion."""
        return self._champion.version if isinstance(self._champion, Champion) else None

    @property
    def guarantee(self) -> float | None:
        """The most points that responses from anybody can move a champion's score; None without such a limit."""
        champion = self._champion
        return (champion.bundle.most_from_anybody or None) if isinstance(champion, Champion) else None

    @property
    def missing(self) -> dict[str, str]:
        """The missing parts, and why: empty when the service is ready."""
        parts = {"champion": self._champion, "snapshot": self._served}
        return {name: str(part) for name, part in parts.items() if isinstance(part, CloutError)}

    @cached_property
    def served(self) -> tuple[str, str] | None:
        """The instant and the model version of the served snapshot, as the audit log records them; None without one."""
        served = self._served
        return (to_iso_utc(served.as_of), served.model_version) if isinstance(served, Snapshot) else None

    def snapshot(self, as_of: datetime | None = None, version: str | None = None) -> Snapshot:
        """Return the served snapshot, or that of exactly that instant, by a model version if one is named.

        Raises
        ------
        SnapshotError : it does not exist, was removed or is damaged

        """
        snapshot = self._at(as_of)
        return snapshot if version in (None, snapshot.model_version) else self._open(snapshot.as_of, version)

    def pair(self, start: datetime | None, end: datetime | None) -> tuple[Snapshot, Snapshot]:
        """Return two snapshots, the earlier first: of those instants, or the served one and the one before it.

        Raises
        ------
        AsOfError : the start is later than the end
        SnapshotError : an instant has none, none is earlier, or it is damaged

        """
        after = self.snapshot(end)
        with self._opening:  # two requests would otherwise open the same snapshot twice
            return self._earlier(after.as_of, start), after


def read_champion(home: Home) -> Champion:
    """Load the champion, with caches filled.

    Raises
    ------
    RegistryError, CatalogueError : there is none, or it cannot be loaded

    """
    bundle, version = load_champion(home)
    bundle.warm()
    return Champion(bundle, version, report(home, version))


def cache_champion(home: Home, champion: Champion) -> None:
    """Replace the cached champion; if the home is absent or cannot be written, the log says so."""
    out = home.champion
    metadata = {"registry": _registry(home), "version": champion.version, "figures": champion.figures}
    try:
        home.folder.stat()
        with scratch_dir(out) as scratch:
            folder = scratch / out.name
            save_bundle(champion.bundle, folder)
            (folder / METADATA).write_text(json.dumps(metadata) + "\n")
            publish(folder, out, scratch)
    except (OSError, CloutError) as error:
        log.warning("The champion cannot be cached for the next start, which then waits for the registry: %s", error)


def read_cached_champion(home: Home) -> Champion | None:
    """Return the cached champion, ready to answer; None if it is of another registry or cannot be used."""
    try:
        metadata = json.loads((home.champion / METADATA).read_text())
        if metadata["registry"] != _registry(home):
            return None
        champion = Champion(load_bundle(home.champion), metadata["version"], metadata["figures"])
        champion.bundle.warm()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, CloutError) as error:
        log.warning("The cached champion cannot be used: %s", error)
        return None
    return champion


def discard(home: Home) -> None:
    """Remove the cached champion, because its report may name the user that is being deleted."""
    rmtree(home.champion, ignore_errors=True)


def _registry(home: Home) -> str:
    """Return a hash that identifies the registry without storing a password in its address.

    It is the same for every embedded registry, so that a home can be moved.
    """
    return sha256((home.tracking_uri or "embedded").encode()).hexdigest()


def load_served(home: Home, champion: str | None) -> Snapshot:
    """Open the snapshot that is served under a version of the champion, with caches filled.

    Raises
    ------
    SnapshotError : there is none, or it is damaged

    """
    snapshot = open_snapshot(home, champion=champion)
    with suppress(RecordsError):  # requests report it until they can be read
        snapshot.warm()
    with suppress(CatalogueError):  # a snapshot of another catalogue still has scores, but no explanations
        snapshot.bundle.warm()
    return snapshot


def _snapshot_at(
    served: Snapshot | CloutError, open_at: Callable[[datetime], Snapshot], as_of: datetime | None
) -> Snapshot:
    if as_of is None or (isinstance(served, Snapshot) and served.as_of == as_of):
        return _present(served)
    return open_at(as_of)


def _earlier(
    home: Home,
    at: Callable[[datetime | None], Snapshot],
    champion: str | None,
    end: datetime | None,
    start: datetime | None,
) -> Snapshot:
    return open_earlier(home, at(end), start, champion)


def _present(part: T | CloutError) -> T:
    if isinstance(part, CloutError):
        raise type(part)(str(part))
    return part
