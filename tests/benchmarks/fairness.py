"""Equality: whether people of equal true pull are scored alike, whatever company they keep and however new they are."""

from datetime import datetime

import ibis.expr.types as ir
import numpy as np
import pandas as pd
from sklearn.isotonic import IsotonicRegression

from features.aggregates.windows import LOOKBACK_DAYS
from features.events.encoding import before
from features.events.encoding import encode_events as keyed
from features.events.event_table import ENGAGEMENTS, NEGATIVE
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows
from training.model.bundle import Bundle

HEARD = 3
MUTUAL = 0.5
NEW, LONG = 90, 180


def equality(
    events: ir.Table, truth: pd.DataFrame, bundle: Bundle, as_of: datetime | None = None, pull: str = "reach"
) -> list[dict]:
    """Compare groups of a simulated community with all others at equal true pull.

    Those compared are there at the instant and were engaged with by three people in the last 365 days. `friends` are
    those who engage with at least half of their engagers as well; `newcomers` joined within 90 days, `long-standing`
    people more than 180 days before.

    Parameters
    ----------
    events : from `open_events`
    truth : of the simulation, a row per user
    bundle : the model
    as_of : the instant; None is just after the last event
    pull : the column of `truth` that is the true pull; `reach` is in people, as the expected audience is

    Returns
    -------
    as `residuals`

    """
    at = resolve_as_of(events, as_of)
    rows = feature_rows(keyed(events, (ALL,)), at).set_index("user", drop=False)
    there = truth.set_index("user")
    there = there[(there["joined"] < at) & ~(there["left"] < at)]
    people = there.join(bundle.predict(rows)[["score"]], how="inner").join(exchange(events, at), how="inner")
    people = people[people["engagers"] >= HEARD]
    days = (pd.Timestamp(at) - people["joined"]).dt.days
    friends = people["mutual"] >= MUTUAL * people["engagers"]
    groups = {"friends": friends, "others": ~friends, "newcomers": days <= NEW, "long-standing": days > LONG}
    return residuals(people["score"], people[pull], groups)


def exchange(events: ir.Table, as_of: datetime) -> pd.DataFrame:
    """Count, by user, distinct approving `engagers` of the last 365 days and those engaged with as well, `mutual`."""
    verbs = [verb for verb in ENGAGEMENTS if verb not in NEGATIVE]
    year = before(events, as_of, LOOKBACK_DAYS)
    named = year.filter(year.verb.isin(verbs), year.actor != year.target)
    pairs = named.select("actor", "target").distinct().to_pandas()
    back = pd.MultiIndex.from_frame(pairs[["target", "actor"]])
    pairs["mutual"] = pd.MultiIndex.from_frame(pairs[["actor", "target"]]).isin(back)
    return pairs.groupby("target").agg(engagers=("actor", "size"), mutual=("mutual", "sum")).rename_axis("user")


def residuals(
    score: pd.Series, pull: pd.Series, groups: dict[str, pd.Series], resamples: int = 1_000, seed: int = 0
) -> list[dict]:
    """Say by how many points each group stands above what people of its true pull have.

    What people of a pull have is the isotonic regression of the score on it, over all.

    Returns
    -------
    a dict per group that holds anybody: `group`, `users`, `pull` and `score` (means), `residual` (mean points), and
    `low` and `high`, its 95 % bootstrap interval over users

    """
    fitted = IsotonicRegression(out_of_bounds="clip").fit_transform(pull.to_numpy(float), score.to_numpy(float))
    people = pd.DataFrame({"pull": pull, "score": score, "residual": score - fitted})
    rng = np.random.default_rng(seed)
    members = {name: people[inside.to_numpy()] for name, inside in groups.items() if inside.any()}
    return [
        {"group": name, "users": len(those), **those.mean().to_dict(), **_interval(those["residual"], resamples, rng)}
        for name, those in members.items()
    ]


def _interval(values: pd.Series, resamples: int, rng: np.random.Generator) -> dict[str, float]:
    means = rng.choice(values.to_numpy(), (resamples, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}
