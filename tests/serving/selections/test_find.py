import csv
import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest

from serving.snapshots.repository import write_snapshot
from tests.serving.conftest import AS_OF

EARLIER = datetime(2017, 7, 2, tzinfo=UTC)


@pytest.fixture
def find(clout, home, champion):
    def run(*words):
        return clout(home, "find", *words)

    return run


def test_pages_list_every_user_once(find):
    first = json.loads(find("--limit", "200", "--json").stdout)
    second = json.loads(find("--limit", "200", "--cursor", first["next_cursor"], "--json").stdout)
    users = [user["user"] for page in (first, second) for user in page["users"]]
    assert len(users) == len(set(users)) == first["matching"]
    assert second["next_cursor"] is None
    scores = [user["score"] for user in first["users"]]
    assert scores == sorted(scores, reverse=True)


def test_days_that_name_snapshots_may_be_repeated_beside_a_cursor(find, home, bundle, scores, rows):
    for hours in (30, 60):
        write_snapshot(home, AS_OF + timedelta(hours=hours), bundle, "3", scores, rows)
    words = ("--limit", "200", "--as-of", "2017-08-01", "--since", "2017-07-31", "--json")
    first = json.loads(find(*words).stdout)
    second = json.loads(find(*words, "--cursor", first["next_cursor"]).stdout)
    assert len(first["users"]) + len(second["users"]) == first["matching"]
    other = find("--since", "2017-07-30", "--cursor", first["next_cursor"])
    assert "the cursor belongs to a search with another since" in other.stderr


def test_growth_is_the_difference_to_the_earlier_snapshot(find, home, bundle, scores, rows):
    write_snapshot(home, EARLIER, bundle, "3", scores.assign(score=scores["score"] / 2), rows)
    page = json.loads(find("--since", "2017-07-02", "--json").stdout)
    assert page["since"] == "2017-07-02T00:00:00Z"
    scored = [user for user in page["users"] if user["evidence"] != "insufficient_evidence"]
    assert all(user["growth"] == pytest.approx(user["score"] / 2) for user in scored)
    assert all(user["growth"] is None for user in page["users"] if user not in scored)
    assert "growth" in find("--since", "2017-07-02").stdout


def test_csv_and_table_list_the_users_of_the_json(find):
    page = json.loads(find("--limit", "3", "--json").stdout)
    rows = list(csv.DictReader(StringIO(find("--limit", "3", "--csv").stdout)))
    assert [row["user"] for row in rows] == [user["user"] for user in page["users"]]
    table = find("--limit", "3").stdout
    assert all(user["user"] in table for user in page["users"])
    titles = table.splitlines()[1:3]
    assert all(any(word in line for line in titles) for word in ("people expected", "in a year", "credible"))


def test_csv_contains_no_formulas(find):
    rows = list(csv.DictReader(StringIO(find("--limit", "400", "--csv").stdout)))
    names = {row["user"] for row in rows}
    assert "'+" in names
    assert not any(name.startswith(("=", "+", "-", "@")) for name in names)


def test_users_with_insufficient_evidence_have_no_figures_in_the_table(find):
    (user,) = json.loads(find("--contains", "user0003", "--json").stdout)["users"]
    assert user["evidence"] == "insufficient_evidence"
    row = next(line for line in find("--contains", "user0003").stdout.splitlines() if line.startswith("user0003"))
    figures = {f"{user[name]:.1f}" for name in ("score", "percentile", "peer_percentile", "expected_audience")}
    assert "too little known" in row
    assert not figures & set(row.split())


def test_bounds_and_topics_narrow_the_search(find):
    page = json.loads(find("--topic", "birds", "--json").stdout)
    assert {user["user"] for user in page["users"]} == {"user0001", "user0002"}
    assert json.loads(find("--min-score", "100", "--contains", "nobody", "--json").stdout)["users"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--topic", "fish"], "Score it first: clout score EVENTS --scope all --scope topic:fish."),
        (["--topic", "birds", "--network", "a"], "a topic and a network are two scopes: name one of them."),
        (["--cursor", "x"], "the cursor is damaged"),
        (["--since", "2018-01-01"], "a change goes from the earlier instant to the later"),
        (["--topic", ""], "the topic is empty; expected its name."),
        (["--network", ""], "the network is empty; expected its name."),
        (["--min-score", "100.1"], "min_score is 100.1; expected a number from 0 to 100."),
        (["--min-people", "9", "--max-people", "1"], "min_people is 9 and max_people 1: give the smaller one"),
        (["--min-growth", "1"], "no snapshot is earlier than 2017-07-30T00:00:00Z"),
        (["--sort", "growth"], "no snapshot is earlier than 2017-07-30T00:00:00Z"),
        (["--min-score", "ten"], "'ten' is not a valid float"),
        (["--sort", "fame"], "'fame' is not one of"),
        (["--limit", "0"], "0 is not in the range 1<=x<=1000"),
        (["--csv", "--json"], "--csv and --json are two forms of the answer: choose one."),
    ],
)
def test_invalid_searches_are_reported(find, words, message):
    answer = find(*words)
    assert answer.returncode == 2
    assert message in answer.stderr


def test_topics_of_the_events(find, topic_events):
    assert "Or answer from the events: --events EVENTS." in find("--topic", "boats").stderr
    page = json.loads(find("--topic", "boats", "--events", str(topic_events), "--json").stdout)
    assert (page["scope"], page["matching"]) == ("topic:boats", 3)
    assert {user["user"] for user in page["users"]} == {"ann", "bob", "cat"}
    assert all(user["people"] == 2 for user in page["users"])
    refused = find("--topic", "trains", "--events", str(topic_events))
    assert (refused.returncode, "topic:trains" in refused.stderr) == (2, True)


def test_growth_about_a_topic_of_the_events(find, topic_events, home, bundle, scores, rows):
    write_snapshot(home, EARLIER, bundle, "3", scores, rows)
    words = ["--topic", "boats", "--events", str(topic_events), "--since", "2017-07-02", "--limit", "2", "--json"]
    first = json.loads(find(*words).stdout)
    rest = json.loads(find(*words[:4], "--cursor", first["next_cursor"], "--json").stdout)
    assert first["since"] == rest["since"] == "2017-07-02T00:00:00Z"
    assert [len(page["users"]) for page in (first, rest)] == [2, 1]


def test_filters_and_orders_equal_those_of_the_api(find):
    words = ["--sort", "expected_audience", "--evidence", "some", "--min-people", "3", "--min-credibility", "50"]
    page = json.loads(find(*words, "--json").stdout)
    audiences = [user["expected_audience"] for user in page["users"]]
    assert audiences == sorted(audiences, reverse=True)
    assert all(user["people"] >= 3 and user["credibility"] >= 50 for user in page["users"])
    assert page["matching"] > len(page["users"]) == 20
    assert "%" in find(*words).stdout
