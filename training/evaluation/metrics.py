"""How well a signal foresees the audience: ranking metrics and calibration figures.

Retention of rank: whether those on top one month are still there the next.
"""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import ndcg_score, roc_auc_score

RANKING = ("auc", "ndcg_100", "r2_log")
FIGURES = {
    "auc": "AUC",
    "ndcg_100": "NDCG@100",
    "r2_log": "R2 (log)",
    "total": "total",
    "coverage": "coverage",
    "coverage_expected_1": "coverage, 1+",
}


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


def ranking(audience: np.ndarray, signal: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Return every ranking metric by name, in the order of RANKING."""
    return {key: METRICS[key](audience, signal, expected) for key in RANKING}


TOP_SHARES = (0.01, 0.05, 0.1, 0.25)


def rank_retention(earlier: pd.DataFrame, later: pd.DataFrame) -> dict:
    """Tell how many of the highest of one instant are among the highest of the next.

    The first `share` of n users are those whose score is not below that of the user at place `ceil(share * n)`, so
    that users with equal scores are in or out together. Chance would keep a share `share` of them.

    Parameters
    ----------
    earlier, later : columns user and score, by the same model; a user has at most one row in each

    Returns
    -------
    `users` of both instants, of whom `both` are in both; `spearman`, the rank correlation over those (None where their
    scores do not differ); and per share of `top` the `users` who were in it, the share of them `kept` in it, and the
    share who have `left` and have no score any more

    """
    joined = earlier.merge(later, on="user", how="left", suffixes=("_then", "_now"))
    ranks = joined[["score_then", "score_now"]].dropna().rank()
    varied = bool((ranks.max() > ranks.min()).all())
    top = []
    for share in TOP_SHARES:
        now = joined.loc[joined["score_then"] >= _last_of(share, earlier["score"]), "score_now"]
        kept, left = (now >= _last_of(share, later["score"])).sum(), now.isna().sum()
        of = max(len(now), 1)
        top.append({"share": share, "users": len(now), "kept": float(kept / of), "left": float(left / of)})
    return {
        "users": [len(earlier), len(later)],
        "both": len(ranks),
        "spearman": float(ranks["score_then"].corr(ranks["score_now"])) if varied else None,
        "top": top,
    }


def _last_of(share: float, score: pd.Series) -> float:
    """Return the score of the last user of the first share, NaN where there is nobody."""
    return float(score.nlargest(math.ceil(share * len(score))).min())
