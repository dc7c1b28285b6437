"""Fit the coefficients of a generalised linear model by Newton's method, with a ridge towards where it starts."""

from collections.abc import Callable

import numpy as np

ROUNDS = 50
CHANGE = 1e-8
LARGEST_STEP = 1.0


def fit_coefficients(
    matrix: np.ndarray,
    outcome: np.ndarray,
    moments: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    start: np.ndarray,
    ridge: np.ndarray,
) -> np.ndarray:
    """Return the coefficients of the canonical link, shape (columns,).

    Parameters
    ----------
    matrix, outcome : shape (rows, columns) and (rows,)
    moments : mean and variance of the outcome by the linear predictor, each of shape (rows,)
    start, ridge : where each coefficient starts, and how strongly it is drawn there, shape (columns,)

    """
    coefficients = start.astype(float)
    for _ in range(ROUNDS):
        mean, variance = moments(matrix @ coefficients)
        gradient = matrix.T @ (outcome - mean) - ridge * (coefficients - start)
        curvature = (matrix * variance[:, None]).T @ matrix + np.diag(ridge)
        step = np.clip(np.linalg.solve(curvature, gradient), -LARGEST_STEP, LARGEST_STEP)
        coefficients += step
        if np.abs(step).max() < CHANGE:
            break
    return coefficients
