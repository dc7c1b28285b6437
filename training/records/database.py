"""The records database (opt-outs, deletions, cases, shared snapshots): SQLite in the home, or a shared PostgreSQL."""

import logging
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    MetaData,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from features.errors import CloutError, first_line, storage_advice
from training.home import Home

# Each module of records adds its own tables.
TABLES = MetaData()
WAIT_SECONDS = 10
POLL_SECONDS = 0.5
# Begins a transaction that creates tables. The number of PostgreSQL's advisory lock is arbitrary but fixed.
EXCLUSIVE = {"sqlite": "BEGIN IMMEDIATE", "postgresql": f"SELECT pg_advisory_xact_lock({0xC1007})"}

T = TypeVar("T")
log = logging.getLogger("clout")


class RecordsError(CloutError):
    """The records cannot be read or written; the message says where they are, and why."""


class Records:
    """The records of one home; threads and processes may use them concurrently.

    Raises
    ------
    RecordsError : the home's `records_uri` is not that of a supported database, SQLite or PostgreSQL

    """

    def __init__(self, home: Home):
        self._home = home
        self._has_tables = False
        self.engine = _engine(home.records_uri)
        weakref.finalize(self, self.engine.dispose)  # closes connections with the records that opened them

    @contextmanager
    def begin_if_exists(self) -> Iterator[Connection | None]:
        """Open a transaction as `begin` does; None before the first record, for which no file is created.

        Raises
        ------
        RecordsError : the database is damaged or unreachable

        """
        if self.engine.dialect.name == "sqlite" and not self._home.records.exists():
            yield None
            return
        with self.begin() as connection:
            yield connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction, and create the tables if they are absent; an error rolls it back.

        Raises
        ------
        RecordsError : the database is damaged, full or unreachable

        """
        try:
            if self.engine.dialect.name == "sqlite":
                self._home.folder.mkdir(parents=True, exist_ok=True)
            self._create_tables()
            with self.engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            self._has_tables = False
            raise self._unusable(getattr(error, "orig", None) or error) from error

    def _unusable(self, error: BaseException) -> RecordsError:
        advice = storage_advice(error) if self.engine.dialect.name == "sqlite" else None
        reason = f"{first_line(error)}{f'; {advice}' if advice else ''}"
        return RecordsError(f"the records in {self.engine.url} cannot be used: {reason}.")

    def scrub(self) -> bool:
        """Remove deleted and overwritten data from the files; return whether the write-ahead log is empty.

        SQLite overwrites deleted data with zeros (`secure_delete`) once its write-ahead log is checkpointed and
        truncated, which waits for readers. PostgreSQL clears its own files by VACUUM.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        with self.begin() as connection:
            busy, *_ = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()
        return not busy

    def _create_tables(self) -> None:
        """Create missing tables; concurrent callers wait for the first one."""
        if self._has_tables and (self.engine.dialect.name != "sqlite" or self._home.records.exists()):
            return
        with self.engine.begin() as connection:
            if not set(TABLES.tables) <= set(inspect(connection).get_table_names()):
                connection.exec_driver_sql(EXCLUSIVE[self.engine.dialect.name])
                TABLES.create_all(connection)
        self._has_tables = True


def _engine(uri: str) -> Engine:
    try:
        url = make_url(uri)
        if url.drivername in ("postgres", "postgresql"):
            url = url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise RecordsError(
                f"records are stored in SQLite or PostgreSQL, not in {url.get_backend_name()}: set CLOUT_DATABASE to "
                "postgresql://HOST/NAME, or to nothing for SQLite in the home."
            )
        engine = create_engine(url, pool_pre_ping=True, connect_args=_timeouts(url))
    except ModuleNotFoundError as error:
        raise RecordsError(
            f"{error.name} is not installed, and PostgreSQL needs it: pip install 'clout-score[postgres]'."
        ) from error
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise RecordsError(
            f"CLOUT_DATABASE is not the URL of a database: {error}. Expected postgresql://HOST/NAME."
        ) from error
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
    return engine


def _timeouts(url: URL) -> dict[str, int]:
    """Return connection timeouts for a server that does not answer; parameters of the URL take precedence."""
    if url.get_backend_name() == "sqlite":
        return {}
    timeouts = {"connect_timeout": WAIT_SECONDS, "tcp_user_timeout": WAIT_SECONDS * 1000}
    return {name: value for name, value in timeouts.items() if name not in url.query}


def _configure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute(f"PRAGMA busy_timeout={WAIT_SECONDS * 1000}")


def count_change(connection: Connection, changes: Table, **initial: object) -> None:
    """Increment the change counter that `CachedRecords` compares, or create its only row.

    The update locks the row, so other writers wait until the transaction ends.

    Parameters
    ----------
    connection : an open transaction
    changes : the table with the columns `one` and `change`
    initial : values of other columns, for a new row

    """
    if connection.execute(update(changes).values(change=changes.c.change + 1)).rowcount == 0:
        connection.execute(insert(changes).values(one=1, change=1, **initial))


class CachedRecords(Generic[T]):
    """The current records of one kind, cached; a call costs some ten microseconds.

    The records are read again only if their change counter moved. It is compared at every call for the SQLite file of
    the home, and every half second in a background thread for PostgreSQL, which ends with this object. While the
    records cannot be read, the value last read is returned, and the log reports it once.

    Parameters
    ----------
    home : the home with the records
    changes : the table with the change counter, column `change`
    load : reads the records
    stale_message : returns what the log says about the value that is returned meanwhile
    fallback : the value while the records could not be read yet; None if there is none

    """

    def __init__(
        self,
        home: Home,
        changes: Table,
        load: Callable[[Home], T],
        stale_message: Callable[[T | None], str],
        fallback: Callable[[Home], T | None] = lambda _: None,
    ):
        self._home, self._changes, self._load, self._stale_message = home, changes, load, stale_message
        self._fallback = fallback
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
        RecordsError : they cannot be read, and were never read before

        """
        with self._lock:
            if self._home.database is None:
                self._refresh()
            elif self._thread is None:
                self._thread = Thread(target=_poll, args=(weakref.ref(self),), name=self._changes.name, daemon=True)
                self._refresh()
                self._thread.start()
        if self._value is None:
            raise RecordsError(self._failure)
        return self._value

    def _refresh(self) -> None:
        try:
            version = self._sqlite_version() if self._home.database is None else self._postgresql_version()
            if self._value is None or version != self._version:
                self._value, self._version = self._load(self._home), version
            self._failure = ""
        except RecordsError as error:
            if self._value is None:
                self._value = self._fallback(self._home)
            if str(error) != self._failure:
                log.error("%s %s", error, self._stale_message(self._value))
            self._failure = str(error)

    def _postgresql_version(self) -> object:
        """Return the change counter of the shared database."""
        with self._records.begin_if_exists() as connection:
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


def _poll(reference: "weakref.ref[CachedRecords[Any]]") -> None:
    """Read records again where they changed, until nothing refers to them."""
    while True:
        time.sleep(POLL_SECONDS)
        if (records := reference()) is None:
            return
        records._refresh()
        del records  # otherwise this thread would refer to them while it sleeps
