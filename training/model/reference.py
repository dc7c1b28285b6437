"""The reference: what a community looked like when a model was made from it, in shares of rows per bin."""

from dataclasses import replace

import numpy as np
import pandas as pd

from features.catalogue import SCORED
from training.model.bundle import Bundle

BINS = 10
DIGITS = 6
APART = 1e-9
QUANTILES = {"p5": 0.05, "p50": 0.5, "p95": 0.95}


def with_reference(bundle: Bundle, rows: pd.DataFrame) -> Bundle:
    """Return the bundle with the reference of panel rows, all of one instant and scope, among its facts."""
    held = {"as_of": rows["as_of"].iloc[0].isoformat(), **make_reference(rows, bundle.predict(rows))}
    return replace(bundle, facts={**bundle.facts, "reference": held})


def make_reference(rows: pd.DataFrame, predicted: pd.DataFrame) -> dict:
    """Describe how each feature and the score are spread over rows.

    Parameters
    ----------
    rows : feature rows of one instant, NaN where unknown; at least one
    predicted : what the model says of them, with columns score (0-100) and expected_audience (people)

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
        "features": {name: spread(rows[name].to_numpy(float)) for name in SCORED.names},
    }


def spread(values: np.ndarray) -> dict[str, list[float]]:
    """Cut values into bins and return the bins' inner `edges` and the `shares` of the values in them, unknown last."""
    edges = cut(values)
    return {"edges": edges.tolist(), "shares": np.round(shares(values, edges), DIGITS).tolist()}


def level(points: np.ndarray) -> dict[str, float]:
    """Return the mean and the 5th, 50th and 95th percentile of scores."""
    found = {"mean": points.mean()} | {name: np.quantile(points, share) for name, share in QUANTILES.items()}
    return {name: round(float(value), DIGITS) for name, value in found.items()}


def cut(values: np.ndarray) -> np.ndarray:
    """Return the inner edges, rising and finite, of up to ten bins of the known values, split at their quantiles.

    A value on which two quantiles fall, such as a zero that most people have, gets a bin of its own, which ends just
    above it. Where nothing is known there are no edges.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return np.empty(0)
    at = np.quantile(known, np.arange(1, BINS) / BINS, method="inverted_cdf")
    found, times = np.unique(at[np.isfinite(at)], return_counts=True)
    common = found[times > 1]
    return np.unique(np.concatenate([found, common + APART * np.maximum(np.abs(common), 1.0)]))


def shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the share of values in each bin, shape (edges + 2,), adding up to 1.

    Bins are half-open: below the first edge, from each edge to below the next one, from the last edge on; the last
    entry is the share of the unknown, NaN.

    Parameters
    ----------
    values : shape (rows,), at least one
    edges : inner edges, rising, shape (edges,)

    """
    unknown = np.isnan(values)
    places = np.where(unknown, len(edges) + 1, np.searchsorted(edges, values, side="right"))
    return np.bincount(places, minlength=len(edges) + 2) / len(values)
