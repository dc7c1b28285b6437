"""The watcher: loads newer snapshots and other champions in the background, while the service answers."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Thread, Timer
from typing import Any, Generic, TypeVar

from features.errors import CloutError, RegistryError, SnapshotError
from serving.runtime.replica import Replica
from serving.runtime.state import Champion, ServiceState, Stale, cache_champion, load_served, read_champion
from serving.runtime.workers import freeze_gc
from serving.snapshots import layout
from serving.snapshots.repository import list_snapshots, served_folder, served_otherwise
from serving.snapshots.shared_database import PublishedSnapshot
from serving.snapshots.snapshot import Snapshot
from training.home import Home
from training.registry.model_registry import champion_version

REFRESH_SECONDS = 5.0
LONGEST_SECONDS = 86_400
STOP_SECONDS = 1.0
DOUBT_SECONDS = 30.0  # how long the first check may take
RETRY_SECONDS = 60.0
UNKNOWN = object()
T = TypeVar("T")
log = logging.getLogger("clout")


@dataclass(frozen=True)
class Failure:
    """A failed load: the version it was tried at, the error, since when (UTC), and when to retry (monotonic)."""

    version: object
    error: CloutError
    since: datetime
    retry_at: float


class Refreshable(Generic[T]):
    """A part of the service, in its last good state. A cheap check decides whether it has to be loaded again.

    Parameters
    ----------
    name : in the log, in `/ready` and in the metrics
    version : returns the current version, cheaply; nothing is loaded while it stays the same
    load : loads that version
    error_type : type of the error that replaces an unexpected exception
    initial : the part before the first check
    doubt : why the initial part may be outdated; it counts as stale where the first check takes long

    """

    def __init__(
        self,
        name: str,
        version: Callable[[], object],
        load: Callable[[], T],
        error_type: type[CloutError] = CloutError,
        initial: T | None = None,
        doubt: str | None = None,
    ):
        self.name = name
        self.loaded = self.failed = 0
        self._read_version, self._load, self._error_type = version, load, error_type
        self._version = UNKNOWN
        self._part = initial
        self._failure: Failure | None = None
        self._doubt = None if doubt is None else Stale(doubt, datetime.now(UTC))

    @property
    def part(self) -> T | CloutError:
        """The newest part that could be loaded, or the error that says why there is none."""
        if self._part is not None:
            return self._part
        return self._failure.error if self._failure else self._error_type(f"the {self.name} has not been checked yet.")

    @property
    def stale(self) -> Stale | None:
        """Why the part is outdated; None if it is current or missing."""
        if self._part is None:
            return None
        if self._failure is not None:
            return Stale(str(self._failure.error), self._failure.since)
        doubt = self._doubt
        return doubt if doubt and (datetime.now(UTC) - doubt.since).total_seconds() >= DOUBT_SECONDS else None

    def look(self) -> bool:
        """Load the current version if it is new; return whether the part or its failure changed."""
        version = UNKNOWN
        try:
            version = self._read_version()
            if version == self._version:
                return self._recover()
            if not self._due(version):
                return False
            part = self._load()
            if self._read_version() != version:
                raise self._error_type(f"the {self.name} changed while it was loaded; the next check tries again.")
        except CloutError as error:
            return self._fail(version, error)
        except Exception as error:
            log.exception("Loading the %s failed", self.name)
            return self._fail(version, self._error_type(f"loading the {self.name} failed ({error!r}); see the log."))
        self._version, self._part, self._doubt = version, part, None
        self.loaded += 1
        self._recover()
        return True

    def _due(self, version: object) -> bool:
        """Return whether to load: a failed version is retried after a while, another one at once."""
        failure = self._failure
        return failure is None or failure.version != version or time.monotonic() >= failure.retry_at

    def _recover(self) -> bool:
        """End a failure; return whether there was one."""
        if self._failure is None:
            return False
        log.info("The %s is up to date again", self.name)
        self._failure = None
        return True

    def _fail(self, version: object, error: CloutError) -> bool:
        before, self._doubt = self._failure, None
        self.failed += 1
        since = before.since if before else datetime.now(UTC)
        self._failure = Failure(version, error, since, time.monotonic() + RETRY_SECONDS)
        if before is not None and str(before.error) == str(error):
            return False
        log.warning("The %s cannot be loaded: %s", self.name, error)
        return True


class Watcher:
    """Checks for newer parts every few seconds, and passes on a new state when anything changed.

    Parameters
    ----------
    home : where the snapshots and the registry are
    on_change : called with each new state; a request that has an older one finishes with it
    on_look : called at every look
    cached : the champion to start with; the first look of `watch`, which comes at once, asks for another

    Attributes
    ----------
    looked : called after each look of `watch`

    """

    looked: Callable[[], None] = staticmethod(lambda: None)

    def __init__(
        self,
        home: Home,
        on_change: Callable[[ServiceState], None],
        on_look: Callable[[], None] = lambda: None,
        cached: Champion | None = None,
    ):
        self._home, self._on_change, self._on_look, self._cached = home, on_change, on_look, cached
        self._champion_version = cached.version if cached else None
        self._served_otherwise: Stale | None = None
        self.database: Refreshable[tuple[PublishedSnapshot, ...]] | None = None
        if home.database:  # the snapshots of the home answer until it is first reached
            replica = Replica(home, lambda: self._look_at(self.snapshot))
            self.database = Refreshable("database", replica.published, replica.follow, SnapshotError, initial=())
        self.snapshot: Refreshable[Snapshot] = Refreshable(
            "snapshot", self._snapshot_version, lambda: load_served(home, self._champion_version), SnapshotError
        )
        self.champion: Refreshable[Champion] = Refreshable(
            "champion",
            lambda: champion_version(home),
            lambda: read_champion(home),
            RegistryError,
            cached,
            f"version {cached.version} was loaded last; the registry was not checked for another one yet."
            if cached
            else None,
        )

    @property
    def parts(self) -> tuple[Refreshable[Any], ...]:
        """The watched parts: the database that publishes snapshots, if there is one, the snapshot, the champion."""
        return (*([self.database] if self.database else []), self.snapshot, self.champion)

    def look(self) -> None:
        """Look once, now, and pass on a state for each part that changed."""
        if self.database:
            self._look_at(self.database)
        self._look_at(self.snapshot)
        if self.champion.look():
            self._follow_champion()
            self._on_change(self.service())
        self._on_look()

    def look_locally(self) -> None:
        """Look at all parts but the database, from which fetching a first snapshot takes a while.

        The registry is queried while the snapshot is read, which saves time; with a cached champion, not at all.
        """
        # A daemon, as in `watching`: a registry that hangs does not keep the process from ending.
        registry = Thread(target=self.champion.look, name="first look", daemon=True)
        if self._cached is None:
            registry.start()
        self.snapshot.look()
        if self._cached is None:
            registry.join()
            self._follow_champion()
        self._on_change(self.service())
        self._on_look()

    def _follow_champion(self) -> None:
        """Look for the snapshot that is served under the present champion: both change in one state."""
        champion = self.champion.part
        if isinstance(champion, Champion) and champion.version != self._champion_version:
            self._champion_version = champion.version
            self.snapshot.look()

    def _look_at(self, part: Refreshable[Any]) -> None:
        if part.look():
            self._on_change(self.service())

    def service(self) -> ServiceState:
        """Return the state made of the present parts."""
        self._served_otherwise = self._stale_snapshot()
        stale = {"snapshot": self._served_otherwise} if self._served_otherwise else {}
        stale |= {part.name: part.stale for part in self.parts if part.stale}
        return ServiceState(self._home, self.champion.part, self.snapshot.part, stale)

    def _stale_snapshot(self) -> Stale | None:
        """Return why the served snapshot is not the champion's or not the newest, and since when; None if it is."""
        with suppress(OSError):  # the snapshot is stale for that reason
            detail = served_otherwise(self._home, list_snapshots(self._home), self._champion_version)
            before = self._served_otherwise
            if detail is not None:
                return before if before and before.detail == detail else Stale(detail, datetime.now(UTC))
        return None

    def _snapshot_version(self) -> tuple[object, ...]:
        """Return which snapshot is served, and which there are; one replaced under its name is another."""
        try:
            folders = list_snapshots(self._home)
        except OSError as error:
            raise SnapshotError(f"the snapshots in {self._home.snapshots} cannot be listed: {error}.") from error
        served = served_folder(folders, self._champion_version).name if folders else None
        return served, *((folder.name, layout.folder_identity(folder)) for folder in folders)

    def watch(self, every: float, stop: Event) -> None:
        """Look every so many seconds, by a monotonic clock, until stopped.

        The first look comes at once if there is a database or the champion is a cached one.
        """
        first = self._cached is not None
        self._cache_champion()
        wait = 0.0 if self.database or first else every
        while not stop.wait(wait):
            wait = every
            try:
                self.look()
                self._cache_champion()
                self.looked()
            except Exception:
                log.exception("A look for a newer champion and snapshot failed")
            if first:
                freeze_gc()  # the look imported the registry's client, which is slow to scan
                first = False

    @contextmanager
    def watching(self, every: float) -> Iterator[None]:
        """Watch in a thread until the end of the `with` block."""
        stop = Event()
        # A daemon: a registry that hangs does not keep the process from ending.
        thread = Thread(target=self.watch, args=(every, stop), name="watcher", daemon=True)
        thread.start()
        doubt = Timer(DOUBT_SECONDS, lambda: self._on_change(self.service()))
        doubt.daemon = True
        if self._cached is not None:
            doubt.start()
        try:
            yield
        finally:
            stop.set()
            doubt.cancel()
            thread.join(STOP_SECONDS)

    def _cache_champion(self) -> None:
        """Cache another champion for the next start."""
        champion = self.champion.part
        if isinstance(champion, Champion) and champion != self._cached:
            cache_champion(self._home, champion)
            self._cached = champion


def check_refresh(every: float) -> None:
    """Check the seconds between two looks.

    Raises
    ------
    CloutError : they are not more than 0, or more than a day

    """
    if not 0 < every <= LONGEST_SECONDS:
        raise CloutError(
            f"cannot check for newer parts every {every:g} seconds; expected more than 0, at most {LONGEST_SECONDS}."
        )
