"""SHAP values from tables: by hand, compared with LightGBM, at thresholds, and boosters that cannot be tabulated."""

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.model.trees import treeshap
from training.model.trees.treeshap import leaf_values, shap_tables


def data(rows=400, features=6, seed=0, unknown=0.15):
    rng = np.random.default_rng(seed)
    matrix = np.round(rng.normal(0, 3, (rows, features)), 1)
    audience = rng.poisson(np.exp(matrix[:, 0] / 4 + (matrix[:, 1] > 0) * matrix[:, 2] / 5))
    matrix[rng.random(matrix.shape) < unknown] = np.nan
    return matrix, audience


def booster(matrix, audience, depth=4, trees=12, **more):
    own = {"objective": "tweedie", "max_depth": depth, "num_leaves": 2**depth, "min_data_in_leaf": 3, "verbose": -1}
    train = lgb.Dataset(
        matrix, audience, params={"verbose": -1}, **({"categorical_feature": more.pop("categorical", [])})
    )
    return lgb.train(own | more, train, trees)


def lightgbm_shap_values(model, matrix):
    return np.asarray(model.predict(matrix, pred_contrib=True))


class TestOneLeaf:
    def test_one_feature_by_hand(self):
        """The leaf gives 8 if the condition holds, else 0; a quarter of the rows meet it, so the average is 2."""
        assert leaf_values(8.0, np.array([0.25])).tolist() == [[-2.0, 6.0]]

    def test_two_features_by_hand(self):
        """phi_1 is the mean over both orders: v (o_1 - z_1) (z_2 + o_2) / 2."""
        z = np.array([0.25, 0.5])
        model = leaf_values(8.0, z)
        for pattern in range(4):
            o = np.array([pattern & 1, pattern >> 1])
            expected = 8.0 * (o - z) * (z + o)[::-1] / 2
            assert model[:, pattern].tolist() == expected.tolist()

    @given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=7), st.floats(-5, 5))
    def test_values_of_every_pattern_add_up_to_the_leaf_minus_its_average(self, shares, value):
        model = leaf_values(value, np.array(shares)).sum(axis=0)
        expected = np.full(2 ** len(shares), -value * np.prod(shares))
        expected[-1] += value
        np.testing.assert_allclose(model, expected, atol=1e-12)

    def test_a_condition_met_by_all_rows_has_no_points(self):
        assert leaf_values(3.0, np.array([1.0, 0.5]))[0, 3] == 0.0


def one_by_one(tables, matrix):
    """Look up each row alone, which takes another way through the tables."""
    return np.concatenate([tables.values(matrix[k : k + 1]) for k in range(len(matrix))])


class TestAgainstLightGBM:
    @settings(max_examples=25, deadline=None)
    @given(
        depth=st.integers(1, treeshap.MOST_LEVELS),
        seed=st.integers(0, 10_000),
        unknown=st.sampled_from([0.0, 0.15, 0.9]),
        leaves=st.integers(2, 40),
    )
    def test_random_trees(self, depth, seed, unknown, leaves):
        matrix, audience = data(seed=seed, unknown=unknown)
        model = booster(matrix, audience, depth, num_leaves=leaves, bagging_fraction=0.7, bagging_freq=1, seed=seed)
        tables, expected = shap_tables(model), lightgbm_shap_values(model, matrix)
        np.testing.assert_allclose(tables.values(matrix), expected, atol=1e-12)
        np.testing.assert_allclose(one_by_one(tables, matrix[:20]), expected[:20], atol=1e-12)

    def test_rows_at_and_next_to_every_threshold(self):
        """Includes values that fall on the other side if rounded to 32 bits."""
        matrix, audience = data(unknown=0.1)
        model = booster(np.sqrt(np.abs(matrix)) + 1e-9, audience)
        tables = shap_tables(model)
        edges = []
        for feature, thresholds in tables.thresholds.items():
            for threshold in thresholds:
                for value in (threshold, np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf)):
                    edges.append(np.where(np.arange(matrix.shape[1]) == feature, value, matrix[len(edges) % 400]))
        edges = np.array(edges)
        assert len(edges) > 150
        ours = tables.values(edges)
        np.testing.assert_allclose(ours, lightgbm_shap_values(model, edges), atol=1e-12)
        np.testing.assert_allclose(one_by_one(tables, edges), ours, atol=1e-12)
        narrow = lightgbm_shap_values(model, edges.astype(np.float32).astype(float))
        assert np.abs(ours - narrow).max() > 1e-3

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, 5e-324, -5e-324])
    @pytest.mark.parametrize("unknown", [0.0, 0.15])
    def test_special_values_with_and_without_unknown_ones_in_training(self, value, unknown):
        matrix, audience = data(unknown=unknown)
        model = booster(matrix, audience)
        for feature in range(matrix.shape[1]):
            odd = matrix[:50].copy()
            odd[:, feature] = value
            tables, expected = shap_tables(model), lightgbm_shap_values(model, odd)
            np.testing.assert_allclose(tables.values(odd), expected, atol=1e-12)
            np.testing.assert_allclose(one_by_one(tables, odd[:5]), expected[:5], atol=1e-12)

    def test_trees_without_a_split(self):
        matrix, audience = data()
        model = booster(matrix, audience, min_data_in_leaf=1_000)
        ours = shap_tables(model).values(matrix)
        np.testing.assert_allclose(ours, lightgbm_shap_values(model, matrix), atol=1e-12)
        assert not ours[:, :-1].any()
        assert one_by_one(shap_tables(model), matrix[:1]).tolist() == ours[:1].tolist()

    def test_rows_add_up_to_the_margin(self):
        matrix, audience = data(rows=3_000)
        model = booster(matrix, audience, trees=200)
        added = shap_tables(model).values(matrix).sum(axis=1)
        np.testing.assert_allclose(added, model.predict(matrix, raw_score=True), atol=1e-10)


@pytest.fixture(scope="module")
def tables_and_matrix():
    matrix, audience = data()
    return shap_tables(booster(matrix, audience)), matrix


class TestRows:
    def test_values_of_a_row_do_not_depend_on_other_rows(self, tables_and_matrix):
        tables, matrix = tables_and_matrix
        expected = tables.values(matrix)
        order = np.random.default_rng(0).permutation(len(matrix))
        assert np.array_equal(tables.values(matrix[order]), expected[order])
        assert np.array_equal(np.vstack([tables.values(matrix[k : k + 1]) for k in range(30)]), expected[:30])

    @pytest.mark.parametrize("chunk", [1, 7, 399, 400, 401])
    def test_values_do_not_depend_on_the_chunk_size(self, tables_and_matrix, chunk, monkeypatch):
        tables, matrix = tables_and_matrix
        expected = tables.values(matrix)
        monkeypatch.setattr(treeshap, "CHUNK", chunk)
        assert np.array_equal(tables.values(matrix), expected)

    def test_values_do_not_depend_on_the_memory_layout(self, tables_and_matrix):
        tables, matrix = tables_and_matrix
        assert np.array_equal(tables.values(np.asfortranarray(matrix)), tables.values(matrix))

    def test_no_rows(self, tables_and_matrix):
        tables, matrix = tables_and_matrix
        assert tables.values(matrix[:0]).shape == (0, 7)


class TestBoostersWithoutTables:
    @pytest.mark.parametrize(
        "more",
        [
            {"depth": 9, "trees": 60},
            {"categorical": [0]},
            {"linear_tree": True},
            {"zero_as_missing": True},
            {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
            {"objective": "multiclass", "num_class": 3},
        ],
        ids=lambda more: next(iter(more)),
    )
    def test_boosters_without_tables(self, more):
        matrix, audience = data(rows=2_000)
        matrix[:, 0] = np.round(np.abs(np.nan_to_num(matrix[:, 0])))
        model = booster(matrix, np.minimum(audience, 2) if "num_class" in more else audience, **more)
        assert shap_tables(model) is None
