"""Prediction intervals for the audience, in whole people, by conformalised quantile regression.

Two LightGBM boosters predict how far the ends lie from the expected audience, as logarithms; calibration then moves
each end, by what was true of the users whose expected audience was nearest.
"""

from dataclasses import dataclass
from functools import cached_property

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.catalogue import SCORED
from training.config import Model
from training.model.booster import parameters, predict

TREES = 60
LEARNING_RATE = 0.08
NEAREST = 300
KNOTS = 32


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
        """Return how far both quantiles lie from the expected audience, nats, shapes (rows,).

        `matrix` has the features in the catalogue's order. Boosters of earlier versions return the quantiles
        themselves, `ln(1 + people)`.
        """
        low, high = (predict(booster, matrix) for booster in self.boosters)
        return low, high


def fit_quantiles(rows: pd.DataFrame, expected: np.ndarray, config: Model, level: float) -> Quantiles:
    """Fit the quantiles `(1 - level) / 2` and `(1 + level) / 2` of the audience on panel rows.

    Both start from the expected audience and are fitted as logarithms of 1 + people. Source: Koenker and Bassett 1978
    (pinball loss). LightGBM has no monotone quantiles, so an interval's ends may move in another direction than the
    score.

    Parameters
    ----------
    rows : panel rows
    expected : expected audience, people, shape (rows,)
    config, level : hyper-parameters, and the share of users to cover

    """
    matrix = rows[SCORED.names].to_numpy(float)
    away = np.log1p(rows["audience"].to_numpy(float)) - np.log1p(expected)
    low, high = (_fit(matrix, away, config, (1 + side * level) / 2).model_to_string() for side in (-1, 1))
    return Quantiles(low, high)


def _fit(matrix: np.ndarray, away: np.ndarray, config: Model, alpha: float) -> lgb.Booster:
    data = lgb.Dataset(matrix, label=away, feature_name=SCORED.names, params={"verbose": -1})
    own = {"objective": "quantile", "alpha": alpha, "learning_rate": LEARNING_RATE}
    return lgb.train(parameters(config) | own, data, num_boost_round=TREES)


@dataclass(frozen=True)
class Knot:
    """How far calibration moves the ends of intervals at an expected audience.

    Parameters
    ----------
    expected : expected audience, people
    low_shift, high_shift : what is added to the logarithms of the ends, nats

    """

    expected: float
    low_shift: float
    high_shift: float


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
    knots : by rising expected audience; between two of them the logarithms are interpolated
    relative : whether quantiles are relative to the expected audience; in models of earlier versions they are not, and
        each knot holds up to the next one

    """

    level: float
    knots: tuple[Knot, ...]
    relative: bool = True

    def around(self, expected: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends in whole people, both included, around the expected audience; shapes (rows,).

        Parameters
        ----------
        expected : expected audience, people, shape (rows,)
        low, high : its quantiles as `Quantiles.around` returns them, nats, shapes (rows,)

        """
        low, high = self._people(expected, low, high)
        nearest, lowest, highest = np.rint(expected), np.ceil(low - 0.5), np.floor(high + 0.5)
        return np.maximum(np.minimum(lowest, nearest), 0.0), np.maximum(highest, nearest)

    def _people(self, expected: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends before they are rounded."""
        people, lows, highs = self._columns
        if not self.relative:
            index = np.searchsorted(people, expected, side="right") - 1
            return np.expm1(low + lows[index]), np.expm1(high + highs[index])
        start, at, knots = np.log1p(expected), np.log(expected), np.log(people)
        return (
            np.expm1(start + low + np.interp(at, knots, lows)),
            np.expm1(start + high + np.interp(at, knots, highs)),
        )

    @cached_property
    def _columns(self) -> np.ndarray:
        return np.array([(knot.expected, knot.low_shift, knot.high_shift) for knot in self.knots]).T


def fit_intervals(
    expected: np.ndarray, low: np.ndarray, high: np.ndarray, audience: np.ndarray, level: float
) -> Intervals:
    """Calibrate the intervals on rows that neither the expected audience nor the quantiles were fitted on.

    Source: Romano, Patterson and Candes 2019 (conformalised quantile regression), each end for itself: it moves to
    where a share `(1 - level) / 2` of the audiences lies beyond it, among the 300 rows with the nearest expected
    audience. 32 knots are placed by rank, closer together towards the largest audiences.

    Parameters
    ----------
    expected, low, high : as in `Intervals.around`
    audience : realised, people, shape (rows,)
    level : share of users to cover

    """
    order = np.argsort(expected, kind="stable")
    logs = np.log(expected[order])
    away = np.log1p(audience[order]) - np.log1p(expected[order])
    beyond = away - low[order], away - high[order]
    knots = {}
    for window in _windows(len(order)):
        ends = -_upper_quantile(-beyond[0][window], level), _upper_quantile(beyond[1][window], level)
        knots[float(np.exp(logs[window].mean()))] = ends
    return Intervals(level, tuple(Knot(people, *knots[people]) for people in sorted(knots)))


def _windows(count: int) -> list[slice]:
    """Return windows of up to 300 neighbours in a ranking, the lowest first."""
    size = min(NEAREST, count)
    starts = count - size - np.geomspace(1, count - size + 1, KNOTS).astype(int) + 1
    return [slice(start, start + size) for start in np.unique(starts)]


def _upper_quantile(values: np.ndarray, level: float) -> float:
    """Return the value above which a share `(1 - level) / 2` of further ones is expected; the largest if in doubt."""
    rank = min(int(np.ceil((len(values) + 1) * (1 + level) / 2)), len(values))
    return float(np.sort(values)[rank - 1])
