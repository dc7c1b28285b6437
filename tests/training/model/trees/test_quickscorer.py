"""Forests answer to the last bit what LightGBM does."""

from functools import cache

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.model.trees import quickscorer as module
from training.model.trees.quickscorer import build_forest

AWKWARD = [np.nan, 0.0, -0.0, 1e-36, -1e-36, 5e-324, 1e299, -1e299, 0.5, 1.0]


def grown(seed, trees=20, depth=4, missing=0.2, zeros=0.3, **more):
    """A booster on rows with many equal, zero and unknown values."""
    rng = np.random.default_rng(seed)
    rows = np.round(rng.normal(0, 2, (600, 5)), 1)
    rows[rng.random(rows.shape) < zeros] = 0.0
    rows[rng.random(rows.shape) < missing] = np.nan
    target = np.nan_to_num(rows) @ rng.normal(0, 1, 5) + np.isnan(rows[:, 0]) + rng.normal(0, 0.1, 600)
    told = {"max_depth": depth, "num_leaves": 2**depth, "min_data_in_leaf": 3, "verbose": -1, "seed": seed, **more}
    made = lgb.train(told, lgb.Dataset(rows, target), trees)
    return lgb.Booster(model_str=made.model_to_string()), rows  # as a bundle has it


def theirs(boosters, rows):
    return np.array([booster.predict(rows, raw_score=True) for booster in boosters])


@pytest.mark.parametrize("depth", [1, 2, 4, 6])
@pytest.mark.parametrize(("missing", "zeros"), [(0.0, 0.0), (0.2, 0.3), (0.7, 0.1)])
def test_every_sum_to_the_last_bit(depth, missing, zeros):
    booster, rows = grown(depth, depth=depth, missing=missing, zeros=zeros)
    other, _ = grown(depth + 10, trees=7, depth=3)
    unknown = np.where(np.random.default_rng(0).random(rows.shape) < 0.2, np.nan, rows)
    for asked in (rows, unknown, rows[:1], rows[:0], np.full((2, 5), np.nan)):
        assert (build_forest([booster, other]).sums(asked) == theirs([booster, other], asked)).all()


@pytest.fixture(scope="module")
def awkward():
    booster, _ = grown(3, trees=300)
    return booster, build_forest([booster])


@cache
def few_trees():
    booster, _ = grown(4)
    return booster, build_forest([booster])


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.sampled_from(AWKWARD) | st.floats(-1e299, 1e299), min_size=5, max_size=5), min_size=1, max_size=30
    )
)
def test_awkward_values(rows):
    booster, made = few_trees()
    assert (made.sums(np.array(rows)) == theirs([booster], np.array(rows))).all()


@pytest.mark.parametrize("count", [*range(1, 20), 63, 64, 65, 511, 512, 513, 600])
def test_however_many_rows(awkward, count):
    booster, made = awkward
    rows = np.random.default_rng(count).normal(0, 2, (count, 5))
    assert (made.sums(rows) == theirs([booster], rows)).all()


def test_a_value_on_a_threshold_goes_left(awkward):
    booster, made = awkward
    edges = np.concatenate(list(made.thresholds.values()))
    # LightGBM's stand-ins for zero and infinity, ±1e-35 and ±1e300, are read back by it in other digits than written.
    edges = edges[(np.abs(edges) > 1e-30) & (np.abs(edges) < 1e300)]
    rows = np.tile(np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)])[:, None], 5)
    assert (made.sums(rows) == theirs([booster], rows)).all()


def test_chunks_do_not_show(awkward, monkeypatch):
    _, made = awkward
    rows = np.random.default_rng(1).normal(0, 2, (23, 5))
    whole = made.sums(rows)
    for height in (0, 1, 7, 23):
        monkeypatch.setattr(module, "CELLS", height * len(made.values))
        assert (made.sums(rows) == whole).all()


def test_a_tree_that_does_not_split():
    rows = np.ones((50, 5))
    booster = lgb.train({"verbose": -1, "min_data_in_leaf": 40}, lgb.Dataset(rows, np.arange(50.0)), 3)
    assert (build_forest([booster]).sums(rows) == theirs([booster], rows)).all()


def test_what_is_no_forest_is_left_to_lightgbm(monkeypatch):
    rng = np.random.default_rng(0)
    rows, target = rng.integers(0, 9, (300, 2)).astype(float), rng.random(300)
    told = {"verbose": -1, "min_data_in_leaf": 5}
    by_kind = lgb.train(told, lgb.Dataset(rows, target, categorical_feature=[0]), 3)
    assert build_forest([by_kind]) is None
    averaged = told | {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}
    assert build_forest([lgb.train(averaged, lgb.Dataset(rows, target), 3)]) is None
    assert build_forest([grown(0, depth=7, num_leaves=128)[0]]) is None
    linear = told | {"linear_tree": True}
    assert build_forest([lgb.train(linear, lgb.Dataset(rows, target), 3)]) is None
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    assert build_forest([grown(0)[0]]) is None


def test_a_bundle_answers_the_same_without_it(bundle, rows, monkeypatch):
    found = bundle.predict(rows)
    assert bundle.forest is not None
    monkeypatch.setitem(bundle.__dict__, "forest", None)
    assert bundle.predict(rows).equals(found)
