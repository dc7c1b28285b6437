"""Filters of users: each narrows the ranking, and every order is total."""

from datetime import timedelta

import numpy as np
import pytest

from features.errors import ScopeError
from serving.review.user_filter import UserFilter, growth, growth_of, matching_rows
from serving.snapshots.repository import open_snapshot, write_snapshot
from serving.snapshots.search import SearchQuery
from tests.serving.conftest import AS_OF
from training.records.opt_outs import opt_out

ALL = SearchQuery()


@pytest.fixture
def snapshot(home):
    return open_snapshot(home)


@pytest.fixture
def before(home, bundle, scores, rows):
    """An earlier snapshot in which `user0001` had 2 points less, and `user0002` no score."""
    earlier = scores[scores["user"] != "user0002"].assign(model_version="2")
    earlier.loc[earlier["user"] == "user0001", "score"] -= 2.0
    at = AS_OF - timedelta(days=28)
    write_snapshot(home, at, bundle, "2", earlier, rows[rows["user"] != "user0002"])
    return open_snapshot(home, at)


def selected(snapshot, query, before=None):
    return snapshot.scores_at(matching_rows(snapshot, query, before).tolist())


def test_without_a_filter_all_users_of_the_scope_come_by_score(snapshot):
    scores = selected(snapshot, UserFilter(ALL))
    assert len(scores) == 309
    assert [score["score"] for score in scores] == sorted((score["score"] for score in scores), reverse=True)
    assert {score["user"] for score in selected(snapshot, UserFilter(SearchQuery("topic:birds")))} == {
        "user0001",
        "user0002",
    }


@pytest.mark.parametrize("text", ["user000", "USER000", "/", "🙂", "'; --"])
def test_a_part_of_the_id_in_any_case(snapshot, text):
    users = {score["user"] for score in selected(snapshot, UserFilter(ALL, contains=text))}
    everybody = {score["user"] for score in selected(snapshot, UserFilter(ALL))}
    assert users == {user for user in everybody if text.lower() in user.lower()}
    assert users


def test_evidence(snapshot):
    everybody = selected(snapshot, UserFilter(ALL))
    for least, grades in (("some", {"some", "strong"}), ("strong", {"strong"})):
        expected = sum(score["evidence"] in grades for score in everybody)
        scores = selected(snapshot, UserFilter(ALL, evidence=least))
        assert (len(scores), {score["evidence"] for score in scores} <= grades) == (expected, True)


@pytest.mark.parametrize("column", ["score", "expected_audience", "peer_percentile", "user"])
@pytest.mark.parametrize("descending", [True, False])
def test_orders(snapshot, column, descending):
    values = [score[column] for score in selected(snapshot, UserFilter(ALL, sort=column, descending=descending))]
    assert values == sorted(values, reverse=descending)


def test_growth_is_the_change_of_those_with_a_score_in_both(snapshot, before):
    moves = growth(snapshot, before, "all")
    by_user = dict(zip(snapshot.scores.column("user").to_pylist(), moves, strict=True))
    assert by_user["user0001"] == pytest.approx(2.0) or np.isnan(by_user["user0001"])
    assert np.isnan(by_user["user0002"])
    assert np.isnan(by_user["user0003"])  # too little evidence
    scores = selected(snapshot, UserFilter(ALL))
    shown = growth_of(scores, before, "all")
    assert "user0002" not in shown
    assert all(shown[user] == pytest.approx(by_user[user]) for user in shown if user != "user0001")


def test_bounds_and_order_of_growth(snapshot, before):
    users = [score["user"] for score in selected(snapshot, UserFilter(ALL, min_growth=1.0), before)]
    assert users == ["user0001"]
    by_growth = [score["user"] for score in selected(snapshot, UserFilter(ALL, sort="growth"), before)]
    assert by_growth[0] == "user0001"
    assert len(by_growth) == 309
    unknown = len(by_growth) - len(growth_of(selected(snapshot, UserFilter(ALL)), before, "all"))
    assert "user0002" in by_growth[-unknown:]
    assert selected(snapshot, UserFilter(ALL, min_growth=0.0)) == []


def test_hidden_users_and_unknown_scopes_match_nobody(home, snapshot):
    opt_out(home, "user0001")
    assert "user0001" not in {score["user"] for score in selected(snapshot, UserFilter(ALL, contains="user0001"))}
    with pytest.raises(ScopeError, match="nobody has a score of the scope 'topic:none'"):
        matching_rows(snapshot, UserFilter(SearchQuery("topic:none")))
