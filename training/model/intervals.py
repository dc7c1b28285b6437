"""Prediction intervals for the audience, in whole people, by conformalised quantile regression.

Two LightGBM boosters predict quantiles of the audience; calibration then moves both ends of the interval.
"""

from dataclasses import dataclass
from functools import cached_property

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.catalogue import SCORED
from training.config import Model
from training.model.booster import parameters, predict

TREES = 100
LEARNING_RATE = 0.08


@dataclass(frozen=True)
class Quantiles:
    """Two boosters in LightGBM's text form: of the lower and the upper end."""

    low_text: str
    high_text: str

    @cached_property
    def boosters(self) -> tuple[lgb.Booster, lgb.Booster]:
        """Both boosters, parsed once."""
        return lgb.Booster(model_str=self.low_text), lgb.Booster(model_str=self.high_text)

    def around(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return both quantiles of `ln(1 + audience)`, shapes (rows,), of features in the catalogue's order."""
        low, high = (predict(booster, matrix) for booster in self.boosters)
        return low, high


def fit_quantiles(rows: pd.DataFrame, config: Model, level: float) -> Quantiles:
    """Fit the quantiles `(1 - level) / 2` and `(1 + level) / 2` of `ln(1 + audience)` on panel rows.

    Source: Koenker and Bassett 1978 (pinball loss). LightGBM has no monotone quantiles, so an interval's ends may
    move in another direction than the score.
    """
    low, high = (_fit(rows, config, (1 + side * level) / 2).model_to_string() for side in (-1, 1))
    return Quantiles(low, high)


def _fit(rows: pd.DataFrame, config: Model, alpha: float) -> lgb.Booster:
    data = lgb.Dataset(
        rows[SCORED.names].to_numpy(float),
        label=np.log1p(rows["audience"].to_numpy(float)),
        feature_name=SCORED.names,
        params={"verbose": -1},
    )
    own = {"objective": "quantile", "alpha": alpha, "learning_rate": LEARNING_RATE}
    return lgb.train(parameters(config) | own, data, num_boost_round=TREES)


EDGES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
MIN_BAND = 50
ROUNDING = 1e-9


@dataclass(frozen=True)
class Band:
    """A band of expected audience, and how far intervals widen in it.

    Parameters
    ----------
    edge : where the band begins, in people
    margin : how far both ends move outwards, in nats of 1 + people; inwards below zero

    """

    edge: float
    margin: float


@dataclass(frozen=True)
class Interval:
    """An audience in whole people, both ends included.

    Parameters
    ----------
    low, high : the ends, in people
    level : the share of users whose audience such intervals contain

    """

    low: int
    high: int
    level: float


@dataclass(frozen=True)
class Intervals:
    """The calibration of a model's intervals.

    Parameters
    ----------
    level : the share of users whose audience the intervals should cover
    bands : by rising edge

    """

    level: float
    bands: tuple[Band, ...]

    def around(self, expected: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends in whole people, both included; shapes (rows,).

        Parameters
        ----------
        expected : expected audience, people, shape (rows,)
        low, high : its quantiles as `Quantiles.around` gives them, `ln(1 + people)`, shapes (rows,)

        """
        index = np.searchsorted([band.edge for band in self.bands], expected, side="right") - 1
        margin = np.array([band.margin for band in self.bands])[index]
        lowest, highest = np.ceil(np.expm1(low - margin) - 0.5), np.floor(np.expm1(high + margin) + 0.5)
        nearest = np.rint(expected)
        return np.maximum(np.minimum(lowest, nearest), 0.0), np.maximum(highest, nearest)


def fit_intervals(
    expected: np.ndarray, low: np.ndarray, high: np.ndarray, audience: np.ndarray, level: float
) -> Intervals:
    """Calibrate the intervals band by band, on rows that the quantiles were not fitted on.

    Source: Romano, Patterson and Candes 2019 (conformalised quantile regression): the margin is the quantile
    `ceil((n + 1) level) / n` of how far the ends would have to move for each row's audience to lie between them. Ends
    round to the nearest whole number of people, and the rounding is calibrated with them. Bands by expected audience
    (Vovk, Gammerman and Shafer 2005, Mondrian conformal prediction); one with fewer than 50 rows joins the band below.

    Parameters
    ----------
    expected, low, high : as in `Intervals.around`
    audience : realised, people, shape (rows,)
    level : share of users to cover

    """
    outside = _outside(low, high, audience)
    edges = _edges(expected)
    band = np.searchsorted(edges, expected, side="right") - 1
    margins = [_upper_quantile(outside[band == k], level) + ROUNDING for k in range(len(edges))]
    return Intervals(level, tuple(map(Band, edges, margins)))


def _outside(low: np.ndarray, high: np.ndarray, audience: np.ndarray) -> np.ndarray:
    """Return the margin at which each row's audience enters its interval; an audience of 0 is never above it."""
    above = np.log1p(np.maximum(audience - 0.5, 0.0)) - high
    return np.asarray(np.maximum(low - np.log1p(audience + 0.5), np.where(audience > 0, above, -np.inf)))


def _edges(expected: np.ndarray) -> list[float]:
    """Return the edges whose bands have enough rows, and always the first; counted from the top down."""
    edges, below = [], len(expected)
    upper = np.inf
    for edge in reversed(EDGES):
        inside = int(((expected >= edge) & (expected < upper)).sum())
        if edge == 0.0 or (inside >= MIN_BAND and below - inside >= MIN_BAND):
            edges.append(edge)
            upper, below = edge, below - inside
    return edges[::-1]


def _upper_quantile(values: np.ndarray, level: float) -> float:
    rank = min(int(np.ceil((len(values) + 1) * level)), len(values))
    return float(np.sort(values)[rank - 1]) if len(values) else 0.0
