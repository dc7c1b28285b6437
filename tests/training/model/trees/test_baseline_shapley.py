"""Contributions of changed features to the change of a margin: by hand, by all coalitions, and their properties."""

from itertools import product
from math import factorial

import lightgbm as lgb
import numpy as np
import pytest

from features.errors import RegistryError
from training.model.trees import baseline_shapley
from training.model.trees.baseline_shapley import split_trees

FEATURES = 5


@pytest.fixture(scope="module")
def booster_and_rows():
    """A booster that is monotone in the first two features, and rows before and after with some unknown values."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(3000, FEATURES))
    outcome = rows[:, 0] + rows[:, 0] * (rows[:, 2] > 0) + rows[:, 1] ** 3 + np.sin(2 * rows[:, 3]) * rows[:, 4]
    rows[rng.random(rows.shape) < 0.1] = np.nan
    settings = {"objective": "regression", "max_depth": 5, "num_leaves": 31, "verbose": -1, "seed": 1}
    settings |= {"monotone_constraints": [1, 1, 0, 0, 0]}
    booster = lgb.train(settings, lgb.Dataset(rows, outcome), 40)
    before, after = rows[:150].copy(), rows[150:300].copy()
    still = rng.random(before.shape) < 0.3
    after[still] = before[still]
    return booster, before, after


def between(booster, before, after):
    return baseline_shapley.shap_between(split_trees(booster), before, after)


def fit_tree(rows, outcome, **settings):
    settings = {"objective": "regression", "min_data_in_leaf": 1, "min_data_in_bin": 1, "verbose": -1} | settings
    settings |= {"min_sum_hessian_in_leaf": 0, "learning_rate": 1.0, "boost_from_average": False, "max_depth": 2}
    return lgb.train(settings, lgb.Dataset(np.array(rows, float), outcome), 1)


def test_jointly_needed_features_share_equally():
    """The tree gives 1 if both features are 1, else 0. Changed features share the difference; others get none."""
    corners = [[0, 0], [0, 1], [1, 0], [1, 1]]
    booster = fit_tree(corners * 10, [0, 0, 0, 1] * 10)
    before, after = np.array([[0, 0], [0, 1], [1, 1], [0, 1]], float), np.array([[1, 1], [1, 1], [0, 0], [1, 0]], float)
    assert booster.predict(np.array(corners, float)) == pytest.approx([0, 0, 0, 1])
    expected = [[0.5, 0.5], [1, 0], [-0.5, -0.5], [0.5, -0.5]]
    assert between(booster, before, after) == pytest.approx(np.array(expected))


def test_values_equal_those_of_all_coalitions(booster_and_rows):
    booster, before, after = booster_and_rows
    coalitions = list(product([False, True], repeat=FEATURES))
    all_parts = between(booster, before[:40], after[:40])
    for old, new, parts in zip(before, after, all_parts, strict=False):
        worth = dict(
            zip(coalitions, booster.predict([np.where(coalition, new, old) for coalition in coalitions]), strict=True)
        )
        for feature in range(FEATURES):
            expected = 0.0
            for coalition in coalitions:
                if not coalition[feature]:
                    joined = tuple(one or k == feature for k, one in enumerate(coalition))
                    weight = factorial(sum(coalition)) * factorial(FEATURES - 1 - sum(coalition)) / factorial(FEATURES)
                    expected += weight * (worth[joined] - worth[coalition])
            assert parts[feature] == pytest.approx(expected, abs=1e-12)


def test_rows_add_up_to_the_difference_of_margins(booster_and_rows):
    booster, before, after = booster_and_rows
    all_parts = between(booster, before, after).sum(axis=1)
    assert np.abs(all_parts - (booster.predict(after) - booster.predict(before))).max() < 1e-12


def test_unchanged_features_have_no_part(booster_and_rows):
    _, before, after = booster_and_rows
    still = (before == after) | (np.isnan(before) & np.isnan(after))
    assert still.mean() > 0.2
    assert (between(*booster_and_rows)[still] == 0).all()


def test_swapping_the_rows_reverses_every_sign(booster_and_rows):
    booster, before, after = booster_and_rows
    assert between(booster, before, after) == pytest.approx(-between(booster, after, before), abs=1e-12)


def test_monotone_features_have_the_right_sign_for_all_rows(booster_and_rows):
    """The difference of two SHAP explanations has the wrong sign for some rows."""
    booster, before, after = booster_and_rows
    moved = after[:, :2] - before[:, :2]
    moved_known = ~np.isnan(moved)
    assert (between(*booster_and_rows)[:, :2] * np.sign(moved))[moved_known].min() >= -1e-12
    plain = booster.predict(after, pred_contrib=True) - booster.predict(before, pred_contrib=True)
    assert (plain[:, :2] * np.sign(moved))[moved_known].min() < -0.01


def test_chunks_give_the_same_values(booster_and_rows, monkeypatch):
    expected = between(*booster_and_rows)
    monkeypatch.setattr(baseline_shapley, "CHUNK", 7)
    assert (between(*booster_and_rows) == expected).all()


def test_no_rows_and_no_splits(booster_and_rows):
    booster, before, after = booster_and_rows
    assert between(booster, before[:0], after[:0]).shape == (0, FEATURES)
    flat = fit_tree([[0, 0]] * 50, [1.0] * 50)
    assert (between(flat, np.zeros((3, 2)), np.ones((3, 2))) == 0).all()


def test_a_booster_with_categorical_splits_is_refused():
    rows = np.arange(100).reshape(-1, 1) % 5.0
    settings = {"objective": "regression", "verbose": -1, "min_data_in_leaf": 1, "min_data_per_group": 1}
    booster = lgb.train(settings, lgb.Dataset(rows, (rows[:, 0] == 2) * 1.0, categorical_feature=[0]), 2)
    with pytest.raises(RegistryError, match="does not consist of trees of numeric splits"):
        between(booster, rows, rows)
