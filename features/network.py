"""Network: who the engagers are, and whether the engagement is one-way."""

from functools import partial

import ibis.expr.types as ir

from features.feature import Feature
from features.windows import BILLION, count, ratio, within

_feature = partial(Feature, family="network", over="pairs", direction="free", if_none=None)


def _recent(pairs: ir.Table) -> ir.BooleanValue:
    return pairs.other.notnull() & within(pairs.last_age, 365)


def _prominence(pairs: ir.Table) -> ir.Value:
    known = _recent(pairs).cast("int64")
    return ratio((pairs.prominence * known).sum(), known.sum()) / BILLION


def _concentration(pairs: ir.Table) -> ir.Value:
    acts = (pairs.acts_365d * _recent(pairs).cast("int64")).cast("float64")
    return ratio((acts * acts).sum(), acts.sum() * acts.sum())


FEATURES = [
    _feature(
        "engager_prominence_365d",
        "average of ln(1 + engagers) over the people who engaged in the last 365 days",
        "The people who engage are themselves engaged with (average prominence {value}).",
        _prominence,
        unit="nats",
        direction="up",
    ),
    _feature(
        "mutual_share_365d",
        "share of the last 365 days' engagers with whom the person engages as well",
        "{value} of the people who engage are engaged with in return.",
        lambda pairs: ratio(count(_recent(pairs) & pairs.mutual), count(_recent(pairs))),
        unit="share",
    ),
    _feature(
        "concentration_365d",
        "Herfindahl index of the last 365 days' engagements over the known people who made them (1: all by one person)",
        "Engagement is spread over people with a concentration of {value}, where 100% would be one person alone.",
        _concentration,
        unit="share",
    ),
    _feature(
        "people_engaged_90d",
        "distinct other people with whom the person engaged in the last 90 days",
        "The person engaged with {value} different people in the last 90 days.",
        lambda given: count(within(given.last_age, 90)),
        unit="people",
        over="given",
        actionable=True,
        if_none=0.0,
    ),
]
