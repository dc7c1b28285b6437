"""Friendships: how many points members lose because they exchange responses with friends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.aggregates.credibility import MUTUAL_FULL_DAYS
from features.aggregates.windows import DAY
from features.errors import TooSmallError
from features.events.encoding import before, cached, encode_events
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows
from training.model.bundle import Bundle
from training.robustness.attack_report import low_median

RECENT_DAYS = 28
RESPONSES = ("reply", "repost", "quote", "like", "mention")


@dataclass(frozen=True)
class FriendshipReport:
    """Points that members lose because they respond to their friends.

    Parameters
    ----------
    as_of : the instant
    members : number of members compared
    friends : mean number of friends per member
    lost_median, lost_p95 : points below the score the member would have, had they never responded to their friends
    low, high : the 95 % interval of the median

    """

    as_of: datetime
    members: int
    friends: float
    lost_median: float
    lost_p95: float
    low: float
    high: float


def friendships(
    events: ir.Table, bundle: Bundle, as_of: datetime | None = None, members: int = 30, seed: int = 0
) -> FriendshipReport:
    """Score members as if they had never responded to their friends, and compare with their scores.

    Two friends respond to each other: both first did so 90 days ago or more, and both did so within the last 28 days.
    Each member's responses to friends are redirected to nobody at the same times. Each member is changed and scored
    separately, so that their friends stay as credible as before.

    Parameters
    ----------
    events : from `open_events`
    bundle : the model
    as_of : the instant; None is just after the last event
    members : maximum number of members, sampled from those with a friend
    seed : seed of the sample

    Raises
    ------
    TooSmallError : nobody has a friend

    """
    at = resolve_as_of(events, as_of)
    pairs = _friends(events, at)
    if pairs.empty:
        raise TooSmallError(
            f"no two users respond to each other since {MUTUAL_FULL_DAYS} days before {at:%Y-%m-%d}. Bring a longer "
            "history."
        )
    everybody = np.array(sorted(set(pairs["user"])), object)
    users = list(np.random.default_rng(seed).choice(everybody, min(members, len(everybody)), replace=False))
    pairs = pairs[pairs["user"].isin(users)]
    now = _scores(events, bundle, at)
    one_way_events = (
        (user, _without_responses(events, user, list(own["friend"]))) for user, own in pairs.groupby("user")
    )
    lost = np.array([_scores(one_way, bundle, at)[user] - now[user] for user, one_way in one_way_events])
    return FriendshipReport(
        as_of=at,
        members=len(users),
        friends=len(pairs) / len(users),
        lost_median=float(np.median(lost)),
        lost_p95=float(np.quantile(lost, 0.95)),
        low=low_median(lost),
        high=-low_median(-lost),
    )


def _friends(events: ir.Table, at: datetime) -> pd.DataFrame:
    """Return pairs (user, friend), each in both directions."""
    past = before(events, at)
    responses = past.filter(past.verb.isin(RESPONSES), past.actor.notnull(), past.target.notnull())
    ages = responses.group_by("actor", "target").agg(first=responses.age.max(), last=responses.age.min())
    long = ages.filter(ages.first >= MUTUAL_FULL_DAYS * DAY, ages.last <= RECENT_DAYS * DAY).to_pandas()
    long = long[long["actor"] != long["target"]]
    back = long.rename(columns={"actor": "target", "target": "actor"})[["actor", "target"]]
    both = long.merge(back, on=["actor", "target"])
    return both.rename(columns={"actor": "user", "target": "friend"})[["user", "friend"]]


def _without_responses(events: ir.Table, user: str, friends: Sequence[str]) -> ir.Table:
    """Redirect the user's responses to their friends to nobody."""
    to_friend = (events.actor == user) & events.target.isin(friends) & events.verb.isin(RESPONSES)
    return events.mutate(target=to_friend.ifelse(ibis.null(str), events.target))


def _scores(events: ir.Table, bundle: Bundle, at: datetime) -> pd.Series:
    with cached(encode_events(events, (ALL,)).with_seeds(bundle.seeds)) as encoded:
        rows = feature_rows(encoded, at, features=list(bundle.features))
    return bundle.predict(rows)["score"].set_axis(rows["user"])
