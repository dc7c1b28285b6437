"""The champion in force, and how a challenger does against it on the same users."""

from datetime import datetime
from typing import TypeAlias

import numpy as np
import pandas as pd

from features.errors import CatalogueError
from training.bundle import Bundle, check_catalogue
from training.config import Config
from training.evaluation import resampled_lead
from training.metrics import METRICS, RANKING

Champion: TypeAlias = tuple[Bundle, str]
Pair: TypeAlias = tuple[np.ndarray, np.ndarray]


def not_comparable(champion: Champion | None, horizon_days: int) -> str | None:
    """Say why a challenger cannot be held against the champion; None where it can."""
    if champion is None:
        return "there is no champion yet"
    bundle, version = champion
    try:
        check_catalogue(bundle)
    except CatalogueError:
        return f"the champion, version {version}, was trained on another catalogue of features and cannot be run here"
    if bundle.horizon_days != horizon_days:
        return f"the champion, version {version}, foretells {bundle.horizon_days} days, the challenger {horizon_days}"
    return None


def contest(champion: Champion | None, test: pd.DataFrame, predicted: pd.DataFrame, config: Config) -> dict:
    """Compare a challenger with the champion on one horizon, the same users for both, by paired bootstrap.

    Parameters
    ----------
    champion : bundle and version, or None
    test : panel rows of one cutoff: features, as_of, audience
    predicted : what the challenger foretells of them, out of time: columns unclipped, expected_audience
    config : `[outcome]`, and the resamples and the seed of the bootstrap

    Returns
    -------
    JSON values: `version`; `in_sample`, whether the champion has seen outcomes of this horizon, which puts it at an
    advantage; `margins`, the challenger's lead in each ranking metric: `champion`, `margin`, and `low` and `high`, its
    95 % interval. Or `not_measured`, the reason

    """
    why = not_comparable(champion, config.outcome.horizon_days)
    if champion is None or why is not None:
        return {"not_measured": why}
    bundle, version = champion
    audience = test["audience"].to_numpy(float)
    pairs = _pair(predicted), _pair(bundle.predict(test))
    seen = pd.Timestamp(datetime.fromisoformat(bundle.facts["as_of"])) > test["as_of"].iloc[0]
    margins = {metric: _margin(metric, audience, pairs, config) for metric in RANKING}
    return {"version": version, "in_sample": bool(seen), "margins": margins}


def _pair(predicted: pd.DataFrame) -> Pair:
    return predicted["unclipped"].to_numpy(float), predicted["expected_audience"].to_numpy(float)


def _margin(metric: str, audience: np.ndarray, pairs: tuple[Pair, Pair], config: Config) -> dict[str, float]:
    challenger, champion = pairs
    drawn = resampled_lead(metric, audience, challenger, champion, config.evaluation.resamples, config.model.seed)
    low, high = np.quantile(drawn, [0.025, 0.975])
    ours, theirs = (METRICS[metric](audience, *pair) for pair in pairs)
    return {"champion": theirs, "margin": ours - theirs, "low": float(low), "high": float(high)}
