"""Cadence: what the person does, how regularly and how recently."""

from functools import partial

import ibis

from features.feature import Feature
from features.relations import created_decayed
from features.windows import DAY, count, total

_feature = partial(Feature, family="cadence", over="days", direction="free", actionable=True)


def _created(days: int) -> Feature:
    return _feature(
        f"created_{days}d",
        f"posts, replies and quotes made in the last {days} days",
        f"{{value}} posts, replies and quotes were made in the last {days} days.",
        lambda table: (table.created * (table.day < days).cast("int64")).sum(),
        unit="pieces",
    )


FEATURES = [
    *(_created(days) for days in (7, 28, 90, 365)),
    _feature(
        "created_decayed_7d",
        "posts, replies and quotes made, each weighing less the older it is (half after 7 days)",
        "Recent posts, replies and quotes weigh as {value} made right now.",
        lambda days: total(created_decayed(days, 7)),
        unit="pieces",
    ),
    _feature(
        "acts_365d",
        "acts of any kind in the last 365 days",
        "{value} acts of any kind were made in the last 365 days.",
        lambda days: (days.acts * (days.day < 365).cast("int64")).sum(),
        unit="acts",
    ),
    _feature(
        "active_days_28d",
        "days with any act among the last 28",
        "The person was active on {value} of the last 28 days.",
        lambda days: count(days.day < 28),
        unit="days",
    ),
    _feature(
        "active_weeks_52w",
        "weeks with any act among the last 52",
        "The person was active in {value} of the last 52 weeks.",
        lambda days: (days.day // 7).nunique(where=days.day < 364),
        unit="weeks",
    ),
    _feature(
        "days_since_last_act",
        "days since the person's last act",
        "The last act was {value} days ago.",
        lambda days: days.last_age.min() / DAY,
        unit="days",
        if_none=None,
    ),
    _feature(
        "days_since_last_engagement",
        "days since anybody last engaged with the person",
        "Somebody last engaged {value} days ago.",
        lambda pairs: pairs.last_age.min() / DAY,
        unit="days",
        if_none=None,
        over="pairs",
        direction="down",
        actionable=False,
    ),
    _feature(
        "account_age_days",
        "days since the person was first seen, acting or engaged with",
        "The person was first seen {value} days ago.",
        lambda user: ibis.greatest(user.first_act_age.fill_null(0), user.first_engaged_age.fill_null(0)) / DAY,
        unit="days",
        over="users",
        actionable=False,
    ),
]
