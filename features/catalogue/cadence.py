"""Cadence: what a user does, how regularly and how recently; values decay smoothly with absence."""

from collections.abc import Callable
from functools import partial

import ibis
import ibis.expr.types as ir

from features.aggregates.windows import DAY, WEEK, WEEKS, count, days, decay, ratio, sum_fixed_point, where, within
from features.catalogue.feature import Feature
from features.catalogue.tenure import days_since_first_event

_feature = partial(Feature, family="cadence", relation="own_events", unit="pieces", direction="none", actionable=True)
_lately = partial(_feature, relation="recent_events")
_since = partial(_feature, unit="days", default=None)


def _created(window: int) -> Feature:
    return (_lately if window <= 90 else _feature)(
        f"created_{window}d",
        f"posts, replies and quotes made in the last {window} days",
        f"{{value}} posts, replies and quotes were made in the last {window} days.",
        lambda events: count(events.creation & within(events.age, window)),
    )


def _decayed(half_life: int) -> Feature:
    return _lately(
        f"created_decayed_{half_life}d",
        f"posts, replies and quotes of the last 90 days, each weighing less the older it is (half after {half_life} "
        "days)",
        f"Recent posts, replies and quotes weigh as {{value}} made right now (half after {half_life} days).",
        lambda events: sum_fixed_point(where(events.creation, decay(events.age, half_life))),
    )


def _since_engagement(which: str, age: Callable[[ir.Table], ir.IntegerValue]) -> Feature:
    return _since(
        f"days_since_{which}_engagement",
        f"days since anybody {which} engaged with the person",
        f"Somebody {which} engaged {{value}} days ago.",
        lambda pairs: days(age(pairs)),
        relation="pairs",
        actionable=False,
    )


FEATURES = [
    *(_created(window) for window in (28, 90, 365)),
    *(_decayed(half_life) for half_life in (7, 14)),
    _feature(
        "acts_365d",
        "acts of any kind in the last 365 days",
        "{value} acts of any kind were made in the last 365 days.",
        lambda events: count(within(events.age, 365)),
        unit="acts",
    ),
    _lately(
        "days_active_decayed_14d",
        "calendar days (UTC) with any act among the last 62, each weighing less the older it is (half after 14 days)",
        "Days with any act weigh as {value} recent ones.",
        lambda days: sum_fixed_point(decay(days.span * DAY, 14)),
        relation="days_active",
        unit="days",
    ),
    _feature(
        "weeks_active_52w",
        "calendar weeks (UTC) with any act among the last 52, the present one included",
        "The person was active in {value} of the last 52 weeks.",
        lambda weeks: weeks.count(),
        relation="weeks_active",
        unit="weeks",
    ),
    _feature(
        "weeks_active_decayed_8w",
        "calendar weeks (UTC) with any act among the last 52, each weighing less the older it is (half after 8 weeks)",
        "Weeks with any act weigh as {value} recent ones.",
        lambda weeks: sum_fixed_point(decay(weeks.span * WEEK, 56)),
        relation="weeks_active",
        unit="weeks",
    ),
    _feature(
        "regularity_52w",
        "calendar weeks with any act among the last 52, per week since the first act (52 at most, counted from one)",
        "Since the first act, weeks with any act come at {value} a week.",
        lambda user: ratio(
            user.weeks_active_52w, where(user.first_act_age.notnull(), ibis.least(user.first_act_age / WEEK + 1, WEEKS))
        ),
        relation="users",
        unit="weeks per week",
        default=None,
    ),
    _since(
        "days_since_last_act",
        "days since the person's last act",
        "The last act was {value} days ago.",
        lambda events: days(events.age.min()),
    ),
    _since(
        "days_since_last_piece",
        "days since the person's last post, reply or quote",
        "The last post, reply or quote was {value} days ago.",
        lambda events: days(where(events.creation, events.age).min()),
    ),
    _since_engagement("last", lambda pairs: pairs.last_age.min()),
    _since_engagement("first", lambda pairs: pairs.first_age.max()),
    _since(
        "account_age_days",
        "days since the person was first seen, acting or engaged with",
        "The person was first seen {value} days ago.",
        days_since_first_event,
        relation="users",
        actionable=False,
    ),
]
