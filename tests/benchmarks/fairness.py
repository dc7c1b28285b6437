"""Fairness: whether users of equal true pull have equal scores, regardless of mutual engagement and account age."""

from datetime import datetime

import ibis.expr.types as ir
import numpy as np
import pandas as pd
from sklearn.isotonic import IsotonicRegression

from features.aggregates.windows import LOOKBACK_DAYS
from features.events.encoding import before, encode_events
from features.events.event_table import ENGAGEMENTS, NEGATIVE
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows
from training.model.bundle import Bundle

MIN_ENGAGERS = 3
MUTUAL = 0.5
NEW, LONG = 90, 180


def equality(
    events: ir.Table, truth: pd.DataFrame, bundle: Bundle, as_of: datetime | None = None, pull: str = "reach"
) -> list[dict]:
    """Compare groups of a simulated community with all others at equal true pull.

    Compared are users present at the instant with three or more engagers in the last 365 days. `friends` are
    users who engage with at least half of their engagers as well; `newcomers` joined within 90 days, `long-standing`
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
    rows = feature_rows(encode_events(events, (ALL,)), at).set_index("user", drop=False)
    present = truth.set_index("user")
    present = present[(present["joined"] < at) & ~(present["left"] < at)]
    people = present.join(bundle.predict(rows)[["score"]], how="inner").join(exchange(events, at), how="inner")
    people = people[people["engagers"] >= MIN_ENGAGERS]
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
    """Return by how many points each group is above the scores of all users of its true pull.

    The score expected at a pull is the isotonic regression of the score on it, over all users.

    Returns
    -------
    a dict per group that has users: `group`, `users`, `pull` and `score` (means), `residual` (mean points), and
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
