"""The audit log of a process: a line is written before its response is sent, and synced to disk within a second."""

import logging
import os
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from threading import Lock, Timer
from typing import Any

from features.utc import to_iso_utc
from serving.privacy.audit_files import BEGINS, AuditError, AuditKey, audit_folder, read_or_create_key, sealed_line
from serving.runtime.state import Stale
from training.home import Home

PART = "audit_log"
FLUSH_SECONDS = 1.0
MAX_PENDING_BYTES = 16 << 20
WRITER_BYTES = 6
log = logging.getLogger("clout")


class AuditLog:
    """Appends lines to a file of its own, a new one each day (UTC).

    While writing fails, up to 16 MiB of lines wait in memory and are retried every second. Beyond that, or if no file
    could ever be created, `check` raises an error.

    Parameters
    ----------
    home : the home to log in
    clock : returns the time in UTC

    Attributes
    ----------
    failure : why lines wait, and since when; None if none do

    """

    def __init__(self, home: Home, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self.lines = self.failures = 0
        self._home, self._clock = home, clock
        self._key: AuditKey | None = None
        self._file: int | None = None
        self._name, self._day = "", date.min
        self._number, self._seal = 0, ""
        self._pending = bytearray()
        self.failure: Stale | None = None
        self._lock, self._flush_due = Lock(), False

    @property
    def pending_bytes(self) -> int:
        """How many bytes are not written yet."""
        return len(self._pending)

    @property
    def missing(self) -> dict[str, str]:
        """Why requests are refused, for the readiness check; empty if the log can be written."""
        try:
            self.check()
        except AuditError as error:
            return {PART: str(error)}
        return {}

    @property
    def stale(self) -> dict[str, Stale]:
        """Why lines wait, for the readiness check; empty if none do."""
        return {} if self.failure is None else {PART: self.failure}

    def check(self) -> None:
        """Check that another line can be accepted.

        Raises
        ------
        AuditError : no file could be created, or too many bytes wait

        """
        with self._lock:
            if self._file is None:
                self._begin_file()
            if len(self._pending) > MAX_PENDING_BYTES and self.failure is not None:
                raise AuditError(f"{self.failure.detail} {len(self._pending):,} bytes wait, and no more are accepted.")

    def write(self, entry: dict[str, Any], users: Iterable[str]) -> None:
        """Append a line.

        Parameters
        ----------
        entry : what happened; the line's number and time are added
        users : ids of the users that it is about; only their keyed ids are written

        Raises
        ------
        AuditError : no file could be created

        """
        with self._lock:
            now = self._clock()
            if self._file is None or (now.date() > self._day and not self._pending):
                self._rotate()
            assert self._key is not None
            about = [self._key.keyed_id(user) for user in dict.fromkeys(users)]
            self._append({"time": to_iso_utc(now, "milliseconds"), **entry, "about": about})
            if self.failure is None:
                self._write_pending()
            self._schedule_flush()

    def flush(self) -> None:
        """Write what waits, sync it to the disk, and replace the file if somebody removed it."""
        with self._lock:
            self._flush_due = False
            if self._file is None:
                return
            self._write_pending()
            if not self._pending and os.fstat(self._file).st_nlink == 0:
                log.error("A file of the audit log was removed while it was written: %s", self._name)
                self._rotate()
            file = os.dup(self._file)
        try:
            os.fsync(file)
        except OSError as error:
            self._record_failure(error)
        finally:
            os.close(file)
        if self.failure is not None:
            self._schedule_flush()

    def close(self) -> None:
        """Write what waits and close the file."""
        self.flush()
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            if self._pending and self.failure:
                log.error("%d bytes of the audit log are lost: %s", len(self._pending), self.failure.detail)
            self._file = None
            self._pending.clear()

    def __del__(self) -> None:
        """Close the file without a sync; the operating system keeps the bytes that were written."""
        if self._file is not None:
            os.close(self._file)

    def _rotate(self) -> None:
        """Begin a new file; if that fails, continue in the current one."""
        try:
            self._begin_file()
        except AuditError:
            if self._file is None:
                raise

    def _begin_file(self) -> None:
        now, folder = self._clock(), audit_folder(self._home)
        name = f"{now.date().isoformat()}_{secrets.token_hex(WRITER_BYTES)}.jsonl"
        try:
            key = self._key or read_or_create_key(self._home)
            folder.mkdir(mode=0o700, exist_ok=True)
            file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except (OSError, AuditError) as error:
            raise AuditError(self._record_failure(error).detail) from error
        if self._file is not None:
            os.close(self._file)
        self._key, self._file, self._name, self._day = key, file, name, now.date()
        self._number, self._seal = 0, ""
        self._append({"event": BEGINS, "time": to_iso_utc(now, "milliseconds"), "secret": key.fingerprint})
        self._write_pending()
        self._schedule_flush()

    def _append(self, entry: dict[str, Any]) -> None:
        assert self._key is not None
        self._number += 1
        line, self._seal = sealed_line(self._key, self._seal, {"line": self._number, **entry})
        self._pending += line
        self.lines += 1

    def _write_pending(self) -> None:
        """Write the pending bytes to the file; bytes that were written are removed even if a later write fails."""
        assert self._file is not None
        try:
            while self._pending:
                del self._pending[: os.write(self._file, self._pending)]
        except OSError as error:
            self._record_failure(error)
        else:
            if self.failure is not None:
                log.info("The audit log is written again")
            self.failure = None

    def _record_failure(self, error: Exception) -> Stale:
        self.failures += 1
        reason = error.strerror if isinstance(error, OSError) else str(error)
        detail = f"the audit log in {audit_folder(self._home)} cannot be written: {reason}"
        detail = f"{detail.removesuffix('.')}. Free disk space there, or correct its permissions."
        if self.failure is None or self.failure.detail != detail:
            log.error("%s", detail)
        self.failure = Stale(detail, self.failure.since if self.failure else datetime.now(UTC))
        return self.failure

    def _schedule_flush(self) -> None:
        """Flush within a second, in a daemon thread, which does not keep the process alive."""
        if not self._flush_due:
            self._flush_due = True
            timer = Timer(FLUSH_SECONDS, self.flush)
            timer.daemon = True
            timer.start()
