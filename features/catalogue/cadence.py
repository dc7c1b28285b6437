"""Cadence: what a user does, how regularly and how recently; values decay smoothly with absence."""

from collections.abc import Callable
from functools import partial

import ibis
import ibis.expr.types as ir

from features.aggregates.windows import DAY, WEEK, WEEKS, count, days, decay, ratio, sum_fixed_point, where, within
from features.catalogue.feature import Feature
from features.catalogue.tenure import days_since_first_event
from features.catalogue.wording import counted, happened, number, since

_feature = partial(Feature, family="cadence", relation="own_events", unit="pieces", direction="none", actionable=True)
_lately = partial(_feature, relation="recent_events")
_since = partial(_feature, unit="days", default=None)


def _created(window: int) -> Feature:
    return (_lately if window <= 90 else _feature)(
        f"created_{window}d",
        f"posts, replies and quotes in the last {window} days",
        happened(
            f"The user posted {{times}} in the last {window} days, replies and quotes included.",
            f"No post, reply or quote in the last {window} days.",
        ),
        lambda events: count(events.creation & within(events.age, window)),
    )


def _decayed(half_life: int) -> Feature:
    return _lately(
        f"created_decayed_{half_life}d",
        f"posts, replies and quotes of the last 90 days, with weights that halve every {half_life} days",
        counted(
            f"Posts of the last 90 days, the older the less, count as {{count}} today (half after {half_life} days).",
            "post",
            none="No post, reply or quote in the last 90 days.",
        ),
        lambda events: sum_fixed_point(where(events.creation, decay(events.age, half_life))),
    )


def _since_engagement(which: str, age: Callable[[ir.Table], ir.IntegerValue]) -> Feature:
    return _since(
        f"days_since_{which}_engagement",
        f"days since anybody {which} engaged with the user",
        since(f"Somebody {which} engaged {{ago}}.", "Nobody who is known ever engaged."),
        lambda pairs: days(age(pairs)),
        relation="pairs",
        actionable=False,
    )


FEATURES = [
    *(_created(window) for window in (28, 90, 365)),
    *(_decayed(half_life) for half_life in (7, 14)),
    _feature(
        "acts_365d",
        "events by the user in the last 365 days",
        happened("The user was active {times} in the last 365 days.", "Not active in the last 365 days."),
        lambda events: count(within(events.age, 365)),
        unit="acts",
    ),
    _lately(
        "days_active_decayed_14d",
        "calendar days (UTC) of the last 62 with an event by the user, with weights that halve every 14 days",
        counted(
            "The days on which the user was active, the older the less, count as {count} today (half after 14 days).",
            "day",
            none="Not active in the last two months.",
        ),
        lambda days: sum_fixed_point(decay(days.span * DAY, 14)),
        relation="days_active",
        unit="days",
    ),
    _feature(
        "weeks_active_52w",
        "calendar weeks (UTC) of the last 52, the present one included, with an event by the user",
        lambda value, _: f"Active in {value or 0:.0f} of the last 52 weeks.",
        lambda weeks: weeks.count(),
        relation="weeks_active",
        unit="weeks",
    ),
    _feature(
        "weeks_active_decayed_8w",
        "calendar weeks (UTC) of the last 52 with an event by the user, with weights that halve every 8 weeks",
        counted(
            "The weeks in which the user was active, the older the less, count as {count} today (half after 8 weeks).",
            "week",
            none="Not active in the last year.",
        ),
        lambda weeks: sum_fixed_point(decay(weeks.span * WEEK, 56)),
        relation="weeks_active",
        unit="weeks",
    ),
    _feature(
        "regularity_52w",
        "calendar weeks of the last 52 with an event by the user, per week since the first one (at most 52)",
        number("Active weeks per week since the first activity, at most a year ago: {value}.", "Never active so far."),
        lambda user: ratio(
            user.weeks_active_52w, where(user.first_act_age.notnull(), ibis.least(user.first_act_age / WEEK + 1, WEEKS))
        ),
        relation="users",
        unit="weeks per week",
        default=None,
    ),
    _since(
        "days_since_last_act",
        "days since the user's last event of any kind",
        since("Last active {ago}.", "Never active so far."),
        lambda events: days(events.age.min()),
    ),
    _since(
        "days_since_last_piece",
        "days since the user's last post, reply or quote",
        since("The last post, reply or quote was {ago}.", "No post, reply or quote so far."),
        lambda events: days(where(events.creation, events.age).min()),
    ),
    _since_engagement("last", lambda pairs: pairs.last_age.min()),
    _since_engagement("first", lambda pairs: pairs.first_age.max()),
    _since(
        "account_age_days",
        "days since the first event by or towards the user",
        since("First seen {ago}.", "It is not known when the user was first seen."),
        days_since_first_event,
        relation="users",
        actionable=False,
    ),
]
