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
from features.catalogue.wording import NOT_KNOWN, Sentence, counted, number

_feature = partial(Feature, family="reach", unit="people", relation="pairs", direction="none")
_follows = partial(_feature, relation="follows")


def _people(text: str) -> Sentence:
    return counted(f"{{count}} {text}.", "person", "people", f"No known user {text}.")


def _engagers(days: int) -> Feature:
    return _feature(
        f"engagers_{days}d",
        f"distinct users who engaged with the user in the last {days} days",
        _people(f"engaged in the last {days} days"),
        lambda pairs: count(_named(pairs) & within(pairs.last_age, days)),
    )


def _decayed(half_life: int) -> Feature:
    return _feature(
        f"engagers_decayed_{half_life}d",
        f"distinct users who engaged, with weights that halve every {half_life} days since their last engagement",
        counted(
            f"Those who engaged, the longer ago the less, count as {{count}} today (half after {half_life} days).",
            "person",
            "people",
            "No known user ever engaged.",
        ),
        lambda pairs: sum_fixed_point(where(_named(pairs), decay(pairs.last_age, half_life))),
    )


def _named(pairs: ir.Table) -> ir.BooleanValue:
    return pairs.other.notnull()


FEATURES = [
    _feature(
        "pace_28d",
        "distinct users who engaged per 28 days, averaged over the last six periods of 28 days with weights that halve "
        "from each period to the one before",
        counted(
            "About {count} engaged per 28 days, on average over half a year in which recent months count more.",
            "person",
            "people",
            "No known user engaged in the last six periods of 28 days.",
        ),
        lambda pairs: weighted_period_mean(lambda k: count(_named(pairs) & in_period(pairs.weeks, k)).cast("float64")),
        unit="people per 28 days",
    ),
    *(_engagers(days) for days in (7, 28, 90, 365)),
    _feature(
        "engagers_ever",
        "distinct users who ever engaged with the user",
        _people("ever engaged"),
        lambda pairs: count(_named(pairs)),
    ),
    _decayed(28),
    _feature(
        "new_engagers_28d",
        "distinct users who engaged for the first time in the last 28 days",
        _people("engaged for the first time in the last 28 days"),
        lambda pairs: count(_named(pairs) & within(pairs.first_age, 28)),
    ),
    _feature(
        "returning_engagers_28d",
        "distinct users who engaged in the last 28 days and before",
        _people("came back to engage again in the last 28 days"),
        lambda pairs: count(_named(pairs) & within(pairs.last_age, 28) & ~within(pairs.first_age, 28)),
    ),
    _feature(
        "steady_engagers_168d",
        "distinct users who engaged in at least three of the last six periods of 28 days",
        _people("engaged in three or more of the last six periods of 28 days"),
        lambda pairs: count(_named(pairs) & in_three_periods(pairs.weeks)),
    ),
    _feature(
        "periods_drawing_168d",
        "how many of the last six periods of 28 days have an engagement, anonymous ones included",
        lambda value, _: f"Somebody engaged in {value or 0:.0f} of the last six periods of 28 days.",
        lambda pairs: sum(
            (in_period(pairs.weeks, k).ifelse(1, 0).max() for k in range(1, PERIODS)),
            in_period(pairs.weeks, 0).ifelse(1, 0).max(),
        ),
        unit="periods",
    ),
    _follows(
        "followers",
        "users who follow the user",
        counted("Followed by {count}.", "person", "people", "Followed by nobody."),
        lambda follows: count(follows.current),
    ),
    _follows(
        "followers_gained_28d",
        "users who follow the user and first did so in the last 28 days",
        _people("began to follow in the last 28 days"),
        lambda follows: count(follows.current & within(follows.first_age, 28)),
    ),
    _follows(
        "followers_lost_28d",
        "users who stopped following the user in the last 28 days",
        _people("stopped following in the last 28 days"),
        lambda follows: count(~follows.current & within(follows.unfollowed_age, 28)),
    ),
    _feature(
        "followers_per_followed",
        "(users who follow the user + 1) / (users whom the user follows + 1)",
        number("Followers per person followed: {value}, with one added to both.", NOT_KNOWN),
        lambda user: ratio(user.followers + 1, user.people_followed + 1),
        relation="users",
        unit="people per person",
    ),
]
