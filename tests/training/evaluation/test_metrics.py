import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from training.evaluation.metrics import METRICS, RANKING, auc, ndcg_100, r2_log

AUDIENCE = np.array([0.0, 0.0, 1.0, 3.0])


def test_auc_by_hand():
    signal = np.array([0.1, 0.4, 0.35, 0.8])  # one of four pairs is in the wrong order
    assert auc(AUDIENCE, signal, signal) == pytest.approx(3 / 4)


def test_ranking_metrics_equal_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    for users, digits in ((7, 1), (300, 1), (3000, 8)):
        audience, signal = rng.poisson(0.7, users).astype(float), rng.random(users).round(digits)
        assert auc(audience, signal, signal) == pytest.approx(roc_auc_score(audience > 0, signal), abs=1e-12)
        assert ndcg_100(audience, signal, signal) == pytest.approx(ndcg_score([audience], [signal], k=100), abs=1e-12)


def test_ndcg_by_hand():
    discounted = 0 / np.log2(2) + 1 / np.log2(3) + 3 / np.log2(4)
    best = 3 / np.log2(2) + 1 / np.log2(3)
    gain = ndcg_100(np.array([3.0, 1.0, 0.0]), np.array([1.0, 2.0, 3.0]), np.zeros(3))
    assert gain == pytest.approx(discounted / best)


def test_ndcg_uses_only_the_first_hundred():
    audience = np.r_[np.zeros(100), np.ones(1)]
    assert ndcg_100(audience, -np.arange(101.0), audience) == 0.0
    assert ndcg_100(audience, np.r_[0, -np.arange(1.0, 100), -0.5], audience) == pytest.approx(1 / np.log2(3))


def test_r2_by_hand():
    audience, expected = np.expm1([0.0, 1.0, 2.0]), np.expm1([0.0, 2.0, 1.0])
    assert r2_log(audience, np.zeros(3), expected) == pytest.approx(0.5**2)


@pytest.mark.parametrize("metric", RANKING)
def test_metrics_of_a_perfect_signal(metric):
    assert METRICS[metric](AUDIENCE, AUDIENCE, AUDIENCE) == pytest.approx(1.0)


def test_metrics_of_a_reversed_signal():
    assert auc(AUDIENCE, -AUDIENCE, AUDIENCE) == 0.0
    assert ndcg_100(AUDIENCE, -AUDIENCE, AUDIENCE) < 0.75


def test_metrics_of_a_constant_signal():
    constant = np.ones(4)
    assert auc(AUDIENCE, constant, constant) == 0.5
    assert r2_log(AUDIENCE, constant, constant) == 0.0
    shared = (AUDIENCE.mean() / np.log2(np.arange(2, 6))).sum()
    assert ndcg_100(AUDIENCE, constant, constant) == pytest.approx(shared / (3 + 1 / np.log2(3)))


@pytest.mark.parametrize("audience", [np.zeros(3), np.ones(3)])
def test_auc_is_undefined_if_all_or_none_have_an_audience(audience):
    signal = np.arange(3.0)
    assert auc(audience, signal, signal) == 0.5
    assert r2_log(audience, signal, signal) == 0.0
    assert ndcg_100(audience, signal, signal) == (1.0 if audience.any() else 0.0)
