"""What attackers know about a community at an instant: its users, their age, their activity and its top content."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.aggregates.windows import DAY, LOOKBACK_DAYS, within
from features.events.encoding import before
from features.events.event_table import CREATIONS, ENGAGEMENTS

RECENT_DAYS, DORMANT_DAYS, OLD_DAYS = 28, 90, 180
TOP_QUANTILE = 0.99


@dataclass(frozen=True)
class AttackContext:
    """What attackers know about a community at an instant.

    Parameters
    ----------
    as_of : the instant; attacks happen just before it
    users : all ids of the last 365 days, without the attackers' own
    dormant : users without an event of their own for 90 days whose first event is more than 180 days old
    active : users that acted in the last 28 days
    established : the half of `active` whose first event is oldest
    top_pieces : (actor, object), what the top 1 % of users by engagers created in the last 28 days
    rng : draws times and victims

    """

    as_of: datetime
    users: np.ndarray
    dormant: np.ndarray
    active: np.ndarray
    established: np.ndarray
    top_pieces: pd.DataFrame
    rng: np.random.Generator

    def draw_times(self, days: float, count: int, users: int = 1) -> pd.DatetimeIndex:
        """Draw `count` instants of the last days for each of `users` users, sorted by time per user."""
        back = np.sort(self.rng.uniform(1.0, days * 86_400, (users, count)))[:, ::-1].ravel()
        return pd.DatetimeIndex(pd.Timestamp(self.as_of) - pd.to_timedelta(back, unit="s").round("us"))

    def draw_victims(self, count: int) -> np.ndarray:
        """Draw distinct users, all of them where fewer exist."""
        return self.rng.choice(self.users, min(count, len(self.users)), replace=False)


def describe_users(events: ir.Table, as_of: datetime) -> pd.DataFrame:
    """Describe all users that acted or were acted on in the 365 days before an instant.

    Returns
    -------
    by user, sorted: `age_days`, days since the first event of or about the user; `silent_days`, days since the user's
    own last event, infinite without one; and `engagers`, how many others engaged with the user in 365 days

    """
    past = before(events, as_of)
    acting, acted_on = (past.filter(past[role].notnull()).select("age", user=role) for role in ("actor", "target"))
    either = acting.union(acted_on)
    spans = either.group_by("user").agg(first=either.age.max(), last=either.age.min())
    engaging = past.filter(past.verb.isin(ENGAGEMENTS), within(past.age, LOOKBACK_DAYS), past.actor != past.target)
    tables = (
        spans.filter(within(spans.last, LOOKBACK_DAYS)),
        acting.group_by("user").agg(last_event=acting.age.min()),
        engaging.group_by(user="target").agg(engagers=engaging.actor.nunique()),
    )
    span, last_event, engagers = (table.to_pandas().set_index("user") for table in tables)
    users = span.join([last_event, engagers]).sort_index()
    days = {"age_days": users["first"] / DAY, "silent_days": (users["last_event"] / DAY).fillna(np.inf)}
    return pd.DataFrame(days | {"engagers": users["engagers"].fillna(0)})


def make_attack_context(
    events: ir.Table, users: pd.DataFrame, as_of: datetime, attackers: Iterable[str], rng: np.random.Generator
) -> AttackContext:
    """Return what attackers know at an instant, given the users from `describe_users`.

    Attackers are excluded: they are not their own victims, not for sale, and do not answer as established users.
    """
    others = users.drop(index=pd.Index(list(attackers), dtype=object), errors="ignore")
    active = others[others["silent_days"] < RECENT_DAYS]
    top = others[others["engagers"] >= others["engagers"].quantile(TOP_QUANTILE)]
    return AttackContext(
        as_of,
        users=_ids(others),
        dormant=_ids(others[(others["silent_days"] > DORMANT_DAYS) & (others["age_days"] > OLD_DAYS)]),
        active=_ids(active),
        established=_ids(active[active["age_days"] >= active["age_days"].median()]),
        top_pieces=_recent_pieces(events, top.index, as_of),
        rng=rng,
    )


def _ids(users: pd.DataFrame) -> np.ndarray:
    return users.index.to_numpy(object)


def _recent_pieces(events: ir.Table, creators: pd.Index, as_of: datetime) -> pd.DataFrame:
    """Return (actor, object) of what these users created in the last 28 days."""
    recent = before(events, as_of, RECENT_DAYS)
    recent = recent.filter(recent.verb.isin(CREATIONS))
    pieces: pd.DataFrame = recent.select("actor", object=ibis.coalesce(recent.result, recent.object)).to_pandas()
    pieces = pieces[pieces["actor"].isin(creators)].dropna(subset="actor")
    return pieces.sort_values(["actor", "object"], ignore_index=True)
