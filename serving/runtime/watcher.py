"""The watcher: loads newer snapshots and other champions while the service answers."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Event, Thread

from fastapi import FastAPI

from features.errors import CloutError, RegistryError, SnapshotError
from serving.runtime.champion_cache import cache_champion
from serving.runtime.refreshable import Refreshable
from serving.runtime.replica import Replica
from serving.runtime.state import Champion, ServiceState, load_newest, read_champion
from serving.runtime.workers import freeze_gc
from serving.snapshots import layout
from serving.snapshots.publishing import PublishedSnapshot
from serving.snapshots.repository import list_snapshots
from serving.snapshots.snapshot import Snapshot
from training.home import Home
from training.registry.model_registry import champion_version

REFRESH_SECONDS = 5.0
LONGEST_SECONDS = 86_400
STOP_SECONDS = 1.0
log = logging.getLogger("clout")


class Watcher:
    """Looks every few seconds for newer parts, and passes on a new state when anything changed.

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
        self.database = _database(home, self._look_at_snapshots) if home.database else None
        self.snapshot: Refreshable[Snapshot] = Refreshable(
            "snapshot", lambda: _folders(home), lambda: load_newest(home), SnapshotError
        )
        self.champion: Refreshable[Champion] = Refreshable(
            "champion",
            lambda: champion_version(home),
            lambda: read_champion(home),
            RegistryError,
            cached,
            _doubt(cached) if cached else None,
        )

    @property
    def parts(self) -> tuple[Refreshable, ...]:
        """The watched parts: the database that publishes snapshots, if there is one, the snapshot, the champion."""
        return (*([self.database] if self.database else []), self.snapshot, self.champion)

    def look(self) -> None:
        """Look once, now, and pass on a state for each part that changed."""
        for part in self.parts:
            self._look_at(part)
        self._on_look()

    def look_locally(self) -> None:
        """Look at all parts but the database, from which fetching a first snapshot takes a while.

        The registry is asked while the snapshot is read, which saves time, or not at all if there is a cached champion.
        """
        # A daemon, as in `watch_lifespan`: a registry that hangs does not keep the process from ending.
        registry = Thread(target=self.champion.look, name="first look", daemon=True)
        if self._cached is None:
            registry.start()
        self.snapshot.look()
        if self._cached is None:
            registry.join()
        self._on_change(self.service())
        self._on_look()

    def _look_at(self, part: Refreshable) -> None:
        if part.look():
            self._on_change(self.service())

    def _look_at_snapshots(self) -> None:
        self._look_at(self.snapshot)

    def service(self) -> ServiceState:
        """Return the state made of the present parts."""
        stale = {part.name: part.stale for part in self.parts if part.stale}
        return ServiceState(self._home, self.champion.part, self.snapshot.part, stale)

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

    def _cache_champion(self) -> None:
        """Cache another champion for the next start."""
        champion = self.champion.part
        if isinstance(champion, Champion) and champion != self._cached:
            cache_champion(self._home, champion)
            self._cached = champion


def watch_lifespan(every: float) -> Callable:
    """Return a lifespan that runs `app.state.watcher` in a thread as long as the application runs."""
    if not 0 < every <= LONGEST_SECONDS:
        raise CloutError(
            f"cannot look every {every:g} seconds for what is newer; expected more than 0, at most {LONGEST_SECONDS}."
        )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        stop = Event()
        # A daemon: a registry that hangs does not keep the process from ending.
        thread = Thread(target=app.state.watcher.watch, args=(every, stop), name="watcher", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(STOP_SECONDS)

    return lifespan


def _database(home: Home, on_fetch: Callable[[], None]) -> Refreshable[tuple[PublishedSnapshot, ...]]:
    """Watch the snapshots of a database; those of the home answer until it is first reached."""
    replica = Replica(home, on_fetch)
    return Refreshable("database", replica.published, replica.follow, SnapshotError, initial=())


def _doubt(cached: Champion) -> str:
    return f"version {cached.version} is what was last loaded; the registry was not asked for another yet."


def _folders(home: Home) -> tuple:
    """Return which snapshots there are; a snapshot replaced under its name is another folder."""
    try:
        return tuple((folder.name, layout.folder_identity(folder)) for folder in list_snapshots(home))
    except OSError as error:
        raise SnapshotError(f"the snapshots in {home.snapshots} cannot be listed: {error}.") from error
