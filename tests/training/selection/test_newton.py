import numpy as np
import pytest

from training.selection.newton import fit_coefficients


def normal(predictor):
    return predictor, np.ones_like(predictor)


def test_least_squares_by_hand():
    matrix, outcome = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), np.array([1.0, 3.0, 5.0])
    fitted = fit_coefficients(matrix, outcome, normal, np.zeros(2), np.zeros(2))
    assert fitted == pytest.approx([1.0, 2.0])


def test_a_strong_ridge_holds_the_start():
    matrix, outcome = np.ones((3, 1)), np.array([1.0, 2.0, 3.0])
    assert fit_coefficients(matrix, outcome, normal, np.array([7.0]), np.array([1e9])) == pytest.approx([7.0])
    assert fit_coefficients(matrix, outcome, normal, np.array([7.0]), np.array([3.0])) == pytest.approx([4.5])
