"""Churn: users whose score changes from one model to the next."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from features.catalogue import CATALOGUE
from training.explanation.ledger import contributions
from training.model.bundle import feature_row
from training.model.scale import Scale
from training.release.checks import churn


@pytest.fixture
def raised_bundle(bundle):
    """The same model with all scores three points higher."""
    scale = bundle.scale
    return dataclasses.replace(bundle, scale=Scale(scale.anchor + 3.0, scale.points_per_nat))


@pytest.fixture(scope="module")
def other(bundle):
    """The model with half its trees, so that features have other effects."""
    text = bundle.booster.model_to_string(num_iteration=20)
    return dataclasses.replace(bundle, booster_text=text)


def test_the_same_model_changes_no_score(bundle, rows):
    result = churn(bundle, "3", bundle, rows, 5.0)
    assert (result.version, result.share, result.median, result.base) == ("3", 0.0, 0.0, 0.0)
    assert result.largest == ()


def test_only_users_active_within_a_year_count(bundle, rows):
    result = churn(bundle, "3", bundle, rows, 5.0)
    assert result.users == (rows["acts_365d"] > 0).sum() < len(rows)


@pytest.mark.parametrize(("points", "share"), [(2.999, 1.0), (3.001, 0.0)])
def test_only_changes_above_the_threshold_count(bundle, raised_bundle, rows, points, share):
    middle = bundle.predict(rows)["unclipped"].between(0, 97)
    result = churn(bundle, "3", raised_bundle, rows[middle], points)
    assert result.share == share
    assert result.median == pytest.approx(3.0)
    assert result.base == pytest.approx(3.0)


def test_changes_are_of_clipped_scores(bundle, rows):
    """Scores below zero are clipped, so they do not change."""
    low, lower = (dataclasses.replace(bundle, scale=Scale(anchor, 10.0)) for anchor in (-200.0, -300.0))
    result = churn(low, "3", lower, rows, 0.0)
    assert (result.share, result.base) == (0.0, pytest.approx(-100.0))


def test_the_largest_changes_have_reasons(bundle, other, rows):
    result = churn(bundle, "3", other, rows, 5.0)
    active = rows[rows["acts_365d"] > 0].set_index("user")
    before, after = (model.predict(active)["score"] for model in (bundle, other))
    sizes = (after - before).abs().sort_values(ascending=False)
    assert len(result.largest) == 10
    for move, size in zip(result.largest, sizes, strict=False):
        assert abs(move.after - move.before) == pytest.approx(size)
        assert (move.before, move.after) == (before[move.user], after[move.user])
        old, new = (contributions(model, active.loc[[move.user]]).iloc[0] for model in (bundle, other))
        features = feature_row(active.loc[[move.user]])
        sentences = {name: CATALOGUE[name].describe(features[name], features) for name in old.index}
        old, new = (points.groupby(sentences).sum() for points in (old, new))
        furthest = (new - old).abs().sort_values(ascending=False)
        assert [reason.sentence for reason in move.reasons] == list(furthest.index[:3])
        for reason in move.reasons:
            assert reason.sentence == sentences[reason.feature]
            assert (reason.before, reason.after) == pytest.approx((old[reason.sentence], new[reason.sentence]))
    assert json.loads(json.dumps(result.as_json(), allow_nan=False)) == result.as_json()


def test_a_feature_absent_from_the_champion_has_no_points(bundle, other, rows):
    """A champion of a smaller catalogue still predicts; a feature absent from it has no points."""
    index = int(bundle.booster.feature_importance("gain").argmax())
    lacking = list(bundle.features)[index]
    features = {name: print_ for name, print_ in other.features.items() if name != lacking}
    smaller_champion = SimpleNamespace(
        features=features,
        scale=other.scale,
        predict=other.predict,
        matrix=lambda model: model[list(features)].to_numpy(float),
        baseline=bundle.baseline,
        shap_values=lambda model, baseline: np.delete(
            bundle.shap_values(np.insert(model, index, rows[lacking].median(), axis=1), baseline), index, 1
        ),
    )
    result = churn(smaller_champion, "3", bundle, rows, 0.0)
    reasons = [reason for move in result.largest for reason in move.reasons if reason.feature == lacking]
    assert reasons
    assert all(reason.before == 0.0 and reason.after != 0.0 for reason in reasons)


def test_without_active_users_there_is_no_churn(bundle, rows):
    result = churn(bundle, "3", bundle, rows.assign(acts_365d=0.0), 5.0)
    assert (result.users, result.share, result.median, result.largest) == (0, 0.0, 0.0, ())
