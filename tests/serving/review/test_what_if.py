"""`clout what-if` and its route, from a snapshot, and what they refuse."""

import json
import re
import shutil
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from features.catalogue import CATALOGUE, SCORED
from serving import app as application
from serving.cli import main
from serving.review.what_if import WhatIfError, parse_changes
from serving.runtime import state
from serving.scoring import score_rows
from serving.snapshots.feature_rows import write_row_batches
from serving.snapshots.layout import sort_rows, write_checksums
from serving.snapshots.peers import PeerRanges, peer_columns
from serving.snapshots.repository import list_snapshots, open_snapshot, write_snapshot
from training.config import Config, Model
from training.dataset.panel import Split
from training.explanation import inactivity
from training.explanation.inactivity import AS_BEFORE, AT_THE_SAME_RATE
from training.explanation.possible_changes import ASSOCIATION
from training.fit import fit
from training.home import Home
from training.model.bundle import feature_row

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)


def with_consistent_features(rows):
    """Make absence and repetition consistent with other features, and give the users some events."""
    away = rows["days_of_absence"] * 10
    repeating = {"repetitions_beyond_10_90d": np.arange(len(rows)) % 4 * 2.0, "created_90d": 18.0}
    acts = rows["acts_365d"].where(rows["user"] == "user0003", 30.0)
    return rows.assign(days_of_absence=away, days_since_last_act=away + 56, acts_365d=acts, **repeating)


@pytest.fixture(scope="module")
def rows(rows):
    return with_consistent_features(rows)


@pytest.fixture(scope="module")
def bundle(rows):
    """A model of users whose audience decreases with absence and repetition."""
    cutoffs = [AS_OF - timedelta(days=28 * k) for k in (3, 2, 1)]
    frames = []
    for seed, cutoff in enumerate(cutoffs):
        pull = (
            rows["responder_rate_365d"]
            * np.exp(-rows["days_of_absence"] / 40)
            * (1 - rows["repetitions_beyond_10_90d"] / 8)
        )
        frames.append(rows.assign(as_of=pd.Timestamp(cutoff), audience=np.random.default_rng(seed).poisson(9 * pull)))
    return fit(pd.concat(frames, ignore_index=True), Split(tuple(cutoffs)), Config(model=Model(trees=40, depth=3)))


@pytest.fixture(scope="module")
def base_home(tmp_path_factory, bundle, rows):
    home = Home(tmp_path_factory.mktemp("kept"))
    write_snapshot(home, AS_OF, bundle, "3", score_rows(bundle, "3", rows), rows)
    return home


@pytest.fixture
def home(tmp_path, base_home):
    return Home(shutil.copytree(base_home.folder, tmp_path / "home"))


@pytest.fixture
def client(home, monkeypatch, bundle):
    monkeypatch.setattr(state, "load_champion", lambda *_: (bundle, "3"))
    monkeypatch.setattr(state, "report", lambda *_: None)
    return TestClient(application.create_app(home), raise_server_exceptions=False)


@pytest.fixture
def run_what_if(home, monkeypatch, capsys):
    """Return a function that runs `clout what-if` and returns its exit code, output and messages."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["clout", "what-if", *words, "--home", str(home.folder)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        code, (out, err) = ended.value.code, capsys.readouterr()
        return code, " ".join(out.split()), " ".join(err.split())

    return run


def use_another_catalogue(home, rows):
    """Give the snapshot a catalogue with another definition of absence and without repetition."""
    (folder,) = list_snapshots(home)
    (folder / "features.arrow").unlink()  # the service may have mapped it
    table = pa.Table.from_pandas(sort_rows(rows).drop(columns="repetitions_beyond_10_90d"), preserve_index=False)
    write_row_batches(table.to_batches(), table.schema, folder / "features.arrow")
    file = folder / "bundle" / "bundle.json"
    reports = json.loads(file.read_text())
    reports["features"]["days_of_absence"] = "0" * 12
    file.write_text(json.dumps(reports))
    write_checksums(folder)


class TestPeerRanges:
    @pytest.fixture
    def people(self):
        """Users by engagers: 3 and 6 are in band 2, none is in band 0."""
        reports = {"scope": ["all"] * 4 + ["topic:x"], "engagers_365d": [3.0, 6.0, 5.0, np.nan, 3.0]}
        others = {name: [1.0, 2.0, np.nan, 8.0, 9.0] for name in peer_columns(SCORED.names)[2:]}
        away = {"days_since_last_act": [30.0, 40.0, 3.0, np.nan, 3.0], "days_of_absence": [2.0, 12.0, 0.0, 0.0, 0.0]}
        return pd.DataFrame(reports | others | away)[peer_columns(SCORED.names)]

    def test_users_get_their_own_peers(self, people):
        result = PeerRanges(people).of("all", feature_row(people.iloc[[1]]))
        assert result.users == 3
        assert (
            result.values["credible_engagers_decayed_28d"][0],
            result.values["credible_engagers_decayed_28d"][-1],
        ) == (1.0, 2.0)
        assert (
            PeerRanges(people).of("all", feature_row(people.iloc[[3]])).values["credible_engagers_decayed_28d"].tolist()
            == [8.0] * 101
        )
        assert "days_since_last_act" not in PeerRanges(people).of("all", feature_row(people.iloc[[3]])).values

    def test_the_allowance_is_computed_from_absent_users(self, people):
        assert PeerRanges(people).of("all", feature_row(people.iloc[[0]])).allowance == 28
        assert PeerRanges(people).of("topic:x", feature_row(people.iloc[[4]])).allowance == 56

    def test_the_allowance_if_only_users_without_events_are_absent(self, people):
        users_without_events = people.iloc[[3]].assign(days_of_absence=10.0, account_age_days=50.0)
        assert PeerRanges(users_without_events).of("all", feature_row(users_without_events)).allowance == 40

    def test_ranges_of_a_snapshot(self, home, rows):
        snapshot = open_snapshot(home)
        result = snapshot.peer_ranges.of("topic:birds", snapshot.feature_row("user0001", "topic:birds"))
        assert result.users in (1, 2)
        everybody = rows[rows["scope"] == "all"]
        of_all = [snapshot.peer_ranges.of("all", feature_row(everybody.iloc[[k]])) for k in range(len(everybody))]
        assert max(float(peers.values["days_of_absence"][-1]) for peers in of_all) == everybody["days_of_absence"].max()


class TestParseChanges:
    def test_changes_are_parsed(self):
        assert parse_changes(["days_of_absence=0", " repetitions_beyond_10_90d =1.5e1"]) == {
            "days_of_absence": 0.0,
            "repetitions_beyond_10_90d": 15.0,
        }
        assert parse_changes([]) == {}

    @pytest.mark.parametrize(
        "setting", ["days_of_absence", "=3", "days_of_absence=", "days_of_absence=x", "days_of_absence=nan", "a=1=2"]
    )
    def test_invalid_changes_are_refused(self, setting):
        with pytest.raises(WhatIfError, match="is not a change; expected feature=value, such as days_of_absence=0"):
            parse_changes([setting])

    def test_a_feature_set_twice_is_refused(self):
        with pytest.raises(WhatIfError, match="days_of_absence is set twice"):
            parse_changes(["days_of_absence=1", "days_of_absence=2"])


class TestRoute:
    def test_proposals(self, client, home):
        result = [client.get(f"/v1/users/user{k:04}/what-if") for k in range(10, 40)]
        reports = [answer.json() for answer in result if answer.status_code == 200]
        assert len(reports) > 20
        assert any(report["in_own_hands"] for report in reports)
        for report in reports:
            assert report["association"] == ASSOCIATION
            assert report["asked"] is None
            assert report["score"] == open_snapshot(home).score(report["user"])["score"]
            for outcome in report["in_own_hands"]:
                assert outcome["gain"] >= 0.5
                assert outcome["interval"]["low"] <= outcome["interval"]["high"]
                assert not any(c["outside"] for c in outcome["changes"] if CATALOGUE[c["feature"]].direction != "none")

    def test_a_change(self, client, bundle, rows):
        answer = client.get("/v1/users/user0001/what-if?set=days_of_absence=900&set=tenure_days=3")
        result = answer.json()
        row = rows[(rows["user"] == "user0001") & (rows["scope"] == "all")]
        score = bundle.predict(row.assign(days_of_absence=900.0, tenure_days=3.0))["score"].iloc[0]
        assert result["asked"]["score"] == pytest.approx(score)
        assert not result["asked"]["in_own_hands"]
        assert any(
            "No user with a similar audience has such a value" in note and "days_of_absence 900" in note
            for note in result["notes"]
        )
        assert any("Not in the user's own hands: tenure_days" in note for note in result["notes"])

    def test_inactivity_changes_the_score(self, client, home):
        result = client.get("/v1/users/user0001/what-if?away_days=14").json()
        person = open_snapshot(home).feature_row("user0001")
        (since,) = [report for report in result["asked"]["changes"] if report["feature"] == "days_since_last_act"]
        assert since["after"] == person["days_since_last_act"] + 14
        assert result["notes"][0] == AT_THE_SAME_RATE
        assert result["away_days"] == 14
        assert result["asked"]["in_own_hands"]

    @pytest.mark.parametrize(
        ("path", "status", "kind", "message"),
        [
            ("nobody/what-if", 404, "unknown-user", "'nobody' is none of the 309 users"),
            ("user0003/what-if?scope=topic:birds", 404, "absent-scope", "scopes there: all"),
            ("user0001/what-if?as_of=2016-01-01", 404, "absent-snapshot", "there are: 2017-07-30"),
            ("user0003/what-if", 422, "insufficient-evidence", "others did not engage. It takes 3 events"),
            (
                "user0003/what-if?away_days=14",
                422,
                "insufficient-evidence",
                "has no score, so what would change it cannot be computed",
            ),
            ("user0001/what-if?set=followers=3", 422, "no-such-change", "followers cannot change a score"),
            ("user0001/what-if?set=x", 422, "no-such-change", "'x' is not a change; expected feature=value"),
            ("user0001/what-if?away_days=999", 422, "no-such-change", "expected 1 to 365"),
            ("user0001/what-if?away_days=soon", 422, "invalid-request", "query.away_days"),
        ],
    )
    def test_invalid_requests_are_refused(self, client, path, status, kind, message):
        answer = client.get(f"/v1/users/{path}")
        result = answer.json()
        assert (answer.status_code, result["type"]) == (status, f"urn:clout:problem:{kind}")
        assert message in result["detail"]

    def test_another_catalogue(self, client, home, rows):
        use_another_catalogue(home, rows)
        client.app.state.watcher.look()
        answer = client.get("/v1/users/user0001/what-if")
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:clout:problem:unfit-features")
        assert "defined differently here: days_of_absence" in answer.json()["detail"]


class TestCommand:
    def test_proposals(self, run_what_if):
        code, out, err = run_what_if("user0011")
        assert (code, err) == (0, "")
        assert re.search(r"user0011 has [\d.]+ of 100 points, as of 2017-07-30. What would change it: - ", out)
        assert ASSOCIATION in out

    def test_an_answer_is_never_empty(self, client):
        for k in range(10, 40):
            report = client.get(f"/v1/users/user{k:04}/what-if").json()
            explanation = client.get(f"/v1/users/user{k:04}/explanation").json()
            assert 1 <= len(report["possible_changes"]) <= 2
            for proposed, explained in zip(report["possible_changes"], explanation["possible_changes"], strict=True):
                assert proposed == explained | {"points": pytest.approx(explained["points"], abs=1e-9)}

    def test_json_equals_the_response_of_the_api(self, home, client, monkeypatch, capsys):
        words = ["clout", "what-if", "user0001", "--set", "days_of_absence=0", "--json", "--home", str(home.folder)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit):
            main.main()
        assert (
            json.loads(capsys.readouterr().out) == client.get("/v1/users/user0001/what-if?set=days_of_absence=0").json()
        )

    def test_a_change_shows_its_parts(self, run_what_if):
        code, out, _ = run_what_if("user0001", "--set", "responder_rate_365d=90")
        assert code == 0
        assert "others' hands)" in out
        assert "of it:" in out
        assert "of it: People who responded, as they count: 1 ->" in out
        assert "Then:" not in out

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["nobody"], "error: 'nobody' is none of the 309 users"),
            (
                ["user0001", "--as-of", "2016-01-01"],
                "error: no snapshot as of 2016-01-01T00:00:00Z; there are: 2017-07-30",
            ),
            (
                ["user0003"],
                "error: 'user0003' has no score, so what would change it cannot be computed. Too little",
            ),
            (["user0001", "--set", "days_of_absence"], "error: 'days_of_absence' is not a change"),
            (["user0001", "--away-days", "0"], "error: 0 days of inactivity cannot be simulated"),
            (["user0001", "--events", "e.parquet"], "--events goes with --away-days"),
        ],
    )
    def test_invalid_requests_are_refused(self, run_what_if, words, message):
        code, out, err = run_what_if(*words)
        assert (code, out) == (2, "")
        assert message in err.replace("│ ", "")

    def test_lost_responses_come_from_the_events(self, home, run_what_if, monkeypatch, tmp_path):
        calls = []

        def record(events, *others):
            calls.append((events.count().execute(), *others))
            return {"credible_engagers_decayed_28d": 0.0}

        monkeypatch.setattr(inactivity, "lost_responses", record)
        times = pd.to_datetime(["2017-07-01", "2017-07-02"], utc=True)
        events = pd.DataFrame({"time": times, "actor": ["a", "b"], "verb": "like", "target": ["b", "a"]})
        events.to_parquet(tmp_path / "e.parquet", index=False)
        code, out, err = run_what_if("user0001", "--away-days", "7", "--events", str(tmp_path / "e.parquet"))
        assert (code, err) == (0, "")
        (result,) = calls
        assert result[:5] == (2, "user0001", "all", AS_OF, 7)
        assert result[5] == pytest.approx(open_snapshot(home).feature_row("user0001"), rel=0, abs=0, nan_ok=True)
        assert "After 7 days without activity" in out
        assert AS_BEFORE in out
        assert "By the absence alone" not in out

    def test_an_absence_without_events_says_what_is_not_counted(self, run_what_if):
        code, out, _ = run_what_if("user0001", "--away-days", "7")
        assert code == 0
        assert re.search(r"By the absence alone, the score of user0001 would [\w. ]+: [\d.]+ now, [\d.]+ then\.", out)
        assert "--events EVENTS counts the responses that the user would lose as well." in out

    def test_another_catalogue(self, run_what_if, home, rows):
        use_another_catalogue(home, rows)
        code, out, err = run_what_if("user0001")
        assert (code, out) == (2, "")
        assert "error: the model was trained on another catalogue of features" in err

    def test_an_absent_snapshot_is_reported(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["clout", "what-if", "ann", "--home", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert ended.value.code == 2
        assert "make one with 'clout score EVENTS" in capsys.readouterr().err
