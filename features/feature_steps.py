"""The steps of the feature table: which tables are computed, in which order, and when each is dropped.

A function of steps takes `keep`, which materializes a table under a name (`aggregates.materialize`), and the input
tables by name; it yields the results by name.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime
from typing import NamedTuple, TypeVar

import ibis.expr.types as ir

from features.aggregates import credibility, relations
from features.aggregates.materialize import Materialize
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
from features.catalogue.plan import CREDIBILITY_RELATIONS, RECENT_RELATIONS, FeaturePlan

ACTIVE_DAYS = 62
ROWS, PAIRS = "rows", "pairs"

T = TypeVar("T")


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
def feature_steps(
    plan: FeaturePlan,
    remainders: SpanRemainders,
    cached: bool,
    with_pairs: bool,
    keep: Materialize,
    inputs: dict[str, ir.Table],
) -> Iterator[dict[str, ir.Table]]:
    """Compute the features of a plan: ROWS, in any order, and with `with_pairs` PAIRS as `pair_steps` does."""
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
        activity = parts.tables["own_events"]
        responses = credibility.materialized_responses(pairs, users, activity, parts.keep)
        return _Responses(*until_weighted.enter_context(responses))


def _add_own_events(own: ir.Table, remainders: SpanRemainders, parts: _Parts) -> None:
    """Add the features over users' own events, and over the calendar weeks of these."""
    more: dict[str, ir.Value] = {"last_act_age": own.age.min()} | relations.activity(own)
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


@contextmanager
def response_steps(keep: Materialize, inputs: dict[str, ir.Table]) -> Iterator[dict[str, ir.Table]]:
    """Compute who responded to whom in the last year, weighted: PAIRS as from `credibility.responder_weights`."""
    users, seeds = inputs["users"], inputs.get("configured_seeds")
    with (
        _year_tables(keep, inputs, relations.RESPONSE_COLUMNS) as (activity, histories, pairs),
        credibility.materialized_responses(pairs, users, activity, keep) as (year, breadths),
        credibility.compute_credibility(year, breadths, activity, users, histories, seeds, keep) as has,
        keep("responders", credibility.responder_weights(year, breadths, has)) as responders,
    ):
        yield {PAIRS: responders}


@contextmanager
def pair_steps(keep: Materialize, inputs: dict[str, ir.Table]) -> Iterator[dict[str, ir.Table]]:
    """Compute who engaged with whom in the last year, with the other's credibility: PAIRS."""
    users, seeds = inputs["users"], inputs.get("configured_seeds")
    columns = ("last_age", "weeks", *relations.RESPONSE_COLUMNS)
    with (
        _year_tables(keep, inputs, columns) as (activity, histories, pairs),
        credibility.materialized_responses(pairs, users, activity, keep) as (year, breadths),
        credibility.compute_credibility(year, breadths, activity, users, histories, seeds, keep) as has,
    ):
        yield {PAIRS: _with_credibility(pairs, has)}


def _with_credibility(pairs: ir.Table, credibility: ir.Table) -> ir.Table:
    named = pairs.filter(pairs.other.notnull(), within(pairs.last_age, LOOKBACK_DAYS))
    named = named.select("user", "other", "last_age", "weeks")
    return named.left_join(credibility.rename(other="user"), "other").drop("other_right")


@contextmanager
def _year_tables(
    keep: Materialize, inputs: dict[str, ir.Table], columns: Sequence[str]
) -> Iterator[tuple[ir.Table, ir.Table, ir.Table]]:
    """Materialize when users acted, the lengths of histories, and columns of `relations.pairs`."""
    own = relations.own_events(inputs["long"])
    with (
        keep("activity", own.group_by("user").agg(**relations.activity(own))) as activity,
        keep("histories", credibility.history_lengths(activity, inputs["users"])) as histories,
        keep("pairs", relations.pairs(relations.engagements(inputs["long"]), columns)) as pairs,
    ):
        yield activity, histories, pairs
