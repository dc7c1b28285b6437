"""Holidays: how many points an ordinary member loses by some days of inactivity."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.aggregates.windows import LOOKBACK_DAYS, within
from features.errors import TooSmallError
from features.events.encoding import before, encode_events
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows
from features.progress import Progress, ignore_progress
from training.explanation.inactivity import remove_recent_activity
from training.model.bundle import Bundle

DAYS = (0, 1, 2, 3, 5, 7, 10, 14, 21, 28)
RECENT_DAYS = 28


def holiday(
    events: ir.Table,
    bundle: Bundle,
    as_of: datetime | None = None,
    members: int = 100,
    days: Sequence[int] = DAYS,
    seed: int = 0,
    progress: Progress = ignore_progress,
) -> dict[str, Any]:
    """Score members as if they had been inactive for the last days.

    All members go on holiday at once; they are few among all users.

    Parameters
    ----------
    events : from `open_events`
    bundle : the model
    as_of : the instant; None is just after the last event
    members : number of members, sampled from users with events in the last 28 days and in the year before the longest
        holiday
    days : lengths of holidays, rising from 0
    seed : seed of the sample
    progress : called with the completed share

    Returns
    -------
    JSON values: `as_of`, `members`; `days`, a dict for each length with `days`, `lost_median` and `lost_p95` (points
        lost compared with no holiday); `steepest`, the largest loss per day of the median between neighbouring lengths;
        and `steepest_p95`, the 95th percentile over members of each member's largest loss per day

    Raises
    ------
    TooSmallError : fewer than `members` users qualify

    """
    at = resolve_as_of(events, as_of)
    users = _sample(events, at, members, max(days), seed)
    points = {}
    for k, length in enumerate(days):
        remaining = remove_recent_activity(events, users, at, length)
        rows = feature_rows(encode_events(remaining, (ALL,)), at).set_index("user", drop=False)
        points[length] = bundle.predict(rows.loc[users])["score"]
        progress((k + 1) / len(days))
    return {"as_of": at.isoformat(), "members": members, **losses(pd.DataFrame(points))}


def _sample(events: ir.Table, as_of: datetime, members: int, longest: int, seed: int) -> list[str]:
    active = before(events.filter(events.actor.notnull()), as_of, LOOKBACK_DAYS)
    recent = active.filter(within(active.age, RECENT_DAYS)).select("actor")
    earlier = active.filter(~within(active.age, longest)).select("actor")
    users = sorted(recent.intersect(earlier, distinct=True).to_pandas()["actor"])
    if len(users) < members:
        raise TooSmallError(
            f"{len(users)} users have events in the last {RECENT_DAYS} days and in the year before the last {longest}; "
            f"expected {members} or more. Bring a larger community or choose fewer members."
        )
    return list(np.random.default_rng(seed).choice(np.array(users, object), members, replace=False))


def losses(points: pd.DataFrame) -> dict[str, Any]:
    """Summarise points lost; `points` has a row per member and a column per length (days, rising from 0)."""
    lost = points.rsub(points[0], axis=0)
    table = [
        {"days": days, "lost_median": float(column.median()), "lost_p95": float(column.quantile(0.95))}
        for days, column in lost.items()
    ]
    steps = np.diff(lost.columns.to_numpy(float))
    medians = np.diff(lost.median().to_numpy()) / steps
    own = (np.diff(lost.to_numpy(), axis=1) / steps).max(axis=1)
    return {"days": table, "steepest": float(medians.max()), "steepest_p95": float(np.quantile(own, 0.95))}
