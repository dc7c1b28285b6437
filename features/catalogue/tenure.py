"""Presence: since when somebody has been there, and for how long away.

Both go by how long the community's history is: what takes long in an old one takes a part of a young one.
"""

from functools import partial

import ibis
import ibis.expr.types as ir

from features.aggregates.credibility import ESTABLISHED_DAYS, HISTORY_DAYS, part_of
from features.aggregates.windows import DAY, days
from features.catalogue.feature import Feature

ABSENT_DAYS = 56

_feature = partial(Feature, family="cadence", unit="days", relation="users")


def first_seen(user: ir.Table) -> ir.FloatingValue:
    """Return the days since a person was first seen, acting or engaged with."""
    return days(ibis.greatest(user.first_act_age.fill_null(0), user.first_engaged_age.fill_null(0)))


def _away(user: ir.Table) -> ir.FloatingValue:
    """Count who never acted as away since they were first seen: known to everybody, so no act makes it known."""
    return user.days_since_last_act.fill_null(days(user.first_engaged_age))


def _beyond(days: ir.FloatingValue, allowed: int, user: ir.Table) -> ir.FloatingValue:
    """Return by how much days exceed those that are allowed, fewer in a history shorter than 360."""
    return ibis.greatest(days - part_of(user.history.fill_null(HISTORY_DAYS * DAY), allowed) / DAY, 0.0)


FEATURES = [
    _feature(
        "days_absent",
        "days since the person's last act, or since being first engaged with where there is none, beyond the first 56 "
        "days, or as large a part of a history shorter than 360",
        "The person has been away for {value} days beyond about eight weeks.",
        lambda user: _beyond(_away(user), ABSENT_DAYS, user),
        direction="down",
        actionable=True,
    ),
    _feature(
        "seniority_days",
        "days since the person was first seen, acting or engaged with, beyond the first 180, or as large a part of a "
        "history shorter than 360",
        "Of the days since the person was first seen, {value} lie before about the last half year.",
        lambda user: _beyond(first_seen(user), ESTABLISHED_DAYS, user),
        direction="free",
    ),
]
