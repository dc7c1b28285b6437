"""Records cached in memory, and read again when their change counter moves."""

import logging
import sqlite3
import time
from collections.abc import Callable
from threading import Lock, Thread
from typing import Generic, TypeVar

from sqlalchemy import Table, select

from training.home import Home
from training.records.database import Records, RecordsError

T = TypeVar("T")
POLL_SECONDS = 0.5
log = logging.getLogger("clout")


class CachedRecords(Generic[T]):
    """What a kind of records holds now; a call costs some ten microseconds.

    It compares the change counter of the records, and reads them again only if it moved: at every call in the SQLite
    file of the home; every half second, in a background thread, in a PostgreSQL. While the records cannot be read, the
    value last read stays, and the log reports it once.

    Parameters
    ----------
    home : whose records
    changes : the table with the change counter, column `change`
    load : reads the records
    stale_message : what the log says of the value that stays

    """

    def __init__(self, home: Home, changes: Table, load: Callable[[Home], T], stale_message: Callable[[T | None], str]):
        self._home, self._changes, self._load, self._stale_message = home, changes, load, stale_message
        self._records = Records(home)
        self._lock = Lock()
        self._value: T | None = None
        self._version: object = None
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._thread: Thread | None = None
        self._failure = ""

    def __call__(self) -> T:
        """Return the records as they are now.

        Raises
        ------
        RecordsError : they cannot be read, and never could be

        """
        with self._lock:
            if self._home.database is None:
                self._refresh()
            elif self._thread is None:
                self._thread = Thread(target=self._poll, name=self._changes.name, daemon=True)
                self._refresh()
                self._thread.start()
        if self._value is None:
            raise RecordsError(self._failure)
        return self._value

    def _poll(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self._refresh()

    def _refresh(self) -> None:
        try:
            version = self._sqlite_version() if self._home.database is None else self._postgresql_version()
            if self._value is None or version != self._version:
                self._value, self._version = self._load(self._home), version
            self._failure = ""
        except RecordsError as error:
            if str(error) != self._failure:
                log.error("%s %s", error, self._stale_message(self._value))
            self._failure = str(error)

    def _postgresql_version(self) -> object:
        """Return the change counter of the shared database."""
        with self._records.reading() as connection:
            return connection and connection.execute(select(self._changes.c.change)).scalars().all()

    def _sqlite_version(self) -> object:
        """Return the file's identity and its change counter; None if there is no file."""
        try:
            stat = self._home.records.stat()
        except OSError:
            self._connection = self._inode = None
            return None
        inode = stat.st_dev, stat.st_ino
        try:
            if self._connection is None or inode != self._inode:
                self._connection = sqlite3.connect(self._home.records, isolation_level=None, check_same_thread=False)
                self._inode = inode
            return inode, self._connection.execute(f"SELECT change FROM {self._changes.name}").fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):
                return inode
            raise RecordsError(f"the records in {self._home.records} cannot be used: {error}.") from error
