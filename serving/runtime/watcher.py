"""The watcher: takes up a newer snapshot and another champion while the service answers."""

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
    """Looks every few seconds and hands over a whole new service where anything changed.

    Parameters
    ----------
    home : where the snapshots and the registry are
    take : is given each new service; a request that holds an older one ends with that
    also : is called at every look
    kept : the champion to begin with; the first look of `watch`, which comes at once, asks for another

    Attributes
    ----------
    looked : called after each look of `watch`

    """

    looked: Callable[[], None] = staticmethod(lambda: None)

    def __init__(
        self,
        home: Home,
        take: Callable[[ServiceState], None],
        also: Callable[[], None] = lambda: None,
        kept: Champion | None = None,
    ):
        self._home, self._take, self._also, self._kept = home, take, also, kept
        self.database = _database(home, self._look_at_snapshots) if home.database else None
        self.snapshot: Refreshable[Snapshot] = Refreshable(
            "snapshot", lambda: _folders(home), lambda: load_newest(home), SnapshotError
        )
        self.champion: Refreshable[Champion] = Refreshable(
            "champion",
            lambda: champion_version(home),
            lambda: read_champion(home),
            RegistryError,
            kept,
            _doubt(kept) if kept else None,
        )

    @property
    def parts(self) -> tuple[Refreshable, ...]:
        """What is watched: the database from which snapshots come, if there is one, the snapshot, the champion."""
        return (*([self.database] if self.database else []), self.snapshot, self.champion)

    def look(self) -> None:
        """Look once, now, and hand over a service for each part that changed."""
        for part in self.parts:
            self._look_at(part)
        self._also()

    def look_here(self) -> None:
        """Look at all but the database, from which fetching a first snapshot takes a while.

        The registry is asked while the snapshot is read, so that a server's answer is not waited for in vain; not at
        all where there is a champion to begin with.
        """
        # A daemon, as in `watch_lifespan`: a registry that hangs does not keep the process from ending.
        asking = Thread(target=self.champion.look, name="first look", daemon=True)
        if self._kept is None:
            asking.start()
        self.snapshot.look()
        if self._kept is None:
            asking.join()
        self._take(self.service())
        self._also()

    def _look_at(self, part: Refreshable) -> None:
        if part.look():
            self._take(self.service())

    def _look_at_snapshots(self) -> None:
        self._look_at(self.snapshot)

    def service(self) -> ServiceState:
        """Return a service of what is held now."""
        stale = {part.name: part.stale for part in self.parts if part.stale}
        return ServiceState(self._home, self.champion.part, self.snapshot.part, stale)

    def watch(self, every: float, stop: Event) -> None:
        """Look every so many seconds, by a clock that does not step, until told to stop.

        What a database holds comes as soon as the service answers, and so does another champion than the one kept.
        """
        unasked = self._kept is not None
        self._keep()
        wait = 0.0 if self.database or unasked else every
        while not stop.wait(wait):
            wait = every
            try:
                self.look()
                self._keep()
                self.looked()
            except Exception:
                log.exception("A look for a newer champion and snapshot failed")
            if unasked:
                freeze_gc()  # the registry's client came with the look, which is slow to go through
                unasked = False

    def _keep(self) -> None:
        """Keep another champion for the next start."""
        found = self.champion.part
        if isinstance(found, Champion) and found != self._kept:
            cache_champion(self._home, found)
            self._kept = found


def watch_lifespan(every: float) -> Callable:
    """Return a lifespan that lets `app.state.watcher` watch as long as the application runs, in a thread."""
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


def _database(home: Home, fetched: Callable[[], None]) -> Refreshable[tuple[PublishedSnapshot, ...]]:
    """Watch the snapshots of a database; those of the home answer before it is first reached."""
    mirror = Replica(home, fetched)
    return Refreshable("database", mirror.listed, mirror.follow, SnapshotError, found=())


def _doubt(kept: Champion) -> str:
    return f"version {kept.version} is what was last loaded; the registry was not asked for another yet."


def _folders(home: Home) -> tuple:
    """Tell which snapshots there are; one that was replaced under its name is another folder."""
    try:
        return tuple((folder.name, layout.folder_identity(folder)) for folder in list_snapshots(home))
    except OSError as error:
        raise SnapshotError(f"the snapshots in {home.snapshots} cannot be listed: {error}.") from error
