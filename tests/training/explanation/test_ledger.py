import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE, INPUTS
from features.errors import CatalogueError
from training.explanation.ledger import base_points, contributions, ledger
from training.explanation.reasons import LEAST_POINTS
from training.model import bundle as module
from training.model.bundle import feature_row
from training.model.scale import Scale


def test_points_of_every_row_add_up(bundle, rows):
    added = base_points(bundle) + contributions(bundle, rows).sum(axis=1)
    assert np.abs(added - bundle.predict(rows)["unclipped"]).max() < 1e-6


def test_a_ledger_adds_up_and_states_its_baseline(bundle, rows):
    for _, row in rows.sample(40, random_state=0).iterrows():
        features = feature_row(row.to_frame().T)
        result = ledger(bundle, features)
        assert result.base + sum(line.points for line in result.lines) == pytest.approx(result.unclipped, abs=1e-6)
        assert result.score == pytest.approx(np.clip(result.unclipped, 0, 100))
        assert result.baseline.startswith("the average of the ")
        sizes = [abs(line.points) for line in result.lines]
        assert sizes == sorted(sizes, reverse=True)
        assert all(sizes)
        for line in (line for line in result.lines if not line.parts):
            assert line.family == CATALOGUE[line.feature].family
            assert line.value is None if pd.isna(row[line.feature]) else line.value == row[line.feature]
            assert line.sentence == CATALOGUE[line.feature].describe(line.value, features)


def test_equal_rows_have_equal_ledgers(bundle, rows):
    one, other = rows.iloc[[5]], rows.iloc[[5]].assign(user="somebody else")
    assert ledger(bundle, feature_row(one)) == ledger(bundle, feature_row(other))
    both = contributions(bundle, pd.concat([one, other, rows]))
    assert both.iloc[0].tolist() == both.iloc[1].tolist()


def test_points_equal_those_of_the_shap_library(plain, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        sample = rows.sample(100, random_state=1)
        values = shap.TreeExplainer(plain.booster).shap_values(plain.matrix(sample))
    points = np.asarray(values) * plain.scale.points_per_nat
    assert np.abs(points - contributions(plain, sample).to_numpy()).max() < 1e-6


def test_a_feature_that_the_model_does_not_use_has_no_line(plain, rows):
    unused = {n for n, k in zip(plain.features, plain.booster.feature_importance(), strict=True) if k == 0}
    other = dataclasses.replace(plain, scale=Scale(0.0, 1.0))
    result = {
        line.feature for k in range(0, len(rows), 20) for line in ledger(other, feature_row(rows.iloc[[k]])).lines
    }
    assert result
    assert result.isdisjoint(unused)
    assert contributions(plain, rows)[sorted(unused)].eq(0).all(axis=None)


def test_base_of_a_model_without_a_baseline_is_the_average_of_the_training_rows(plain):
    """The expected value of a tree is the mean of its leaves, weighted by training rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap  # shap imports matplotlib, which warns on its first import

        expected = shap.TreeExplainer(plain.booster).expected_value
    assert base_points(plain) == pytest.approx(plain.scale.unclipped(np.ravel(expected)[0]), abs=1e-6)


@pytest.mark.parametrize(("anchor", "score"), [(900.0, 100.0), (-900.0, 0.0)])
def test_clipping_is_reported(bundle, rows, anchor, score):
    moved = dataclasses.replace(bundle, scale=Scale(anchor, bundle.scale.points_per_nat))
    result = ledger(moved, feature_row(rows.iloc[[0]]))
    assert result.score == score
    assert result.unclipped + result.clipping == pytest.approx(score)
    assert np.sign(result.clipping) == -np.sign(anchor)
    assert result.base + sum(line.points for line in result.lines) == pytest.approx(result.unclipped, abs=1e-6)


def test_no_rows(bundle, rows):
    assert contributions(bundle, rows[:0]).shape == (0, len(INPUTS))


def test_feature_row_needs_one_row(rows):
    for many in (rows[:0], rows[:2]):
        with pytest.raises(ValueError, match=f"found {len(many)} rows; expected one"):
            feature_row(many)


def test_a_missing_feature_is_named(bundle, rows):
    name = list(bundle.features)[2]
    with pytest.raises(CatalogueError, match=f"the rows lack 1 of the model's {len(INPUTS)} features: {name}"):
        ledger(bundle, feature_row(rows.iloc[[0]].drop(columns=name)))


def test_families_add_up_to_the_same_total_as_lines(bundle, rows):
    for k in range(0, len(rows), 40):
        result = ledger(bundle, feature_row(rows.iloc[[k]]))
        assert result.base + sum(result.families.values()) == pytest.approx(result.unclipped, abs=1e-6)
        sizes = [abs(points) for points in result.families.values()]
        assert sizes == sorted(sizes, reverse=True)
        for family, points in result.families.items():
            assert points == pytest.approx(sum(line.points for line in result.lines if line.family == family))


def test_typical_values_explain_the_sign_of_the_points(plain, rows):
    """For monotone features, the typical value is shown if it explains the sign."""
    shown = hidden = 0
    for factor in (0.0, 0.98, 3.0):
        row = feature_row(rows.iloc[[0]])
        typical = {name: None if np.isnan(row[name]) else factor * row[name] for name in plain.features}
        baseline = dataclasses.replace(plain.baseline, typical=typical)
        for line in ledger(plain, row, baseline).lines:
            if line.typical is None:
                hidden += 1
                continue
            shown += 1
            assert line.typical == typical[line.feature]
            direction = CATALOGUE[line.feature].direction
            if direction in ("up", "down"):
                better = (line.value - line.typical) * (1 if direction == "up" else -1)
                assert better * line.points > 0
    assert shown
    assert hidden
    assert {line.typical for line in ledger(plain, feature_row(rows.iloc[[0]])).lines} == {None}


class TestManyRows:
    """Points from precomputed tables equal those of LightGBM."""

    @pytest.fixture(autouse=True)
    def _many(self, monkeypatch):
        monkeypatch.setattr(module, "MANY_ROWS", 2)

    def test_many_rows_get_the_points_of_few(self, plain, rows):
        bundle = dataclasses.replace(plain)
        points = contributions(bundle, rows)
        theirs = bundle.booster.predict(bundle.matrix(rows), pred_contrib=True)[:, :-1] * bundle.scale.points_per_nat
        assert np.abs(points - theirs).max(axis=None) < 1e-9
        assert points.index.equals(rows.index)
        assert list(points) == list(bundle.features)
        one = contributions(bundle, rows.iloc[[7]])
        assert np.abs(one.iloc[0] - points.iloc[7]).max() < 1e-9

    def test_points_of_many_rows_add_up(self, bundle, rows):
        added = base_points(bundle) + contributions(bundle, rows).sum(axis=1)
        assert np.abs(added - bundle.predict(rows)["unclipped"]).max() < 1e-9

    def test_equal_rows_have_equal_points(self, bundle, rows):
        twice = contributions(bundle, pd.concat([rows, rows.sample(frac=1, random_state=0)]))
        by_row = twice.groupby(level=0)
        assert by_row.min().equals(by_row.max())

    def test_a_warm_model_looks_up_one_row_in_tables(self, bundle, rows, monkeypatch):
        cold, warm = dataclasses.replace(bundle), dataclasses.replace(bundle)
        warm.warm()
        one = bundle.matrix(rows.iloc[:1])
        expected = cold.shap_values(one)
        assert "tables" not in vars(cold)
        monkeypatch.setattr(module, "predict", None)
        assert np.abs(warm.shap_values(one) - expected).max() < 1e-12

    def test_a_booster_that_cannot_be_tabulated_is_explained_by_lightgbm(self, bundle, rows, monkeypatch):
        monkeypatch.setattr(module, "shap_tables", lambda _: None)
        other = dataclasses.replace(bundle)
        assert other.tables is None
        assert np.abs(contributions(other, rows) - contributions(bundle, rows)).max(axis=None) < 1e-9


def test_replacing_a_feature_moves_the_score_against_its_points(bundle, rows):
    """Replace a feature by values of random other users, and average the scores.

    Points are relative to such a replacement. For at least 95 % of the lines of half a point or more, the mean score
    then moves against the sign of the line.
    """
    rng = np.random.default_rng(0)
    active = rows[rows["acts_365d"].fillna(0) + rows["engagements_365d"].fillna(0) >= 3]
    others = active.iloc[rng.integers(0, len(active), 200)]
    agreed = []
    for user in rng.choice(len(active), 40, replace=False):
        row = active.iloc[[user]]
        result = ledger(bundle, feature_row(row))
        for line in result.lines:
            if abs(line.points) >= LEAST_POINTS:
                names = [part.feature for part in line.parts] or [line.feature]
                without = pd.concat([row] * len(others)).assign(**{name: others[name].to_numpy() for name in names})
                agreed.append((result.unclipped - bundle.predict(without)["unclipped"].mean()) * line.points > 0)
    assert len(agreed) > 100
    assert np.mean(agreed) >= 0.95
