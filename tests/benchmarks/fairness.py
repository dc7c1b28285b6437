"""Fairness: do users of equal true pull have equal scores, regardless of mutual engagement and account age?"""

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
    """Compare the scores of groups in a simulated community with those of all users of equal true pull.

    Only users present at as_of with three or more engagers in the last 365 days count. `friends` engage with at least
    half of their own engagers; `others` do not; `newcomers` joined at most 90 days ago, `long-standing` users more than
    180 days ago.

    Parameters
    ----------
    events : from `open_events`
    truth : the ground truth of the simulation, one row per user
    bundle : the model
    as_of : the instant; None is just after the last event
    pull : the column of `truth` with the true pull; `reach` counts people, like the expected audience

    Returns
    -------
    the return value of `residuals`

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
    """Count each user's approving engagers of 365 days (`engagers`), and those they engage with too (`mutual`)."""
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
    """Return how many points each group scores above what users of the same true pull score on average.

    The average score at a pull is the isotonic regression of score on pull over all users.

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
