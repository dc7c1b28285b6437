"""Interactions add up to the points of a ledger, and equal those of a small tree computed by hand."""

import dataclasses

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from training.explanation.global_view import interactions
from training.explanation.ledger import contributions
from training.model.scale import Scale


@pytest.fixture
def small_tree(plain):
    """Return a function that fits a tree of two features: 1 nat if both are positive (a quarter of rows), else 0."""

    def make(unknown=False):
        matrix = np.array([(a, b) for a in (-1.0, 1.0) for b in (-1.0, 1.0)] * 100)
        audience = (matrix > 0).all(axis=1).astype(float)
        if unknown:
            matrix[::8, 0] = np.nan
        own = {"objective": "regression", "boost_from_average": False, "learning_rate": 1.0, "lambda_l2": 0.0}
        own |= {"num_leaves": 4, "min_data_in_leaf": 1, "verbose": -1}
        booster = lgb.train(own, lgb.Dataset(matrix, audience), 1)
        return dataclasses.replace(
            plain, booster_text=booster.model_to_string(), features={"a": "", "b": ""}, scale=Scale(0.0, 10.0)
        )

    return make


def sum_over_partners(points):
    return points.sum(axis=2)


def test_interactions_are_symmetric_and_add_up_to_the_points(bundle, rows):
    sample = rows.sample(200, random_state=0)
    points = interactions(bundle, sample)
    assert points.shape == (200, len(bundle.features), len(bundle.features))
    assert np.abs(sum_over_partners(points) - contributions(bundle, sample).to_numpy()).max() < 1e-6
    assert np.abs(points - points.transpose(0, 2, 1)).max() < 1e-9
    assert np.abs(points).max() > 1


def test_interactions_of_two_features_by_hand(small_tree):
    """The expected value is 1 if both are positive, 1/2 if one is and the other is unknown, 1/4 if both are unknown.

    Of the total of 3/4 nat, the second difference 1 - 1/2 - 1/2 + 1/4 is the interaction, half of it per feature.
    """
    rows = pd.DataFrame({"a": [1.0, -1.0], "b": [1.0, 1.0]})
    both, one = interactions(small_tree(), rows)
    assert both == pytest.approx(np.array([[2.5, 1.25], [1.25, 2.5]]), abs=1e-5)
    assert one == pytest.approx(np.array([[-2.5, -1.25], [-1.25, 2.5]]), abs=1e-5)


def test_interactions_are_in_points(bundle, rows):
    sample = rows.iloc[:5]
    twice = dataclasses.replace(bundle, scale=Scale(0.0, 2 * bundle.scale.points_per_nat))
    assert interactions(twice, sample) == pytest.approx(2 * interactions(bundle, sample))


@pytest.mark.parametrize("has_unknown", [True, False])
def test_unknown_values_are_treated_as_by_lightgbm(small_tree, has_unknown):
    """Also for features without unknown values in the training, where LightGBM treats unknown as 0."""
    booster = small_tree(unknown=has_unknown)
    rows = pd.DataFrame({"a": [np.nan, np.nan, 1.0], "b": [1.0, np.nan, np.nan]})
    assert np.abs(sum_over_partners(interactions(booster, rows)) - contributions(booster, rows).to_numpy()).max() < 1e-6


def test_rows_are_not_modified(small_tree):
    rows = pd.DataFrame({"a": [np.nan, 1.0], "b": [np.nan, 1.0]})
    before = rows.copy()
    interactions(small_tree(), rows)
    pd.testing.assert_frame_equal(rows, before)


def test_no_rows_and_a_model_without_splits(bundle, small_tree, rows):
    assert interactions(bundle, rows[:0]).shape == (0, len(bundle.features), len(bundle.features))
    flat = lgb.train({"objective": "regression", "verbose": -1}, lgb.Dataset(np.ones((30, 2)), np.ones(30)), 1)
    without_splits = dataclasses.replace(small_tree(), booster_text=flat.model_to_string())
    assert not interactions(without_splits, pd.DataFrame({"a": [1.0], "b": [2.0]})).any()
