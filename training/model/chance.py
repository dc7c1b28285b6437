"""The chance that anybody engages with a user, measured on past predictions, by the expected audience.

Half a person on average may be one person each for half of the users, or ten for one in twenty: the expectation alone
does not say. The log-odds that anybody engages are linear in the logarithm of the expected audience,
fitted on the past horizons that were predicted out of time, of which intervals learn too.
"""

from dataclasses import dataclass

import numpy as np

LEAST_USERS = 20  # of the past, with an audience and without one
MOST_STEPS, STEP_END = 50, 1e-10
RIDGE = 1.0


@dataclass(frozen=True)
class Chance:
    """The chance that anybody engages within the horizon.

    Parameters
    ----------
    log_odds : where one person is expected
    slope : what each nat of the expected audience adds to the log-odds

    """

    log_odds: float
    slope: float

    def of(self, expected: np.ndarray) -> np.ndarray:
        """Return the chance at expected audiences in people, 0 to 1; never above them, which no distribution allows."""
        return np.asarray(np.minimum(_share(self.log_odds + self.slope * np.log(expected)), expected))


def fit_chance(expected: np.ndarray, audience: np.ndarray, weights: np.ndarray) -> Chance | None:
    """Fit the chance on past predictions.

    Parameters
    ----------
    expected : by models that were fitted on earlier horizons, people, shape (rows,)
    audience : that followed, people, shape (rows,)
    weights : of the rows, shape (rows,)

    Returns
    -------
    the chance; None where fewer than 20 users had an audience, or fewer than 20 none, or where it would not rise

    """
    anybody = audience > 0
    if min(anybody.sum(), (~anybody).sum()) < LEAST_USERS:
        return None
    log_odds, slope = _logistic_regression(np.log(expected), anybody.astype(float), weights)
    return Chance(log_odds, slope) if slope > 0 else None


def _logistic_regression(values: np.ndarray, outcomes: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return a constant and a factor by Newton's method, with a ridge towards 0 and 1.

    Sums instead of matrix products, which depend on threads in the last bit.
    """
    constant, factor = 0.0, 1.0
    for _ in range(MOST_STEPS):
        share = _share(constant + factor * values)
        error, curve = weights * (outcomes - share), weights * share * (1 - share)
        slopes = error.sum() - RIDGE * constant, (error * values).sum() - RIDGE * (factor - 1)
        outer, mixed, inner = curve.sum() + RIDGE, (curve * values).sum(), (curve * values**2).sum() + RIDGE
        determinant = outer * inner - mixed**2
        steps = (inner * slopes[0] - mixed * slopes[1], outer * slopes[1] - mixed * slopes[0])
        constant, factor = constant + steps[0] / determinant, factor + steps[1] / determinant
        if max(map(abs, steps)) / determinant < STEP_END:
            break
    return float(constant), float(factor)


def _share(log_odds: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0.0, -log_odds)))
