"""Reference distributions when a model was trained: of features and scores, and the baseline of explanations."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue import INPUTS
from training.model.baseline import is_active, measure_baselines
from training.model.bundle import Bundle

BINS = 10
DIGITS = 6
RELATIVE_GAP = 1e-9
QUANTILES = {"p5": 0.05, "p50": 0.5, "p95": 0.95}


def with_reference(bundle: Bundle, rows: pd.DataFrame) -> Bundle:
    """Return the bundle with the reference of panel rows, all of one instant and scope, among its facts."""
    reference = {"as_of": rows["as_of"].iloc[0].isoformat(), **make_reference(rows, bundle.predict(rows))}
    return bundle.with_facts({"reference": reference})


def with_baseline(bundle: Bundle, rows: pd.DataFrame) -> Bundle:
    """Return the bundle with its own baseline of explanations, from rows of one instant and scope.

    It is the average of the active users; where nobody was active, of all.
    """
    active = rows[is_active(rows)]
    as_of = rows["as_of"].iloc[0]
    (baseline,) = measure_baselines(bundle, rows if active.empty else active, as_of).values()
    return bundle.with_facts({"baseline": asdict(baseline)})


def make_reference(rows: pd.DataFrame, predicted: pd.DataFrame) -> dict[str, Any]:
    """Describe the distribution of each feature and of the score over rows.

    Parameters
    ----------
    rows : feature rows of one instant, NaN where unknown; at least one
    predicted : the predictions for them, with columns score (0-100) and expected_audience (people)

    Returns
    -------
    JSON values: `users`; `expected_audience`, its mean; `score`, with `edges` and `shares` as in `spread`, its mean and
    quantiles; and `features`, name -> `edges` and `shares`

    """
    points = predicted["score"].to_numpy(float)
    return {
        "users": len(rows),
        "expected_audience": round(float(predicted["expected_audience"].mean()), DIGITS),
        "score": spread(points) | level(points),
        "features": {name: spread(rows[name].to_numpy(float)) for name in INPUTS.names},
    }


def spread(values: np.ndarray) -> dict[str, list[float]]:
    """Bin values: return the bins' inner `edges` and the `shares` of the values in each, unknown last."""
    edges = cut(values)
    return {"edges": edges.tolist(), "shares": np.round(shares(values, edges), DIGITS).tolist()}


def level(points: np.ndarray) -> dict[str, float]:
    """Return the mean and the 5th, 50th and 95th percentile of scores."""
    figures = {"mean": points.mean()} | {name: np.quantile(points, share) for name, share in QUANTILES.items()}
    return {name: round(float(value), DIGITS) for name, value in figures.items()}


def cut(values: np.ndarray) -> np.ndarray:
    """Return the inner edges, rising and finite, of up to ten bins of the known values, split at their quantiles.

    A value at which two quantiles coincide, such as a zero that most users have, gets a bin of its own, which ends just
    above it. Without known values, the edges are empty.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return np.empty(0)
    quantiles = np.quantile(values, np.arange(1, BINS) / BINS, method="inverted_cdf")
    edges, counts = np.unique(quantiles[np.isfinite(quantiles)], return_counts=True)
    common = edges[counts > 1]
    return np.unique(np.concatenate([edges, common + RELATIVE_GAP * np.maximum(np.abs(common), 1.0)]))


def shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the share of values in each bin, shape (edges + 2,), adding up to 1.

    Bins are half-open: below the first edge, from each edge to below the next one, from the last edge on; the last
    entry is the share of unknown values, NaN. `values` has shape (rows,), at least one; the inner `edges` rise.
    """
    unknown = np.isnan(values)
    bins = np.where(unknown, len(edges) + 1, np.searchsorted(edges, values, side="right"))
    return np.bincount(bins, minlength=len(edges) + 2) / len(values)
