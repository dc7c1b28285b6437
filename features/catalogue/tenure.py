"""Tenure: how long a user has been in the community, and for how long they have been absent.

Thresholds are lower in a young community: absence begins after a tenth of its history, 56 days at most.
"""

from functools import partial
from typing import TypeVar

import ibis
import ibis.expr.types as ir

from features.aggregates.credibility import ESTABLISHED_DAYS, HISTORY_DAYS, scale_to_history
from features.aggregates.windows import DAY, days
from features.catalogue.feature import Feature
from features.catalogue.wording import Row, ago, count_of, value_of

ABSENT_DAYS, PARTS_OF_HISTORY = 56, 10  # a user is absent after a tenth of the community's history, 56 days at most
LEAST_DAYS = 0.5  # that are named, rounded
FREE_POSTS = 1_000  # in 90 days, and as many for each established responder
CLOCKS = ("seniority_days", "tenure_days")  # they rise with time alone

ABSENCE = (
    "days since the user's last event, or since the first engagement with a user who has none, beyond the first "
    f"{ABSENT_DAYS} (in a history shorter than {PARTS_OF_HISTORY * ABSENT_DAYS} days a tenth of it, in whole days)"
)

Number = TypeVar("Number", float, ir.FloatingValue)

_feature = partial(Feature, family="cadence", unit="days", relation="users")


def days_since_first_event(user: ir.Table) -> ir.FloatingValue:
    """Return the days since a user's first event, by or towards them."""
    return days(ibis.greatest(user.first_act_age.fill_null(0), user.first_engaged_age.fill_null(0)))


def free_days(history_days: float) -> float:
    """Return for how many days a user can be inactive before absence begins, in a history of so many days."""
    return float(min(history_days // PARTS_OF_HISTORY, ABSENT_DAYS))


def _free_days(user: ir.Table) -> ir.FloatingValue:
    """Return the `free_days` of a user's scope."""
    whole_days = user.history // (PARTS_OF_HISTORY * DAY)
    return ibis.least(whole_days, ABSENT_DAYS).fill_null(ABSENT_DAYS).cast("float64")


def _seniority(user: ir.Table) -> ir.FloatingValue:
    established = scale_to_history(user.history.fill_null(HISTORY_DAYS * DAY), ESTABLISHED_DAYS) / DAY
    return ibis.greatest(days_since_first_event(user) - established, 0.0)


def _beyond_responses(posts: Number, responders: Number) -> Number:
    """Return how many posts of 90 days are beyond 1,000, and beyond as many for each established responder."""
    return posts - FREE_POSTS * (1 + responders)


def _absence(user: ir.Table) -> ir.FloatingValue:
    since = user.days_since_last_act.fill_null(days(user.first_engaged_age))
    return ibis.greatest(since - _free_days(user), 0.0)


def _described_absence(value: float | None, row: Row) -> str:
    since = value_of(row, "days_since_last_act")
    if value is None:
        return "It is not known when the user was last active."
    if "days_since_last_act" not in row:
        return f"This user has been absent for {count_of(value, 'day')}." if value else "This user is not absent."
    if since is None:
        return _never_active(row)
    if not value:
        return f"This user was last active {ago(since)}."
    allowed = since - value
    falls = f"; after {count_of(allowed, 'day')} away the score begins to fall" if allowed >= LEAST_DAYS else ""
    return f"This user was last active {ago(since)}{falls}."


def _described_presence(value: float | None, row: Row) -> str:
    """Describe the absence, and the posts that count as such."""
    posts, beyond = value_of(row, "created_90d"), unanswered_posts(row)
    if not value or not posts or not beyond:
        return _described_absence(value, row)
    away = _described_absence(max(value - beyond, 0.0), row)
    return (
        f"{away} The user posted {posts:,.0f} times in 90 days with few responses that count, which counts like "
        f"{count_of(beyond, 'day')} of absence."
    )


def unanswered_posts(row: Row) -> float:
    """Return how many posts of 90 days count like days of absence; 0 where the row does not show it."""
    posts, responders = value_of(row, "created_90d"), value_of(row, "credible_engagers_90d")
    return max(_beyond_responses(posts, responders or 0.0), 0.0) if posts else 0.0


def _never_active(row: Row) -> str:
    age_days = value_of(row, "account_age_days")
    since = "" if age_days is None else f"; others first engaged with them {ago(age_days)}"
    return f"This user has never been active{since}."


def _described_tenure(value: float | None, row: Row) -> str:
    return _never_active(row) if value is None else f"This user's first activity was {ago(value)}."


def _described_age(_: float | None, row: Row) -> str:
    age_days = value_of(row, "account_age_days")
    return "It is not known when the user was first seen." if age_days is None else f"First seen {ago(age_days)}."


FEATURES = [
    _feature(
        "days_absent",
        ABSENCE,
        _described_absence,
        _absence,
        direction="down",
        actionable=True,
        title="Days of absence, whatever is posted",
    ),
    _feature(
        "days_of_absence",
        f"{ABSENCE}; plus the posts, replies and quotes of the last 90 days in excess of {FREE_POSTS:,} and of "
        f"{FREE_POSTS:,} more per user who responded in these days, each weighted by credibility",
        _described_presence,
        lambda user: _absence(user) + _beyond_responses(user.created_90d, user.credible_engagers_90d).clip(lower=0.0),
        direction="down",
        actionable=True,
        title="Days of absence",
    ),
    _feature(
        "seniority_days",
        f"days since the first event by or towards the user, beyond the first {ESTABLISHED_DAYS} (fewer, in "
        f"proportion, in a history shorter than {HISTORY_DAYS} days)",
        _described_age,
        _seniority,
        direction="free",
    ),
    _feature(
        "tenure_days",
        "days since the user's first event",
        _described_tenure,
        lambda user: days(user.first_act_age),
        direction="up",
        default=None,
        title="Days since the first event",
    ),
]
