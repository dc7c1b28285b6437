"""Search: pages list every matching user exactly once, in order, and from one snapshot."""

import json
import math
import shutil
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from features.errors import ScopeError
from serving import app as application
from serving.scoring import percentiles
from serving.snapshots.query import PageToken, RangeError, SearchQuery, UserFilter
from serving.snapshots.ranking import Ranking
from serving.snapshots.repository import list_snapshots, open_snapshot, write_snapshot
from serving.snapshots.search import search

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
OLDER, NEWER = AS_OF - timedelta(days=28), AS_OF + timedelta(days=28)
PEOPLE = [("ann", 70.0), ("bob", 70.0), ("cyd", 10.0), ("dee", 90.0), ("eve", 0.0), ("fay", 0.0), ("é", 0.0)]


def snapshot(people, topics=()):
    """Return a stub of a snapshot with scores by user, and of users of a topic."""
    frame = pd.DataFrame(
        [(*row, "all") for row in people] + [(*row, "topic:birds") for row in topics],
        columns=["user", "score", "scope"],
    ).sort_values(["user", "scope"], ignore_index=True)
    frame["percentile"] = percentiles(frame["score"], [frame["scope"]])
    table = pa.Table.from_pandas(frame, preserve_index=False)
    texts = {"user": pa.large_string(), "scope": pa.dictionary(pa.int32(), pa.string())}
    columns = pa.table({name: table[name].cast(texts.get(name, pa.float64())) for name in table.column_names})
    return SimpleNamespace(
        ranking=Ranking(columns), scores_at=lambda places: columns.take(pa.array(places, pa.int64())).to_pylist()
    )


def names(page):
    return [score["user"] for score in page.scores]


def all_results(searched, query, limits):
    """Return the scores of all pages, whose sizes alternate between the limits."""
    last, scores = None, []
    for k in range(10_000):
        page = search(searched, query, limits[k % len(limits)], last)
        scores += page.scores
        if not page.more:
            return scores
        last = PageToken(scores[-1]["score"], scores[-1]["user"])
    raise AssertionError("the pages never end")


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, ["dee", "ann", "bob", "cyd", "eve", "fay", "é"]),
        ({"min_score": 70}, ["dee", "ann", "bob"]),
        ({"min_score": 70.0001}, ["dee"]),
        ({"max_score": 70}, ["ann", "bob", "cyd", "eve", "fay", "é"]),
        ({"max_score": 69.9}, ["cyd", "eve", "fay", "é"]),
        ({"min_score": 10, "max_score": 10}, ["cyd"]),
        ({"min_score": 20, "max_score": 30}, []),
        ({"min_score": 91}, []),
        ({"max_score": 0}, ["eve", "fay", "é"]),
        # Of seven users three share the lowest rank (2 of 7), cyd is fourth, and two share rank 5.5.
        ({"max_percentile": 200 / 7 + 1e-9}, ["eve", "fay", "é"]),
        ({"min_percentile": 100}, ["dee"]),
        ({"min_percentile": 78.5, "max_percentile": 78.6}, ["ann", "bob"]),
        ({"min_score": 0.1, "max_percentile": 60}, ["cyd"]),
        ({"min_score": 95, "max_percentile": 60}, []),
        ({"max_score": 5, "min_percentile": 60}, []),
    ],
)
def test_search_returns_users_within_bounds(bounds, expected):
    page = search(snapshot(PEOPLE), SearchQuery(**bounds), 100)
    assert (names(page), page.matching, page.more) == (expected, len(expected), False)


def test_pages_continue_after_the_last_user():
    searched = snapshot(PEOPLE, [("bob", 5.0)])
    first = search(searched, SearchQuery(), 2)
    assert (names(first), first.matching, first.more) == (["dee", "ann"], 7, True)
    second = search(searched, SearchQuery(), 4, PageToken(70.0, "ann"))
    assert (names(second), second.matching, second.more) == (["bob", "cyd", "eve", "fay"], 7, True)
    third = search(searched, SearchQuery(), 4, PageToken(0.0, "fay"))
    assert (names(third), third.more) == (["é"], False)
    assert names(search(searched, SearchQuery("topic:birds"), 5)) == ["bob"]
    assert names(search(searched, SearchQuery(), 2, PageToken(70.0, "anna"))) == ["bob", "cyd"]
    assert names(search(searched, SearchQuery(max_score=60), 2, PageToken(95.0, "zoe"))) == ["cyd", "eve"]
    assert names(search(searched, SearchQuery(min_score=60), 2, PageToken(5.0, "ann"))) == []


def test_a_scope_without_users_is_an_error():
    with pytest.raises(
        ScopeError, match="nobody has a score of the scope 'topic:fish'; scopes there: all, topic:birds"
    ):
        search(snapshot(PEOPLE, [("bob", 5.0)]), SearchQuery("topic:fish"), 5)
    with pytest.raises(ScopeError, match="scopes there: "):
        search(snapshot([]), SearchQuery(), 5)


def test_an_inverted_range_is_refused():
    with pytest.raises(RangeError, match="min_score is 3 and max_score 2: give the smaller one as min_score"):
        SearchQuery(min_score=3, max_score=2)
    with pytest.raises(RangeError, match=r"min_percentile is 0\.5"):
        SearchQuery(min_percentile=0.5, max_percentile=0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_score": 150.0}, "min_score is 150; expected a number from 0 to 100."),
        ({"max_score": -1.0}, "max_score is -1; expected a number from 0 to 100."),
        ({"min_score": math.nan}, "min_score is nan; expected a number from 0 to 100."),
        ({"min_percentile": -0.1}, "min_percentile is -0.1; expected a number from 0 to 100."),
        ({"min_peer_percentile": 101}, "min_peer_percentile is 101; expected a number from 0 to 100."),
        ({"min_credibility": math.inf}, "min_credibility is inf; expected a number from 0 to 100."),
        ({"min_people": -3}, "min_people is -3; expected a number of 0 or more."),
        ({"max_people": math.nan}, "max_people is nan; expected a number of 0 or more."),
        ({"min_growth": -math.inf}, "min_growth is -inf; expected a number."),
    ],
)
def test_a_bound_outside_its_limits_is_refused(parameters, message):
    with pytest.raises(RangeError, match=f"^{message}$"):
        UserFilter.of(parameters)


bounds = st.none() | st.integers(0, 20).map(lambda k: k * 5.0) | st.floats(0, 100)
ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
points = st.integers(0, 10).map(lambda k: k * 10.0) | st.floats(0, 100)


@given(
    st.dictionaries(ids, points, min_size=1, max_size=40),
    st.dictionaries(ids, points, max_size=10),
    st.tuples(bounds, bounds, bounds, bounds),
    st.lists(st.integers(1, 1000) | st.integers(1, 3), min_size=1, max_size=3),
)
def test_all_pages_list_every_matching_user_once_in_order(people, topics, ends, limits):
    (low, high), (least, most) = (pair if None in pair else sorted(pair) for pair in (ends[:2], ends[2:]))
    percentile = pd.Series(people).rank(method="average", pct=True) * 100
    expected = [
        user
        for user, score in sorted(people.items(), key=lambda bound: (-bound[1], bound[0]))
        if (low is None or score >= low)
        and (high is None or score <= high)
        and (least is None or percentile[user] >= least)
        and (most is None or percentile[user] <= most)
    ]
    scores = all_results(snapshot(people.items(), topics.items()), SearchQuery("all", low, high, least, most), limits)
    assert [row["user"] for row in scores] == expected
    assert {row["scope"] for row in scores} <= {"all"}


def test_the_order_of_a_real_snapshot(home, scores):
    opened_snapshot = open_snapshot(home)
    of_all = scores[scores["scope"] == "all"].sort_values(["score", "user"], ascending=[False, True])
    assert [score["user"] for score in all_results(opened_snapshot, SearchQuery(), [7, 1])] == of_all["user"].tolist()
    assert all_results(opened_snapshot, SearchQuery(), [50])[3] == opened_snapshot.score(of_all["user"].iloc[3])
    middle = of_all[of_all["percentile"].between(25, 75)]
    matches = all_results(opened_snapshot, SearchQuery(min_percentile=25, max_percentile=75), [50])
    assert [score["user"] for score in matches] == middle["user"].tolist()


@pytest.fixture
def client(home, champion):
    return TestClient(application.create_app(home), raise_server_exceptions=False)


def parse_json(answer):
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def problem(answer, status, kind):
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["type"] == f"urn:clout:problem:{kind}"
    return answer.json()["detail"]


def pages(client, **parameters):
    """Yield the pages of a search through the service."""
    page = parse_json(client.get("/v1/users", params=parameters))
    yield page
    while page["next_cursor"]:
        page = parse_json(
            client.get("/v1/users", params={"cursor": page["next_cursor"], "limit": parameters.get("limit")})
        )
        yield page


@pytest.mark.parametrize("limit", [1, 7, 100, 309, 1000])
def test_all_pages_of_the_service(client, home, scores, limit):
    of_all = scores[scores["scope"] == "all"].sort_values(["score", "user"], ascending=[False, True])
    answers = list(pages(client, limit=limit))
    assert [score["user"] for page in answers for score in page["users"]] == of_all["user"].tolist()
    assert {page["matching"] for page in answers} == {309}
    assert {len(page["users"]) for page in answers[:-1]} <= {limit}
    first = open_snapshot(home).score(of_all["user"].iloc[0])
    interval = {name: first.pop(name) for name in ("low", "high", "level")}
    user = answers[0]["users"][0]
    assert {name: user.pop(name) for name in ("growth", "people", "credibility")}["growth"] is None
    assert user == first | {"interval": interval}


def test_bounds_continue_with_the_cursor(client, scores):
    middle = scores[(scores["scope"] == "all") & scores["percentile"].between(25, 75) & (scores["score"] >= 5)]
    answers = list(pages(client, limit=10, min_percentile=25, max_percentile=75, min_score=5))
    assert sorted(score["user"] for page in answers for score in page["users"]) == sorted(middle["user"])
    assert {page["matching"] for page in answers} == {len(middle)}


@pytest.mark.parametrize("sort", ["score", "growth", "expected_audience", "peer_percentile"])
def test_pages_of_any_order_and_filter(client, home, bundle, scores, rows, sort):
    earlier = scores.assign(score=scores["score"] * 0.5, model_version="2")
    write_snapshot(home, OLDER, bundle, "2", earlier[earlier["user"] != "user0001"], rows[rows["user"] != "user0001"])
    parameters = {"sort": sort, "evidence": "some", "min_people": 1, "since": "2017-07-02"}
    answers = list(pages(client, limit=40, **parameters))
    users = [user for page in answers for user in page["users"]]
    assert {page["since"] for page in answers} == {"2017-07-02T00:00:00Z"}
    assert len({user["user"] for user in users}) == len(users) == answers[0]["matching"] > 80
    values = [-1e9 if user[sort] is None else user[sort] for user in users]
    assert values == sorted(values, reverse=True)
    assert all(user["growth"] == pytest.approx(user["score"] / 2) for user in users if user["user"] != "user0001")
    assert all(user["people"] >= 1 and user["evidence"] != "insufficient_evidence" for user in users)


def test_growth_needs_an_earlier_snapshot(client):
    problem(client.get("/v1/users?sort=growth"), 404, "absent-snapshot")


def test_topics_and_networks_are_scopes(client):
    page = parse_json(client.get("/v1/users?topic=birds"))
    assert page == parse_json(client.get("/v1/users?scope=topic:birds"))
    problem(client.get("/v1/users?network=fish"), 404, "unknown-scope")
    assert "name one of them" in problem(client.get("/v1/users?topic=birds&network=a"), 422, "refused")


def test_search_in_a_scope(client):
    page = parse_json(client.get("/v1/users?scope=topic:birds"))
    assert (page["matching"], page["scope"], page["next_cursor"]) == (2, "topic:birds", None)
    assert "scopes there: all, topic:birds" in problem(client.get("/v1/users?scope=topic:fish"), 404, "unknown-scope")


def test_the_default_page_size_is_a_hundred(client):
    assert len(parse_json(client.get("/v1/users"))["users"]) == 100


def halve_scores(scores):
    return scores.assign(score=scores["score"] / 2)


@pytest.mark.parametrize(("as_of", "version"), [(NEWER, "3"), (AS_OF, "4")])
def test_pages_stay_with_their_snapshot_when_a_newer_one_appears(client, home, bundle, scores, rows, as_of, version):
    first = parse_json(client.get("/v1/users?limit=100"))
    write_snapshot(home, as_of, bundle, version, halve_scores(scores).assign(model_version=version), rows)
    client.app.state.watcher.look()
    assert parse_json(client.get("/v1/users"))["model_version"] == version
    second = parse_json(client.get("/v1/users", params={"cursor": first["next_cursor"], "limit": 1000}))
    assert (second["as_of"], second["model_version"]) == ("2017-07-30T00:00:00Z", "3")
    of_all = scores[scores["scope"] == "all"].sort_values(["score", "user"], ascending=[False, True])
    assert [score["user"] for page in (first, second) for score in page["users"]] == of_all["user"].tolist()


def test_an_older_snapshot_is_searched(client, home, bundle, scores, rows):
    write_snapshot(home, OLDER, bundle, "2", halve_scores(scores).assign(model_version="2"), rows)
    answers = list(pages(client, as_of="2017-07-02", limit=200))
    assert {(page["as_of"], page["model_version"]) for page in answers} == {("2017-07-02T00:00:00Z", "2")}
    problem(client.get("/v1/users?as_of=2016-01-01"), 404, "absent-snapshot")


def test_a_cursor_of_a_deleted_snapshot_is_an_error(client, home, bundle, scores, rows):
    cursor = parse_json(client.get("/v1/users?limit=5"))["next_cursor"]
    (folder,) = list_snapshots(home)
    write_snapshot(home, AS_OF, bundle, "4", scores.assign(model_version="4"), rows)
    shutil.rmtree(folder)
    client.app.state.watcher.look()
    detail = problem(client.get("/v1/users", params={"cursor": cursor}), 404, "absent-snapshot")
    assert detail == "no snapshot as of 2017-07-30T00:00:00Z by version '3'; there are: 4."
    write_snapshot(home, NEWER, bundle, "4", scores.assign(model_version="4"), rows)
    shutil.rmtree(list_snapshots(home)[1])
    client.app.state.watcher.look()
    detail = problem(client.get("/v1/users", params={"cursor": cursor}), 404, "absent-snapshot")
    assert "there are: 2017-08-27T00:00:00Z" in detail


def test_a_cursor_with_other_bounds_is_refused(client):
    cursor = parse_json(client.get("/v1/users?limit=5&min_score=1&scope=all"))["next_cursor"]
    same = {"cursor": cursor, "min_score": "1.0", "scope": "all", "as_of": "2017-07-30T02:00:00+02:00"}
    assert parse_json(client.get("/v1/users", params=same)) == parse_json(
        client.get("/v1/users", params={"cursor": cursor})
    )
    for other in ({"min_score": 2}, {"max_score": 50}, {"scope": "topic:birds"}, {"as_of": "2017-07-02"}):
        detail = problem(client.get("/v1/users", params={"cursor": cursor} | other), 422, "unfit-cursor")
        assert f"with another {next(iter(other))}:" in detail


@pytest.mark.parametrize("cursor", ["", "x", "%00", "é", "..%2F..%2Fetc", "'; --", "A" * 7_000, "%0d%0aX: y"])
def test_the_service_refuses_invalid_cursors(client, cursor):
    assert "the cursor is damaged" in problem(client.get(f"/v1/users?cursor={cursor}"), 422, "unfit-cursor")


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("min_score=60&max_score=50", "empty-range"),
        ("min_percentile=60&max_percentile=50", "empty-range"),
        ("min_score=nan", "invalid-request"),
        ("max_score=inf", "invalid-request"),
        ("min_percentile=-inf", "invalid-request"),
        ("max_score=1e400", "invalid-request"),
        ("max_score=100.1", "invalid-request"),
        ("min_score=-0.1", "invalid-request"),
        ("min_score=", "invalid-request"),
        ("min_people=9&max_people=1", "empty-range"),
        ("min_growth=nan", "invalid-request"),
        ("min_credibility=101", "invalid-request"),
        ("sort=user", "invalid-request"),
        ("evidence=none", "invalid-request"),
        ("limit=0", "invalid-request"),
        ("limit=-1", "invalid-request"),
        ("limit=1001", "invalid-request"),
        (f"limit=1{'0' * 5000}", "invalid-request"),
        ("limit=ten", "invalid-request"),
        ("limit=", "invalid-request"),
        ("as_of=yesterday", "no-instant"),
        ("topic=", "refused"),
        ("topic=birds&network=a", "refused"),
    ],
)
def test_the_service_refuses_invalid_queries(client, query, kind):
    problem(client.get(f"/v1/users?{query}"), 422, kind)


@pytest.mark.parametrize("scope", ["", "topic:%00", "'; DROP TABLE users; --", "%ff", "x" * 7_000])
def test_unusual_scopes_are_unknown(client, scope):
    problem(client.get(f"/v1/users?scope={scope}"), 404, "unknown-scope")
