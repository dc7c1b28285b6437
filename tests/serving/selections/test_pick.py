"""`clout pick` with topics, networks, files and events; users who opt out or are deleted do not count."""

import csv
import json
import shutil
from io import StringIO

import pytest

from serving.privacy.deletion import delete_pending, request_deletion
from serving.selections.candidates import snapshot_candidates
from serving.selections.find import find_users
from serving.selections.select import SelectionRequest, select
from serving.snapshots.query import UserFilter
from serving.snapshots.repository import open_snapshot
from training.home import Home
from training.records.opt_outs import opt_out


@pytest.fixture
def home(tmp_path, selection_home):
    return Home(shutil.copytree(selection_home.folder, tmp_path / "home"))


@pytest.fixture
def pick(clout, home, champion):
    def run(*words):
        return clout(home, "pick", *map(str, words))

    return run


def users(answer):
    return [member["user"] for member in json.loads(answer.stdout)["members"]]


def test_a_topic_of_the_snapshot(pick):
    answer = json.loads(pick("--topic", "birds", "--json").stdout)
    assert answer["scope"] == "topic:birds"
    assert {member["user"] for member in answer["members"]} == {"user0001", "user0002"}
    assert answer["notes"][0].startswith("The group has 2 users, not 10")


def test_a_topic_of_the_events_and_of_one_network(pick, topic_events):
    everywhere = pick("--topic", "boats", "--events", topic_events, "--count", "everybody", "--json")
    assert set(users(everywhere)) == {"ann", "bob", "cat"}
    of_b = pick("--topic", "boats", "--network", "b", "--events", topic_events, "--count", "everybody", "--json")
    assert set(users(of_b)) == {"ann", "bob"}
    limited = pick("--topic", "boats", "--events", topic_events, "--max-per-network", "1", "--json", "--k", "2")
    assert {member["network"] for member in json.loads(limited.stdout)["members"]} <= {"a", "b"}


def test_the_table_shows_the_answer(pick):
    text = pick("--k", "3").stdout
    for part in (
        "expected to reach",
        "In 8 of 10 cases such a group reaches",
        "at least",
        "reach so far",
        "reaches alone",
        "highest scores",
    ):
        assert part in text
    assert "People whom each two members share" in text
    assert "No other group under the same constraints is expected to reach more." in pick("--k", "1").stdout
    assert "Members who share the most people" in pick("--k", "9").stdout
    assert all(user in text for user in users(pick("--k", "3", "--json")))


def test_csv_lists_the_members_of_the_json(pick):
    answer = json.loads(pick("--k", "3", "--json").stdout)
    rows = list(csv.DictReader(StringIO(pick("--k", "3", "--csv").stdout)))
    assert [row["user"] for row in rows] == [member["user"] for member in answer["members"]]
    assert [float(row["reach"]) for row in rows] == [member["reach"] for member in answer["members"]]
    assert [float(row["alone"]) for row in rows] == [answer["overlap"][k][k] for k in range(3)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--csv", "--json"], "--csv and --json are two forms of the answer: choose one."),
        (["--topic", ""], "the topic is empty; expected its name."),
        (["--k", "ten"], "'ten' is not a valid int"),
        (["--cost", "good.csv", "--budget", "much"], "'much' is not a valid float"),
        (["--cost", "nan.csv", "--budget", "5"], "the cost of 'user0001' is nan; expected a number of 0 or more."),
        (["--k", "0"], "k is 0; expected a number of users from 1 to 1,000."),
        (["--topic", "trains"], "Or answer from the events: --events EVENTS."),
        (["--topic", "trains", "--events", "EVENTS"], "topic:trains"),
        (["--topic", "birds", "--network", "a"], "With --events, both may be named."),
        (["--identities", "people.csv"], "give --events too"),
        (["--max-per-network", "1"], "clout score EVENTS --scope all --scope network:*"),
        (["--cost", "absent.csv", "--budget", "5"], "absent.csv cannot be read as a table of costs"),
        (["--cost", "negative.csv", "--budget", "5"], "the cost of 'user0001' is -1; expected a number of 0 or more."),
        (["--cost", "text.csv", "--budget", "5"], "the cost of 'user0001', in row 1, is 'cheap'; expected a number"),
        (["--cost", "empty.csv", "--budget", "5"], "the cost of 'user0001', in row 1, is ''; expected a number"),
        (["--cost", "twice.csv", "--budget", "5"], "names 'user0001' twice"),
        (["--cost", "strangers.csv", "--budget", "5"], "nobody can be selected"),
        (["--cost", "good.csv"], "costs without a budget: give both, or neither."),
        (["--include", "strangers.csv"], "'nobody' is to be included, but is not among the users"),
        (["--include", "good.csv", "--exclude", "good.csv"], "is to be included and excluded"),
    ],
)
def test_impossible_groups_are_refused(pick, tmp_path, topic_events, words, message):
    costs = {
        "negative": "user0001,-1",
        "text": "user0001,cheap",
        "empty": "user0001,",
        "nan": "user0001,nan",
        "twice": "user0001,1\nuser0001,2",
    }
    for name, rows in (costs | {"strangers": "nobody,1", "good": "user0001,1"}).items():
        (tmp_path / f"{name}.csv").write_text(f"user,cost\n{rows}\n")
    paths = {"EVENTS": str(topic_events)}
    answer = pick(*(paths.get(word, str(tmp_path / word) if word.endswith(".csv") else word) for word in words))
    assert answer.returncode == 2
    assert message in " ".join(answer.stderr.split()).replace("│ ", "")
    assert "Traceback" not in answer.stderr


def test_unknown_users_are_noted(pick, tmp_path):
    (tmp_path / "users.txt").write_text("nobody\nnone\n")
    answer = json.loads(pick("--k", "1000", "--exclude", tmp_path / "users.txt", "--json").stdout)
    assert answer["notes"][0] == "2 users to exclude cannot be selected anyway: 'nobody', 'none'."
    assert any(note.startswith("The group has ") and "not 1000" in note for note in answer["notes"])
    (tmp_path / "users.txt").write_text("\n")
    answer = json.loads(pick("--k", "1", "--exclude", tmp_path / "users.txt", "--json").stdout)
    assert answer["notes"][0] == f"{tmp_path / 'users.txt'} names no users."


def delete(home, user):
    request_deletion(home, user)
    delete_pending(home)


@pytest.mark.parametrize("leave", [opt_out, request_deletion, delete])
def test_opted_out_and_deleted_users_do_not_count(home, leave):
    snapshot, request = open_snapshot(home), SelectionRequest(k=5, count="everybody")
    first = select(snapshot_candidates(snapshot), request)
    user = first.members[0].user
    row = snapshot_candidates(snapshot).rows_of([user])[user]
    stored = snapshot.audiences
    followed = stored.audiences("all")
    of_user = next(u for u in range(len(stored)) if row in followed.engagers[followed.pairs_of(u)])
    before = snapshot_candidates(snapshot).audiences["everybody"].reach_of_each[of_user]
    leave(home, user)
    for current in (snapshot, open_snapshot(home)):
        candidates = snapshot_candidates(current)
        selection = select(candidates, request)
        listed = [member.user for member in selection.members]
        assert user not in listed + [name for other in selection.alternatives for name in other.users]
        assert user not in {one.score["user"] for one in find_users(current, UserFilter(contains=user), 10).users}
    assert snapshot_candidates(snapshot).audiences["everybody"].reach_of_each[of_user] < before
