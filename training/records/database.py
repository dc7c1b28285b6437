"""Records: what people asked for and what was decided, in a database of the home or one that replicas share."""

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from features.errors import CloutError
from training.home import Home

# Each kind of record declares its table here, in the file that is about it.
TABLES = MetaData()
WAIT_SECONDS = 10
# What a transaction that makes tables begins with; of PostgreSQL's advisory locks any number that stays the same.
ALONE = {"sqlite": "BEGIN IMMEDIATE", "postgresql": f"SELECT pg_advisory_xact_lock({0xC1007})"}


class RecordsError(CloutError):
    """The records cannot be read or written: says where they are, and why."""


class Records:
    """The records of one home; many threads and processes may use them at the same time.

    Parameters
    ----------
    home : whose `records_uri` names the database, SQLite or PostgreSQL

    Raises
    ------
    RecordsError : the URI names no database that can be used

    """

    def __init__(self, home: Home):
        self._home = home
        self._made = False
        self.engine = _engine(home.records_uri)
        weakref.finalize(self, self.engine.dispose)  # connections are closed with the records that opened them

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """Open a connection to read with; None where nothing was ever recorded, so that reading makes no file.

        Raises
        ------
        RecordsError : the database is damaged, or not there

        """
        if self.engine.dialect.name == "sqlite" and not self._home.records.exists():
            yield None
            return
        with self.writing() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction: all of it is recorded, or nothing where an error ends it.

        Raises
        ------
        RecordsError : the database is damaged, full or not there

        """
        try:
            if self.engine.dialect.name == "sqlite":
                self._home.folder.mkdir(parents=True, exist_ok=True)
            self._make_tables()
            with self.engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            self._made = False
            why = next(iter(str(getattr(error, "orig", None) or error).splitlines()), type(error).__name__)
            raise RecordsError(f"the records in {self.engine.url} cannot be used: {why}.") from error

    def scrub(self) -> bool:
        """Leave nothing in the files of what was deleted or overwritten; say whether the log of changes is empty.

        SQLite overwrites with zeros what is deleted (`secure_delete`), once its write-ahead log is taken over and cut
        off, for which readers are waited for. PostgreSQL clears its own by VACUUM.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        with self.writing() as connection:
            busy, *_ = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()
        return not busy

    def _make_tables(self) -> None:
        """Make what tables are missing; of several who do so at once, all but the first wait and find them made."""
        if self._made and (self.engine.dialect.name != "sqlite" or self._home.records.exists()):
            return
        with self.engine.begin() as connection:
            if not set(TABLES.tables) <= set(inspect(connection).get_table_names()):
                connection.exec_driver_sql(ALONE[self.engine.dialect.name])
                TABLES.create_all(connection)
        self._made = True


def _engine(uri: str) -> Engine:
    try:
        url = make_url(uri)
        if url.drivername in ("postgres", "postgresql"):
            url = url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise RecordsError(f"records are kept in SQLite or PostgreSQL, not in {url.get_backend_name()}.")
        engine = create_engine(url, pool_pre_ping=True, connect_args=_in_time(url))
    except ModuleNotFoundError as error:
        raise RecordsError(
            f"{error.name} is not installed, and PostgreSQL needs it: pip install 'clout-score[postgres]'."
        ) from error
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise RecordsError(f"CLOUT_DATABASE names no database: {error}. Expected postgresql://HOST/NAME.") from error
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _set_up)
    return engine


def _in_time(url: URL) -> dict[str, int]:
    """Bound how long a server that answers nothing is waited for; what the URL says itself counts."""
    if url.get_backend_name() == "sqlite":
        return {}
    bounds = {"connect_timeout": WAIT_SECONDS, "tcp_user_timeout": WAIT_SECONDS * 1000}
    return {name: bound for name, bound in bounds.items() if name not in url.query}


def _set_up(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute(f"PRAGMA busy_timeout={WAIT_SECONDS * 1000}")
