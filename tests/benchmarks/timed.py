"""Time the SQL statements of an engine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from features.events.encoding import EncodedEvents

OnStatement = Callable[[str, float, float], None]


@contextmanager
def timed_statements(events: "EncodedEvents", on_statement: OnStatement) -> Iterator[None]:
    """Call a function with each SQL statement, its seconds, and its processor seconds of all threads."""
    backend = cast("Any", events.rows.get_backend())
    connection = backend.con
    backend.con = TimedConnection(connection, on_statement)
    try:
        yield
    finally:
        backend.con = connection


class TimedConnection:
    """A DuckDB connection that times its statements."""

    def __init__(self, connection: "DuckDBPyConnection", on_statement: OnStatement):
        self._connection, self._on_statement = connection, on_statement

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, statement: str, *rest: object) -> object:
        begin, spent = perf_counter(), process_time()
        result = self._connection.execute(statement, *rest)
        self._on_statement(str(statement), perf_counter() - begin, process_time() - spent)
        return result


def step_name(statement: str) -> str:
    """Return the name of the table that a statement creates, without the prefix of the run."""
    return statement.partition(" AS ")[0].rpartition("clout0_")[2].strip('"')
