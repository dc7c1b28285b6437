import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize

from training.selection.calibration import LEAST_RETURNING, Calibration, fit_calibration
from training.selection.pairs import Pairs
from training.selection.return_model import ReturnModel
from training.selection.selection_model import SelectionModel

USERS = 2_000


def random_pairs(seed):
    rng = np.random.default_rng(seed)
    counts = rng.geometric(0.2, USERS) - 1
    engagers = np.concatenate([np.sort(rng.choice(USERS, count, replace=False)) for count in counts])
    days = rng.integers(0, 60, len(engagers)).astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return Pairs(starts, engagers.astype(np.int32), days, np.ones_like(days), np.ones(USERS))


def past_horizon(seed, calibration):
    """Return pairs, probabilities, expectations equal within each of four leaves, and audiences with a correction."""
    rng = np.random.default_rng(seed)
    pairs, expected = random_pairs(seed), rng.choice([0.2, 1.0, 5.0, 20.0], USERS)
    inputs = pairs, rng.random(len(pairs.engagers)), expected
    return *inputs, rng.poisson(calibration.corrected(*inputs))


@pytest.mark.parametrize("truth", [Calibration(0.6, 0.3, 0.2), Calibration()])
def test_the_true_correction_is_recovered(truth):
    fitted = fit_calibration([past_horizon(seed, truth) for seed in range(3)])
    assert dataclasses.astuple(fitted) == pytest.approx(dataclasses.astuple(truth), abs=0.03)


def test_the_fit_is_the_largest_penalised_likelihood():
    pairs, probability, expected, real = past_horizon(7, Calibration(0.6, 0.3, 0.2))
    fitted = dataclasses.astuple(fit_calibration([(pairs, probability, expected, real)]))
    of_users = [
        np.array([values[pairs.starts[user] : pairs.starts[user + 1]].sum() for user in range(USERS)])
        for values in (0.5 ** (pairs.days / 28), probability / LEAST_RETURNING)
    ]
    logarithms = np.column_stack([np.log(expected), *(np.log1p(values) for values in of_users)])

    def loss(coefficients):
        intercept, *powers = coefficients
        log = intercept + logarithms @ powers
        return (np.exp(log) - real * log).sum() + np.square(powers - np.array([1, 0, 0])).sum() / 2

    best = minimize(loss, (0.0, 1.0, 0.1, 0.1), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-7})
    assert fitted == pytest.approx(best.x[1:], abs=1e-4)


def test_the_correction_keeps_the_sum_of_expected_audiences():
    *inputs, _ = past_horizon(0, Calibration())
    corrected = Calibration(0.5, 0.2, 0.3).corrected(*inputs)
    assert corrected.sum() == pytest.approx(inputs[-1].sum())
    assert np.ptp(corrected / inputs[-1]) > 1


def test_credible_recent_engagers_order_the_users_of_a_leaf():
    pairs = Pairs(*(np.array(part) for part in ([0, 0, 1, 3], [2, 0, 1], [0, 0, 56], [1, 1, 1], [1.0, 0.0, 1.0])))
    corrected = Calibration(recent=1.0).corrected(pairs, np.ones(3), np.full(3, 10.0))
    assert corrected == pytest.approx(np.array([1.0, 2.0, 2.0]) * 6)


def test_returning_people_order_the_users_of_a_leaf():
    pairs = Pairs(*(np.array(part) for part in ([0, 0, 1, 3], [2, 0, 2], [0, 0, 56], [1, 1, 1], [1.0, 1.0, 1.0])))
    chances = np.array([1.0, 3.0, 4.0]) * LEAST_RETURNING
    corrected = Calibration(returning=1.0).corrected(pairs, chances, np.full(3, 10.0))
    assert corrected == pytest.approx([10 * 3 / 11, 20 * 3 / 11, 80 * 3 / 11])


@pytest.mark.parametrize("expected", [0.0, 1e-300, 1e9])
def test_extreme_expectations_stay_finite(expected):
    *_, real = past_horizon(0, Calibration())
    inputs = random_pairs(0), np.full(len(random_pairs(0).engagers), 1.0), np.full(USERS, expected)
    for calibration in (Calibration(0.6, 0.2, 0.3), fit_calibration([(*inputs, real)])):
        corrected = calibration.corrected(*inputs)
        assert np.isfinite(corrected).all()
        assert (corrected >= 0).all()


@pytest.mark.parametrize("past", [[], [(*past_horizon(0, Calibration())[:3], np.zeros(USERS))]])
def test_without_past_audiences_nothing_is_corrected(past):
    pairs, probability, expected, _ = past_horizon(1, Calibration())
    assert fit_calibration(past).corrected(pairs, probability, expected) is expected


@pytest.mark.parametrize("credible", [False, True])
def test_bought_engagers_without_credibility_gain_nothing(credible):
    """They raise no audience, and they lower the credible share of it."""
    honest, bought = 100, 200
    engagers = np.concatenate([np.arange(1, honest + 1), np.arange(1, honest + bought + 1)]).astype(np.int32)
    starts = np.concatenate([[0, honest], np.full(honest + bought + 1, 2 * honest + bought)])
    weight = np.concatenate([np.ones(honest + 1), np.zeros(bought + 1)])
    pairs = Pairs(starts, engagers, np.zeros_like(engagers), np.ones_like(engagers), weight)
    expected = np.where(np.arange(len(weight)) < 2, 50.0, 0.0)
    calibration = Calibration(0.6, 0.2, 0.3)
    model = SelectionModel(ReturnModel((-2.0, *[0.0] * 7), 28), 1.0, {}, calibration=calibration)
    audiences = model.audiences(pairs, expected)
    without, with_bought = (audiences.counting(weight) if credible else audiences).reach_of_each[:2]
    assert with_bought < without * (0.8 if credible else 1 + 1e-9)
