"""Tenure: how long a user has been in the community, and for how long they have been absent.

Both thresholds scale with the length of the community's history, up to 360 days.
"""

from functools import partial

import ibis
import ibis.expr.types as ir

from features.aggregates.credibility import ESTABLISHED_DAYS, HISTORY_DAYS, scale_to_history
from features.aggregates.windows import DAY, days
from features.catalogue.feature import Feature
from features.catalogue.wording import Row, ago, count_of, value_of

ABSENT_DAYS = 56
CLOCKS = ("seniority_days", "tenure_days")  # they rise with time alone

_feature = partial(Feature, family="cadence", unit="days", relation="users")


def days_since_first_event(user: ir.Table) -> ir.FloatingValue:
    """Return the days since a user's first event, by or towards them."""
    return days(ibis.greatest(user.first_act_age.fill_null(0), user.first_engaged_age.fill_null(0)))


def _days_beyond(days: ir.FloatingValue, threshold: int, user: ir.Table) -> ir.FloatingValue:
    """Return by how much days exceed a threshold, which is lower in a history shorter than 360 days."""
    return ibis.greatest(days - scale_to_history(user.history.fill_null(HISTORY_DAYS * DAY), threshold) / DAY, 0.0)


def _described_absence(value: float | None, row: Row) -> str:
    since = value_of(row, "days_since_last_act")
    if value is None:
        return "It is not known when the user was last active."
    if since is None:
        age_days = value_of(row, "account_age_days")
        return "Never active so far." if age_days is None else f"Never active so far; first seen {ago(age_days)}."
    if not value:
        return f"Last active {ago(since)}."
    allowed = count_of(since - value, "day")
    return f"Last active {ago(since)}; after {allowed} away the score begins to fall."


def _described_tenure(value: float | None, _: Row) -> str:
    return "Never active so far." if value is None else f"First active {ago(value)}."


def _described_age(_: float | None, row: Row) -> str:
    age_days = value_of(row, "account_age_days")
    return "It is not known when the user was first seen." if age_days is None else f"First seen {ago(age_days)}."


FEATURES = [
    _feature(
        "days_absent",
        "days since the person's last act, or since being first engaged with where there is none, beyond the first 56 "
        "days, or as large a part of a history shorter than 360",
        _described_absence,
        lambda user: _days_beyond(user.days_since_last_act.fill_null(days(user.first_engaged_age)), ABSENT_DAYS, user),
        direction="down",
        actionable=True,
        title="Days of absence",
    ),
    _feature(
        "seniority_days",
        "days since the person was first seen, acting or engaged with, beyond the first 180, or as large a part of a "
        "history shorter than 360",
        _described_age,
        lambda user: _days_beyond(days_since_first_event(user), ESTABLISHED_DAYS, user),
        direction="free",
    ),
    _feature(
        "tenure_days",
        "days since the person's first act",
        _described_tenure,
        lambda user: days(user.first_act_age),
        direction="up",
        default=None,
        title="Days since the first act",
    ),
]
