"""The audit log of a process: a line is handed to the system before its answer leaves, and on disk a second later."""

import logging
import os
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from threading import Lock, Timer
from typing import Any

from serving.privacy.audit_segments import (
    BEGINS,
    AuditError,
    Secret,
    audit_folder,
    file_name,
    heads,
    made_secret,
    written,
)
from serving.runtime.state import Stale
from training.home import Home

PART = "audit_log"
FLUSH_SECONDS = 1.0
MOST_WAITING = 16 << 20
WRITER_BYTES = 6
log = logging.getLogger("clout")


class AuditLog:
    """Appends lines to a file of its own, a new one each day (UTC).

    Where the disk refuses, lines wait in memory, up to 16 MiB of them, and are tried again each second; then `check`
    refuses. It refuses from the start where no file could ever be begun.

    Parameters
    ----------
    home : whose log
    clock : tells the time, UTC

    """

    def __init__(self, home: Home, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self.lines = self.failed = 0
        self._home, self._clock = home, clock
        self._secret: Secret | None = None
        self._file: int | None = None
        self._name, self._day = "", date.min
        self._place, self._seal = 0, ""
        self._waiting = bytearray()
        self._failure: Stale | None = None
        self._lock, self._due = Lock(), False

    @property
    def waiting(self) -> int:
        """How many bytes could not be written yet."""
        return len(self._waiting)

    @property
    def failure(self) -> Stale | None:
        """Why lines wait, and since when; None where none do."""
        return self._failure

    @property
    def missing(self) -> dict[str, str]:
        """Why nothing is answered, as readiness tells it; empty where the log can be written."""
        try:
            self.check()
        except AuditError as error:
            return {PART: str(error)}
        return {}

    @property
    def stale(self) -> dict[str, Stale]:
        """Why lines wait, as readiness tells it; empty where none do."""
        return {} if self._failure is None else {PART: self._failure}

    def check(self) -> None:
        """See that another line can be taken.

        Raises
        ------
        AuditError : no file could be begun, or too much waits

        """
        with self._lock:
            if self._file is None:
                self._begin()
            if len(self._waiting) > MOST_WAITING and self._failure is not None:
                raise AuditError(f"{self._failure.detail} {len(self._waiting):,} bytes wait, and no more are taken.")

    def write(self, entry: dict[str, Any], about: Iterable[str]) -> None:
        """Append a line.

        Parameters
        ----------
        entry : what happened; the line's number and time are added
        about : ids of whom it is about, of which their marks are written

        Raises
        ------
        AuditError : no file could be begun

        """
        with self._lock:
            now = self._clock()
            if self._file is None or (now.date() > self._day and not self._waiting):
                self._begin_anew()
            assert self._secret is not None
            marks = [self._secret.mark(user) for user in dict.fromkeys(about)]
            self._append({"time": _told(now), **entry, "about": marks})
            if self._failure is None:
                self._push()
            self._arm()

    def flush(self) -> None:
        """Write what waits, and see that it is on disk and that the file is still there."""
        with self._lock:
            self._due = False
            if self._file is None:
                return
            self._push()
            self._see_that_it_is_there()
            file = os.dup(self._file)
        try:
            os.fsync(file)
        except OSError as error:
            self._fail(error)
        finally:
            os.close(file)
        if self._failure is not None:
            self._arm()

    def close(self) -> None:
        """Write what waits and end the file."""
        self.flush()
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            if self._waiting:
                log.error("%d bytes of the audit log are lost: %s", len(self._waiting), self._failure)
            self._file = None
            self._waiting.clear()

    def __del__(self) -> None:
        """Give the file back; what was written is the system's."""
        if self._file is not None:
            os.close(self._file)

    def _begin_anew(self) -> None:
        """Begin a file; where that fails and there is one, go on in that."""
        try:
            self._begin()
        except AuditError:
            if self._file is None:
                raise

    def _begin(self) -> None:
        day = self._clock().date()
        name = file_name(day, secrets.token_hex(WRITER_BYTES))
        folder = audit_folder(self._home)
        try:
            secret = self._secret or made_secret(self._home)
            seen = {found: [head.lines, head.seal] for found, head in heads(self._home).items()}
            folder.mkdir(mode=0o700, exist_ok=True)
            file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except (OSError, AuditError) as error:
            self._fail(error)
            raise AuditError(f"{self._failure.detail if self._failure else error}") from error
        if self._file is not None:
            os.close(self._file)
        after = [self._name, self._place, self._seal] if self._name else None
        self._secret, self._file, self._name, self._day, self._place = secret, file, name, day, 0
        told = {"secret": secret.name, "after": after, "seen": seen}
        self._append({"event": BEGINS, "time": _told(self._clock()), **told})
        self._push()
        self._arm()

    def _append(self, entry: dict[str, Any]) -> None:
        assert self._secret is not None
        self._place += 1
        line, self._seal = written(self._secret, self._seal, {"line": self._place, **entry})
        self._waiting += line
        self.lines += 1

    def _push(self) -> None:
        """Hand to the system what waits; a part that it took is not handed over again."""
        assert self._file is not None
        try:
            while self._waiting:
                del self._waiting[: os.write(self._file, self._waiting)]
        except OSError as error:
            self._fail(error)
        else:
            self._settle()

    def _see_that_it_is_there(self) -> None:
        """Begin another file in the place of one that was removed under the process."""
        if self._file is not None and not self._waiting and os.fstat(self._file).st_nlink == 0:
            log.error("A file of the audit log was removed while it was written: %s", self._name)
            self._begin_anew()

    def _fail(self, error: Exception) -> None:
        self.failed += 1
        why = error.strerror if isinstance(error, OSError) else str(error)
        detail = f"the audit log in {audit_folder(self._home)} cannot be written: {why}"
        detail = f"{detail.removesuffix('.')}. Make room there, or put its rights right."
        if self._failure is None or self._failure.detail != detail:
            log.error("%s", detail)
        self._failure = Stale(detail, self._failure.since if self._failure else datetime.now(UTC))

    def _settle(self) -> None:
        if self._failure is not None:
            log.info("The audit log is written again")
        self._failure = None

    def _arm(self) -> None:
        """Let what was written be seen to within a second, by a thread that does not keep the process from ending."""
        if not self._due:
            self._due = True
            timer = Timer(FLUSH_SECONDS, self.flush)
            timer.daemon = True
            timer.start()


def _told(now: datetime) -> str:
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
