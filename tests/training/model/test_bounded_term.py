from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import BOUNDED, INPUTS, SCORED
from training.config import Model
from training.explanation.ledger import ANYBODY, base_points, contributions, ledger
from training.explanation.score_change import PARTS, changes
from training.model.booster import margins
from training.model.bounded_term import fill_up, fit_boosters, set_level, total_audience
from training.model.bundle import feature_row
from training.model.bundle_files import BOUNDED_FILE, load_bundle, save_bundle
from training.model.trees.quickscorer import build_forest
from training.model.trees.treeshap import shap_tables

VALUES = st.none() | st.floats(0, 1e9) | st.sampled_from([0.0, 1.0, 5.0, 300.0])


@pytest.fixture(scope="module")
def tight(bundle):
    """A bundle whose bounded term is at its limit for most users."""
    return replace(bundle, bounded=replace(bundle.bounded, limit=0.01))


def test_features_of_both_boosters_are_distinct(bundle):
    assert list(bundle.features) == INPUTS.names
    assert not set(SCORED.names) & set(BOUNDED.names)
    assert bundle.bounded_features == BOUNDED.names


@settings(max_examples=25)
@given(row=st.integers(0, 99), values=st.lists(VALUES, min_size=len(BOUNDED), max_size=len(BOUNDED)))
def test_responses_from_anybody_move_a_score_within_the_band(bundle, rows, row, values):
    before = rows.iloc[[row]]
    after = before.assign(**dict(zip(BOUNDED.names, [np.nan if v is None else v for v in values], strict=True)))
    one, other = (bundle.predict(frame)["unclipped"].iloc[0] for frame in (before, after))
    assert abs(other - one) <= bundle.most_from_anybody + 1e-9


def test_width_of_the_band_in_points(bundle):
    assert bundle.most_from_anybody - 2 * 0.1 * bundle.scale.points_per_nat == pytest.approx(0.05, abs=0.05 + 1e-6)
    assert round(bundle.most_from_anybody, 1) == bundle.most_from_anybody
    assert replace(bundle, bounded=None).most_from_anybody == 0


@pytest.mark.parametrize("which", ["bundle", "tight"])
def test_points_add_up_at_the_limit(request, rows, which):
    model = request.getfixturevalue(which)
    points, predicted = contributions(model, rows), model.predict(rows)
    total = base_points(model) + points.sum(axis=1)
    assert np.allclose(total, predicted["unclipped"], rtol=0, atol=1e-6)
    few = rows[:10]
    assert np.allclose(contributions(model, few), points[:10], rtol=0, atol=1e-9)


def test_the_limit_is_reached_by_some_users(tight, rows):
    sums = tight.bounded_sums(tight.matrix(rows))
    assert 0.2 < (np.abs(sums) > tight.bounded.limit).mean() < 1


def test_the_ledger_has_one_line_that_opens_into_features(bundle, rows):
    parts = ledger(bundle, feature_row(rows.iloc[[3]]))
    (line,) = [line for line in parts.lines if line.feature == ANYBODY]
    assert {part.feature for part in line.parts} <= set(BOUNDED.names)
    assert sum(part.points for part in line.parts) == pytest.approx(line.points, abs=1e-9)
    assert not {line.feature for line in parts.lines} & set(BOUNDED.names)
    assert parts.base + sum(line.points for line in parts.lines) == pytest.approx(parts.unclipped, abs=1e-6)
    assert line.value == rows["responders_365d"].iloc[3] == 0
    assert line.sentence == (
        "No person responded since this user appeared 17 days ago; that alone moves a "
        f"score by {bundle.most_from_anybody:.1f} points at most."
    )


def test_a_change_adds_up_at_the_limit(tight, rows):
    old, new = rows[:60], rows[60:120]
    change = changes(tight, tight, old, new)
    figures = change.figures
    moved = figures["score_from"] + figures[list(PARTS)].sum(axis=1)
    assert np.allclose(moved, figures["score_to"], rtol=0, atol=1e-6)
    same = new.assign(**{name: old[name].to_numpy() for name in SCORED.names})
    bounded_change = changes(tight, tight, old, same)
    assert (bounded_change.moved[SCORED.names] == 0).all(axis=None)
    assert (bounded_change.moved.sum(axis=1).abs() <= tight.most_from_anybody + 1e-9).all()


def test_the_term_is_saved_and_loaded(bundle, rows, tmp_path):
    save_bundle(bundle, tmp_path)
    assert (tmp_path / BOUNDED_FILE).is_file()
    loaded = load_bundle(tmp_path)
    assert loaded.bounded == bundle.bounded
    pd.testing.assert_frame_equal(loaded.predict(rows), bundle.predict(rows))


def test_a_bundle_without_the_term_or_a_baseline_can_explain(plain, rows, tmp_path):
    save_bundle(plain, tmp_path)
    assert not (tmp_path / BOUNDED_FILE).exists()
    older = load_bundle(tmp_path)
    assert "rows (a user at an instant)" in older.baseline.description
    parts = ledger(older, feature_row(rows.iloc[[3]]))
    assert parts.base + sum(line.points for line in parts.lines) == pytest.approx(parts.unclipped, abs=1e-6)
    assert all(not line.parts for line in parts.lines)
    assert {line.typical for line in parts.lines} == {None}


def test_fill_up_distributes_the_difference_in_proportion():
    parts = np.array([[1.0, -1.0, 2.0], [0.0, 0.0, 0.0]])
    assert fill_up(parts, np.array([4.0, 3.0])).tolist() == [[1.5, -0.5, 3.0], [1.0, 1.0, 1.0]]


def test_a_bound_of_zero_omits_the_term(random_panel):
    boosters = fit_boosters(random_panel, Model(trees=5, bound=0))
    assert boosters.bounded is boosters.term is None
    assert fit_boosters(random_panel, Model(trees=5)).term.limit == 0.1


@pytest.fixture(scope="module")
def random_panel():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.lognormal(0, 1, (500, len(INPUTS))), columns=INPUTS.names)
    return frame.assign(audience=rng.poisson(frame["responders_365d"]), as_of=pd.Timestamp("2025-01-01", tz="UTC"))


@pytest.fixture(scope="module")
def boosters_with_raised_level(random_panel):
    boosters = fit_boosters(random_panel, Model(trees=20))
    before = boosters.margins(random_panel)
    people = 1.5 * np.exp(before).sum()
    set_level(boosters, random_panel, people)
    return boosters, before, people


def test_expected_audiences_add_up_to_the_level(boosters_with_raised_level, random_panel):
    boosters, before, people = boosters_with_raised_level
    after = boosters.margins(random_panel)
    assert np.exp(after).sum() == pytest.approx(people, rel=1e-9)
    assert np.ptp(after - before) < 1e-9


def test_the_level_is_in_text_tables_and_shap_values(boosters_with_raised_level, random_panel):
    boosters, *_ = boosters_with_raised_level
    first = lgb.Booster(model_str=boosters.first.model_to_string())
    rows = random_panel[SCORED.names].to_numpy(float)
    margin = margins(boosters.first, random_panel)
    assert first.predict(rows, raw_score=True) == pytest.approx(margin, abs=1e-12)
    assert first.predict(rows, pred_contrib=True).sum(axis=1) == pytest.approx(margin, abs=1e-6)
    assert shap_tables(first).values(rows).sum(axis=1) == pytest.approx(margin, abs=1e-6)
    assert build_forest([first]).sums(rows)[0] == pytest.approx(margin, abs=1e-6)


def test_the_level_needs_300_people_and_moves_by_at_most_one_nat(random_panel):
    boosters = fit_boosters(random_panel, Model(trees=20))
    before = boosters.margins(random_panel)
    set_level(boosters, random_panel, 299.0)
    assert (boosters.margins(random_panel) == before).all()
    set_level(boosters, random_panel, 1e9)
    assert boosters.margins(random_panel) - before == pytest.approx(1.0, abs=1e-9)


def test_the_level_of_a_sample_is_that_of_all_rows(random_panel):
    """The sample has all users with a large audience, and a fourth of the others, who alone are too few for a level."""
    boosters = fit_boosters(random_panel, Model(trees=20))
    before, heavy = boosters.margins(random_panel), random_panel["audience"] >= 6
    sample = random_panel.assign(sample_weight=np.where(heavy, 1.0, 4.0))[heavy | (np.arange(500) % 4 == 0)]
    everybody, people = random_panel["audience"].sum(), total_audience(sample)
    assert sample["audience"][~heavy].sum() < 300 < people
    assert people == pytest.approx(everybody, rel=0.1)
    expected = (np.exp(boosters.margins(sample)) * sample["sample_weight"]).sum()
    set_level(boosters, sample, people)
    assert boosters.margins(random_panel) - before == pytest.approx(np.log(people / expected), abs=1e-9)
