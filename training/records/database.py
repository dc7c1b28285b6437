"""The records database (opt-outs, deletions, cases, shared snapshots): SQLite in the home, or a shared PostgreSQL."""

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from features.errors import CloutError, first_line
from training.home import Home

# Each module of records adds its own tables.
TABLES = MetaData()
WAIT_SECONDS = 10
# Begins a transaction that creates tables. The number of PostgreSQL's advisory lock is arbitrary but fixed.
EXCLUSIVE = {"sqlite": "BEGIN IMMEDIATE", "postgresql": f"SELECT pg_advisory_xact_lock({0xC1007})"}


class RecordsError(CloutError):
    """The records cannot be read or written; the message says where they are, and why."""


class Records:
    """The records of one home; threads and processes may use them concurrently.

    Parameters
    ----------
    home : its `records_uri` is the database, SQLite or PostgreSQL

    Raises
    ------
    RecordsError : the URI is not that of a supported database

    """

    def __init__(self, home: Home):
        self._home = home
        self._has_tables = False
        self.engine = _engine(home.records_uri)
        weakref.finalize(self, self.engine.dispose)  # closes connections with the records that opened them

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """Open a connection for reading; None before the first record, so that reading does not create a file.

        Raises
        ------
        RecordsError : the database is damaged or unreachable

        """
        if self.engine.dialect.name == "sqlite" and not self._home.records.exists():
            yield None
            return
        with self.writing() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction; an error rolls it back.

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
            reason = first_line(getattr(error, "orig", None) or error)
            raise RecordsError(f"the records in {self.engine.url} cannot be used: {reason}.") from error

    def scrub(self) -> bool:
        """Remove deleted and overwritten data from the files; return whether the write-ahead log is empty.

        SQLite overwrites deleted data with zeros (`secure_delete`) once its write-ahead log is checkpointed and
        truncated, which waits for readers. PostgreSQL clears its own files by VACUUM.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        with self.writing() as connection:
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
            raise RecordsError(f"records are stored in SQLite or PostgreSQL, not in {url.get_backend_name()}.")
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
