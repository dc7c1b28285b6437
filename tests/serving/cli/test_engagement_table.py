"""The engagements of a user, printed below the ledger: `clout explain --events`."""

import json
import re
import sys
from datetime import timedelta

import pandas as pd
import pytest

from features.events.loading import load_encoded_events
from features.feature_table import feature_rows
from serving.cli import main
from serving.scoring import score_rows
from serving.snapshots.repository import write_snapshot
from training.home import Home

LONG = "https://example.org/users/star/statuses/109372843234"
COLUMNS = ["time", "actor", "verb", "target", "object"]
ACTS = [
    (99, "star", "post", None, "old"),
    (30, "star", "post", None, LONG),
    *((20, f"fan{k}", "like", "star", LONG) for k in range(8)),
    *((19, f"fan{k}", "dislike", "star", LONG) for k in range(2)),
    (18, None, "like", "star", LONG),
    (17, "fan1", "repost", "star", "old"),
    (16, "fan9", "follow", "star", None),
    (15, "quiet", "like", "star", "old"),
    (14, "quiet", "post", None, "q1"),
    (13, "quiet", "post", None, "q2"),
]


@pytest.fixture(scope="module")
def as_of():
    return pd.Timestamp("2017-07-30", tz="UTC").to_pydatetime()


@pytest.fixture(scope="module")
def scored_home_path(tmp_path_factory, bundle, as_of):
    """A home with a snapshot of the events beside it."""
    folder = tmp_path_factory.mktemp("earned")
    events = pd.DataFrame([(as_of - timedelta(days=act[0]), *act[1:]) for act in ACTS], columns=COLUMNS)
    events.to_parquet(folder / "events.parquet")
    events.iloc[:-4].to_parquet(folder / "fewer.parquet")
    events.iloc[:0].to_parquet(folder / "none.parquet")
    rows = feature_rows(load_encoded_events(folder / "events.parquet"), as_of)
    write_snapshot(Home(folder / "home"), as_of, bundle, "1", score_rows(bundle, "1", rows), rows)
    return folder


@pytest.fixture
def run_explain(scored_home_path, monkeypatch, capsys):
    """Return a function that runs `clout explain` in the folder of the events and returns its output and messages."""

    def run(*words):
        monkeypatch.chdir(scored_home_path)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys, "argv", ["clout", "explain", *words, "--home", "home"])
        with pytest.raises(SystemExit) as ended:
            main.main()
        out, err = capsys.readouterr()
        return ended.value.code, out, " ".join(err.split())

    return run


def test_engagements_by_post_follow_the_ledger(run_explain):
    code, out, err = run_explain("star", "--events", "events.parquet")
    assert code == 0
    ledger, _, pieces = out.partition("What star earned in the 90 days before 2017-07-30: 2 posts, most people first")
    assert "The score." in ledger
    head, first, second, *totals = [re.sub(r"\s{2,}", "|", line.strip()) for line in pieces.strip().splitlines()]
    text = " ".join(totals)
    assert head == "post|people|engagements|like|dislike|repost|unknown|made|last"
    assert re.fullmatch(r"https://exa…109372843234\|█+\|8\|11\|9\|2\|1\|30 Jun\|12 Jul", first)
    assert re.fullmatch(r"old\|█+\|2\|2\|1\|1\|earlier\|15 Jul", second)
    assert (
        "10 different people, 14 engagements (10 like, 2 dislike, 1 follow, 1 repost); 1 engagement by unknown people."
        in text
    )
    assert "With posts: 9 different people, 13 engagements, 2 posts." in text
    assert "9 of them responded and count as" in text
    assert "The score was made from the same totals." in text
    assert err == ""


def test_json_contains_all_figures(run_explain):
    code, out, _ = run_explain("star", "--events", "events.parquet", "--json", "--top", "1")
    document = json.loads(out)
    assert code == 0
    assert document["evidence"] == "some"
    assert document["base"] + sum(line["points"] for line in document["lines"]) == pytest.approx(
        document["unclipped"], abs=1e-6
    )
    earned = document["earned"]
    assert (earned["people"], earned["drawing"], earned["differing"]) == (10, 2, {})
    assert earned["pieces"] == [
        {
            "piece": LONG, "people": 8, "engagements": 11, "unknown": 1, "made": "2017-06-30T00:00:00Z",
            "first": "2017-07-10T00:00:00Z", "last": "2017-07-12T00:00:00Z",
            "verbs": {"like": {"people": 8, "engagements": 9}, "dislike": {"people": 2, "engagements": 2}},
        }
    ]  # fmt: skip
    assert "earned" not in json.loads(run_explain("star", "--json")[1])


def test_events_that_differ_from_the_scored_ones_raise_a_warning(run_explain):
    code, _, err = run_explain("star", "--events", "fewer.parquet")
    assert code == 0
    assert "warning: the score was made from other totals: engagers_90d 8, not 10; engagements_90d 12, not 14;" in err
    differing = json.loads(run_explain("star", "--events", "fewer.parquet", "--json")[1])["earned"]["differing"]
    assert differing["engagers_90d"] == {"events": 8.0, "scored": 10.0}


def test_a_user_without_engagements_gets_a_message(run_explain):
    code, out, err = run_explain("quiet", "--events", "events.parquet")
    assert code == 0
    assert "Nobody engaged with quiet in the 90 days before 2017-07-30. The score was made from the same" in " ".join(
        out.split()
    )
    assert err == ""
    assert "earned" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody", "--events", "events.parquet"], "error: 'nobody' is none of the 11 users"),
        (["star", "--events", "none.parquet"], "error: the event table is empty"),
        (["star", "--events", "absent.parquet"], "error: no events at absent.parquet"),
        (
            ["quiet", "--events", "fewer.parquet"],
            "error: 'quiet' neither acts nor is engaged with in the events before",
        ),
        (["star", "--identities", "people.csv"], "--identities maps the accounts in the events"),
        (["star", "--events", "events.parquet", "--top", "0"], "Invalid value for '--top'"),
    ],
)
def test_the_command_refuses_invalid_requests(run_explain, words, message):
    code, out, err = run_explain(*words)
    assert (code, out) == (2, "")
    assert message in err
