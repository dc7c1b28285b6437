"""The feature table: the only way from events to features, for training, batch scoring and the online path alike."""

from datetime import datetime, timedelta
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from features import relations
from features.catalogue import CATALOGUE
from features.errors import AsOfError
from features.events import instant, known_at, open_events, span
from features.feature import Relation
from features.windows import within

LOOKBACK_DAYS = 365
KEYS = ["user", "scope"]


def feature_table(events: str | Path | pd.DataFrame | pa.Table | ir.Table, as_of: str | datetime) -> ir.Table:
    """Describe everybody who acted or was engaged with in the 365 days before an instant.

    Parameters
    ----------
    events : an event table in any form that `open_events` takes
    as_of : the instant, UTC; only events with `time < as_of` are looked at

    Returns
    -------
    a lazy Ibis table, ordered by user: `user`, `scope` and one float64 column per feature of CATALOGUE; null means
    unknown, zero means looked and found none

    """
    at = instant(as_of)
    known = known_at(open_events(events), at)
    engagements = relations.engagements(known, at)
    pairs = relations.described(relations.pairs(engagements))
    days = relations.days(known, at)
    parts = [
        _by_user(days, "days", last_act_age=days.last_age.min(), first_act_age=days.first_age.max()),
        _by_user(pairs, "pairs", last_engaged_age=pairs.last_age.min(), first_engaged_age=pairs.first_age.max()),
        _by_user(relations.given(pairs), "given"),
        _by_user(relations.pieces(engagements), "pieces"),
    ]
    return _row(_population(parts[0], parts[1]), parts)


def checked_as_of(events: ir.Table, as_of: datetime | None = None) -> datetime:
    """Hold an instant against the events; without one, take the first whole second after the last event.

    Raises
    ------
    AsOfError : nothing happened before the instant

    """
    first, last = span(events)
    if as_of is None:
        return last.replace(microsecond=0) + timedelta(seconds=1)
    if as_of <= first:
        raise AsOfError(f"as_of {as_of:%Y-%m-%d %H:%M:%S} is not after the first event, {first:%Y-%m-%d %H:%M:%S} UTC.")
    return as_of


def _by_user(table: ir.Table, relation: Relation, **more: ir.Value) -> ir.Table:
    values = {feature.name: feature.value(table) for feature in CATALOGUE.over(relation)}
    return table.group_by("user").agg(**values, **more)


def _population(days: ir.Table, pairs: ir.Table) -> ir.Table:
    acting = days.filter(within(days.last_act_age, LOOKBACK_DAYS)).select("user")
    engaged = pairs.filter(within(pairs.last_engaged_age, LOOKBACK_DAYS)).select("user")
    return acting.union(engaged, distinct=True)


def _row(population: ir.Table, parts: list[ir.Table]) -> ir.Table:
    joined = population
    for part in parts:
        joined = joined.left_join(part, "user").drop("user_right")
    counted = {
        f.name: joined[f.name].cast("float64").fill_null(f.if_none)
        for f in CATALOGUE
        if f.over != "users" and f.if_none is not None
    }
    joined = joined.mutate(**counted)
    joined = joined.mutate(**{feature.name: feature.value(joined) for feature in CATALOGUE.over("users")})
    row = joined.select(
        "user", scope=ibis.literal("all"), **{name: joined[name].cast("float64") for name in CATALOGUE.names}
    )
    return row.order_by("user")
