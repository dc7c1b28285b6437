"""Prediction intervals for the audience, in whole people, by quantile regression on past predictions.

Each end lies some nats from the expected audience, and how many is linear in the logarithms of the expected audience
and of the model's features. The two linear functions are fitted on past horizons that were predicted out of time, so
that they know the errors of the model, a change of level included. Responses from anybody move them too.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from training.model.booster import sample_weights

EXPECTED = "expected_audience"
FEW_PEOPLE = 1.0
LEAST_ROWS, MOST_ROWS = 50, 100_000
LARGE_AUDIENCES = 0.75
SMOOTHING = (0.3, 0.1, 0.03)
RIDGE = 10.0
BEYOND_PAST = 1.0


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
class IntervalInput:
    """What a feature or the expected audience adds to how far the ends lie from the expected audience.

    Parameters
    ----------
    name : a feature, of which `ln(1 + value)` is taken, unknown as zero; or `expected_audience`, of which `ln` is
    least, most : the range to which this logarithm is limited: that of the past, and one nat more either way; expected
        audiences up to one nat above the largest audience of the past
    low_nats, high_nats : what each nat of it adds to the logarithm of either end, nats

    """

    name: str
    least: float
    most: float
    low_nats: float
    high_nats: float

    def logarithm(self, values: np.ndarray) -> np.ndarray:
        """Return the logarithms of values, limited to the range; shape (rows,)."""
        return np.asarray(np.clip(_logarithm(self.name, values), self.least, self.most))


@dataclass(frozen=True)
class IntervalPart:
    """How far the ends lie from the expected audience, from one expected audience up to that of the next part.

    Parameters
    ----------
    expected : where the part begins, people
    low_nats, high_nats : what is added to the logarithm of either end beside the inputs, nats
    least, most : how far from the expected audience audiences lay in the past; no end lies further away, nats
    inputs : what depends on the user
    largest : the largest audience of the past, people: no upper end lies above it, nor above the expected audience
        where that is larger; None in models of earlier versions, whose upper ends have no such limit

    """

    expected: float
    low_nats: float
    high_nats: float
    least: float
    most: float
    inputs: tuple[IntervalInput, ...]
    largest: float | None = None

    def away(self, expected: np.ndarray, matrix: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return how far both ends lie from the expected audience, nats, shapes (rows,)."""
        low, high = np.full(len(expected), self.low_nats), np.full(len(expected), self.high_nats)
        for one in self.inputs:
            values = one.logarithm(expected if one.name == EXPECTED else matrix[:, names.index(one.name)])
            low += one.low_nats * values
            high += one.high_nats * values
        low, high = np.clip(low, self.least, self.most), np.clip(high, self.least, self.most)
        if self.largest is None:
            return low, high
        return low, np.minimum(high, np.maximum(np.log1p(self.largest) - np.log1p(expected), 0.0))


@dataclass(frozen=True)
class Intervals:
    """The intervals of a model.

    Parameters
    ----------
    level : the share of users whose audience the intervals should cover
    parts : how the ends are computed, by rising expected audience; none in models of earlier versions

    """

    level: float
    parts: tuple[IntervalPart, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the intervals as JSON values."""
        return asdict(self)

    def around(self, expected: np.ndarray, matrix: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends in whole people, both included, around the expected audience; shapes (rows,).

        Parameters
        ----------
        expected : expected audience, people, shape (rows,)
        matrix, names : features, NaN where unknown, shape (rows, features), and their names

        """
        part_of = np.searchsorted([part.expected for part in self.parts], expected, side="right") - 1
        away = np.zeros((2, len(expected)))
        for k, part in enumerate(self.parts):
            rows = np.flatnonzero(part_of == k)
            away[:, rows] = part.away(expected[rows], matrix[rows], names)
        low, high = np.expm1(np.log1p(expected) + away)
        return whole_people(expected, low, high)


def whole_people(expected: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round ends to the nearest whole people; they contain the rounded expected audience and are never below zero."""
    nearest, lowest, highest = np.rint(expected), np.ceil(low - 0.5), np.floor(high + 0.5)
    return np.maximum(np.minimum(lowest, nearest), 0.0), np.maximum(highest, nearest)


def fit_intervals(rows: pd.DataFrame, expected: np.ndarray, names: Sequence[str], level: float) -> Intervals:
    """Fit both ends on past predictions.

    Source: Koenker and Bassett 1978 (quantile regression): the ends are the quantiles `(1 - level) / 2` and
    `(1 + level) / 2` of the audience, relative to the expected one. Users who are expected to have less than one person
    have ends that depend on that alone; where fewer than 50 others are past, the 50 highest count as such.

    Parameters
    ----------
    rows : panel rows: features and audience
    expected : their expected audience, by a model that was fitted on earlier horizons, people, shape (rows,)
    names : the model's features
    level : share of users to cover

    """
    fewest = np.partition(expected, -LEAST_ROWS)[-LEAST_ROWS] if len(expected) > LEAST_ROWS else 0.0
    edge = float(min(FEW_PEOPLE, fewest))
    above = expected >= edge
    parts = [_fit_part(edge, rows[above], expected[above], (EXPECTED, *names), level)]
    if not above.all():
        parts.insert(0, _fit_part(0.0, rows[~above], expected[~above], (EXPECTED,), level))
    return Intervals(level, tuple(parts))


def _fit_part(
    edge: float, rows: pd.DataFrame, expected: np.ndarray, names: Sequence[str], level: float
) -> IntervalPart:
    if len(rows) > MOST_ROWS:
        sample = np.random.default_rng(0).choice(len(rows), MOST_ROWS, replace=False)
        rows, expected = rows.iloc[sample], expected[sample]
    values = [expected if name == EXPECTED else rows[name].to_numpy(float) for name in names]
    inputs = np.column_stack([_logarithm(name, value) for name, value in zip(names, values, strict=True)])
    away = np.log1p(rows["audience"].to_numpy(float)) - np.log1p(expected)
    weights = sample_weights(rows) * (1 + expected) ** LARGE_AUDIENCES
    share = _share_of(len(rows), (1 + level) / 2)
    ridge = RIDGE / float(sample_weights(rows).sum())
    low, high = (_quantile_regression(inputs, away, weights, quantile, ridge) for quantile in (1 - share, share))
    largest = float(rows["audience"].max())
    least, most = _input_ranges(inputs, names.index(EXPECTED), largest)
    columns = zip(names, *(array.tolist() for array in (least, most, low[1:], high[1:])), strict=True)
    return IntervalPart(
        expected=edge,
        low_nats=float(low[0]),
        high_nats=float(high[0]),
        least=float(away.min()),
        most=float(away.max()),
        inputs=tuple(IntervalInput(*one) for one in columns),
        largest=largest,
    )


def _input_ranges(inputs: np.ndarray, expected: int, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ranges to which inputs are limited: those of the past, and one nat more either way.

    Parameters
    ----------
    inputs : logarithms of the past, shape (rows, inputs)
    expected : the column of the expected audience, whose range also contains the largest audience of the past
    largest : that audience, people

    """
    least, most = inputs.min(axis=0), inputs.max(axis=0)
    most[expected] = max(most[expected], np.log(max(largest, 1.0)))
    return least - BEYOND_PAST, most + BEYOND_PAST


def _logarithm(name: str, values: np.ndarray) -> np.ndarray:
    if name == EXPECTED:
        return np.asarray(np.log(values))
    return np.asarray(np.log1p(np.maximum(np.nan_to_num(values), 0.0)))


def _share_of(count: int, share: float) -> float:
    """Return the share of `count` values below which a share of further ones is expected to lie."""
    return float(min(np.ceil((count + 1) * share), count - 0.5) / count)


def _quantile_regression(
    inputs: np.ndarray, values: np.ndarray, weights: np.ndarray, share: float, ridge: float
) -> np.ndarray:
    """Return a constant and a factor for each input, whose sum has a share of the values below it.

    The loss is smoothed where it has its kink, less and less; a ridge keeps factors small that few rows support.

    Parameters
    ----------
    inputs, values, weights : shapes (rows, inputs), (rows,) and (rows,)
    share : of the values
    ridge : weight of the squared factors of inputs of unit spread, beside weights that add up to 1

    """
    from scipy.optimize import minimize  # an eighth of what clout explain would import

    mean, spread = np.average(inputs, axis=0, weights=weights), inputs.std(axis=0)
    spread[spread == 0] = 1.0
    columns = [np.ones(len(values)), *np.ascontiguousarray(((inputs - mean) / spread).T)]
    weights = weights / weights.sum()

    def loss(factors: np.ndarray, width: float) -> tuple[float, np.ndarray]:
        # Matrix products depend on threads and addresses in the last bit, and the same rows must give the same bytes.
        error = values.copy()
        for factor, column in zip(factors, columns, strict=True):
            error -= factor * column
        below = np.exp(-np.logaddexp(0.0, error / width))
        pull = weights * (below - share)
        slope = np.array([(pull * column).sum() for column in columns]) + 2 * ridge * np.append(0.0, factors[1:])
        smooth = share * error + width * np.logaddexp(0.0, -error / width)
        return float((weights * smooth).sum() + ridge * (factors[1:] ** 2).sum()), slope

    factors = np.append(np.quantile(values, share), np.zeros(inputs.shape[1]))
    for width in SMOOTHING:
        factors = minimize(loss, factors, width, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    scaled = factors[1:] / spread
    return np.append(factors[0] - (scaled * mean).sum(), scaled)
