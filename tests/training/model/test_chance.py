"""The chance that anybody engages, fitted on past predictions."""

import numpy as np
import pytest
from scipy.special import expit

from training.model.chance import Chance, fit_chance, logistic


def share(expected):
    return 1 / (1 + np.exp(1 - 0.95 * np.log(expected)))


def past(seed, users=20_000):
    """Return users of whom the given share has an audience, and their weights."""
    rng = np.random.default_rng(seed)
    expected = np.exp(rng.uniform(-6, 2, users))
    return expected, (rng.random(users) < share(expected)) * rng.integers(1, 4, users), np.ones(users)


def test_the_share_of_past_users_is_fitted():
    expected = np.geomspace(0.003, 0.9, 20)
    assert fit_chance(*past(0)).of(expected) == pytest.approx(share(expected), rel=0.15)


def test_rows_count_by_weight():
    expected, audience, weights = past(0, 3_000)
    twice = fit_chance(*(np.concatenate([values, values]) for values in (expected, audience, weights)))
    weighted = fit_chance(expected, audience, 2 * weights)
    assert (weighted.log_odds, weighted.slope) == pytest.approx((twice.log_odds, twice.slope))


@pytest.mark.parametrize("audience", [0, 1])
def test_without_users_of_both_kinds_there_is_no_chance(audience):
    expected, _, weights = past(0)
    assert fit_chance(expected, np.full(len(expected), audience), weights) is None


def test_a_chance_that_does_not_rise_is_rejected():
    expected, audience, weights = past(0)
    assert fit_chance(1 / expected[expected > 1.01], audience[expected > 1.01] == 1, weights[expected > 1.01]) is None


def test_the_chance_never_exceeds_the_expected_people():
    chance = Chance(1.0, 1.0)
    assert chance.of(np.array([0.1, 5.0])) == pytest.approx([0.1, 5 * np.e / (1 + 5 * np.e)])


def test_logistic_is_that_of_scipy():
    log_odds = np.linspace(-40.0, 40.0, 801)
    assert logistic(log_odds) == pytest.approx(expit(log_odds), abs=1e-15)
    assert (logistic(log_odds) >= 0).all()
    assert (logistic(log_odds) <= 1).all()
