"""A replica: its folder of snapshots follows the shared database."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from features.atomic_files import publish
from features.errors import OutputError, SnapshotError, write_error
from serving.snapshots.repository import list_snapshots
from serving.snapshots.shared_database import (
    Digest,
    PublishedSnapshot,
    SnapshotDatabase,
    digest,
    published_digest,
    record_publication,
)
from training.home import Home

LOCK = ".mirror.lock"
SCRATCH = ".fetching"


class Replica:
    """Fetches published snapshots that the home lacks, and drops fetched ones that are not published any longer.

    Snapshots of the home that were never published stay. Several processes of one home wait for each other.

    Parameters
    ----------
    home : of the replica; it follows the `database` of this home
    on_fetch : called after each fetched snapshot, which then answers before the next is fetched

    """

    def __init__(self, home: Home, on_fetch: Callable[[], None]):
        self._home, self._on_fetch = home, on_fetch

    def published(self) -> tuple[PublishedSnapshot, ...]:
        """Return the published snapshots, which is cheap.

        Raises
        ------
        RecordsError : the database cannot be reached, or is not PostgreSQL

        """
        return self._database.published()

    def follow(self) -> tuple[PublishedSnapshot, ...]:
        """Fetch and drop snapshots until the home has the published ones, newest first; return these.

        Raises
        ------
        RecordsError : the database cannot be reached
        SnapshotError : a snapshot of the database is damaged, after all others were fetched, or none is left
        OutputError : the home cannot be written

        """
        with self._locked() as scratch:
            listed = self.published()
            self._check_not_emptied(listed)
            failed = [error for snapshot in listed if (error := self._ensure(snapshot, scratch)) is not None]
            self._drop({snapshot.name for snapshot in listed}, scratch)
        if failed:
            raise failed[0]
        return listed

    def _ensure(self, listed: PublishedSnapshot, scratch: Path) -> SnapshotError | None:
        """Fetch a snapshot that the home lacks; return the error if it is damaged."""
        try:
            if self._has(listed):
                return None
            self._fetch(listed, scratch)
        except SnapshotError as error:
            return error
        self._on_fetch()
        return None

    def _has(self, listed: PublishedSnapshot) -> bool:
        folder = self._home.snapshots / listed.name
        if published_digest(folder) == listed.sha256:
            return True
        if not folder.is_dir() or digest(folder).sha256 != listed.sha256:
            return False
        record_publication(folder, listed.sha256)
        return True

    def _fetch(self, listed: PublishedSnapshot, scratch: Path) -> None:
        folder, received = scratch / listed.name, Digest()
        with self._database.parts(listed) as parts:
            for path, content in parts:
                received.add(path, content)
                self._write(self._within(folder, path, listed), content)
        if received.sha256 != listed.sha256:
            expected = f"expected {listed.bytes:,} of SHA-256 {listed.sha256[:12]}"
            raise self._damaged(listed, f"{received.bytes:,} bytes of SHA-256 {received.sha256[:12]}, {expected}")
        record_publication(folder, listed.sha256)
        publish(folder, self._home.snapshots / listed.name, scratch)

    def _within(self, folder: Path, path: str, listed: PublishedSnapshot) -> Path:
        """Return the file of a part; it has to be in the snapshot's folder."""
        file = folder / path
        if not file.resolve().is_relative_to(folder.resolve()):
            raise self._damaged(listed, f"a file named {path!r}, expected one within the snapshot")
        return file

    def _write(self, file: Path, content: bytes) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as out:
                out.write(content)
        except OSError as error:
            raise self._refused(error) from error

    def _drop(self, names: set[str], scratch: Path) -> None:
        for folder in list_snapshots(self._home):
            if folder.name not in names and published_digest(folder) is not None:
                folder.rename(scratch / f"dropped-{folder.name}")

    def _check_not_emptied(self, listed: tuple[PublishedSnapshot, ...]) -> None:
        fetched = [folder for folder in list_snapshots(self._home) if published_digest(folder) is not None]
        if fetched and not listed:
            raise SnapshotError(
                f"{self._database.address} holds no snapshots, expected the {len(fetched)} that were fetched from "
                "it, which stay: restore its backup, or publish with 'clout score'."
            )

    def _damaged(self, listed: PublishedSnapshot, damage: str) -> SnapshotError:
        location = f"{listed.name} in {self._database.address}"
        return SnapshotError(f"the snapshot {location} is damaged: {damage}. Make it anew with 'clout score'.")

    @cached_property
    def _database(self) -> SnapshotDatabase:
        return SnapshotDatabase(self._home)

    @contextmanager
    def _locked(self) -> Iterator[Path]:
        """Wait for other processes of this home; yield an empty scratch folder on the same disk."""
        scratch = self._home.snapshots / SCRATCH
        try:
            self._home.snapshots.mkdir(parents=True, exist_ok=True)
            with FileLock(self._home.snapshots / LOCK):
                shutil.rmtree(scratch, ignore_errors=True)
                scratch.mkdir()
                try:
                    yield scratch
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> OutputError:
        return write_error(self._home.snapshots, error)
