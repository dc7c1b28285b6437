"""Absence: what an ordinary member loses by being away for a while, in points."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.acts import acts as keyed
from features.acts import instant_literal, known
from features.errors import TooSmallError
from features.events import CREATIONS
from features.opening import checked_as_of
from features.relations import PERSONAL
from features.scopes import ALL
from features.table import feature_rows
from features.windows import LOOKBACK_DAYS, within
from training.bundle import Bundle

DAYS = (0, 1, 2, 3, 5, 7, 10, 14, 21, 28)
LATELY = 28


def holiday(
    events: ir.Table,
    bundle: Bundle,
    as_of: datetime | None = None,
    members: int = 100,
    days: Sequence[int] = DAYS,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> dict:
    """Score members as if they had been away for the last days: all of them at once, since they are few among all.

    Parameters
    ----------
    events : from `open_events`
    bundle : the model
    as_of : the instant; None is just after the last event
    members : how many, drawn from those who acted in the last 28 days, and in the year before the longest holiday
    days : lengths of holidays, rising from 0
    seed : of who is drawn
    progress : called with the share that is done

    Returns
    -------
    JSON values: `as_of`, `members`; `days`, a dict for each length: `days`, `lost_median` and `lost_p95`, points lost
    against no holiday; `steepest`, the most that the median falls a day between neighbouring lengths, and
    `steepest_p95`, the 95th percentile over members of each one's own steepest fall

    Raises
    ------
    TooSmallError : fewer such members

    """
    at = checked_as_of(events, as_of)
    away = _drawn(events, at, members, max(days), seed)
    points = {}
    for k, length in enumerate(days):
        rows = feature_rows(keyed(without(events, away, at, length), (ALL,)), at).set_index("user", drop=False)
        points[length] = bundle.predict(rows.loc[away])["score"]
        progress((k + 1) / len(days))
    return {"as_of": at.isoformat(), "members": members, **losses(pd.DataFrame(points))}


def _drawn(events: ir.Table, as_of: datetime, members: int, longest: int, seed: int) -> list[str]:
    acting = known(events.filter(events.actor.notnull()), as_of, LOOKBACK_DAYS)
    lately = acting.filter(within(acting.age, LATELY)).select("actor")
    before = acting.filter(~within(acting.age, longest)).select("actor")
    found = sorted(lately.intersect(before, distinct=True).to_pandas()["actor"])
    if len(found) < members:
        raise TooSmallError(
            f"{len(found)} people acted in the last {LATELY} days and in the year before the last {longest}; "
            f"{members} are asked for. Bring a larger community or ask for fewer members."
        )
    return list(np.random.default_rng(seed).choice(np.array(found, object), members, replace=False))


def without(events: ir.Table, away: Sequence[str], as_of: datetime, days: int) -> ir.Table:
    """Take away what people did in the last days, and what others did about the pieces which they made then.

    Mentions, follows and blocks of them stay, and what is done about older pieces.
    """
    last = known(events, as_of, days)
    own = last.filter(last.actor.isin(away), last.verb.isin(CREATIONS))
    made = own.select(piece=(own.verb == "post").ifelse(own.object, own.result)).to_pandas()["piece"].dropna()
    since = instant_literal(as_of - timedelta(days=days))
    gone = events.actor.isin(away) & (events.time >= since)
    about = events.object.isin([*made.unique(), ""]) & ~events.verb.isin(PERSONAL)
    return events.filter(~gone.fill_null(False), ~about.fill_null(False))


def losses(points: pd.DataFrame) -> dict:
    """Summarise points lost, given a row per member and a column per length of the holiday (days, rising from 0)."""
    lost = points.rsub(points[0], axis=0)
    table = [
        {"days": days, "lost_median": float(each.median()), "lost_p95": float(each.quantile(0.95))}
        for days, each in lost.items()
    ]
    apart = np.diff(lost.columns.to_numpy(float))
    medians = np.diff(lost.median().to_numpy()) / apart
    own = (np.diff(lost.to_numpy(), axis=1) / apart).max(axis=1)
    return {"days": table, "steepest": float(medians.max()), "steepest_p95": float(np.quantile(own, 0.95))}
