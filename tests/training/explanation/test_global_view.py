"""The global view of a model: figures by hand, samples, scopes and file names."""

import json
import re
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from training.explanation import global_view as module
from training.explanation.global_view import View, file_name, interactions, look, views
from training.explanation.ledger import contributions
from training.model.baseline import average_row, is_active

AS_OF = datetime(2025, 9, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def view(bundle, rows):
    return look(bundle, rows, paired=100)


class Small(View):
    """A view of three features without unknown values."""

    points = pd.DataFrame({"a": [3.0, -5.0], "b": [1.0, 1.0], "c": [0.0, 0.0]})
    pairs = np.array(
        [[[2.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[-4.0, -1.0, 0.0], [-1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]]
    )


@pytest.fixture
def small(bundle):
    class FakeBundle:
        features = dict.fromkeys("abc", "")

    return Small(FakeBundle(), "all", 9, pd.DataFrame(index=range(2)), 2, average_row(70))


class TestFigures:
    def test_figures_by_hand(self, small):
        assert small.strength.to_dict() == {"a": 4.0, "b": 1.0}
        assert small.pair_strength.to_numpy().tolist() == [[3, 2, 0], [2, 1, 0], [0, 0, 0]]
        assert small.strongest_pairs == [("a", "b", 2.0)]
        assert [small.partner(name) for name in "abc"] == ["b", "a", None]
        assert small.halves("a", "b").tolist() == [2.0, -2.0]
        assert small.gap == 0.0

    def test_the_view_as_json(self, small):
        assert json.loads(json.dumps(small.as_json())) == {
            "scope": "all",
            "users": 9,
            "sampled": 2,
            "baseline": "the average of the 70 rows (a user at an instant) that the model was trained on",
            "features": [
                {"feature": "a", "points": 4.0, "partner": "b"},
                {"feature": "b", "points": 1.0, "partner": "a"},
            ],
            "pairs": [{"features": ["a", "b"], "points": 2.0}],
            "paired": 2,
            "gap": 0.0,
        }

    def test_the_view_of_a_model(self, view, bundle, rows):
        assert view.users == len(view.rows) == len(rows)
        mean = contributions(bundle, rows).abs().mean()
        assert view.strength.to_dict() == pytest.approx(mean[mean > 0].to_dict())
        assert view.strength.is_monotonic_decreasing
        assert view.pairs == pytest.approx(interactions(bundle, view.rows.iloc[:100]))
        assert view.gap < 1e-6
        sizes = [size for *_, size in view.strongest_pairs]
        assert sizes == sorted(sizes, reverse=True)
        one, other, size = view.strongest_pairs[0]
        assert np.abs(view.halves(one, other)).mean() == pytest.approx(size)
        assert view.partner(one) == other
        assert view.partner(other) == one

    def test_gap_is_the_largest_difference(self, view):
        other = View(view.bundle, "all", 3, view.rows.iloc[:3], 3, view.baseline)
        other.__dict__["points"] = view.points.iloc[:3] + 0.25
        assert other.gap == pytest.approx(0.25)

    def test_equal_points_have_no_direction(self, bundle, rows):
        none = look(bundle, rows[:0])
        assert none.strength.empty
        assert none.strongest_pairs == []
        assert none.as_json()["features"] == []


class TestViews:
    def test_a_sample_is_seeded_and_bounded(self, bundle, rows, monkeypatch):
        monkeypatch.setattr(module, "SAMPLE", 50)
        one, same, other = (look(bundle, rows, seed=seed) for seed in (0, 0, 1))
        assert len(one.rows) == 50
        assert one.users == len(rows)
        assert one.paired == 50
        assert one.rows.index.tolist() == same.rows.index.tolist() != other.rows.index.tolist()

    def test_scopes_large_enough_largest_first(self, bundle, rows):
        sizes = {"all": 700, "topic:b": 300, "topic:small": 299, "topic:a": 650, "network:x": 301, "topic:c": 302}
        sizes |= {"topic:d": 303}
        many = pd.concat([rows.iloc[:size].assign(scope=scope) for scope, size in sizes.items()])
        result = views(bundle, many.sample(frac=1, random_state=0), AS_OF)
        assert list(result) == ["all", "topic:a", "topic:d", "topic:c", "network:x"]
        assert [view.users for view in result.values()] == [700, 650, 303, 302, 301]
        assert [view.paired for view in result.values()] == [700, 300, 300, 300, 300]
        assert all((view.rows["scope"] == scope).all() for scope, view in result.items())

    def test_points_are_relative_to_the_active_users_of_the_scope(self, bundle, rows):
        part = rows.iloc[:350].assign(scope="topic:a")
        view = views(bundle, pd.concat([rows, part]), AS_OF)["topic:a"]
        assert view.as_json()["baseline"] == (
            f"the average of the {is_active(part).sum()} users of topic:a who are active, as of 2025-09-01"
        )
        mean = view.points[is_active(view.rows)].mean()
        assert np.abs(mean.drop(bundle.bounded_features)).max() < 1e-6
        assert mean.sum() == pytest.approx(0, abs=1e-6)

    def test_a_small_community_has_a_view(self, bundle, rows):
        assert {scope: view.users for scope, view in views(bundle, rows.iloc[:9], AS_OF).items()} == {"all": 9}
        assert list(views(bundle, rows.assign(scope="topic:a"), AS_OF)) == ["topic:a"]


class TestFileName:
    @pytest.mark.parametrize("scope", ["topic:cats", "network:sea", "topic:a-b2"])
    def test_plain_names_are_unchanged(self, scope):
        assert file_name(scope) == scope.replace(":", "-")

    @pytest.mark.parametrize(
        "scope", ["topic:C++", "topic:a/../b", "topic:ünï", "topic:a b", "topic:a:b", "topic:" + "x" * 300]
    )
    def test_other_names_are_escaped_and_differ(self, scope):
        result = file_name(scope)
        assert re.fullmatch(r"topic-[a-z0-9-]*-[0-9a-f]{6}", result)
        assert len(result) <= 55
        assert file_name(scope + "!") != result

    def test_names_that_differ_only_by_case_get_different_files(self):
        assert (
            len(
                {
                    file_name(name).lower()
                    for name in ("topic:cats", "topic:Cats", "topic:CATS", "topic:c++", "topic:c--")
                }
            )
            == 5
        )
