"""Stopping: what follows from doing nothing for some days from now on.

Nobody knows what others would do in days to come, so they are taken to be like the days before. Then the person's own
side is exact, from the row alone: the last act lies so many days further back, and what exceeds the allowance is
absence. Of the others' side there are two answers, and each says what it assumes:

- from a row alone, others respond at the same rate as before, though there is nothing new to respond to;
- from the events, others do in the days to come what they did in as many days before the instant, but for what they
  did about the pieces that the person made in these: it would not be there (`absence.without`, by which the cost of
  holidays is measured as well).

Absence: what an ordinary member loses by being away for a while, in points.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.aggregates.credibility import HISTORY_DAYS
from features.aggregates.relations import PERSONAL
from features.aggregates.windows import LOOKBACK_DAYS, within
from features.catalogue.tenure import ABSENT_DAYS
from features.errors import TooSmallError
from features.events.encoding import before, encode_events, instant_literal
from features.events.encoding import encode_events as keyed
from features.events.event_table import CREATIONS
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows
from training.explanation.counterfactuals import Scenario
from training.explanation.feature_constraints import ABSENT, SINCE, WhatIfError
from training.model.bundle import Bundle
from training.model.feature_row import FeatureRow, feature_row

AT_THE_SAME_RATE = (
    "Others are taken to respond as much as before, though there would be nothing new to respond to: only the "
    "absence itself is counted. With the events, what the person's new pieces drew is taken away as well."
)
AS_BEFORE = (
    "Others are taken to do in these days what they did in as many before, but for what they did about the pieces "
    "that the person made in them."
)
FIRST_SEEN = "account_age_days"
SAME = 1e-6


def inactivity_scenario(person: Mapping[str, float], days: int, allowance: float) -> Scenario:
    """Let a person do nothing for some days; the allowance grows with a history that is short.

    Who never acted has been away since first seen, which was by being engaged with.

    Parameters
    ----------
    person : feature -> value, NaN where unknown
    days : how many, 1 to 365
    allowance : as in `PeerValues`

    Raises
    ------
    WhatIfError : the days are out of bounds

    """
    _check_days(days)
    allowed = max(allowance, min(allowance + ABSENT_DAYS * days / HISTORY_DAYS, ABSENT_DAYS))
    since = person[SINCE] if person[SINCE] == person[SINCE] else person[FIRST_SEEN]
    return Scenario({ABSENT: max(since + days - allowed, 0.0)}, {SINCE: person[SINCE] + days})


def drawn_no_more(
    events: ir.Table, user: str, scope: str, as_of: datetime, days: int, person: FeatureRow, seeds: list[str]
) -> dict[str, float]:
    """Return the features that change by what a person's pieces of the last days drew, themselves left out.

    Parameters
    ----------
    events : from `open_events`, those that the row was made of
    user, scope, as_of, person : whose, of what, at which instant, and the features as they are
    days : how many
    seeds : of credibility, none where the rule chooses them

    Raises
    ------
    WhatIfError : the events do not give these features, or nothing would be known of the person

    """
    _check_days(days)

    def described(left: ir.Table) -> pd.DataFrame:
        rows = feature_rows(encode_events(left, (scope,)).with_seeds(seeds), as_of)
        return rows[(rows["user"] == user) & (rows["scope"] == scope)]

    _check_same(described(events), person, user)
    left = described(without(events, [user], as_of, days))
    if left.empty:
        raise WhatIfError(f"without the last {days} days nothing at all is known of {user!r}: there is no such row.")
    after = feature_row(left)
    return {
        name: value
        for name, value in after.items()
        if name not in (ABSENT, SINCE) and not np.isclose(value, person[name], rtol=0, atol=SAME, equal_nan=True)
    }


def _check_days(days: int) -> None:
    if not 1 <= days <= LOOKBACK_DAYS:
        raise WhatIfError(f"stopping for {days} days cannot be answered; expected 1 to {LOOKBACK_DAYS}.")


def _check_same(found: pd.DataFrame, person: FeatureRow, user: str) -> None:
    if not found.empty:
        one, other = feature_row(found), person
        apart = [name for name in one if not np.isclose(one[name], other[name], rtol=SAME, atol=SAME, equal_nan=True)]
    if found.empty or apart:
        why = (
            "do not hold them"
            if found.empty
            else f"give another {apart[0]}: {one[apart[0]]:g}, not {other[apart[0]]:g}"
        )
        raise WhatIfError(
            f"the snapshot of {user!r} was not made of these events: they {why}. Bring the events (and identities) "
            "that it was scored from, or score anew."
        )


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
    at = resolve_as_of(events, as_of)
    away = _drawn(events, at, members, max(days), seed)
    points = {}
    for k, length in enumerate(days):
        rows = feature_rows(keyed(without(events, away, at, length), (ALL,)), at).set_index("user", drop=False)
        points[length] = bundle.predict(rows.loc[away])["score"]
        progress((k + 1) / len(days))
    return {"as_of": at.isoformat(), "members": members, **losses(pd.DataFrame(points))}


def _drawn(events: ir.Table, as_of: datetime, members: int, longest: int, seed: int) -> list[str]:
    acting = before(events.filter(events.actor.notnull()), as_of, LOOKBACK_DAYS)
    lately = acting.filter(within(acting.age, LATELY)).select("actor")
    earlier = acting.filter(~within(acting.age, longest)).select("actor")
    found = sorted(lately.intersect(earlier, distinct=True).to_pandas()["actor"])
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
    last = before(events, as_of, days)
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
