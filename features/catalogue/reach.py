"""Reach: how many different people engage with a user."""

from functools import partial

import ibis.expr.types as ir

from features.aggregates.windows import (
    PERIODS,
    count,
    decay,
    in_period,
    in_three_periods,
    ratio,
    sum_fixed_point,
    weighted_period_mean,
    where,
    within,
)
from features.catalogue.feature import Feature

_feature = partial(Feature, family="reach", unit="people", relation="pairs", direction="none")
_follows = partial(_feature, relation="follows")


def _engagers(days: int) -> Feature:
    return _feature(
        f"engagers_{days}d",
        f"distinct other people who engaged with the person in the last {days} days",
        f"{{value}} different people engaged in the last {days} days.",
        lambda pairs: count(_named(pairs) & within(pairs.last_age, days)),
    )


def _decayed(half_life: int) -> Feature:
    return _feature(
        f"engagers_decayed_{half_life}d",
        f"distinct people, each weighing less the longer ago the last engagement was (half after {half_life} days)",
        f"Recent and less recent people together weigh as {{value}} engaging right now (half after {half_life} days).",
        lambda pairs: sum_fixed_point(where(_named(pairs), decay(pairs.last_age, half_life))),
    )


def _named(pairs: ir.Table) -> ir.BooleanValue:
    return pairs.other.notnull()


FEATURES = [
    _feature(
        "pace_28d",
        "distinct people per 28 days, averaged over six periods of 28 days with each older one weighing half",
        "About {value} different people engage per 28 days, recent months weighing more.",
        lambda pairs: weighted_period_mean(lambda k: count(_named(pairs) & in_period(pairs.weeks, k)).cast("float64")),
        unit="people per 28 days",
    ),
    *(_engagers(days) for days in (7, 28, 90, 365)),
    _feature(
        "engagers_ever",
        "distinct other people who ever engaged with the person",
        "{value} different people have ever engaged.",
        lambda pairs: count(_named(pairs)),
    ),
    _decayed(28),
    _feature(
        "new_engagers_28d",
        "distinct people who engaged for the first time in the last 28 days",
        "{value} people engaged for the first time in the last 28 days.",
        lambda pairs: count(_named(pairs) & within(pairs.first_age, 28)),
    ),
    _feature(
        "returning_engagers_28d",
        "distinct people who engaged in the last 28 days and had done so before",
        "{value} people came back to engage again in the last 28 days.",
        lambda pairs: count(_named(pairs) & within(pairs.last_age, 28) & ~within(pairs.first_age, 28)),
    ),
    _feature(
        "steady_engagers_168d",
        "distinct people who engaged in at least three of the last six periods of 28 days",
        "{value} people engaged in at least three of the last six 28-day periods.",
        lambda pairs: count(_named(pairs) & in_three_periods(pairs.weeks)),
    ),
    _feature(
        "periods_drawing_168d",
        "how many of the last six periods of 28 days brought anybody's engagement",
        "Somebody engaged in {value} of the last six 28-day periods.",
        lambda pairs: sum(
            (in_period(pairs.weeks, k).ifelse(1, 0).max() for k in range(1, PERIODS)),
            in_period(pairs.weeks, 0).ifelse(1, 0).max(),
        ),
        unit="periods",
    ),
    _follows(
        "followers",
        "distinct people who follow the person and have not unfollowed since",
        "{value} people follow.",
        lambda follows: count(follows.current),
    ),
    _follows(
        "followers_gained_28d",
        "distinct people who follow the person and did so for the first time in the last 28 days",
        "{value} people began to follow in the last 28 days.",
        lambda follows: count(follows.current & within(follows.first_age, 28)),
    ),
    _follows(
        "followers_lost_28d",
        "distinct people who unfollowed the person in the last 28 days and have not followed again since",
        "{value} people stopped following in the last 28 days.",
        lambda follows: count(~follows.current & within(follows.unfollowed_age, 28)),
    ),
    _feature(
        "followers_per_followed",
        "people who follow the person, per person whom the person follows, both counted from one",
        "{value} people follow per person followed.",
        lambda user: ratio(user.followers + 1, user.people_followed + 1),
        relation="users",
        unit="people per person",
    ),
]
