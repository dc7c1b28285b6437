"""How well a signal foresees the audience: ranking metrics and calibration figures."""

from collections.abc import Callable

import numpy as np
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
