"""Interactions add up to the points of a ledger, and are what a small tree gives by hand."""

import dataclasses

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from training.explanation.global_view import interactions
from training.explanation.ledger import contributions
from training.model.scale import Scale


@pytest.fixture
def by_hand(plain):
    """Make a bundle of one tree of two features: 1 nat where both are above 0, a quarter of the rows, else 0."""

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


def added(points):
    return points.sum(axis=2)


def test_they_add_up_to_the_points_and_are_symmetric(bundle, rows):
    sample = rows.sample(200, random_state=0)
    points = interactions(bundle, sample)
    assert points.shape == (200, len(bundle.features), len(bundle.features))
    assert np.abs(added(points) - contributions(bundle, sample).to_numpy()).max() < 1e-6
    assert np.abs(points - points.transpose(0, 2, 1)).max() < 1e-9
    assert np.abs(points).max() > 1


def test_of_two_features_by_hand(by_hand):
    """Worth 1 where both hold, 1/2 where one does and the other is not known, 1/4 where neither is known.

    Of what both give, 3/4 nat, the second difference 1 - 1/2 - 1/2 + 1/4 is given only together, half on each side.
    """
    rows = pd.DataFrame({"a": [1.0, -1.0], "b": [1.0, 1.0]})
    both, one = interactions(by_hand(), rows)
    assert both == pytest.approx(np.array([[2.5, 1.25], [1.25, 2.5]]), abs=1e-5)
    assert one == pytest.approx(np.array([[-2.5, -1.25], [-1.25, 2.5]]), abs=1e-5)


def test_the_unit_is_points(bundle, rows):
    sample = rows.iloc[:5]
    twice = dataclasses.replace(bundle, scale=Scale(0.0, 2 * bundle.scale.points_per_nat))
    assert interactions(twice, sample) == pytest.approx(2 * interactions(bundle, sample))


@pytest.mark.parametrize("has_unknown", [True, False])
def test_unknown_values_go_where_lightgbm_takes_them(by_hand, has_unknown):
    """Also where training saw none: then they are read as 0."""
    booster = by_hand(unknown=has_unknown)
    rows = pd.DataFrame({"a": [np.nan, np.nan, 1.0], "b": [1.0, np.nan, np.nan]})
    assert np.abs(added(interactions(booster, rows)) - contributions(booster, rows).to_numpy()).max() < 1e-6


def test_rows_are_not_modified(by_hand):
    rows = pd.DataFrame({"a": [np.nan, 1.0], "b": [np.nan, 1.0]})
    before = rows.copy()
    interactions(by_hand(), rows)
    pd.testing.assert_frame_equal(rows, before)


def test_nobody_and_a_model_without_a_split(bundle, by_hand, rows):
    assert interactions(bundle, rows[:0]).shape == (0, len(bundle.features), len(bundle.features))
    flat = lgb.train({"objective": "regression", "verbose": -1}, lgb.Dataset(np.ones((30, 2)), np.ones(30)), 1)
    blunt = dataclasses.replace(by_hand(), booster_text=flat.model_to_string())
    assert not interactions(blunt, pd.DataFrame({"a": [1.0], "b": [2.0]})).any()
