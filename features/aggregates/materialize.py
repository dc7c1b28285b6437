"""Run each heavy step once, into a temporary table that is dropped after use.

On DuckDB the SQL of all steps is compiled once per process and replayed for later instants: compiling takes longer than
running in a small community, and only the input views depend on the instant. Steps that several plans share are
compiled once: their tables are unbound, so that equal expressions of different connections have the same SQL.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
from duckdb import Error as DuckDBError
from ibis.util import gen_name

from features.events.temporary_tables import compile_unbound, duckdb_sql

if TYPE_CHECKING:  # loads the SQL compilers of every engine, which a service that computes no features does not need
    from ibis.backends.duckdb import Backend

TableContext = AbstractContextManager[ir.Table]
Tables = dict[str, ir.Table]
Materialize = Callable[[str, ir.Table], TableContext]
Steps = Callable[[Materialize, Tables], AbstractContextManager[Tables]]
OnStep = Callable[[], None]

MAX_PLANS = 64
PLANS: dict[Hashable, tuple[list[str], list[str]]] = {}  # the statements, and the names of the results
OPEN_RUNS: dict[int, int] = {}
RESULT = "result_"
TEMPORARY = ("temp", "main")


@contextmanager
def materialize(steps: Steps, inputs: Tables, cache_key: Hashable, on_step: OnStep) -> Iterator[Tables]:
    """Run steps from input tables to results.

    Parameters
    ----------
    steps : a function of `keep`, which materializes a table under a name and drops it on exit, and of the inputs; it
        yields the results
    inputs : the input tables, by name
    cache_key : everything else on which the SQL of the steps depends
    on_step : called after each step

    Yields
    ------
    the results, by name; on DuckDB tables that are dropped on exit, elsewhere expressions over materialized tables

    """
    backend = next(iter(inputs.values())).get_backend()
    if backend.name != "duckdb":
        keep = _checkpointed if backend.name == "pyspark" else _cached
        with steps(partial(keep, on_step), inputs) as results:
            yield results
        return
    with _name_prefix(backend) as prefix, _unordered_inserts(backend):
        types = tuple((name, str(table.schema())) for name, table in inputs.items())
        names: list[str] = []
        try:
            for name, table in inputs.items():
                backend.con.execute(f'CREATE OR REPLACE TEMP VIEW "{prefix}{name}" AS {duckdb_sql(table)}')
            views = {name: ibis.table(table.schema(), prefix + name) for name, table in inputs.items()}
            names = _run(backend, prefix, (prefix, types, cache_key), lambda keep: steps(keep, views), on_step)
            yield {name: backend.table(f"{prefix}{RESULT}{name}", database=TEMPORARY) for name in names}
        finally:
            for name in names:
                backend.con.execute(f'DROP TABLE IF EXISTS "{prefix}{RESULT}{name}"')
            for name in inputs:
                backend.con.execute(f'DROP VIEW IF EXISTS "{prefix}{name}"')


@contextmanager
def _cached(on_step: OnStep, _: str, table: ir.Table) -> Iterator[ir.Table]:
    with table.cache() as cached:
        on_step()
        yield cached


@contextmanager
def _checkpointed(on_step: OnStep, name: str, table: ir.Table) -> Iterator[ir.Table]:
    """Compute a table on Spark and truncate its lineage: a plan of thirty steps takes far longer to plan than to run.

    The data lies in the checkpoint directory of the session, if it has one, else with the executors.
    """
    backend, view = table.get_backend(), gen_name(f"clout_{name}")
    frame = backend.raw_sql(backend.compile(table))
    context = getattr(frame.sparkSession, "sparkContext", None)  # a remote session has none
    reliable = context is not None and context.getCheckpointDir() is not None
    (frame.checkpoint() if reliable else frame.localCheckpoint()).createOrReplaceTempView(view)
    on_step()
    try:
        yield backend.table(view)
    finally:
        backend.drop_view(view)


@contextmanager
def _unordered_inserts(backend: "Backend") -> Iterator[None]:
    """Let DuckDB write rows in any order, which takes less memory; the result is ordered explicitly."""
    (before,) = backend.con.execute("SELECT current_setting('preserve_insertion_order')").fetchone() or (True,)
    backend.con.execute("SET preserve_insertion_order = false")
    try:
        yield
    finally:
        backend.con.execute(f"SET preserve_insertion_order = {before}")


@contextmanager
def _name_prefix(backend: "Backend") -> Iterator[str]:
    """Yield a prefix that no other open run on the same connection uses."""
    depth = OPEN_RUNS.get(id(backend), 0)
    OPEN_RUNS[id(backend)] = depth + 1
    try:
        yield f"clout{depth}_"
    finally:
        OPEN_RUNS[id(backend)] = depth
        if not depth:
            del OPEN_RUNS[id(backend)]


def _run(
    backend: "Backend",
    prefix: str,
    plan_key: Hashable,
    steps: Callable[[Materialize], AbstractContextManager[Tables]],
    on_step: OnStep,
) -> list[str]:
    """Replay the stored plan of a key, or record one in the first run; return the names of the results."""
    plan: list[str] = []

    def execute(statement: str) -> None:
        backend.con.execute(statement)
        plan.append(statement)

    @contextmanager
    def keep(name: str, table: ir.Table) -> Iterator[ir.Table]:
        execute(f'CREATE OR REPLACE TEMP TABLE "{prefix}{name}" AS {compile_unbound(table.op())}')
        on_step()
        try:
            yield ibis.table(table.schema(), f"{prefix}{name}")
        finally:
            execute(f'DROP TABLE IF EXISTS "{prefix}{name}"')

    if plan_key not in PLANS:
        with steps(keep) as tables:
            results = list(tables)
            for name, table in tables.items():
                execute(f'CREATE OR REPLACE TEMP TABLE "{prefix}{RESULT}{name}" AS {compile_unbound(table.op())}')
        if len(PLANS) >= MAX_PLANS:
            PLANS.clear()
        PLANS[plan_key] = plan, results
        return results
    statements, results = PLANS[plan_key]
    _replay(backend, statements, len(results), on_step)
    return results


def _replay(backend: "Backend", plan: list[str], results: int, on_step: OnStep) -> None:
    steps = [statement for statement in plan if statement.startswith("CREATE")][:-results]
    try:
        for statement in plan:
            backend.con.execute(statement)
            if statement in steps:
                on_step()
    except DuckDBError:
        for statement in plan:
            if statement.startswith("DROP"):
                with suppress(DuckDBError):
                    backend.con.execute(statement)
        raise
