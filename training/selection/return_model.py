"""Return model: the probability that a person who engaged with a user before does so again within the horizon.

A logistic regression on how recently and in how many weeks the pair engaged, on how lately and with how many users the
engager engaged, and on how many people engaged with the user lately. It is fitted on past horizons and predicts a
later one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from training.model.chance import logistic
from training.selection.audiences import sum_by_user
from training.selection.file_arrays import FileArray, mapped_zeros, user_parts
from training.selection.pairs import Pairs

MOST_PAIRS = 200_000


@dataclass(frozen=True)
class ReturnModel:
    """The fitted model.

    Parameters
    ----------
    coefficients : the intercept, and one for each of `PairFeatures`
    horizon_days : the horizon that it was fitted on

    """

    coefficients: tuple[float, ...]
    horizon_days: int

    def probability(self, pairs: Pairs) -> np.ndarray:
        """Return the probability that each pair engages again within the horizon, float32, shape (pairs,)."""
        intercept, *slopes = self.coefficients
        features, chances = PairFeatures(pairs, self.horizon_days), FileArray(np.float32)
        for _, part in user_parts(pairs.starts):
            logit = np.full(part.stop - part.start, intercept)
            for slope, column in zip(slopes, features.columns(np.arange(part.start, part.stop)), strict=True):
                logit += slope * column
            chances.append(logistic(logit))
        return chances.mapped()


class PairFeatures:
    """The features of pairs; a matrix of all would take too much memory."""

    def __init__(self, pairs: Pairs, horizon_days: int):
        self._pairs, self._horizon_days, rows = pairs, horizon_days, len(pairs.weight)
        self._last = mapped_zeros(rows, np.int32)
        self._last[:] = np.iinfo(np.int32).max
        self._of_engager, self._of_user = mapped_zeros(rows, np.float64), mapped_zeros(rows, np.float64)
        for users, part in user_parts(pairs.starts):
            engagers, recent = pairs.engagers[part], pairs.days[part] < horizon_days
            np.minimum.at(self._last, engagers, pairs.days[part])
            np.add.at(self._of_engager, engagers[recent], 1.0)
            self._of_user[users] = sum_by_user(pairs.starts[users.start : users.stop + 1] - part.start, recent)
        for counts in (self._of_engager, self._of_user):
            np.log1p(counts, out=counts)

    def columns(self, numbers: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Yield the features of all pairs, or of some by their numbers, one by one, float64, shape (n,)."""
        numbers = np.arange(len(self._pairs.engagers)) if numbers is None else numbers
        engagers, horizon_days = self._pairs.engagers[numbers], self._horizon_days
        age, weeks = _log_age(self._pairs.days[numbers], horizon_days), np.log(self._pairs.weeks[numbers])
        yield age
        yield age * age
        yield weeks
        yield weeks * age
        yield _log_age(self._last[engagers], horizon_days)
        yield self._of_engager[engagers]
        yield self._of_user[self._pairs.users_of(numbers)]


def fit_return_model(
    past: Sequence[tuple[Pairs, np.ndarray]], horizon_days: int, most: int = MOST_PAIRS, seed: int = 0
) -> ReturnModel:
    """Fit on the pairs of past instants, and on which of them engaged again in the horizon after it.

    Parameters
    ----------
    past : for each instant the pairs, and bool, shape (pairs,)
    horizon_days : the horizon
    most : pairs per instant to fit on; where there are more, a random sample of them, drawn by `seed`

    """
    rng = np.random.default_rng(seed)
    matrices, outcomes = [], []
    for pairs, returned in past:
        count = len(returned)
        sample = np.sort(rng.choice(count, most, replace=False)) if count > most else np.arange(count)
        matrices.append(np.stack(list(PairFeatures(pairs, horizon_days).columns(sample)), axis=1))
        outcomes.append(returned[sample])
    coefficients = _logistic_regression(np.concatenate(matrices), np.concatenate(outcomes))
    return ReturnModel(tuple(coefficients), horizon_days)


def _logistic_regression(features: np.ndarray, returned: np.ndarray) -> list[float]:
    """Return intercept and slopes, with a small ridge on the slopes; of pairs that all agree, an intercept alone."""
    count = int(returned.sum())
    if count in (0, len(returned)):
        return [float(np.log((count + 0.5) / (len(returned) - count + 0.5))), *[0.0] * features.shape[1]]
    from sklearn.linear_model import LogisticRegression  # slow to import, and needed by training alone

    model = LogisticRegression(solver="newton-cholesky", tol=1e-8).fit(features, returned)
    return [float(model.intercept_[0]), *model.coef_[0].tolist()]


def _log_age(days: np.ndarray, horizon_days: int) -> np.ndarray:
    """Return the logarithm of an age in quarters of the horizon, counted from one."""
    ages: np.ndarray = np.log1p(days * (4.0 / horizon_days))
    return ages
