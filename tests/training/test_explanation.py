import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE
from training.explanation import LEAST_POINTS, MOST_REASONS, Ledger, Line, base_points, contributions, ledger
from training.scale import Scale


def test_every_row_adds_up(bundle, rows):
    added = base_points(bundle) + contributions(bundle, rows).sum(axis=1)
    assert np.abs(added - bundle.predict(rows)["unclipped"]).max() < 1e-6


def test_a_ledger_adds_up_and_says_what_it_rests_on(bundle, rows):
    for _, row in rows.sample(40, random_state=0).iterrows():
        found = ledger(bundle, row.to_frame().T)
        assert found.base + sum(line.points for line in found.lines) == pytest.approx(found.unclipped, abs=1e-6)
        assert found.score == pytest.approx(np.clip(found.unclipped, 0, 100))
        assert found.baseline.startswith("the average of the ")
        sizes = [abs(line.points) for line in found.lines]
        assert sizes == sorted(sizes, reverse=True)
        assert all(sizes)
        for line in found.lines:
            assert line.family == CATALOGUE[line.feature].family
            assert line.value is None if pd.isna(row[line.feature]) else line.value == row[line.feature]
            assert line.sentence == CATALOGUE[line.feature].tell(line.value)


def test_equal_rows_have_equal_ledgers(bundle, rows):
    one, other = rows.iloc[[5]], rows.iloc[[5]].assign(user="somebody else")
    assert ledger(bundle, one) == ledger(bundle, other)
    both = contributions(bundle, pd.concat([one, other, rows]))
    assert both.iloc[0].tolist() == both.iloc[1].tolist()


def test_agrees_with_the_shap_library(bundle, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        sample = rows.sample(100, random_state=1)
        values = shap.TreeExplainer(bundle.booster).shap_values(bundle.matrix(sample))
    points = np.asarray(values) * bundle.scale.points_per_nat
    assert np.abs(points - contributions(bundle, sample).to_numpy()).max() < 1e-6


def test_a_feature_that_the_model_does_not_use_has_no_line(bundle, rows):
    unused = {n for n, k in zip(bundle.features, bundle.booster.feature_importance(), strict=True) if k == 0}
    plain = dataclasses.replace(bundle, scale=Scale(0.0, 1.0))
    told = {line.feature for k in range(0, len(rows), 20) for line in ledger(plain, rows.iloc[[k]]).lines}
    assert told
    assert told.isdisjoint(unused)
    assert contributions(bundle, rows)[sorted(unused)].eq(0).all(axis=None)


def test_base_is_the_average_of_the_training_rows(bundle):
    """A tree's expected value weighs its leaves by the training rows in them."""
    import shap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = shap.TreeExplainer(bundle.booster).expected_value
    assert base_points(bundle) == pytest.approx(bundle.scale.unclipped(np.ravel(expected)[0]), abs=1e-6)


@pytest.mark.parametrize(("anchor", "score"), [(900.0, 100.0), (-900.0, 0.0)])
def test_clipping_is_told(bundle, rows, anchor, score):
    moved = dataclasses.replace(bundle, scale=Scale(anchor, bundle.scale.points_per_nat))
    found = ledger(moved, rows.iloc[[0]])
    assert found.score == score
    assert found.unclipped + found.clipping == pytest.approx(score)
    assert np.sign(found.clipping) == -np.sign(anchor)
    assert found.base + sum(line.points for line in found.lines) == pytest.approx(found.unclipped, abs=1e-6)


def test_nobody(bundle, rows):
    assert contributions(bundle, rows[:0]).shape == (0, len(CATALOGUE))


class TestReasons:
    @staticmethod
    def of(*points):
        lines = [Line(f"f{k}", "reach", 1.0, each, f"Reason {each}.") for k, each in enumerate(points)]
        return Ledger(50.0, 50.0, 20.0, "", tuple(lines))

    def test_for_and_against_strongest_first(self):
        found = self.of(1.0, -3.0, 2.0, -4.0)
        assert found.reasons(+1) == ["Reason 2.0.", "Reason 1.0."]
        assert found.reasons(-1) == ["Reason -4.0.", "Reason -3.0."]

    def test_at_most_four(self):
        assert self.of(*range(1, 9)).reasons(+1) == [f"Reason {k}." for k in (8, 7, 6, 5)]
        assert MOST_REASONS == 4

    def test_at_least_half_a_point(self):
        assert self.of(0.5, 0.49, -0.5, -0.49).reasons(+1) == ["Reason 0.5."]
        assert self.of(0.5, 0.49, -0.5, -0.49).reasons(-1) == ["Reason -0.5."]
        assert LEAST_POINTS == 0.5
