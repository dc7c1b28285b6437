"""The fast forest predicts bit-identically to LightGBM."""

from functools import cache

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.model.trees import quickscorer as module
from training.model.trees.quickscorer import build_forest

AWKWARD = [np.nan, 0.0, -0.0, 1e-36, -1e-36, 5e-324, 1e299, -1e299, 0.5, 1.0]


def fit_random_booster(seed, trees=20, depth=4, missing=0.2, zeros=0.3, **more):
    """Return a booster fitted on rows with many equal, zero and unknown values."""
    rng = np.random.default_rng(seed)
    rows = np.round(rng.normal(0, 2, (600, 5)), 1)
    rows[rng.random(rows.shape) < zeros] = 0.0
    rows[rng.random(rows.shape) < missing] = np.nan
    target = np.nan_to_num(rows) @ rng.normal(0, 1, 5) + np.isnan(rows[:, 0]) + rng.normal(0, 0.1, 600)
    parameters = {
        "max_depth": depth,
        "num_leaves": 2**depth,
        "min_data_in_leaf": 3,
        "verbose": -1,
        "seed": seed,
        **more,
    }
    combined = lgb.train(parameters, lgb.Dataset(rows, target), trees)
    return lgb.Booster(model_str=combined.model_to_string()), rows  # as loaded from a bundle


def lightgbm_sums(boosters, rows):
    return np.array([booster.predict(rows, raw_score=True) for booster in boosters])


@pytest.mark.parametrize("depth", [1, 2, 4, 6])
@pytest.mark.parametrize(("missing", "zeros"), [(0.0, 0.0), (0.2, 0.3), (0.7, 0.1)])
def test_sums_are_bit_identical(depth, missing, zeros):
    booster, rows = fit_random_booster(depth, depth=depth, missing=missing, zeros=zeros)
    other, _ = fit_random_booster(depth + 10, trees=7, depth=3)
    unknown = np.where(np.random.default_rng(0).random(rows.shape) < 0.2, np.nan, rows)
    for matrix in (rows, unknown, rows[:1], rows[:0], np.full((2, 5), np.nan)):
        assert (build_forest([booster, other]).sums(matrix) == lightgbm_sums([booster, other], matrix)).all()


@pytest.fixture(scope="module")
def booster_and_extreme_rows():
    booster, _ = fit_random_booster(3, trees=300)
    return booster, build_forest([booster])


@cache
def few_trees():
    booster, _ = fit_random_booster(4)
    return booster, build_forest([booster])


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.sampled_from(AWKWARD) | st.floats(-1e299, 1e299), min_size=5, max_size=5), min_size=1, max_size=30
    )
)
def test_extreme_values(rows):
    booster, combined = few_trees()
    assert (combined.sums(np.array(rows)) == lightgbm_sums([booster], np.array(rows))).all()


@pytest.mark.parametrize("count", [*range(1, 20), 63, 64, 65, 511, 512, 513, 600])
def test_any_number_of_rows(booster_and_extreme_rows, count):
    booster, combined = booster_and_extreme_rows
    rows = np.random.default_rng(count).normal(0, 2, (count, 5))
    assert (combined.sums(rows) == lightgbm_sums([booster], rows)).all()


def test_values_at_and_next_to_thresholds(booster_and_extreme_rows):
    booster, combined = booster_and_extreme_rows
    edges = np.concatenate(list(combined.thresholds.values()))
    # LightGBM rewrites its thresholds for zero and infinity, ±1e-35 and ±1e300, with other digits than it reads.
    edges = edges[(np.abs(edges) > 1e-30) & (np.abs(edges) < 1e300)]
    rows = np.tile(np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)])[:, None], 5)
    assert (combined.sums(rows) == lightgbm_sums([booster], rows)).all()


def test_chunk_size_has_no_effect(booster_and_extreme_rows, monkeypatch):
    _, combined = booster_and_extreme_rows
    rows = np.random.default_rng(1).normal(0, 2, (23, 5))
    sums = combined.sums(rows)
    for height in (0, 1, 7, 23):
        monkeypatch.setattr(module, "CELLS", height * len(combined.values))
        assert (combined.sums(rows) == sums).all()


def test_a_tree_without_splits():
    rows = np.ones((50, 5))
    booster = lgb.train({"verbose": -1, "min_data_in_leaf": 40}, lgb.Dataset(rows, np.arange(50.0)), 3)
    assert (build_forest([booster]).sums(rows) == lightgbm_sums([booster], rows)).all()


def test_other_models_have_no_forest(monkeypatch):
    rng = np.random.default_rng(0)
    rows, target = rng.integers(0, 9, (300, 2)).astype(float), rng.random(300)
    parameters = {"verbose": -1, "min_data_in_leaf": 5}
    by_kind = lgb.train(parameters, lgb.Dataset(rows, target, categorical_feature=[0]), 3)
    assert build_forest([by_kind]) is None
    averaged = parameters | {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}
    assert build_forest([lgb.train(averaged, lgb.Dataset(rows, target), 3)]) is None
    assert build_forest([fit_random_booster(0, depth=7, num_leaves=128)[0]]) is None
    linear = parameters | {"linear_tree": True}
    assert build_forest([lgb.train(linear, lgb.Dataset(rows, target), 3)]) is None
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    assert build_forest([fit_random_booster(0)[0]]) is None


def test_a_bundle_predicts_the_same_without_it(bundle, rows, monkeypatch):
    predicted = bundle.predict(rows)
    assert bundle.forest is not None
    monkeypatch.setitem(bundle.__dict__, "forest", None)
    assert bundle.predict(rows).equals(predicted)
