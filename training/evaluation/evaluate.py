"""Evaluation: whether the score foresees whom people engage with, better than anything simple.

The champion in force, and how a challenger does against it on the same users.
"""

import math
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import pandas as pd

from features.errors import CatalogueError
from features.events.encoding import EncodedEvents
from features.events.event_table import time_range
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from training.config import Config
from training.dataset.labels import require_complete_horizon
from training.dataset.panel import in_scope, panel_rows
from training.evaluation.baselines import BASELINES, baselines
from training.evaluation.metrics import METRICS, RANKING, ranking
from training.model.bundle import Bundle, check_catalogue

BAND_EDGES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, np.inf)


def evaluate_bundle(
    acts: EncodedEvents, bundle: Bundle, as_of: datetime | None = None, resamples: int = 200, seed: int = 0
) -> dict:
    """Judge a bundle against the baselines on one horizon, scope `all`; without an instant, on the newest complete one.

    Returns
    -------
    as `evaluate`, with `as_of`, `horizon_days` and `in_sample`: whether the bundle has seen outcomes of this
    horizon, so that its figures prove nothing

    Raises
    ------
    AsOfError : the horizon is not complete, or nothing happened before it

    """
    _, last = time_range(acts.rows)
    horizon = timedelta(days=bundle.horizon_days)
    as_of = resolve_as_of(acts.rows, as_of or resolve_as_of(acts.rows) - horizon)
    require_complete_horizon(last, as_of, bundle.horizon_days)
    rows = in_scope(panel_rows(acts.with_seeds(bundle.seeds), as_of, bundle.horizon_days, bundle.label), ALL)
    signals = baselines(acts, rows, as_of)
    figures = evaluate(rows["audience"].to_numpy(), bundle.predict(rows), signals, resamples, seed)
    in_sample = as_of < datetime.fromisoformat(bundle.facts["as_of"])
    heading = {"as_of": as_of.isoformat(), "horizon_days": bundle.horizon_days, "in_sample": in_sample}
    return heading | figures


def evaluate(audience: np.ndarray, predicted: pd.DataFrame, signals: pd.DataFrame, resamples: int, seed: int) -> dict:
    """Compare the score with every baseline on the same users.

    Parameters
    ----------
    audience : realised audience, people, shape (users,)
    predicted : columns unclipped (points), expected_audience, low, high (people)
    signals : one column per baseline
    resamples, seed : of the bootstrap over users

    Returns
    -------
    `metrics` per signal, `margins` of the score over the best baseline per metric with a 95 % bootstrap interval, and
    `bands` of expected audience

    """
    audience = audience.astype(float)
    inputs = {"score": (predicted["unclipped"].to_numpy(float), predicted["expected_audience"].to_numpy(float))}
    inputs |= {name: (signals[name].to_numpy(float),) * 2 for name in BASELINES}
    table: dict[str, dict] = {name: ranking(audience, *pair) for name, pair in inputs.items()}
    table["score"] |= calibration_figures(audience, predicted)
    margins = {key: _margin(key, table, audience, inputs, resamples, seed) for key in RANKING}
    return {"users": len(audience), "metrics": table, "margins": margins, "bands": bands(audience, predicted)}


def calibration_figures(audience: np.ndarray, predicted: pd.DataFrame) -> dict[str, float | None]:
    """Say how far expected audiences and intervals hold.

    Returns
    -------
    `total`, expected over real audience (1: unbiased; a real one of nobody counts as one person), `coverage`, the
    share of users whose audience lies in [low, high], and `coverage_expected_1`, the same among those of whom at least
    one person is expected (None where nobody is)

    """
    inside = (audience >= predicted["low"].to_numpy()) & (audience <= predicted["high"].to_numpy())
    expected = predicted["expected_audience"].to_numpy(float)
    heard = expected >= 1
    return {
        "total": float(expected.sum()) / max(float(audience.sum()), 1.0),
        "coverage": float(inside.mean()),
        "coverage_expected_1": float(inside[heard].mean()) if heard.any() else None,
    }


def bands(audience: np.ndarray, predicted: pd.DataFrame) -> list[dict]:
    """Describe users by band of expected audience: how many, expected and real mean, coverage and interval width."""
    frame = predicted.assign(audience=audience)
    frame["covered"] = (audience >= frame["low"]) & (audience <= frame["high"])
    frame["width"] = frame["high"] - frame["low"]
    cut = np.digitize(frame["expected_audience"], BAND_EDGES[1:-1])
    grouped = frame.groupby(cut)[["expected_audience", "audience", "covered", "width"]]
    means = grouped.mean().assign(users=grouped.size())
    return [
        {
            "from": BAND_EDGES[int(band)],
            "to": BAND_EDGES[int(band) + 1] if int(band) + 2 < len(BAND_EDGES) else None,
            "users": int(users),
            "expected": expected,
            "audience": real,
            "coverage": covered,
            "width": width,
        }
        for band, expected, real, covered, width, users in means.itertuples()
    ]


def band_name(low: float, high: float | None) -> str:
    """Name a band of expected audience by its edges in people; no upper edge, or an infinite one, is `and more`."""
    return f"{low:g} and more" if high is None or math.isinf(high) else f"{low:g} to {high:g}"


def _margin(metric: str, table: dict, audience: np.ndarray, inputs: dict, resamples: int, seed: int) -> dict:
    """Return the score's lead over the best baseline, with its 95 % bootstrap interval over users."""
    best = max((name for name in table if name != "score"), key=lambda name: table[name][metric])
    drawn = resampled_lead(metric, audience, inputs["score"], inputs[best], resamples, seed)
    low, high = np.quantile(drawn, [0.025, 0.975])
    lead = table["score"][metric] - table[best][metric]
    return {"best_baseline": best, "margin": lead, "low": float(low), "high": float(high)}


def resampled_lead(
    metric: str, audience: np.ndarray, one: tuple, other: tuple, resamples: int, seed: int
) -> np.ndarray:
    """Return the lead of one (signal, expected) over another in each bootstrap sample of users, shape (resamples,)."""
    rng = np.random.default_rng(seed)
    leads = np.empty(resamples)
    for k in range(resamples):
        pick = rng.integers(0, len(audience), len(audience))
        ours, theirs = (
            METRICS[metric](audience[pick], signal[pick], expected[pick]) for signal, expected in (one, other)
        )
        leads[k] = ours - theirs
    return leads


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


def compare_with_champion(
    champion: Champion | None, test: pd.DataFrame, predicted: pd.DataFrame, config: Config
) -> dict:
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
    margins = {metric: _champion_margin(metric, audience, pairs, config) for metric in RANKING}
    return {"version": version, "in_sample": bool(seen), "margins": margins}


def _pair(predicted: pd.DataFrame) -> Pair:
    return predicted["unclipped"].to_numpy(float), predicted["expected_audience"].to_numpy(float)


def _champion_margin(metric: str, audience: np.ndarray, pairs: tuple[Pair, Pair], config: Config) -> dict[str, float]:
    challenger, champion = pairs
    drawn = resampled_lead(metric, audience, challenger, champion, config.evaluation.resamples, config.model.seed)
    low, high = np.quantile(drawn, [0.025, 0.975])
    ours, theirs = (METRICS[metric](audience, *pair) for pair in pairs)
    return {"champion": theirs, "margin": ours - theirs, "low": float(low), "high": float(high)}
