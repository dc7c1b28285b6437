"""The hidden users of a home, read again whenever they change: every process applies opt-outs without a restart."""

import logging
import sqlite3
import time
from functools import lru_cache
from threading import Lock, Thread

from sqlalchemy import select

from features.errors import CloutError
from training.home import Home
from training.records.database import Records, RecordsError
from training.records.opt_outs import CHANGES, OptedOutUsers, load_opted_out_users

POLL_SECONDS = 0.5
log = logging.getLogger("clout")


class HiddenUserError(CloutError):
    """A user's score is hidden: the user opted out, or their data was deleted."""


def check_visible(user: str, hidden: OptedOutUsers) -> None:
    """Check that a user is not hidden.

    Raises
    ------
    HiddenUserError : the user is; the message reveals neither which of the two reasons applies nor whether a score ever
        existed

    """
    if user in hidden:
        raise HiddenUserError(f"no score of {user!r} is shown: the person asked not to be scored, or to be forgotten.")


class HiddenUsers:
    """The users who are hidden now; a call costs some ten microseconds.

    It compares the change counter of the records, and reads the users again only if it moved: at every call in the
    SQLite file of the home; every half second, in a background thread, in a PostgreSQL. While the records cannot be
    read, the users last read stay hidden, and the log reports it.

    Parameters
    ----------
    home : whose records

    """

    def __init__(self, home: Home):
        self._home = home
        self._records = Records(home)
        self._lock = Lock()
        self._users: OptedOutUsers | None = None
        self._version: object = None
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._thread: Thread | None = None
        self._error = ""

    def __call__(self) -> OptedOutUsers:
        """Return the users who are hidden now.

        Raises
        ------
        RecordsError : the records cannot be read, and never could be

        """
        with self._lock:
            if self._home.database is None:
                self._refresh()
            elif self._thread is None:
                self._thread = Thread(target=self._poll, name="hidden", daemon=True)
                self._refresh()
                self._thread.start()
        if self._users is None:
            raise RecordsError(self._error)
        return self._users

    def _poll(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self._refresh()

    def _refresh(self) -> None:
        try:
            version = self._sqlite_version() if self._home.database is None else self._postgresql_version()
            if self._users is None or version != self._version:
                self._users, self._version = load_opted_out_users(self._home), version
            self._error = ""
        except RecordsError as error:
            if str(error) != self._error:
                log.error("%s The %d users last known to be hidden stay hidden.", error, len(self._users or ()))
            self._error = str(error)

    def _postgresql_version(self) -> object:
        """Return the change counter of the shared database."""
        with self._records.reading() as connection:
            return connection and connection.execute(select(CHANGES.c.change)).scalars().all()

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
            return inode, self._connection.execute("SELECT change FROM left_out_changes").fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):
                return inode
            raise RecordsError(f"the records in {self._home.records} cannot be used: {error}.") from error


@lru_cache(maxsize=16)
def hidden_users(home: Home) -> HiddenUsers:
    """Return the hidden users of a home, shared by the whole process."""
    return HiddenUsers(home)
