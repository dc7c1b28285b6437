"""Prediction intervals for the audience, in whole people, conformal within bands of expected audience."""

from dataclasses import dataclass

import numpy as np

EDGES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
MIN_BAND = 50


@dataclass(frozen=True)
class Band:
    """One band of expected audience: from `edge` people upwards.

    `low` and `high` are quantiles of `(audience - expected) / sqrt(expected)` among the calibration rows of the band.
    """

    edge: float
    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Bands by rising edge, and the share of users whose audience they are made to hold."""

    level: float
    bands: tuple[Band, ...]

    def around(self, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high) in whole people, rounded outwards; shapes (rows,)."""
        index = np.searchsorted([band.edge for band in self.bands], expected, side="right") - 1
        low, high = (np.array([getattr(band, end) for band in self.bands])[index] for end in ("low", "high"))
        spread = np.sqrt(expected)
        lowest = np.maximum(np.floor(expected + low * spread + 1e-9), 0.0)
        return lowest, np.maximum(np.ceil(expected + high * spread - 1e-9), lowest)


def fit_intervals(expected: np.ndarray, audience: np.ndarray, level: float) -> Intervals:
    """Calibrate on rows the booster was not trained on: split conformal prediction, band by band.

    Source: Vovk, Gammerman and Shafer 2005 (Mondrian conformal prediction); each tail gets half of `1 - level`, with
    the finite-sample correction `ceil((n + 1) q) / n`. Bands with fewer than 50 rows join the band below.
    """
    residual = (audience - expected) / np.sqrt(expected)
    bands = []
    for edge in _edges(expected):
        upper = min((e for e in _edges(expected) if e > edge), default=np.inf)
        inside = residual[(expected >= edge) & (expected < upper)]
        bands.append(Band(edge, -_upper_quantile(-inside, level), _upper_quantile(inside, level)))
    return Intervals(level, tuple(bands))


def _edges(expected: np.ndarray) -> list[float]:
    """Keep the edges whose bands hold enough rows, the first always; count from the top down."""
    kept, left = [], len(expected)
    upper = np.inf
    for edge in reversed(EDGES):
        inside = int(((expected >= edge) & (expected < upper)).sum())
        if edge == 0.0 or (inside >= MIN_BAND and left - inside >= MIN_BAND):
            kept.append(edge)
            upper, left = edge, left - inside
    return kept[::-1]


def _upper_quantile(values: np.ndarray, level: float) -> float:
    tail = (1 - level) / 2
    rank = min(int(np.ceil((len(values) + 1) * (1 - tail))), len(values))
    return float(np.sort(values)[rank - 1]) if len(values) else 0.0
