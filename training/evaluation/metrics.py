"""Ranking metrics of a signal against the realised audience, their bootstrap leads, and rank retention over time."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from training.evaluation.report_types import RankRetention, TopShare

# A signal that ranks users, and the audience that it expects of them, both of shape (users,).
SignalPair: TypeAlias = tuple[np.ndarray, np.ndarray]

FIGURES = {
    "auc": "AUC",
    "ndcg_100": "NDCG@100",
    "r2_log": "R2 (log)",
    "total": "total",
    "coverage": "coverage",
    "coverage_expected_1": "coverage, 1+",
    "interval_score": "interval score",
}
Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
TOP_SHARES = (0.01, 0.05, 0.1, 0.25)


def auc(audience: np.ndarray, signal: np.ndarray, expected: np.ndarray) -> float:  # noqa: ARG001
    """Return the area under the ROC curve for an audience of at least one; 0.5 where all or none have one.

    It is the share of pairs of a user with an audience and one without that the signal orders right, ties half (Hanley
    and McNeil 1982), from the sum of ranks.
    """
    positive = audience > 0
    n = int(positive.sum())
    if n in (0, len(positive)):
        return 0.5
    right = rankdata(signal)[positive].sum() - n * (n + 1) / 2
    return float(right / (n * (len(positive) - n)))


def ndcg_100(audience: np.ndarray, signal: np.ndarray, expected: np.ndarray) -> float:  # noqa: ARG001
    """Return the normalised discounted cumulative gain of the first 100, with the audience as gain.

    Users with equal signals have the mean gain of all their orders (McSherry and Najork 2008).
    """
    if not audience.any():
        return 0.0
    _, group, sizes = np.unique(-signal, return_inverse=True, return_counts=True)
    discounts = 1 / np.log2(np.arange(2, 2 + min(len(audience), 100)))
    ends = np.append(0, np.cumsum(sizes)).clip(max=len(discounts))
    of_groups = np.diff(np.append(0, discounts.cumsum())[ends])
    best = np.sort(audience)[::-1][: len(discounts)] @ discounts
    return float(np.bincount(group, audience) / sizes @ of_groups / best)


def r2_log(audience: np.ndarray, signal: np.ndarray, expected: np.ndarray) -> float:  # noqa: ARG001
    """Return the squared Pearson correlation of `ln(1 + expected)` and `ln(1 + audience)`."""
    if np.ptp(expected) == 0 or np.ptp(audience) == 0:
        return 0.0
    return float(np.corrcoef(np.log1p(expected), np.log1p(audience))[0, 1] ** 2)


METRICS: dict[str, Metric] = {"auc": auc, "ndcg_100": ndcg_100, "r2_log": r2_log}
RANKING = tuple(METRICS)


def ranking(audience: np.ndarray, signal: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Return every ranking metric by name, in the order of RANKING."""
    return {key: metric(audience, signal, expected) for key, metric in METRICS.items()}


def bootstrap_leads(
    metric: str, audience: np.ndarray, ours: SignalPair, theirs: SignalPair, resamples: int, seed: int
) -> np.ndarray:
    """Return our lead over theirs in a metric in each bootstrap sample of users, shape (resamples,)."""
    rng, value = np.random.default_rng(seed), METRICS[metric]
    leads = np.empty(resamples)
    for k in range(resamples):
        sample = rng.integers(0, len(audience), len(audience))
        one, other = (value(audience[sample], *(part[sample] for part in pair)) for pair in (ours, theirs))
        leads[k] = one - other
    return leads


def bootstrap_interval(
    metric: str, audience: np.ndarray, ours: SignalPair, theirs: SignalPair, resamples: int, seed: int
) -> tuple[float, float]:
    """Return the 95 % interval of `bootstrap_leads`."""
    low, high = np.quantile(bootstrap_leads(metric, audience, ours, theirs, resamples, seed), [0.025, 0.975])
    return float(low), float(high)


def rank_retention(earlier: pd.DataFrame, later: pd.DataFrame) -> RankRetention:
    """Measure how many of the highest users of one instant are among the highest of the next.

    The first `share` of n users are those whose score is at least that of the user at rank `ceil(share * n)`, so users
    with equal scores are in or out together. By chance a share `share` of them would remain.

    Parameters
    ----------
    earlier, later : columns user and score, by the same model; a user has at most one row in each

    Returns
    -------
    the users of both instants, how many are in both, the rank correlation over those (None where their scores do not
    differ), and per top share its users at the earlier instant, the share of them who remain in it, and the share who
    have no score any more

    """
    joined = earlier.merge(later, on="user", how="left", suffixes=("_then", "_now"))
    ranks = joined[["score_then", "score_now"]].dropna().rank()
    varied = bool((ranks.max() > ranks.min()).all())
    return RankRetention(
        users=(len(earlier), len(later)),
        both=len(ranks),
        spearman=float(ranks["score_then"].corr(ranks["score_now"])) if varied else None,
        top=tuple(_top_share(share, joined, earlier, later) for share in TOP_SHARES),
    )


def _top_share(share: float, joined: pd.DataFrame, earlier: pd.DataFrame, later: pd.DataFrame) -> TopShare:
    now = joined.loc[joined["score_then"] >= _threshold(share, earlier["score"]), "score_now"]
    retained, departed = (now >= _threshold(share, later["score"])).sum(), now.isna().sum()
    users = max(len(now), 1)
    return TopShare(share, len(now), float(retained / users), float(departed / users))


def _threshold(share: float, score: pd.Series) -> float:
    """Return the lowest score of the first share, NaN where there are no users."""
    return float(score.nlargest(math.ceil(share * len(score))).min())
