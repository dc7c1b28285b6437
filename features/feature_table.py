"""The feature table: the only path from events to features, for training, batch scoring and online scoring alike."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime
from functools import partial
from itertools import count as count_from
from typing import Any, NamedTuple, TypeVar, cast

import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from features.aggregates import credibility, relations
from features.aggregates.materialize import Materialize, materialize
from features.aggregates.windows import (
    DAY,
    LOOKBACK_DAYS,
    RECENT_DAYS,
    WEEK,
    WEEKS,
    count,
    span_remainder,
    week_bitmap,
    within,
)
from features.catalogue import CATALOGUE
from features.catalogue.feature import Relation
from features.catalogue.plan import CREDIBILITY_RELATIONS, RECENT_RELATIONS, FeaturePlan, plan_features
from features.errors import AsOfError
from features.events.encoding import EncodedEvents, before, cached_users
from features.events.event_table import connect, time_range
from features.progress import Progress, ignore_progress

KEYS = ["user", "scope"]
ACTIVE_DAYS = 62
ROWS_AT_ONCE = 65_536
ROWS, PAIRS, USERS = "rows", "pairs", "users"

T = TypeVar("T")


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
            steps = partial(_steps, plan, remainders, events.cached, with_pairs)
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
    with inputs as tables, materialize(_responses, tables, ("responses", events.cached), ignore_progress) as results:
        yield results[PAIRS]


@contextmanager
def _year_tables(
    keep: Materialize, inputs: dict[str, ir.Table], columns: Sequence[str]
) -> Iterator[tuple[ir.Table, ir.Table, ir.Table]]:
    """Materialize when users first acted, the lengths of histories, and columns of `relations.pairs`."""
    own = relations.own_events(inputs["long"])
    with (
        keep("first", own.group_by("user").agg(first_act_age=own.age.max())) as first,
        keep("histories", credibility.history_lengths(first, inputs["users"])) as histories,
        keep("pairs", relations.pairs(relations.engagements(inputs["long"]), columns)) as pairs,
    ):
        yield first, histories, pairs


@contextmanager
def _responses(keep: Materialize, inputs: dict[str, ir.Table]) -> Iterator[dict[str, ir.Table]]:
    users, seeds = inputs["users"], inputs.get("configured_seeds")
    with (
        _year_tables(keep, inputs, relations.RESPONSE_COLUMNS) as (first, histories, pairs),
        credibility.materialized_responses(pairs, users, keep) as (year, breadths),
        credibility.compute_credibility(year, breadths, first, users, histories, seeds, keep) as has,
        keep("responders", credibility.responder_weights(year, breadths, has)) as responders,
    ):
        yield {PAIRS: responders}


@contextmanager
def engaging_pairs(events: EncodedEvents, as_of: datetime) -> Iterator[ir.Table]:
    """Compute who engaged with whom in the 365 days before an instant.

    Yields
    ------
    (user, other, last_age, weeks, credibility), users and known others as keys: the age of the last engagement in
    microseconds, the bitmap of `relations.pairs`, and the other's credibility in billionths, null for none

    """
    inputs, key = _year_inputs(events, as_of), ("engaging_pairs", events.cached)
    with inputs as tables, materialize(_engaging_pairs, tables, key, ignore_progress) as results:
        yield results[PAIRS]


@contextmanager
def _engaging_pairs(keep: Materialize, inputs: dict[str, ir.Table]) -> Iterator[dict[str, ir.Table]]:
    users, seeds = inputs["users"], inputs.get("configured_seeds")
    columns = ("last_age", "weeks", *relations.RESPONSE_COLUMNS)
    with (
        _year_tables(keep, inputs, columns) as (first, histories, pairs),
        credibility.materialized_responses(pairs, users, keep) as (year, breadths),
        credibility.compute_credibility(year, breadths, first, users, histories, seeds, keep) as has,
    ):
        yield {PAIRS: _with_credibility(pairs, has)}


def _with_credibility(pairs: ir.Table, credibility: ir.Table) -> ir.Table:
    named = pairs.filter(pairs.other.notnull(), within(pairs.last_age, LOOKBACK_DAYS))
    named = named.select("user", "other", "last_age", "weeks")
    return named.left_join(credibility.rename(other="user"), "other").drop("other_right")


class SpanRemainders(NamedTuple):
    """The microseconds from the instant to the end of its calendar week and day, 0 where the plan counts none."""

    week: int
    day: int

    @classmethod
    def of(cls, as_of: datetime, plan: FeaturePlan) -> "SpanRemainders":
        """Return those that a plan needs: without any, the same statements compute the features of every instant."""
        week = span_remainder(as_of, WEEK) if plan.needs("weeks_active") else 0
        return cls(week, span_remainder(as_of, DAY) if plan.needs("days_active") else 0)


@contextmanager
def _steps(
    plan: FeaturePlan,
    remainders: SpanRemainders,
    cached: bool,
    with_pairs: bool,
    keep: Materialize,
    inputs: dict[str, ir.Table],
) -> Iterator[dict[str, ir.Table]]:
    with ExitStack() as stack:
        parts = _Parts(plan, stack, keep, with_pairs)
        with ExitStack() as until_weighted:
            with nullcontext(inputs["long"]) if cached else keep("events", inputs["long"]) as events:
                responses = _add_long_windows(events, inputs["users"], remainders, parts, until_weighted)
            responders = None if responses is None else _add_credibility(responses, inputs, parts)
        if plan.needs(*RECENT_RELATIONS):
            with nullcontext(inputs["recent"]) if cached else keep("recent_events", inputs["recent"]) as events:
                _add_recent_windows(events, responders, remainders, parts)
        results = {ROWS: _join_parts(parts, inputs["users"])}
        yield results | ({PAIRS: _with_credibility(parts.pairs, parts.credibility)} if with_pairs else {})


class _Parts:
    """The features of each relation as materialized tables, one row per user."""

    def __init__(self, plan: FeaturePlan, stack: ExitStack, keep: Materialize, with_pairs: bool):
        self.plan, self._stack, self.keep, self.with_pairs = plan, stack, keep, with_pairs
        self.tables: dict[Relation, ir.Table] = {}
        self.histories: ir.Table  # these three where the plan needs them
        self.pairs: ir.Table
        self.credibility: ir.Table

    def enter(self, context: AbstractContextManager[T]) -> T:
        """Enter a context that is left when all steps are done."""
        return self._stack.enter_context(context)

    def add(self, relation: Relation, table: ir.Table, **more: ir.Value) -> ir.Table:
        """Compute the planned features over a relation, and the extra columns that later steps need."""
        values = {feature.name: feature.value(table) for feature in self.plan.of_relation(relation)}
        part = table.group_by("user").agg(**values, **more)
        self.tables[relation] = self.enter(self.keep(f"features_over_{relation}", part))
        return self.tables[relation]

    def add_planned(self, relation: Relation, table: Callable[[], ir.Table]) -> None:
        """Compute the features over a relation where any are planned."""
        if self.plan.needs(relation):
            self.add(relation, table())


class _Responses(NamedTuple):
    """The tables of `credibility.materialized_responses`."""

    year: ir.Table
    breadths: ir.Table


def _add_long_windows(
    events: ir.Table, users: ir.Table, remainders: SpanRemainders, parts: _Parts, until_weighted: ExitStack
) -> _Responses | None:
    """Add the features over events and pairs of a year or more; return the responses where they are needed.

    Events and pairs need much memory and are dropped after it; responses live as long as `until_weighted`.
    """
    engagements = relations.engagements(events)
    _add_own_events(relations.own_events(events), remainders, parts)
    _add_follows(engagements, parts)
    if parts.plan.needs("histories"):
        lengths = credibility.history_lengths(parts.tables["own_events"], users)
        parts.histories = parts.enter(parts.keep("histories", lengths))
        parts.tables["histories"] = parts.histories.select("user", "history")
    columns = parts.plan.pair_columns(parts.with_pairs)
    if "last_age" not in columns:
        ages = {"last_engaged_age": engagements.age.min(), "first_engaged_age": engagements.age.max()}
        parts.add("pairs", engagements, **ages)
    if not columns:
        return None
    keep_pairs = parts.keep("pairs", relations.pairs(engagements, columns))
    with nullcontext(parts.enter(keep_pairs)) if parts.with_pairs else keep_pairs as pairs:
        parts.pairs = pairs
        _add_pairs(pairs, parts)
        if not parts.plan.needs(*CREDIBILITY_RELATIONS):
            return None
        responses = credibility.materialized_responses(pairs, users, parts.keep)
        return _Responses(*until_weighted.enter_context(responses))


def _add_own_events(own: ir.Table, remainders: SpanRemainders, parts: _Parts) -> None:
    """Add the features over users' own events, and over the calendar weeks of these."""
    more: dict[str, ir.Value] = {"last_act_age": own.age.min(), "first_act_age": own.age.max()}
    if parts.plan.needs("weeks_active"):
        more["bitmap"] = week_bitmap(own.age, WEEK, WEEKS, remainders.week)
    active = parts.add("own_events", own, **more)
    parts.add_planned("weeks_active", lambda: relations.spans(active.select("user", "bitmap"), WEEKS))


def _add_follows(engagements: ir.Table, parts: _Parts) -> None:
    """Add the features over who follows whom, in both directions."""
    if not parts.plan.needs("follows", "followed"):
        return
    with parts.keep("follows", relations.follows(engagements)) as follows:
        parts.add_planned("follows", lambda: follows)
        parts.add_planned("followed", lambda: relations.reversed_pairs(follows))


def _add_pairs(pairs: ir.Table, parts: _Parts) -> None:
    """Add the features over who engaged with whom, in both directions."""
    if "last_age" in pairs.columns:
        parts.add("pairs", pairs, last_engaged_age=pairs.last_age.min(), first_engaged_age=pairs.first_age.max())
    if not parts.plan.needs("engagers", "engaged_users"):
        return
    with parts.keep("engagers", relations.engagers(pairs)) as engagers:
        parts.add_planned("engagers", lambda: engagers)
        parts.add_planned("engaged_users", lambda: relations.reversed_pairs(engagers))


def _add_credibility(responses: _Responses, inputs: dict[str, ir.Table], parts: _Parts) -> ir.Table:
    """Add the features over credibility and over the weights of the responders; return these weights."""
    users, seeds, active = inputs["users"], inputs.get("configured_seeds"), parts.tables["own_events"]
    flow = credibility.compute_credibility(*responses, active, users, parts.histories, seeds, parts.keep)
    parts.credibility = parts.enter(flow)
    weights = credibility.responder_weights(*responses, parts.credibility).select(parts.plan.responder_columns)
    responders = parts.enter(parts.keep("responders", weights))
    parts.add_planned("credibility", lambda: parts.credibility)
    parts.add_planned("responders", lambda: responders)
    return responders


def _add_recent_windows(
    events: ir.Table, responders: ir.Table | None, remainders: SpanRemainders, parts: _Parts
) -> None:
    """Add the detailed features, which look back 90 days."""
    plan, recent = parts.plan, events.filter(within(events.age, RECENT_DAYS))
    engagements, own = relations.engagements(recent), relations.own_events(recent)
    parts.add_planned("engagements", lambda: engagements)
    if plan.needs("recent_events"):
        more = {"bitmap": week_bitmap(own.age, DAY, ACTIVE_DAYS, remainders.day)} if plan.needs("days_active") else {}
        active = parts.add("recent_events", own, **more)
        parts.add_planned("days_active", lambda: relations.spans(active.select("user", "bitmap"), ACTIVE_DAYS))
    created = None
    with ExitStack() as stack:
        if plan.needs("created"):
            created = stack.enter_context(parts.keep("created", relations.created(relations.own_events(events))))
            parts.add("created", created, new_pieces=count(within(created.created_age, RECENT_DAYS)))
        if responders is not None and plan.needs("pieces"):
            pieces = relations.pieces(engagements, created, responders, plan.piece_columns)
            extra = {
                "new_pieces_drawing": lambda: pieces.created_age.count(),
                "unknown_pieces": lambda: count(pieces.unknown > 0),
            }
            parts.add("pieces", pieces, **{name: extra[name]() for name in plan.extra_of("pieces")})
    parts.add_planned("contents", lambda: relations.contents(own))
    parts.add_planned("topics", lambda: relations.topics(engagements))


def _join_parts(parts: _Parts, users: ir.Table) -> ir.Table:
    """Join the parts for all users with an event within 365 days, and replace keys by user ids."""
    own, pairs = parts.tables["own_events"], parts.tables["pairs"]
    acting = own.filter(within(own.last_act_age, LOOKBACK_DAYS)).select("user")
    engaged = pairs.filter(within(pairs.last_engaged_age, LOOKBACK_DAYS)).select("user")
    active = acting.union(engaged, distinct=True)
    joined = active.join(users, active.user == users.key)
    for name, part in parts.tables.items():
        columns = [column for column in part.columns if column in parts.plan.columns]
        if columns:
            keyed = part.select(*columns, **{f"user_of_{name}": part.user})
            joined = joined.left_join(keyed, active.user == keyed[f"user_of_{name}"])
    return _with_derived_features(joined.select("scope", *parts.plan.columns, user="user_right"), parts.plan)


def _with_derived_features(row: ir.Table, plan: FeaturePlan) -> ir.Table:
    """Fill in the defaults of features without rows, and add the features that derive from others."""
    defaults = {
        feature.name: row[feature.name].cast("float64").fill_null(feature.default)
        for feature in plan.measured
        if feature.default is not None
    }
    for name in ("new_pieces_drawing", "unknown_pieces"):
        if name in plan.columns:
            defaults[name] = row[name].fill_null(0)
    full = row.mutate(**defaults)
    values = {
        name: CATALOGUE[name].value(full) if CATALOGUE[name].relation == "users" else full[name] for name in plan.names
    }
    typed = {name: value.cast("float64") for name, value in values.items()}
    return full.select("user", "scope", **typed)
