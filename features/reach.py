"""Reach: how many different people engage with somebody."""

from functools import partial

import ibis.expr.types as ir

from features.feature import Feature
from features.relations import PERIODS
from features.windows import count, decay, total, within

_feature = partial(Feature, family="reach", unit="people", over="pairs", direction="up")


def _engagers(days: int) -> Feature:
    return _feature(
        f"engagers_{days}d",
        f"distinct other people who engaged with the person in the last {days} days",
        f"{{value}} different people engaged in the last {days} days.",
        lambda pairs: count(_known(pairs) & within(pairs.last_age, days)),
    )


def _known(pairs: ir.Table) -> ir.BooleanValue:
    return pairs.other.notnull()


def _pace(pairs: ir.Table) -> ir.Value:
    """Average distinct people per 28-day period, each older period weighing half of the next."""
    weights = [2.0**-k for k in range(PERIODS)]
    sums = [count(_known(pairs) & pairs[f"in_period_{k}"]) * weight for k, weight in enumerate(weights)]
    return sum(sums[1:], sums[0]) / sum(weights)


def _followers(pairs: ir.Table) -> ir.Value:
    still = pairs.unfollowed_age.isnull() | (pairs.followed_age < pairs.unfollowed_age)
    return count(_known(pairs) & pairs.followed_age.notnull() & still)


FEATURES = [
    _feature(
        "pace_28d",
        "distinct people per 28 days, averaged over six periods of 28 days with each older one weighing half",
        "About {value} different people engage per 28 days, recent months weighing more.",
        _pace,
        unit="people per 28 days",
    ),
    *(_engagers(days) for days in (7, 28, 90, 365)),
    _feature(
        "engagers_ever",
        "distinct other people who ever engaged with the person",
        "{value} different people have ever engaged.",
        lambda pairs: count(_known(pairs)),
    ),
    _feature(
        "engagers_decayed_28d",
        "distinct people, each weighing less the longer ago the last engagement was (half after 28 days)",
        "Recent and less recent people together weigh as {value} engaging right now.",
        lambda pairs: total(decay(pairs.last_age / 86_400, 28) * _known(pairs).cast("int64")),
    ),
    _feature(
        "new_engagers_28d",
        "distinct people who engaged for the first time in the last 28 days",
        "{value} people engaged for the first time in the last 28 days.",
        lambda pairs: count(_known(pairs) & within(pairs.first_age, 28)),
    ),
    _feature(
        "returning_engagers_28d",
        "distinct people who engaged in the last 28 days and had done so before",
        "{value} people came back to engage again in the last 28 days.",
        lambda pairs: count(_known(pairs) & within(pairs.last_age, 28) & ~within(pairs.first_age, 28)),
    ),
    _feature(
        "periods_drawing_168d",
        "how many of the last six periods of 28 days brought anybody's engagement",
        "Somebody engaged in {value} of the last six 28-day periods.",
        lambda pairs: sum(
            (pairs[f"in_period_{k}"].cast("int64").max().fill_null(0) for k in range(1, PERIODS)),
            pairs.in_period_0.cast("int64").max().fill_null(0),
        ),
        unit="periods",
    ),
    _feature(
        "followers",
        "distinct people who follow the person and have not unfollowed since",
        "{value} people follow.",
        _followers,
    ),
]
