"""Filters of users narrow the ranking, and every order is total."""

from datetime import timedelta

import numpy as np
import pytest

from features.errors import ScopeError
from serving.snapshots.query import PageToken, RangeError, SearchQuery, UserFilter
from serving.snapshots.repository import open_snapshot, write_snapshot
from serving.snapshots.user_filter import engagers_at, growth, growth_of, matching_rows, rows_after, value_of
from tests.serving.conftest import AS_OF
from training.records.opt_outs import opt_out

ALL = SearchQuery()


@pytest.fixture
def snapshot(home):
    return open_snapshot(home)


@pytest.fixture
def before(home, bundle, scores, rows):
    """An earlier snapshot in which `user0001` had 2 points less and `user0002` had no score."""
    earlier = scores[scores["user"] != "user0002"].assign(model_version="2")
    earlier.loc[earlier["user"] == "user0001", "score"] -= 2.0
    at = AS_OF - timedelta(days=28)
    write_snapshot(home, at, bundle, "2", earlier, rows[rows["user"] != "user0002"])
    return open_snapshot(home, at)


def select_users(snapshot, query, before=None):
    return snapshot.scores_at(matching_rows(snapshot, query, before).tolist())


def test_without_a_filter_all_users_of_the_scope_come_by_score(snapshot):
    scores = select_users(snapshot, UserFilter(ALL))
    assert len(scores) == 309
    assert [score["score"] for score in scores] == sorted((score["score"] for score in scores), reverse=True)
    assert {score["user"] for score in select_users(snapshot, UserFilter(SearchQuery("topic:birds")))} == {
        "user0001",
        "user0002",
    }


@pytest.mark.parametrize("text", ["user000", "USER000", "/", "🙂", "'; --"])
def test_ids_contain_a_text_in_any_case(snapshot, text):
    users = {score["user"] for score in select_users(snapshot, UserFilter(ALL, contains=text))}
    everybody = {score["user"] for score in select_users(snapshot, UserFilter(ALL))}
    assert users == {user for user in everybody if text.lower() in user.lower()}
    assert users


def test_users_by_evidence(snapshot):
    everybody = select_users(snapshot, UserFilter(ALL))
    for least, grades in (("some", {"some", "strong"}), ("strong", {"strong"})):
        expected = sum(score["evidence"] in grades for score in everybody)
        scores = select_users(snapshot, UserFilter(ALL, evidence=least))
        assert (len(scores), {score["evidence"] for score in scores} <= grades) == (expected, True)


@pytest.mark.parametrize("column", ["score", "expected_audience", "peer_percentile", "user"])
@pytest.mark.parametrize("descending", [True, False])
def test_orders_of_users(snapshot, column, descending):
    values = [score[column] for score in select_users(snapshot, UserFilter(ALL, sort=column, descending=descending))]
    assert values == sorted(values, reverse=descending)


def test_growth_is_the_change_between_two_scores(snapshot, before):
    moves = growth(snapshot, before, "all")
    by_user = dict(zip(snapshot.scores.column("user").to_pylist(), moves, strict=True))
    assert by_user["user0001"] == pytest.approx(2.0) or np.isnan(by_user["user0001"])
    assert np.isnan(by_user["user0002"])
    assert np.isnan(by_user["user0003"])  # has too little evidence
    scores = select_users(snapshot, UserFilter(ALL))
    shown = growth_of(scores, before, "all")
    assert "user0002" not in shown
    assert all(shown[user] == pytest.approx(by_user[user]) for user in shown if user != "user0001")


def test_bounds_and_order_of_growth(snapshot, before):
    users = [score["user"] for score in select_users(snapshot, UserFilter(ALL, min_growth=1.0), before)]
    assert users == ["user0001"]
    by_growth = [score["user"] for score in select_users(snapshot, UserFilter(ALL, sort="growth"), before)]
    assert by_growth[0] == "user0001"
    assert len(by_growth) == 309
    unknown = len(by_growth) - len(growth_of(select_users(snapshot, UserFilter(ALL)), before, "all"))
    assert "user0002" in by_growth[-unknown:]
    assert select_users(snapshot, UserFilter(ALL, min_growth=0.0)) == []


def test_people_credibility_and_the_rank_among_peers(snapshot, rows):
    features = rows.sort_values(["user", "scope"]).query("scope == 'all'").set_index("user")
    people, credible = features["engagers_365d"], features["credible_engagers_365d"]
    credibility = (100 * credible / people).where(people > 0).clip(upper=100)
    bands = {
        "min_people": people >= 3,
        "max_people": people <= 6,
        "min_credibility": credibility >= 60,
    }
    for name, matching in bands.items():
        bound = {"min_people": 3, "max_people": 6, "min_credibility": 60}[name]
        users = {score["user"] for score in select_users(snapshot, UserFilter.of({name: bound}))}
        assert users == set(features.index[matching]), name
        assert 0 < len(users) < 309
    scores = select_users(snapshot, UserFilter(min_peer_percentile=50))
    assert min(score["peer_percentile"] for score in scores) >= 50
    positions = matching_rows(snapshot, UserFilter())[:20]
    engagers = engagers_at(snapshot, positions)
    users = [score["user"] for score in snapshot.scores_at(positions.tolist())]
    assert engagers.people == pytest.approx(people[users].to_numpy(), nan_ok=True)
    assert engagers.credibility == pytest.approx(credibility[users].to_numpy(), nan_ok=True)


@pytest.mark.parametrize("sort", ["score", "expected_audience", "peer_percentile", "growth"])
def test_rows_after_a_user_are_the_rest_even_if_the_user_is_hidden(home, snapshot, before, sort):
    query = UserFilter(sort=sort)
    rows = matching_rows(snapshot, query, before)
    tokens = [
        PageToken(score["score"], score["user"], value_of(snapshot, row, query, before))
        for row, score in zip(rows.tolist(), snapshot.scores_at(rows.tolist()), strict=True)
    ]
    for index, token in list(enumerate(tokens))[::29]:
        assert rows_after(snapshot, rows, query, token, before).tolist() == rows[index + 1 :].tolist()
    opt_out(home, tokens[3].user)
    rest = matching_rows(snapshot, query, before)
    assert rows_after(snapshot, rest, query, tokens[3], before).tolist() == rows[4:].tolist()


def test_a_filter_is_its_parameters():
    query = UserFilter(SearchQuery("topic:birds", min_score=5), contains="ann", max_people=30)
    assert UserFilter.of(query.parameters) == query
    with pytest.raises(RangeError, match="min_people is 9 and max_people 1: give the smaller one as min_people"):
        UserFilter(min_people=9, max_people=1)


def test_hidden_users_and_unknown_scopes_match_nobody(home, snapshot):
    opt_out(home, "user0001")
    assert "user0001" not in {score["user"] for score in select_users(snapshot, UserFilter(ALL, contains="user0001"))}
    with pytest.raises(ScopeError, match="nobody has a score of the scope 'topic:none'"):
        matching_rows(snapshot, UserFilter(SearchQuery("topic:none")))
