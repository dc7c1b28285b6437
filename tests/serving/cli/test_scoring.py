"""`clout score`: unreleased versions, far fewer users than before, future instants, and its JSON output."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.snapshots.repository import list_snapshots, open_earlier, open_snapshot, served_otherwise
from training.home import Home
from training.registry.model_registry import promote

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
AHEAD = 30
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
PRESENT, SOON = (f"{TODAY + timedelta(days=days):%Y-%m-%d}" for days in (0, AHEAD))
FUTURE = "2199-01-01"


@pytest.fixture
def events(tmp_path):
    """Forty users, each of whom engages with the next one, four times."""
    rows = [
        {"time": pd.Timestamp("2017-07-01", tz="UTC") + pd.Timedelta(hours=k), "actor": f"u{k % 40}", "verb": "like"}
        | {"target": f"u{(k + 1) % 40}"}
        for k in range(160)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "events.parquet", coerce_timestamps="us")
    return tmp_path / "events.parquet"


@pytest.fixture
def recent_events(events):
    """The same events, with the last one an hour ago."""
    frame = pd.read_parquet(events)
    frame["time"] += pd.Timestamp(TODAY) - pd.Timedelta(hours=1) - frame["time"].max()
    frame.to_parquet(events, coerce_timestamps="us")
    return events


@pytest.fixture
def unpromoted(registry, tmp_path, monkeypatch):
    """A home in a folder with a space; versions 1 and 2 were never champion."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Home(shutil.copytree(registry.folder, tmp_path / "my home"))


def score(clout, home, events, *words, as_of="2017-07-30"):
    run = clout(home, "score", str(events), "--as-of", as_of, *words)
    assert run.returncode == 0, run.stderr
    return run


class TestUnreleasedVersion:
    def test_a_home_without_champion_scores_and_explains(self, clout, unpromoted, events):
        run = score(clout, unpromoted, events, "--version", "2")
        assert "warning: version 2 is not released: these scores are for inspection" in run.stderr
        assert "\n  clout explain USER --version 2\n" in run.stderr
        explained = clout(unpromoted, "explain", "u1", "--json")
        assert (json.loads(explained.stdout)["model_version"], json.loads(explained.stdout)["released"]) == ("2", False)
        assert "warning: version 2 is not released: it was never the champion" in explained.stderr

    def test_it_is_not_served_if_a_released_version_has_scored(self, clout, unpromoted, events):
        promote(unpromoted, "1")
        score(clout, unpromoted, events, as_of="2017-07-29")
        for as_of in ("2017-07-29", "2017-07-30"):
            score(clout, unpromoted, events, "--version", "2", as_of=as_of)
        folders = list_snapshots(unpromoted)
        assert [folder.name[-3:] for folder in folders] == ["_v2", "_v2", "_v1"]
        assert served_otherwise(unpromoted, folders, "1") is None
        for champion in ("1", None, "9"):
            served = open_snapshot(unpromoted, champion=champion)
            assert (served.model_version, served.released) == ("1", True)
        client = TestClient(create_app(unpromoted))
        assert client.get("/v1/users/u1/score").json()["released"] is True
        assert client.get("/ready").json()["stale"] == {}
        look = client.get("/v1/users/u1/explanation", params={"as_of": "2017-07-30"}).json()
        assert (look["model_version"], look["released"]) == ("2", False)
        history = client.get("/v1/users/u1/history").json()["scores"]
        assert [(past["model_version"], past["released"]) for past in history] == [("1", True), ("2", False)]

    def test_it_is_the_start_of_a_change_only_if_its_instant_is_requested(self, clout, unpromoted, events):
        promote(unpromoted, "1")
        score(clout, unpromoted, events, as_of="2017-07-25")
        score(clout, unpromoted, events, "--version", "2", as_of="2017-07-28")
        score(clout, unpromoted, events)
        later = open_snapshot(unpromoted, champion="1")
        assert open_earlier(unpromoted, later, champion="1").as_of == AS_OF.replace(day=25)
        assert open_earlier(unpromoted, later, AS_OF.replace(day=28), "1").model_version == "2"

    def test_it_is_explained_if_its_version_is_requested(self, clout, unpromoted, events):
        promote(unpromoted, "1")
        score(clout, unpromoted, events)
        score(clout, unpromoted, events, "--version", "2")
        run = clout(unpromoted, "explain", "u1", "--version", "2", "--json")
        assert json.loads(run.stdout)["model_version"] == "2"
        assert json.loads(clout(unpromoted, "explain", "u1", "--json").stdout)["model_version"] == "1"
        refusal = clout(unpromoted, "explain", "u1", "--version", "7")
        assert refusal.returncode == 2
        assert "no snapshot as of 2017-07-30T00:00:00Z by version '7'; there are: 2, 1." in refusal.stderr

    def test_a_promotion_releases_it(self, clout, unpromoted, events):
        score(clout, unpromoted, events, "--version", "2")
        assert clout(unpromoted, "promote", "2").stderr.endswith("by version 2 are served.\n")
        explained = clout(unpromoted, "explain", "u1", "--json")
        assert (json.loads(explained.stdout)["released"], explained.stderr) == (True, "")

    def test_a_former_champion_is_released(self, clout, unpromoted, events):
        promote(unpromoted, "2")
        promote(unpromoted, "1")
        assert "not released" not in score(clout, unpromoted, events, "--version", "2").stderr
        assert open_snapshot(unpromoted, champion="1").released

    def test_the_printed_command_explains_the_new_scores(self, clout, unpromoted, events):
        promote(unpromoted, "2")
        promote(unpromoted, "1")
        for words, instant, options in (
            ([], "2017-07-30", ""),
            ([], "2017-07-25", " --as-of 2017-07-25T00:00:00Z"),
            ([], "2017-07-30", ""),
            (["--version", "2"], "2017-07-31", " --version 2"),
            (["--version", "2"], "2017-07-26", " --version 2 --as-of 2017-07-26T00:00:00Z"),
        ):
            run = score(clout, unpromoted, events, *words, as_of=instant)
            assert f"\n  clout explain USER{options}\n" in run.stderr
            explained = json.loads(clout(unpromoted, "explain", "u1", *options.split(), "--json").stdout)
            assert explained["as_of"] == f"{instant}T00:00:00Z"
            assert explained["model_version"] == (words or ["", "1"])[-1]

    def test_a_version_that_does_not_exist(self, clout, unpromoted, events):
        run = clout(unpromoted, "score", str(events), "--version", "7")
        assert run.returncode == 2
        assert "has no version 7 of the model; there are 1, 2." in run.stderr


def test_far_fewer_users_need_force(clout, unpromoted, events):
    promote(unpromoted, "1")
    score(clout, unpromoted, events)
    frame = pd.read_parquet(events)
    frame[frame["actor"] == "u1"].to_parquet(events, coerce_timestamps="us")
    run = clout(unpromoted, "score", str(events), "--as-of", "2017-07-30")
    assert run.returncode == 2
    assert "these scores are of 2 users, fewer than half of the 40 of the last snapshot" in run.stderr
    assert open_snapshot(unpromoted).users == 40
    score(clout, unpromoted, events, "--force")
    assert open_snapshot(unpromoted).users == 2


def test_another_community_needs_force(clout, unpromoted, events):
    promote(unpromoted, "1")
    score(clout, unpromoted, events)
    frame = pd.read_parquet(events)
    frame[["actor", "target"]] = "other-" + frame[["actor", "target"]]
    frame.to_parquet(events, coerce_timestamps="us")
    run = clout(unpromoted, "score", str(events), "--as-of", "2017-07-31")
    assert run.returncode == 2
    assert "0 of the 40 users of the last snapshot, as of 2017-07-30T00:00:00Z, are in these events" in run.stderr
    assert "is this the right EVENTS and --home? Nothing was written." in run.stderr
    assert len(list_snapshots(unpromoted)) == 1
    score(clout, unpromoted, events, "--as-of", "2017-07-31", "--force")
    assert len(list_snapshots(unpromoted)) == 2


def test_an_empty_instant_is_refused(clout, unpromoted, events):
    run = clout(unpromoted, "score", str(events), "--version", "1", "--as-of", "")
    assert run.returncode == 2
    assert "'' is not a valid instant; expected ISO 8601" in run.stderr
    assert list_snapshots(unpromoted) == []


class TestOutputs:
    @pytest.mark.parametrize("option", ["--out", "--points"])
    @pytest.mark.parametrize("inside", [False, True], ids=["file", "folder"])
    def test_they_replace_no_events(self, clout, unpromoted, events, option, inside):
        table, before = events.parent if inside else events, events.read_bytes()
        out = events.with_name("scores.parquet") if inside else events
        run = clout(unpromoted, "score", str(table), "--version", "1", option, str(out))
        assert run.returncode == 2
        assert f"{option} {out} lies among the events that are scored, {table}: choose another file." in run.stderr
        assert (events.read_bytes(), list_snapshots(unpromoted)) == (before, [])

    @pytest.mark.parametrize("option", ["--out", "--points"])
    @pytest.mark.parametrize("name", ["scores.csv", "scores", "scores.parquet.gz"])
    def test_they_are_named_parquet(self, clout, unpromoted, events, tmp_path, option, name):
        out = tmp_path / "new" / name
        run = clout(unpromoted, "score", str(events), "--version", "1", option, str(out))
        assert run.returncode == 2
        assert f"{option} is {out}; expected a name that ends in .parquet." in run.stderr
        assert (out.parent.exists(), list_snapshots(unpromoted)) == (False, [])

    def test_they_are_two_files(self, clout, unpromoted, events, tmp_path):
        out = str(tmp_path / "both.parquet")
        run = clout(unpromoted, "score", str(events), "--version", "1", "--out", out, "--points", out)
        assert run.returncode == 2
        assert f"--out and --points are both {out}: choose two files." in run.stderr


class TestFutureInstant:
    def test_it_is_refused_with_instructions(self, clout, unpromoted, events):
        promote(unpromoted, "1")
        run = clout(unpromoted, "score", str(events), "--as-of", FUTURE)
        assert run.returncode == 2
        assert "as_of 2199-01-01 00:00:00 lies in the future: the last event is at 2017-07-07 15:00:00" in run.stderr
        assert "Nothing was written. Give an --as-of up to now; to publish" in run.stderr
        assert run.stderr.endswith("add --force.\n")
        assert list_snapshots(unpromoted) == []

    def test_force_publishes_it_and_all_outputs_mark_it(self, clout, unpromoted, recent_events):
        promote(unpromoted, "1")
        score(clout, unpromoted, recent_events, as_of=PRESENT)
        run = score(clout, unpromoted, recent_events, "--force", as_of=SOON)
        served = f"the scores as of {SOON}T00:00:00Z by version 1 are served, an instant in the future, because they"
        assert f"the events end {AHEAD} days before this as_of: for the scores, nothing happened since." in run.stderr
        assert f"warning: {served} were published by --force; nothing that happens until then counts." in run.stderr
        assert f"or after 'clout snapshots remove {SOON}T000000Z_v1'." in run.stderr
        assert served in clout(unpromoted, "explain", "u1", "--json").stderr
        ready = TestClient(create_app(unpromoted)).get("/ready").json()
        assert ready["as_of"] == f"{SOON}T00:00:00Z"
        assert ready["stale"]["snapshot"]["detail"].startswith(served)
        shutil.rmtree(unpromoted.snapshots / f"{SOON}T000000Z_v1")
        assert open_snapshot(unpromoted).as_of == datetime.fromisoformat(f"{PRESENT}T00:00:00Z")


def test_json_names_the_snapshot_and_the_files(clout, unpromoted, events, tmp_path):
    run = score(clout, unpromoted, events, "--version", "1", "--out", str(tmp_path / "s.parquet"), "--json")
    (folder,) = list_snapshots(unpromoted)
    assert json.loads(run.stdout) == {
        "as_of": "2017-07-30T00:00:00Z",
        "model_version": "1",
        "released": False,
        "horizon_days": 28,
        "users": 40,
        "rows": 40,
        "snapshot": str(folder),
        "scores": str(tmp_path / "s.parquet"),
        "points": None,
    }
