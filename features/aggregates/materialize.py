"""Passes: each heavy step runs once, into a temporary table that is dropped when it has served.

On DuckDB the SQL of all steps is written once for a process and run again for the next instant: writing it takes longer
than running it where a community is small, and nothing in it depends on the instant but the views that it starts from.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import ibis.expr.types as ir
from duckdb import Error as DuckDBError
from ibis.util import gen_name

if TYPE_CHECKING:  # it brings the SQL of every engine, for which a service that computes none does not wait
    from ibis.backends.duckdb import Backend

Kept = AbstractContextManager[ir.Table]
Materialize = Callable[[str, ir.Table], Kept]
Steps = Callable[[Materialize, dict[str, ir.Table]], Kept]

MOST_PLANS = 64
PLANS: dict[tuple, list[str]] = {}
OPEN: dict[int, int] = {}
TEMPORARY = ("temp", "main")


@contextmanager
def materialize(
    steps: Steps, starts: dict[str, ir.Table], variant: tuple, told: Callable[[], None]
) -> Iterator[ir.Table]:
    """Run steps from some tables to a result.

    Parameters
    ----------
    steps : given `keep`, which computes a table under a name and drops it on exit, and the starts; yields the result
    starts : the tables to start from, by name
    variant : whatever else the SQL of the steps depends on
    told : called after each step

    Yields
    ------
    the result; on DuckDB a table that is dropped on exit, elsewhere an expression over kept tables

    """
    backend = next(iter(starts.values())).get_backend()
    if backend.name != "duckdb":
        kept = _checkpointed if backend.name == "pyspark" else _cached
        with steps(partial(kept, told), starts) as result:
            yield result
        return
    with _names(backend) as prefix, _in_any_order(backend):
        types = tuple((name, str(table.schema())) for name, table in starts.items())
        try:
            views = {name: _view(backend, prefix + name, table) for name, table in starts.items()}
            _run(backend, prefix, (prefix, types, variant), lambda keep: steps(keep, views), told)
            yield backend.table(f"{prefix}result", database=TEMPORARY)
        finally:
            backend.con.execute(f'DROP TABLE IF EXISTS "{prefix}result"')
            for name in starts:
                backend.con.execute(f'DROP VIEW IF EXISTS "{prefix}{name}"')


@contextmanager
def _cached(told: Callable[[], None], _: str, table: ir.Table) -> Iterator[ir.Table]:
    with table.cache() as kept:
        told()
        yield kept


@contextmanager
def _checkpointed(told: Callable[[], None], name: str, table: ir.Table) -> Iterator[ir.Table]:
    """Compute a table on Spark and forget how: a plan of thirty steps takes far longer to plan than to run.

    It lies in the checkpoint directory of the session, if that has one, else with the executors.
    """
    backend, view = table.get_backend(), gen_name(f"clout_{name}")
    frame = backend.raw_sql(backend.compile(table))
    reliable = frame.sparkSession.sparkContext.getCheckpointDir() is not None
    (frame.checkpoint() if reliable else frame.localCheckpoint()).createOrReplaceTempView(view)
    told()
    try:
        yield backend.table(view)
    finally:
        backend.drop_view(view)


@contextmanager
def _in_any_order(backend: "Backend") -> Iterator[None]:
    """Let steps write rows as they come, which takes less memory; the result says its own order."""
    (before,) = backend.con.execute("SELECT current_setting('preserve_insertion_order')").fetchone() or (True,)
    backend.con.execute("SET preserve_insertion_order = false")
    try:
        yield
    finally:
        backend.con.execute(f"SET preserve_insertion_order = {before}")


@contextmanager
def _names(backend: "Backend") -> Iterator[str]:
    """Yield a prefix that no other open run on the same connection has."""
    depth = OPEN.get(id(backend), 0)
    OPEN[id(backend)] = depth + 1
    try:
        yield f"clout{depth}_"
    finally:
        OPEN[id(backend)] = depth
        if not depth:
            del OPEN[id(backend)]


def _view(backend: "Backend", name: str, table: ir.Table) -> ir.Table:
    backend.con.execute(f'CREATE OR REPLACE TEMP VIEW "{name}" AS {backend.compile(table)}')
    return backend.table(name, database=TEMPORARY)


def _run(
    backend: "Backend", prefix: str, known: tuple, steps: Callable[[Materialize], Kept], told: Callable[[], None]
) -> None:
    """Run the plan that is known, or write it down while it runs for the first time."""
    plan: list[str] = []

    def execute(statement: str) -> None:
        backend.con.execute(statement)
        plan.append(statement)

    @contextmanager
    def keep(name: str, table: ir.Table) -> Iterator[ir.Table]:
        execute(f'CREATE OR REPLACE TEMP TABLE "{prefix}{name}" AS {backend.compile(table)}')
        told()
        try:
            yield backend.table(f"{prefix}{name}", database=TEMPORARY)
        finally:
            execute(f'DROP TABLE IF EXISTS "{prefix}{name}"')

    if known in PLANS:
        _replay(backend, PLANS[known], told)
        return
    with steps(keep) as result:
        execute(f'CREATE OR REPLACE TEMP TABLE "{prefix}result" AS {backend.compile(result)}')
    if len(PLANS) >= MOST_PLANS:
        PLANS.clear()
    PLANS[known] = plan


def _replay(backend: "Backend", plan: list[str], told: Callable[[], None]) -> None:
    try:
        for statement in plan:
            backend.con.execute(statement)
            if statement.startswith("CREATE"):
                told()
    except DuckDBError:
        for statement in plan:
            if statement.startswith("DROP"):
                with suppress(DuckDBError):
                    backend.con.execute(statement)
        raise
