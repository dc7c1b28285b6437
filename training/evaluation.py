"""Evaluation: does the score foresee whom people engage with, better than anything simple?"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import ndcg_score, roc_auc_score

RANKING = ("auc", "ndcg_100", "r2_log")
BAND_EDGES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, np.inf)


def auc(audience: np.ndarray, signal: np.ndarray, expected: np.ndarray) -> float:  # noqa: ARG001
    """Return the area under the ROC curve for an audience of at least one; 0.5 where all or nobody has one."""
    heard = audience > 0
    return 0.5 if heard.all() or not heard.any() else float(roc_auc_score(heard, signal))


def ndcg_100(audience: np.ndarray, signal: np.ndarray, expected: np.ndarray) -> float:  # noqa: ARG001
    """Return the normalised discounted cumulative gain of the first 100, with the audience as gain."""
    return float(ndcg_score([audience], [signal], k=100)) if audience.any() else 0.0


def r2_log(audience: np.ndarray, signal: np.ndarray, expected: np.ndarray) -> float:  # noqa: ARG001
    """Return the squared Pearson correlation of `ln(1 + expected)` and `ln(1 + audience)`."""
    if np.ptp(expected) == 0 or np.ptp(audience) == 0:
        return 0.0
    return float(np.corrcoef(np.log1p(expected), np.log1p(audience))[0, 1] ** 2)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "auc": auc,
    "ndcg_100": ndcg_100,
    "r2_log": r2_log,
}


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
    inputs |= {name: (signals[name].to_numpy(float),) * 2 for name in signals}
    table = {name: {key: METRICS[key](audience, *pair) for key in RANKING} for name, pair in inputs.items()}
    table["score"] |= calibration_figures(audience, predicted)
    margins = {key: _margin(key, table, audience, inputs, resamples, seed) for key in RANKING}
    return {"users": len(audience), "metrics": table, "margins": margins, "bands": bands(audience, predicted)}


def calibration_figures(audience: np.ndarray, predicted: pd.DataFrame) -> dict[str, float]:
    """Return `total`, expected over real audience (1: unbiased), and `coverage`, the share inside [low, high]."""
    inside = (audience >= predicted["low"].to_numpy()) & (audience <= predicted["high"].to_numpy())
    expected = float(predicted["expected_audience"].sum())
    return {"total": expected / max(float(audience.sum()), 1.0), "coverage": float(inside.mean())}


def bands(audience: np.ndarray, predicted: pd.DataFrame) -> list[dict]:
    """Describe users by band of expected audience: how many, expected and real mean, coverage and interval width."""
    frame = predicted.assign(audience=audience)
    frame["covered"] = (audience >= frame["low"]) & (audience <= frame["high"])
    frame["width"] = frame["high"] - frame["low"]
    cut = pd.cut(frame["expected_audience"], BAND_EDGES, right=False)
    grouped = frame.groupby(cut, observed=True)[["expected_audience", "audience", "covered", "width"]]
    means = grouped.mean().assign(users=grouped.size())
    return [
        {
            "from": float(band.left),
            "to": None if np.isinf(band.right) else float(band.right),
            "users": int(row["users"]),
            "expected": float(row["expected_audience"]),
            "audience": float(row["audience"]),
            "coverage": float(row["covered"]),
            "width": float(row["width"]),
        }
        for band, row in means.iterrows()
    ]


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
