"""The feature table: the only way from acts to features, for training, batch scoring and the online path alike."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime
from functools import partial
from itertools import count as count_from
from typing import NamedTuple, TypeVar

import ibis.expr.types as ir
import pandas as pd

from features.aggregates import credibility, materialize, relations
from features.aggregates.windows import (
    DAY,
    LOOKBACK_DAYS,
    RECENT_DAYS,
    WEEK,
    WEEKS,
    count,
    unfinished,
    week_bitmap,
    within,
)
from features.catalogue import CATALOGUE
from features.catalogue.feature import Relation
from features.events.encoding import EncodedEvents, before, cached_users

KEYS = ["user", "scope"]
LATELY_DAYS = 62
LATE_DAYS = 7
STEPS = 30
MORE = ("history", "first_act_age", "first_engaged_age", "new_pieces", "new_pieces_drawing")

Progress = Callable[[float], None]
T = TypeVar("T")


def feature_rows(acts: EncodedEvents, as_of: datetime, progress: Progress = lambda _: None) -> pd.DataFrame:
    """Return the feature table as pandas; parameters, columns and errors as in `feature_table`."""
    with feature_table(acts, as_of, progress) as table:
        return table.to_pandas()


@contextmanager
def feature_table(acts: EncodedEvents, as_of: datetime, progress: Progress = lambda _: None) -> Iterator[ir.Table]:
    """Describe everybody who acted or was engaged with in the 365 days before an instant.

    The heavy passes run on entry, one after the other, into temporary tables that are dropped on exit.

    Parameters
    ----------
    acts : from `open_acts`
    as_of : the instant, UTC; only acts with `time < as_of` are looked at
    progress : called with the share of the passes that is done

    Yields
    ------
    an Ibis table, ordered by user and scope: `user`, `scope` and one float64 column per feature of CATALOGUE; null
    means unknown, zero means looked and found none

    Raises
    ------
    EventsError : two people share a key

    """
    with cached_users(acts) as people:
        starts = _seeds(acts, people) | {
            "people": people,
            "long": before(acts.rows, as_of).select("actor", "verb", "target", "age"),
            "recent": before(acts.rows, as_of, RECENT_DAYS + LATE_DAYS),
        }
        ends = Ends(unfinished(as_of, WEEK), unfinished(as_of, DAY))
        steps = partial(_steps, ends, acts.cached)
        with materialize.materialize(steps, starts, (ends, acts.cached), _counting(progress)) as table:
            yield table.order_by("user", "scope")


def _seeds(acts: EncodedEvents, people: ir.Table) -> dict[str, ir.Table]:
    """Return the seeds that are given, if any, as a table to start from: (user, scope), by key."""
    if not acts.seeds:
        return {}
    return {"named": people.filter(people.user.isin(acts.seeds)).select("scope", user="key")}


def _counting(progress: Progress) -> Callable[[], None]:
    """Tell the share of STEPS each time one more of them is done."""
    done = count_from(1)
    return lambda: progress(min(next(done) / STEPS, 1.0))


@contextmanager
def credited_responses(acts: EncodedEvents, as_of: datetime) -> Iterator[ir.Table]:
    """Weigh those who responded to somebody in the 365 days before an instant.

    Yields
    ------
    (user, other, last_age, weight, ...) as from `credibility.credited`, users and others as keys

    """
    with cached_users(acts) as people:
        long = before(acts.rows, as_of).select("actor", "verb", "target", "age")
        starts = _seeds(acts, people) | {"people": people, "long": long}
        with materialize.materialize(_responses, starts, ("responses", acts.cached), lambda: None) as table:
            yield table


@contextmanager
def _responses(keep: materialize.Materialize, starts: dict[str, ir.Table]) -> Iterator[ir.Table]:
    own = relations.own_events(starts["long"])
    with (
        keep("first", own.group_by("user").agg(first_act_age=own.age.max())) as made,
        keep("histories", credibility.histories(made, starts["people"])) as histories,
        keep("pairs", relations.pairs(relations.engagements(starts["long"]))) as pairs,
        credibility.compute_credibility(pairs, made, starts["people"], histories, starts.get("named"), keep) as (
            _,
            credited,
        ),
    ):
        yield credited


class Ends(NamedTuple):
    """By how many microseconds the present week and day outlast the instant."""

    week: int
    day: int


@contextmanager
def _steps(ends: Ends, kept: bool, keep: materialize.Materialize, starts: dict[str, ir.Table]) -> Iterator[ir.Table]:
    with ExitStack() as stack:
        parts = _Parts(stack, keep)
        with nullcontext(starts["long"]) if kept else keep("acts", starts["long"]) as acts:
            credited = _long(acts, starts, ends, parts)
        with nullcontext(starts["recent"]) if kept else keep("recent_acts", starts["recent"]) as acts:
            _recent(acts, credited, ends, parts)
        yield _joined(parts, starts["people"])


class _Parts:
    """The features of each relation, a row a user, as kept tables."""

    def __init__(self, kept: ExitStack, keep: materialize.Materialize):
        self._kept, self.keep = kept, keep
        self.tables: dict[Relation, ir.Table] = {}

    def enter(self, kept: AbstractContextManager[T]) -> T:
        """Keep something to the end."""
        return self._kept.enter_context(kept)

    def add(self, relation: Relation, table: ir.Table, **more: ir.Value) -> ir.Table:
        """Compute the features over a relation, and whatever else later ones need of it."""
        values = {feature.name: feature.value(table) for feature in CATALOGUE.of_relation(relation)}
        part = table.group_by("user").agg(**values, **more)
        self.tables[relation] = self.enter(self.keep(f"features_over_{relation}", part))
        return self.tables[relation]

    def add_spans(self, relation: Relation, part: ir.Table, spans: int) -> None:
        """Compute the features over the spans that are marked in a part."""
        self.add(relation, relations.spans(part.select("user", "marks"), spans))


def _long(acts: ir.Table, starts: dict[str, ir.Table], ends: Ends, parts: _Parts) -> ir.Table:
    """Add what looks back a year or more; return what the people who engaged weigh."""
    made = relations.own_events(acts)
    ages = {"last_act_age": made.age.min(), "first_act_age": made.age.max()}
    active = parts.add("made", made, marks=week_bitmap(made.age, WEEK, WEEKS, ends.week), **ages)
    parts.add_spans("weeks_active", active, WEEKS)
    histories = parts.enter(parts.keep("histories", credibility.histories(active, starts["people"])))
    parts.tables["histories"] = histories.select("user", "history")
    engagements = relations.engagements(acts)
    with parts.keep("follows", relations.follows(engagements)) as follows:
        parts.add("follows", follows)
        parts.add("followed", relations.reversed_pairs(follows))
    with parts.keep("pairs", relations.pairs(engagements)) as pairs:
        ages = {"last_engaged_age": pairs.last_age.min(), "first_engaged_age": pairs.first_age.max()}
        parts.add("pairs", pairs, **ages)
        with parts.keep("engagers", relations.engagers(pairs)) as engagers:
            parts.add("engagers", engagers)
            parts.add("given", relations.reversed_pairs(engagers))
        flow = credibility.compute_credibility(
            pairs, active, starts["people"], histories, starts.get("named"), parts.keep
        )
        has, credited = parts.enter(flow)
    parts.add("credibility", has)
    parts.add("credited", credited)
    return credited


def _recent(acts: ir.Table, credited: ir.Table, ends: Ends, parts: _Parts) -> None:
    """Add what looks back 90 days, in detail."""
    recent = acts.filter(within(acts.age, RECENT_DAYS))
    received, own = relations.engagements(recent), relations.own_events(recent)
    parts.add("received", received)
    active = parts.add("lately", own, marks=week_bitmap(own.age, DAY, LATELY_DAYS, ends.day))
    with parts.keep("created", relations.created(relations.own_events(acts))) as created:
        parts.add("created", created, new_pieces=count(within(created.created_age, RECENT_DAYS)))
        pieces = relations.pieces(received, created, credited)
        parts.add("pieces", pieces, new_pieces_drawing=pieces.created_age.count())
    parts.add("contents", relations.contents(own))
    parts.add("topics", relations.topics(received))
    parts.add_spans("days_active", active, LATELY_DAYS)


def _joined(parts: _Parts, people: ir.Table) -> ir.Table:
    """Put the parts side by side for everybody seen within 365 days, and give people their names."""
    made, pairs = parts.tables["made"], parts.tables["pairs"]
    acting = made.filter(within(made.last_act_age, LOOKBACK_DAYS)).select("user")
    engaged = pairs.filter(within(pairs.last_engaged_age, LOOKBACK_DAYS)).select("user")
    seen = acting.union(engaged, distinct=True)
    joined = seen.join(people, seen.user == people.key)
    for name, part in parts.tables.items():
        keyed = part.rename({f"user_of_{name}": "user"}).drop(*({"marks"} & set(part.columns)))
        joined = joined.left_join(keyed, seen.user == keyed[f"user_of_{name}"])
    return _filled(
        joined.select("scope", *MORE, *(f.name for f in CATALOGUE if f.relation != "users"), user="user_right")
    )


def _filled(row: ir.Table) -> ir.Table:
    """Fill in what is zero where there was nothing to count, and add what derives from other features."""
    counted = [feature for feature in CATALOGUE if feature.relation != "users" and feature.default is not None]
    full = row.mutate(
        new_pieces_drawing=row.new_pieces_drawing.fill_null(0),
        **{feature.name: row[feature.name].cast("float64").fill_null(feature.default) for feature in counted},
    )
    values = {
        feature.name: feature.value(full) if feature.relation == "users" else full[feature.name]
        for feature in CATALOGUE
    }
    typed = {name: value.cast("float64") for name, value in values.items()}
    return full.select("user", "scope", **typed)
