"""Calibration: correct expected audiences by what past horizons showed, before groups are selected by them.

Trees give everybody in a leaf the same expectation, and their level lags behind a community that grows or shrinks.
Neither changes the order of scores much, but both change the reach of a group of the highest. A Poisson regression of
real audiences on the logarithms of expected ones and of how many people engaged lately corrects them. It is fitted on
past horizons that were predicted out of time, and leaves expectations as they are without any.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.selection.audiences import sum_by_user
from training.selection.newton import fit_coefficients
from training.selection.pairs import Pairs

HALF_LIFE_DAYS = 28.0
UNCHANGED = (0.0, 1.0, 0.0)
RIDGE = (1e-3, 10.0, 10.0)
LEAST_AUDIENCE, LARGEST_LOG = 1e-9, 20.0


@dataclass(frozen=True)
class Calibration:
    """The fitted correction.

    Parameters
    ----------
    coefficients : the intercept, that of the logarithm of the expected audience, and that of the logarithm of one plus
        the engagers of the user, each of whom counts half after `HALF_LIFE_DAYS` without another engagement

    """

    coefficients: tuple[float, ...] = UNCHANGED

    def corrected(self, pairs: Pairs, expected: np.ndarray) -> np.ndarray:
        """Return the corrected expected audience of each user in people, shape (users,)."""
        if self.coefficients == UNCHANGED:
            return expected
        logs = _columns(pairs, expected) @ np.array(self.coefficients)
        audiences: np.ndarray = np.exp(np.minimum(logs, LARGEST_LOG))
        return audiences


def fit_calibration(past: Sequence[tuple[Pairs, np.ndarray, np.ndarray]]) -> Calibration:
    """Fit on past horizons: the pairs at each cutoff, the expected and the real audience of each user, in people."""
    if not past:
        return Calibration()
    matrix = np.concatenate([_columns(pairs, expected) for pairs, expected, _ in past])
    real = np.concatenate([audience for _, _, audience in past]).astype(float)
    coefficients = fit_coefficients(matrix, real, _poisson, np.array(UNCHANGED), np.array(RIDGE))
    return Calibration(tuple(coefficients.tolist()))


def _columns(pairs: Pairs, expected: np.ndarray) -> np.ndarray:
    recent = sum_by_user(pairs.starts, 0.5 ** (pairs.days / HALF_LIFE_DAYS))
    return np.column_stack([np.ones(len(expected)), np.log(np.maximum(expected, LEAST_AUDIENCE)), np.log1p(recent)])


def _poisson(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = np.exp(np.clip(logs, -LARGEST_LOG, LARGEST_LOG))
    return mean, mean
