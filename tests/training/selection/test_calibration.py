import numpy as np
import pytest

from training.selection.calibration import UNCHANGED, Calibration, fit_calibration
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


def past_horizon(seed, coefficients):
    """Pairs, expected audiences that are the same within each of four leaves, and real ones by a true correction."""
    rng = np.random.default_rng(seed)
    pairs, expected = random_pairs(seed), rng.choice([0.2, 1.0, 5.0, 20.0], USERS)
    return pairs, expected, rng.poisson(Calibration(coefficients).corrected(pairs, expected))


def test_the_true_correction_is_recovered():
    fitted = fit_calibration([past_horizon(seed, (-0.5, 0.6, 0.5)) for seed in range(3)])
    assert fitted.coefficients == pytest.approx((-0.5, 0.6, 0.5), abs=0.03)


def test_calibrated_expectations_stay_as_they_are():
    fitted = fit_calibration([past_horizon(seed, UNCHANGED) for seed in range(3)])
    assert fitted.coefficients == pytest.approx(UNCHANGED, abs=0.03)


def test_recent_engagers_order_the_users_of_a_leaf():
    pairs = Pairs(*(np.array(part) for part in ([0, 0, 1, 3], [2, 0, 2], [0, 0, 56], [1, 1, 1], [1.0, 1.0, 1.0])))
    none, one, one_and_a_quarter = Calibration((0.0, 1.0, 1.0)).corrected(pairs, np.full(3, 10.0))
    assert (none, one, one_and_a_quarter) == pytest.approx((10.0, 20.0, 22.5))


@pytest.mark.parametrize("expected", [0.0, 1e-300, 1e9])
def test_extreme_expectations_stay_finite(expected):
    pairs = random_pairs(0)
    corrected = Calibration((0.5, 0.6, 0.5)).corrected(pairs, np.full(USERS, expected))
    assert np.isfinite(corrected).all()
    assert (corrected >= 0).all()


def test_without_past_horizons_nothing_is_corrected():
    expected = np.arange(USERS) / 7
    assert fit_calibration([]).corrected(random_pairs(0), expected) is expected


def test_bought_engagers_whom_nobody_vouches_for_do_not_pay():
    """They raise the corrected audience, and lower the share of it that counts by more."""
    honest, bought = 100, 200
    engagers = np.concatenate([np.arange(1, honest + 1), np.arange(1, honest + bought + 1)]).astype(np.int32)
    starts = np.concatenate([[0, honest], np.full(honest + bought + 1, 2 * honest + bought)])
    weight = np.concatenate([np.ones(honest + 1), np.zeros(bought + 1)])
    pairs = Pairs(starts, engagers, np.zeros_like(engagers), np.ones_like(engagers), weight)
    expected = np.full(len(weight), 50.0)
    model = SelectionModel(ReturnModel((-20.0, *[0.0] * 7), 28), 1.0, {}, calibration=Calibration((-0.5, 0.6, 0.5)))
    everybody = model.audiences(pairs, expected)
    before, after = everybody.reach_of_each[:2]
    assert after > before
    before, after = everybody.counting(weight).reach_of_each[:2]
    assert after < before
