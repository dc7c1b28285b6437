"""The feature table: the only path from events to features, for training, batch scoring and online scoring alike."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime
from functools import partial
from itertools import count as count_from
from typing import NamedTuple, TypeVar

import ibis.expr.types as ir
import pandas as pd

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
from features.events.encoding import EncodedEvents, before, cached_users
from features.progress import Progress, ignore_progress

KEYS = ["user", "scope"]
ACTIVE_DAYS = 62
LATE_DAYS = 7
STEPS = 30
EXTRA_COLUMNS = ("history", "first_act_age", "first_engaged_age", "new_pieces", "new_pieces_drawing")

T = TypeVar("T")


def feature_rows(events: EncodedEvents, as_of: datetime, progress: Progress = ignore_progress) -> pd.DataFrame:
    """Return the feature table as pandas; parameters, columns and errors as in `feature_table`."""
    with feature_table(events, as_of, progress) as table:
        rows: pd.DataFrame = table.to_pandas()
        return rows


@contextmanager
def feature_table(events: EncodedEvents, as_of: datetime, progress: Progress = ignore_progress) -> Iterator[ir.Table]:
    """Compute the features of all users that acted or were engaged with in the 365 days before an instant.

    The heavy steps run on entry, one after the other, into temporary tables that are dropped on exit.

    Parameters
    ----------
    events : from `load_encoded_events`
    as_of : the instant, UTC; only events with `time < as_of` are read
    progress : called with the share of the steps that is done

    Yields
    ------
    an Ibis table, ordered by user and scope: `user`, `scope` and one float64 column per feature of CATALOGUE; null
    means unknown, zero means that nothing was found

    Raises
    ------
    EventsError : two users share a key

    """
    with cached_users(events) as users:
        inputs = _seeds(events, users) | {
            "users": users,
            "long": before(events.rows, as_of).select("actor", "verb", "target", "age"),
            "recent": before(events.rows, as_of, RECENT_DAYS + LATE_DAYS),
        }
        remainders = SpanRemainders(span_remainder(as_of, WEEK), span_remainder(as_of, DAY))
        steps = partial(_steps, remainders, events.cached)
        with materialize(steps, inputs, (remainders, events.cached), _step_counter(progress)) as table:
            yield table.order_by("user", "scope")


def _seeds(events: EncodedEvents, users: ir.Table) -> dict[str, ir.Table]:
    """Return the configured seeds, if any, as an input table: (user, scope), by key."""
    if not events.seeds:
        return {}
    return {"configured_seeds": users.filter(users.user.isin(events.seeds)).select("scope", user="key")}


def _step_counter(progress: Progress) -> Callable[[], None]:
    """Report the share of STEPS each time one more of them is done."""
    done = count_from(1)
    return lambda: progress(min(next(done) / STEPS, 1.0))


@contextmanager
def weighted_responses(events: EncodedEvents, as_of: datetime) -> Iterator[ir.Table]:
    """Compute the weights of the users that responded to others in the 365 days before an instant.

    Yields
    ------
    (user, other, last_age, weight, ...) as from `credibility.responder_weights`, users and others as keys

    """
    with cached_users(events) as users:
        long = before(events.rows, as_of).select("actor", "verb", "target", "age")
        inputs = _seeds(events, users) | {"users": users, "long": long}
        with materialize(_responses, inputs, ("responses", events.cached), ignore_progress) as table:
            yield table


@contextmanager
def _responses(keep: Materialize, inputs: dict[str, ir.Table]) -> Iterator[ir.Table]:
    own, users, seeds = relations.own_events(inputs["long"]), inputs["users"], inputs.get("configured_seeds")
    with (
        keep("first", own.group_by("user").agg(first_act_age=own.age.max())) as first,
        keep("histories", credibility.history_lengths(first, users)) as histories,
        keep("pairs", relations.pairs(relations.engagements(inputs["long"]))) as pairs,
        credibility.compute_credibility(pairs, first, users, histories, seeds, keep) as (_, responders),
    ):
        yield responders


class SpanRemainders(NamedTuple):
    """The microseconds from the instant to the end of its calendar week and day."""

    week: int
    day: int


@contextmanager
def _steps(
    remainders: SpanRemainders, cached: bool, keep: Materialize, inputs: dict[str, ir.Table]
) -> Iterator[ir.Table]:
    with ExitStack() as stack:
        parts = _Parts(stack, keep)
        with nullcontext(inputs["long"]) if cached else keep("events", inputs["long"]) as events:
            responders = _add_long_windows(events, inputs, remainders, parts)
        with nullcontext(inputs["recent"]) if cached else keep("recent_events", inputs["recent"]) as events:
            _add_recent_windows(events, responders, remainders, parts)
        yield _join_parts(parts, inputs["users"])


class _Parts:
    """The features of each relation as materialized tables, one row per user."""

    def __init__(self, stack: ExitStack, keep: Materialize):
        self._stack, self.keep = stack, keep
        self.tables: dict[Relation, ir.Table] = {}

    def enter(self, context: AbstractContextManager[T]) -> T:
        """Enter a context that is left when all steps are done."""
        return self._stack.enter_context(context)

    def add(self, relation: Relation, table: ir.Table, **more: ir.Value) -> ir.Table:
        """Compute the features over a relation, and the extra columns that later steps need."""
        values = {feature.name: feature.value(table) for feature in CATALOGUE.of_relation(relation)}
        part = table.group_by("user").agg(**values, **more)
        self.tables[relation] = self.enter(self.keep(f"features_over_{relation}", part))
        return self.tables[relation]

    def add_spans(self, relation: Relation, part: ir.Table, spans: int) -> None:
        """Compute the features over the spans that are set in the bitmap of a part."""
        self.add(relation, relations.spans(part.select("user", "bitmap"), spans))


def _add_long_windows(
    events: ir.Table, inputs: dict[str, ir.Table], remainders: SpanRemainders, parts: _Parts
) -> ir.Table:
    """Add the features that look back a year or more; return the weights of the responders."""
    own, users = relations.own_events(events), inputs["users"]
    ages = {"last_act_age": own.age.min(), "first_act_age": own.age.max()}
    active = parts.add("own_events", own, bitmap=week_bitmap(own.age, WEEK, WEEKS, remainders.week), **ages)
    parts.add_spans("weeks_active", active, WEEKS)
    histories = parts.enter(parts.keep("histories", credibility.history_lengths(active, users)))
    parts.tables["histories"] = histories.select("user", "history")
    engagements = relations.engagements(events)
    with parts.keep("follows", relations.follows(engagements)) as follows:
        parts.add("follows", follows)
        parts.add("followed", relations.reversed_pairs(follows))
    with parts.keep("pairs", relations.pairs(engagements)) as pairs:
        ages = {"last_engaged_age": pairs.last_age.min(), "first_engaged_age": pairs.first_age.max()}
        parts.add("pairs", pairs, **ages)
        with parts.keep("engagers", relations.engagers(pairs)) as engagers:
            parts.add("engagers", engagers)
            parts.add("engaged_users", relations.reversed_pairs(engagers))
        flow = credibility.compute_credibility(
            pairs, active, users, histories, inputs.get("configured_seeds"), parts.keep
        )
        has, responders = parts.enter(flow)
    parts.add("credibility", has)
    parts.add("responders", responders)
    return responders


def _add_recent_windows(events: ir.Table, responders: ir.Table, remainders: SpanRemainders, parts: _Parts) -> None:
    """Add the detailed features, which look back 90 days."""
    recent = events.filter(within(events.age, RECENT_DAYS))
    engagements, own = relations.engagements(recent), relations.own_events(recent)
    parts.add("engagements", engagements)
    active = parts.add("recent_events", own, bitmap=week_bitmap(own.age, DAY, ACTIVE_DAYS, remainders.day))
    with parts.keep("created", relations.created(relations.own_events(events))) as created:
        parts.add("created", created, new_pieces=count(within(created.created_age, RECENT_DAYS)))
        pieces = relations.pieces(engagements, created, responders)
        parts.add("pieces", pieces, new_pieces_drawing=pieces.created_age.count())
    parts.add("contents", relations.contents(own))
    parts.add("topics", relations.topics(engagements))
    parts.add_spans("days_active", active, ACTIVE_DAYS)


def _join_parts(parts: _Parts, users: ir.Table) -> ir.Table:
    """Join the parts for all users with an event within 365 days, and replace keys by user ids."""
    own, pairs = parts.tables["own_events"], parts.tables["pairs"]
    acting = own.filter(within(own.last_act_age, LOOKBACK_DAYS)).select("user")
    engaged = pairs.filter(within(pairs.last_engaged_age, LOOKBACK_DAYS)).select("user")
    active = acting.union(engaged, distinct=True)
    joined = active.join(users, active.user == users.key)
    for name, part in parts.tables.items():
        keyed = part.rename({f"user_of_{name}": "user"}).drop(*({"bitmap"} & set(part.columns)))
        joined = joined.left_join(keyed, active.user == keyed[f"user_of_{name}"])
    names = [feature.name for feature in CATALOGUE if feature.relation != "users"]
    return _with_derived_features(joined.select("scope", *EXTRA_COLUMNS, *names, user="user_right"))


def _with_derived_features(row: ir.Table) -> ir.Table:
    """Fill in the defaults of features without rows, and add the features that derive from others."""
    defaults = [feature for feature in CATALOGUE if feature.relation != "users" and feature.default is not None]
    full = row.mutate(
        new_pieces_drawing=row.new_pieces_drawing.fill_null(0),
        **{feature.name: row[feature.name].cast("float64").fill_null(feature.default) for feature in defaults},
    )
    values = {
        feature.name: feature.value(full) if feature.relation == "users" else full[feature.name]
        for feature in CATALOGUE
    }
    typed = {name: value.cast("float64") for name, value in values.items()}
    return full.select("user", "scope", **typed)
