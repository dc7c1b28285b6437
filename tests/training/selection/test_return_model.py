import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from training.selection.pairs import Pairs
from training.selection.return_model import PairFeatures, ReturnModel, fit_return_model

HORIZON = 28


def random_pairs(seed, users=200, count=4_000):
    rng = np.random.default_rng(seed)
    codes = np.sort(rng.choice(users * users, count, replace=False))
    starts = np.searchsorted(codes // users, np.arange(users + 1))
    days, weeks = rng.integers(0, 365, count), rng.integers(1, 20, count)
    return Pairs(
        starts, (codes % users).astype(np.int32), days.astype(np.int32), weeks.astype(np.int32), np.ones(users)
    )


def outcomes(pairs, seed):
    """Recent and frequent pairs engage again more often."""
    chance = 1 / (1 + np.exp(1 + pairs.days / 60 - np.log(pairs.weeks)))
    return np.random.default_rng(seed).random(len(chance)) < chance, chance


def test_the_features_of_two_pairs():
    # Users 0 and 1: 0 engaged with 1 a horizon ago; 1 engaged with 0 in four weeks, last a week ago.
    pairs = Pairs(*(np.array(part) for part in ([0, 1, 2], [1, 0], [7, 28], [4, 1], [1.0, 1.0])))
    old, recent = np.log1p(4), np.log1p(1)
    age, squared, weeks, product, idle, breadth, engagers = (x.tolist() for x in PairFeatures(pairs, HORIZON).columns())
    assert (age, squared) == ([recent, old], [recent**2, old**2])
    assert (weeks, product) == ([np.log(4), 0.0], [np.log(4) * recent, 0.0])
    assert idle == [recent, old]
    assert (breadth, engagers) == ([np.log(2), 0.0], [np.log(2), 0.0])


def test_probabilities_of_a_later_horizon_are_calibrated():
    past = [random_pairs(seed) for seed in range(4)]
    model = fit_return_model([(pairs, outcomes(pairs, k)[0]) for k, pairs in enumerate(past)], HORIZON)
    later = random_pairs(9)
    predicted, chance = model.probability(later), outcomes(later, 9)[1]
    for band in np.array_split(np.argsort(predicted), 5):
        assert predicted[band].mean() == pytest.approx(chance[band].mean(), abs=0.03)
    assert np.corrcoef(predicted, chance)[0, 1] > 0.97


def test_the_fit_equals_an_independent_implementation():
    pairs = random_pairs(1)
    returned = outcomes(pairs, 1)[0]
    fitted = fit_return_model([(pairs, returned)], HORIZON)
    features = np.column_stack(list(PairFeatures(pairs, HORIZON).columns()))
    other = LogisticRegression(C=1.0, tol=1e-10, max_iter=5_000).fit(features, returned)
    assert fitted.coefficients == pytest.approx([*other.intercept_, *other.coef_[0]], abs=1e-3)


def test_a_sample_of_many_pairs_is_deterministic():
    pairs = random_pairs(2)
    past = [(pairs, outcomes(pairs, 2)[0])]
    assert fit_return_model(past, HORIZON, most=500) == fit_return_model(past, HORIZON, most=500)


@pytest.mark.parametrize("returned", [False, True])
def test_pairs_that_all_agree_give_finite_probabilities(returned):
    pairs = random_pairs(3, count=50)
    model = fit_return_model([(pairs, np.full(50, returned))], HORIZON)
    assert np.isfinite(model.coefficients).all()
    assert (model.probability(pairs).round() == returned).all()


def test_no_pairs_give_no_probabilities():
    none = random_pairs(4, count=0)
    model = fit_return_model([(none, np.zeros(0, dtype=bool))], HORIZON)
    assert model == ReturnModel((0.0,) * 8, HORIZON)
    assert model.probability(none).shape == (0,)
