"""Who is hidden now: asked at every look into a snapshot, in every process on the home, without a restart."""

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
    """Somebody's score is not shown: they opted out, or everything of theirs was deleted."""


def check_shown(user: str, hidden: OptedOutUsers) -> None:
    """See that somebody is not hidden.

    Raises
    ------
    HiddenUserError : they are; it tells neither which of the two it was nor whether there ever was a score

    """
    if user in hidden:
        raise HiddenUserError(f"no score of {user!r} is shown: the person asked not to be scored, or to be forgotten.")


class HiddenUsers:
    """The people who are left out, as they are now; a call costs some ten microseconds.

    It asks the records how often anything was changed, and reads who is left out where that is another number: at every
    call in the SQLite file of the home; every half second, in a thread of its own, in a PostgreSQL. Where the records
    cannot be read, the last known stay hidden, and the log says so.

    Parameters
    ----------
    home : whose records

    """

    def __init__(self, home: Home):
        self._home = home
        self._records = Records(home)
        self._alone = Lock()
        self._left: OptedOutUsers | None = None
        self._mark: object = None
        self._file: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._thread: Thread | None = None
        self._failed = ""

    def __call__(self) -> OptedOutUsers:
        """Return who is left out now.

        Raises
        ------
        RecordsError : the records cannot be read, and never could be

        """
        with self._alone:
            if self._home.database is None:
                self._renew()
            elif self._thread is None:
                self._thread = Thread(target=self._poll, name="hidden", daemon=True)
                self._renew()
                self._thread.start()
        if self._left is None:
            raise RecordsError(self._failed)
        return self._left

    def _poll(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self._renew()

    def _renew(self) -> None:
        try:
            mark = self._look() if self._home.database is None else self._ask()
            if self._left is None or mark != self._mark:
                self._left, self._mark = load_opted_out_users(self._home), mark
            self._failed = ""
        except RecordsError as error:
            if str(error) != self._failed:
                log.error("%s The %d people who are known to be hidden stay so.", error, len(self._left or ()))
            self._failed = str(error)

    def _ask(self) -> object:
        """Tell how often what the shared database holds was changed."""
        with self._records.reading() as connection:
            return connection and connection.execute(select(CHANGES.c.change)).scalars().all()

    def _look(self) -> object:
        """Tell which file there is, and how often what it holds was changed; None where there is none."""
        try:
            found = self._home.records.stat()
        except OSError:
            self._file = self._inode = None
            return None
        inode = found.st_dev, found.st_ino
        try:
            if self._file is None or inode != self._inode:
                self._file = sqlite3.connect(self._home.records, isolation_level=None, check_same_thread=False)
                self._inode = inode
            return inode, self._file.execute("SELECT change FROM left_out_changes").fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):
                return inode
            raise RecordsError(f"the records in {self._home.records} cannot be used: {error}.") from error


@lru_cache(maxsize=16)
def hidden(home: Home) -> HiddenUsers:
    """Return who is hidden in a home; one for the whole process."""
    return HiddenUsers(home)
