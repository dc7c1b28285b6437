"""The feature table: the only path from events to features, for training, batch scoring and online scoring alike."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from itertools import count as count_from
from typing import Any, NamedTuple, cast

import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from features.aggregates.materialize import materialize
from features.aggregates.windows import LOOKBACK_DAYS
from features.catalogue.plan import FeaturePlan, plan_features
from features.errors import AsOfError
from features.events.encoding import EncodedEvents, before, cached_users
from features.events.event_table import connect, time_range
from features.feature_steps import PAIRS, ROWS, SpanRemainders, feature_steps, pair_steps, response_steps
from features.progress import Progress, ignore_progress

KEYS = ["user", "scope"]
ROWS_AT_ONCE = 65_536
USERS = "users"


def feature_rows(
    events: EncodedEvents,
    as_of: datetime,
    progress: Progress = ignore_progress,
    features: Sequence[str] | None = None,
    users: ir.Table | None = None,
) -> pd.DataFrame:
    """Return the feature table as pandas; parameters, columns and errors as in `feature_table`.

    `users` selects those in its column `user`; its other columns are added to the rows.
    """
    with unordered_feature_table(events, as_of, progress, features) as table:
        selected = table if users is None else table.join(users, "user")
        rows: pd.DataFrame = selected.order_by(*KEYS).to_pandas()
        return rows


def ordered_batches(table: ir.Table, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[pd.DataFrame]:
    """Yield a feature table in parts, ordered by user and scope, code point by code point.

    Parameters
    ----------
    table : feature rows in any order
    rows_at_once : the most rows of a part, and in memory beside what the engine takes

    """
    with _code_point_order(table) as ordered:
        for batch in ordered.to_pyarrow_batches(chunk_size=rows_at_once):
            yield batch.to_pandas()


@contextmanager
def _code_point_order(table: ir.Table) -> Iterator[ir.Table]:
    """Order a table by user and scope as DuckDB does: a database may order texts by the rules of a language."""
    if table.get_backend().name == "duckdb":
        yield table.order_by(*KEYS)
        return
    local = connect()
    try:
        batches = table.to_pyarrow_batches()
        local.create_table("features", batches.schema.empty_table(), temp=True)
        for batch in batches:  # read here: DuckDB would hide an error of the database in one of its own
            local.con.register("batch", pa.Table.from_batches([batch]))
            local.con.execute("INSERT INTO features SELECT * FROM batch")
        yield local.table("features").order_by(*KEYS)
    finally:
        local.disconnect()


def require_users(rows: int, events: EncodedEvents, as_of: datetime) -> None:
    """Check that there are feature rows of an instant.

    Raises
    ------
    AsOfError : nobody acted or was engaged with in the 365 days before it; says which span the events have

    """
    if not rows:
        first, last = time_range(events.rows)
        raise AsOfError(
            f"nobody acted or was engaged with in the {LOOKBACK_DAYS} days before {as_of:%Y-%m-%d %H:%M:%S}: the "
            f"events reach from {first:%Y-%m-%d} to {last:%Y-%m-%d}. Give an --as-of soon after most of them."
        )


@contextmanager
def feature_table(
    events: EncodedEvents,
    as_of: datetime,
    progress: Progress = ignore_progress,
    features: Sequence[str] | None = None,
) -> Iterator[ir.Table]:
    """Compute features of all users that acted or were engaged with in the 365 days before an instant.

    The heavy steps run on entry, one after the other, into temporary tables that are dropped on exit. Only the
    relations that the features need are computed; the users are the same for any features.

    Parameters
    ----------
    events : from `load_encoded_events`
    as_of : the instant, UTC; only events with `time < as_of` are read
    progress : called with the share of the steps that is done
    features : names of features; None stands for all of CATALOGUE

    Yields
    ------
    an Ibis table, ordered by user and scope: `user`, `scope` and one float64 column per feature, in the order of
    CATALOGUE; null means unknown, zero means that nothing was found

    Raises
    ------
    EventsError : two users share a key, or a file of the events changed meanwhile
    CatalogueError : a feature is not in CATALOGUE

    """
    with unordered_feature_table(events, as_of, progress, features) as table:
        yield table.order_by("user", "scope")


@contextmanager
def unordered_feature_table(
    events: EncodedEvents, as_of: datetime, progress: Progress, features: Sequence[str] | None
) -> Iterator[ir.Table]:
    """Compute what `feature_table` does, in any order."""
    with _feature_tables(events, as_of, progress, plan_features(features), with_pairs=False) as tables:
        yield tables[ROWS]


class FeatureTables(NamedTuple):
    """The feature table in any order, who engaged with whom as from `engaging_pairs`, and the users with their keys."""

    rows: ir.Table
    pairs: ir.Table
    users: ir.Table

    def drop_rows(self) -> None:
        """Give back the memory of the rows before the other tables are read; on DuckDB, where they are a table."""
        backend = self.rows.get_backend()
        if backend.name == "duckdb":
            cast("Any", backend).con.execute(f"DROP TABLE {self.rows.get_name()}")


@contextmanager
def feature_table_and_pairs(
    events: EncodedEvents, as_of: datetime, progress: Progress, features: Sequence[str] | None
) -> Iterator[FeatureTables]:
    """Compute what `feature_table` and `engaging_pairs` do, in one pass over the events.

    At least one of the features has to be computed from credibility.
    """
    with _feature_tables(events, as_of, progress, plan_features(features), with_pairs=True) as tables:
        yield FeatureTables(tables[ROWS], tables[PAIRS], tables[USERS])


@contextmanager
def _feature_tables(
    events: EncodedEvents, as_of: datetime, progress: Progress, plan: FeaturePlan, with_pairs: bool
) -> Iterator[dict[str, ir.Table]]:
    with ExitStack() as stack:
        with events.files.unchanged():
            inputs = stack.enter_context(_year_inputs(events, as_of))
            inputs["recent"] = before(events.rows, as_of, plan.recent_days).select(plan.recent_columns)
            remainders = SpanRemainders.of(as_of, plan)
            steps = partial(feature_steps, plan, remainders, events.cached, with_pairs)
            cache_key = (plan.names, remainders, events.cached, with_pairs)
            on_step = _step_counter(progress, plan.steps)
            tables = stack.enter_context(materialize(steps, inputs, cache_key, on_step))
        yield tables | {USERS: inputs[USERS]}


@contextmanager
def _year_inputs(events: EncodedEvents, as_of: datetime) -> Iterator[dict[str, ir.Table]]:
    """Open the inputs of all that looks back a year: users, events, and the configured seeds, if any."""
    with cached_users(events) as users:
        long = before(events.rows, as_of).select("actor", "verb", "target", "age")
        yield _seeds(events, users) | {"users": users, "long": long}


def _seeds(events: EncodedEvents, users: ir.Table) -> dict[str, ir.Table]:
    """Return the configured seeds, if any, as an input table: (user, scope), by key."""
    if not events.seeds:
        return {}
    return {"configured_seeds": users.filter(users.user.isin(events.seeds)).select("scope", user="key")}


def _step_counter(progress: Progress, steps: int) -> Callable[[], None]:
    """Report the share of the steps each time one more of them is done."""
    done = count_from(1)
    return lambda: progress(min(next(done) / steps, 1.0))


@contextmanager
def weighted_responses(events: EncodedEvents, as_of: datetime) -> Iterator[ir.Table]:
    """Compute the weights of the users that responded to others in the 365 days before an instant.

    Yields
    ------
    (user, other, last_age, weight, ...) as from `credibility.responder_weights`, users and others as keys

    """
    inputs = _year_inputs(events, as_of)
    with (
        inputs as tables,
        materialize(response_steps, tables, ("responses", events.cached), ignore_progress) as results,
    ):
        yield results[PAIRS]


@contextmanager
def engaging_pairs(events: EncodedEvents, as_of: datetime) -> Iterator[ir.Table]:
    """Compute who engaged with whom in the 365 days before an instant.

    Yields
    ------
    (user, other, last_age, weeks, credibility), users and known others as keys: the age of the last engagement in
    microseconds, the bitmap of `relations.pairs`, and the other's credibility in billionths, null for none

    """
    inputs, key = _year_inputs(events, as_of), ("engaging_pairs", events.cached)
    with inputs as tables, materialize(pair_steps, tables, key, ignore_progress) as results:
        yield results[PAIRS]
