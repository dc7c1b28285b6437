"""Calibration: correct expected audiences by what past horizons showed, before groups are selected by them.

Trees give everybody in a leaf the same expectation. That changes the order of scores little, but the reach of a group
of the highest much. A Poisson regression of real audiences on the logarithms of expected ones, of recent engagers and
of the people who are expected to engage again corrects them. It is fitted on past horizons that were predicted out of
time, and leaves expectations as they are without any. What everybody together is expected to have stays as it is: the
level of a young or growing community is that of the score, not of its past horizons.

Engagers count as far as established ones vouch for them, so that bought ones raise nobody's audience.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import chain

import numpy as np

from training.selection.audiences import sum_by_user
from training.selection.file_arrays import FileArray, user_parts
from training.selection.pairs import Pairs

HALF_LIFE_DAYS = 28.0
RIDGE = 1.0
LEAST_AUDIENCE, LARGEST_LOG = 1e-4, 20.0
LEAST_RETURNING = 0.01


@dataclass(frozen=True)
class Calibration:
    """The fitted correction: the powers of three factors of each user's audience.

    Parameters
    ----------
    expected : the power of the expected audience
    recent : the power of one plus the engagers, each half after `HALF_LIFE_DAYS` without another engagement
    returning : the power of one plus the people who are expected to engage again, over `LEAST_RETURNING`

    """

    expected: float = 1.0
    recent: float = 0.0
    returning: float = 0.0

    def corrected(self, pairs: Pairs, probability: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Return the corrected expected audience of each user in people, shape (users,).

        Parameters
        ----------
        pairs : who engaged with whom
        probability : that each pair engages again, shape (pairs,)
        expected : the expected audience of each user in people, shape (users,)

        """
        if self == Calibration() or not len(expected):
            return expected
        factors = FileArray(np.float64)
        for logarithms in _logarithms(pairs, probability, expected):
            factors.append(np.exp(np.minimum(logarithms @ np.array(astuple(self)), LARGEST_LOG)))
        corrected = factors.mapped()
        corrected *= expected.sum() / corrected.sum()
        return corrected


def fit_calibration(past: Sequence[tuple[Pairs, np.ndarray, np.ndarray, np.ndarray]]) -> Calibration:
    """Fit on past horizons: the arguments of `Calibration.corrected` at each cutoff, and the real audiences.

    The powers are drawn towards those that correct nothing. Without anybody who was engaged with, nothing is
    corrected.
    """
    real = np.concatenate([np.zeros(0), *(audiences for *_, audiences in past)])
    if not real.any():
        return Calibration()
    from sklearn.linear_model import PoissonRegressor  # slow to import, and needed by training alone

    parts = (_logarithms(pairs, chances, expected) for pairs, chances, expected, _ in past)
    logarithms = np.concatenate([*chain.from_iterable(parts)])
    # Of rates per expected person, weighted by expected people, the model learns by how much the power of the expected
    # audience differs from one, which the ridge draws to zero.
    expected = np.exp(logarithms[:, 0])
    model = PoissonRegressor(alpha=RIDGE / expected.sum(), solver="newton-cholesky", tol=1e-8)
    model.fit(logarithms, real / expected, sample_weight=expected)
    difference, *others = model.coef_.tolist()
    return Calibration(1.0 + difference, *others)


def _logarithms(pairs: Pairs, probability: np.ndarray, expected: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the logarithms of the factors of `Calibration`, shape (users of a part, 3)."""
    for users, part in user_parts(pairs.starts):
        starts = pairs.starts[users.start : users.stop + 1] - part.start
        weight = pairs.weight[pairs.engagers[part]]
        recent = sum_by_user(starts, weight * 0.5 ** (pairs.days[part] / HALF_LIFE_DAYS))
        returning = sum_by_user(starts, weight * probability[part])
        audiences = np.minimum(np.maximum(expected[users], LEAST_AUDIENCE), np.exp(LARGEST_LOG))
        yield np.column_stack([np.log(audiences), np.log1p(recent), np.log1p(returning / LEAST_RETURNING)])
