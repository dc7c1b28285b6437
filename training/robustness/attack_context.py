"""The scene of attacks: who is there at an instant, how long known, how long silent and how widely heard."""

from collections.abc import Iterable
from datetime import datetime

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.aggregates.windows import DAY, LOOKBACK_DAYS, within
from features.events.encoding import before
from features.events.event_table import CREATIONS, ENGAGEMENTS
from training.robustness.attacks import AttackContext

LATELY, SILENT, OLD = 28, 90, 180
STARS = 0.99


def seen(events: ir.Table, as_of: datetime) -> pd.DataFrame:
    """Describe everybody who acted or was acted on in the 365 days before an instant.

    Returns
    -------
    by user, in order: `age`, days since first seen; `silent`, days since the last act, infinite without one; and
    `engagers`, how many others engaged with the user in 365 days

    """
    past = before(events, as_of)
    acting, acted_on = (past.filter(past[role].notnull()).select("age", user=role) for role in ("actor", "target"))
    either = acting.union(acted_on)
    there = either.group_by("user").agg(first=either.age.max(), last=either.age.min())
    engaging = past.filter(past.verb.isin(ENGAGEMENTS), within(past.age, LOOKBACK_DAYS), past.actor != past.target)
    parts = (
        there.filter(within(there.last, LOOKBACK_DAYS)),
        acting.group_by("user").agg(last_act=acting.age.min()),
        engaging.group_by(user="target").agg(engagers=engaging.actor.nunique()),
    )
    people, made, heard = (part.to_pandas().set_index("user") for part in parts)
    told = people.join([made, heard]).sort_index()
    days = {"age": told["first"] / DAY, "silent": (told["last_act"] / DAY).fillna(np.inf)}
    return pd.DataFrame(days | {"engagers": told["engagers"].fillna(0)})


def make_attack_context(
    events: ir.Table, people: pd.DataFrame, as_of: datetime, attackers: Iterable[str], rng: np.random.Generator
) -> AttackContext:
    """Lay out what attackers know at an instant, given everybody who was `seen` by then.

    Attackers are neither their own victims nor for sale, nor do they answer each other as established users.
    """
    others = people.drop(index=pd.Index(list(attackers), dtype=object), errors="ignore")
    lately = others[others["silent"] < LATELY]
    return AttackContext(
        as_of,
        users=_names(others),
        dormant=_names(others[(others["silent"] > SILENT) & (others["age"] > OLD)]),
        present=_names(lately),
        established=_names(lately[lately["age"] >= lately["age"].median()]),
        pieces=_pieces(events, others.index[others["engagers"] >= others["engagers"].quantile(STARS)], as_of),
        rng=rng,
    )


def _names(people: pd.DataFrame) -> np.ndarray:
    return people.index.to_numpy(object)


def _pieces(events: ir.Table, makers: pd.Index, as_of: datetime) -> pd.DataFrame:
    """Return (actor, object) of what these people made in the last 28 days."""
    lately = before(events, as_of, LATELY)
    lately = lately.filter(lately.verb.isin(CREATIONS))
    made = lately.select("actor", object=ibis.coalesce(lately.result, lately.object)).to_pandas()
    return made[made["actor"].isin(makers)].dropna(subset="actor").sort_values(["actor", "object"], ignore_index=True)
