"""The chance that anybody engages with a user, measured on past predictions, by the expected audience.

Half a person on average may be one person each for half of the users, or ten for one in twenty: the expectation alone
does not say. The log-odds that anybody engages are linear in the logarithm of the expected audience,
fitted on the past horizons that were predicted out of time, of which intervals learn too.
"""

from dataclasses import dataclass

import numpy as np

LEAST_USERS = 20  # of the past, with an audience and without one
DIGITS = 6  # of coefficients


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
        return np.asarray(np.minimum(logistic(self.log_odds + self.slope * np.log(expected)), expected))


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
    from sklearn.linear_model import LogisticRegression  # slow to import, and needed by training alone

    model = LogisticRegression(solver="newton-cholesky", tol=1e-8)
    model.fit(np.log(expected)[:, np.newaxis], anybody, sample_weight=weights)
    # Matrix products depend on threads and addresses in the last bits, and the same rows must give the same bytes.
    chance = Chance(round(float(model.intercept_[0]), DIGITS), round(float(model.coef_[0, 0]), DIGITS))
    return chance if chance.slope > 0 else None


def logistic(log_odds: np.ndarray) -> np.ndarray:
    """Return the probabilities of log-odds; `scipy.special.expit` would take a twentieth second more to import."""
    return np.asarray(0.5 * np.tanh(0.5 * log_odds) + 0.5)
