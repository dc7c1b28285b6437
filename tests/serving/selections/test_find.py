import csv
import json
from datetime import UTC, datetime
from io import StringIO

import pytest

from serving.snapshots.repository import write_snapshot

EARLIER = datetime(2017, 7, 2, tzinfo=UTC)


@pytest.fixture
def find(clout, home, champion):
    def run(*words):
        return clout(home, "find", *words)

    return run


def test_pages_hold_every_user_once(find):
    first = json.loads(find("--limit", "200", "--json").stdout)
    second = json.loads(find("--limit", "200", "--cursor", first["next_cursor"], "--json").stdout)
    users = [user["user"] for page in (first, second) for user in page["users"]]
    assert len(users) == len(set(users)) == first["matching"]
    assert second["next_cursor"] is None
    scores = [user["score"] for user in first["users"]]
    assert scores == sorted(scores, reverse=True)


def test_growth_is_the_difference_to_the_earlier_snapshot(find, home, bundle, scores, rows):
    write_snapshot(home, EARLIER, bundle, "3", scores.assign(score=scores["score"] / 2), rows)
    page = json.loads(find("--since", "2017-07-02", "--json").stdout)
    assert page["since"] == "2017-07-02T00:00:00Z"
    assert all(user["growth"] == pytest.approx(user["score"] / 2) for user in page["users"])
    assert "growth" in find("--since", "2017-07-02").stdout


def test_csv_and_table_hold_the_users_of_the_json(find):
    page = json.loads(find("--limit", "3", "--json").stdout)
    rows = list(csv.DictReader(StringIO(find("--limit", "3", "--csv").stdout)))
    assert [row["user"] for row in rows] == [user["user"] for user in page["users"]]
    table = find("--limit", "3").stdout
    assert all(user["user"] in table for user in page["users"])


def test_bounds_and_topics_narrow_the_search(find):
    page = json.loads(find("--topic", "birds", "--json").stdout)
    assert {user["user"] for user in page["users"]} == {"user0001", "user0002"}
    assert json.loads(find("--min-score", "100.1", "--json").stdout)["users"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--topic", "fish"], "Score it first: clout score EVENTS --scope all --scope topic:fish."),
        (["--topic", "birds", "--network", "a"], "a topic and a network are two scopes: name one of them."),
        (["--cursor", "x"], "the cursor is damaged"),
        (["--since", "2018-01-01"], "a change goes from the earlier instant to the later"),
    ],
)
def test_what_cannot_be_answered_is_said(find, words, message):
    answer = find(*words)
    assert answer.returncode == 2
    assert message in answer.stderr
