"""The mirror: a replica's own folder of snapshots, kept as the shared database says."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from features.atomic_files import publish
from features.errors import OutputError, SnapshotError
from serving.snapshots.publishing import (
    Digest,
    PublishedSnapshot,
    SnapshotDatabase,
    digest,
    published_digest,
    record_publication,
)
from serving.snapshots.repository import list_snapshots
from training.home import Home

LOCK = ".mirror.lock"
SCRATCH = ".fetching"


class Replica:
    """Fetches what the database lists and the home lacks, and drops what it fetched and is no longer listed.

    Snapshots that were never published stay where they are. Several processes of one home wait for each other.

    Parameters
    ----------
    home : of the replica; its `database` is the one that is followed
    fetched : called after each snapshot that came, so that it answers before the next is fetched

    """

    def __init__(self, home: Home, fetched: Callable[[], None]):
        self._home, self._fetched = home, fetched
        self._shared: SnapshotDatabase | None = None

    def listed(self) -> tuple[PublishedSnapshot, ...]:
        """Tell, cheaply, what the database holds.

        Raises
        ------
        RecordsError : it cannot be reached, or is no PostgreSQL

        """
        return self._database().published()

    def follow(self) -> tuple[PublishedSnapshot, ...]:
        """Bring the home to what the database holds, the newest first; return what that is.

        Raises
        ------
        RecordsError : the database cannot be reached
        SnapshotError : what it holds is damaged, or nothing any more; all else was fetched
        OutputError : the disk refuses

        """
        with self._alone() as scratch:
            listed = self.listed()
            self._check_not_emptied(listed)
            failed = [error for each in listed if (error := self._take(each, scratch)) is not None]
            self._drop({each.name for each in listed}, scratch)
        if failed:
            raise failed[0]
        return listed

    def _take(self, listed: PublishedSnapshot, scratch: Path) -> SnapshotError | None:
        """Fetch a snapshot that is not held; return the error where it is damaged."""
        try:
            if self._holds(listed):
                return None
            self._fetch(listed, scratch)
        except SnapshotError as error:
            return error
        self._fetched()
        return None

    def _holds(self, listed: PublishedSnapshot) -> bool:
        folder = self._home.snapshots / listed.name
        if published_digest(folder) == listed.sha256:
            return True
        if not folder.is_dir() or digest(folder).sha256 != listed.sha256:
            return False
        record_publication(folder, listed.sha256)
        return True

    def _fetch(self, listed: PublishedSnapshot, scratch: Path) -> None:
        made, came = scratch / listed.name, Digest()
        with self._database().parts(listed) as found:
            for path, held in found:
                came.add(path, held)
                self._write(self._within(made, path, listed), held)
        if came.sha256 != listed.sha256:
            wanted = f"expected {listed.bytes:,} of SHA-256 {listed.sha256[:12]}"
            raise self._damaged(listed, f"{came.bytes:,} bytes of SHA-256 {came.sha256[:12]}, {wanted}")
        record_publication(made, listed.sha256)
        publish(made, self._home.snapshots / listed.name, scratch)

    def _within(self, made: Path, path: str, listed: PublishedSnapshot) -> Path:
        """Return where a part belongs, which is nowhere but in the snapshot's folder."""
        file = made / path
        if not file.resolve().is_relative_to(made.resolve()):
            raise self._damaged(listed, f"a file named {path!r}, expected one within the snapshot")
        return file

    def _write(self, file: Path, held: bytes) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as out:
                out.write(held)
        except OSError as error:
            raise self._refused(error) from error

    def _drop(self, names: set[str], scratch: Path) -> None:
        for folder in list_snapshots(self._home):
            if folder.name not in names and published_digest(folder) is not None:
                folder.rename(scratch / f"dropped-{folder.name}")

    def _check_not_emptied(self, listed: tuple[PublishedSnapshot, ...]) -> None:
        held = [folder for folder in list_snapshots(self._home) if published_digest(folder) is not None]
        if held and not listed:
            raise SnapshotError(
                f"{self._database().address} holds no snapshots, expected the {len(held)} that were fetched from it, "
                "which stay: put its backup back, or publish with 'clout score'."
            )

    def _damaged(self, listed: PublishedSnapshot, found: str) -> SnapshotError:
        place = f"{listed.name} in {self._database().address}"
        return SnapshotError(f"the snapshot {place} is damaged: {found}. Make it anew with 'clout score'.")

    def _database(self) -> SnapshotDatabase:
        if self._shared is None:
            self._shared = SnapshotDatabase(self._home)
        return self._shared

    @contextmanager
    def _alone(self) -> Iterator[Path]:
        """Wait for other processes of this home; yield a folder on the same disk, which what was left in is cleared."""
        scratch = self._home.snapshots / SCRATCH
        try:
            self._home.snapshots.mkdir(parents=True, exist_ok=True)
            with (self._home.snapshots / LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                shutil.rmtree(scratch, ignore_errors=True)
                scratch.mkdir()
                try:
                    yield scratch
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(f"{self._home.snapshots} cannot be written: {error}.")
