"""The history of a user: every instant with a snapshot once, oldest first, without opening the snapshots."""

import json
import shutil
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from features.errors import AsOfError, SnapshotError, UnknownUserError
from serving import app as application
from serving.api.schemas import UserScore
from serving.cli import main
from serving.cli.score_tables import history_table
from serving.review import history as module
from serving.review.history import History, PastScore, history
from serving.snapshots import layout
from serving.snapshots.repository import AbsentSnapshotError, list_snapshots, open_snapshot, write_snapshot
from training.home import Home
from training.model.intervals import Interval

NEWEST = datetime(2017, 7, 30, tzinfo=UTC)
OLDER, OLDEST = NEWEST - timedelta(days=28), NEWEST - timedelta(days=56)
INSTANTS = ["2017-06-04T00:00:00Z", "2017-07-02T00:00:00Z", "2017-07-30T00:00:00Z"]


@pytest.fixture
def history_home(home, bundle, scores, rows):
    """Write snapshots at three instants, the oldest by versions 1 and 2; user0007 is not in the middle one."""
    moved = scores.assign(score=(scores["score"] / 2).round(3))
    for as_of, version, of in [(OLDEST, "1", scores), (OLDEST, "2", moved), (OLDER, "2", moved)]:
        there = (of["user"] != "user0007") | (as_of != OLDER)
        write_snapshot(
            home,
            as_of,
            bundle,
            version,
            of[there].assign(model_version=version),
            rows[(rows["user"] != "user0007") | (as_of != OLDER)],
        )
    return home


@pytest.fixture
def client(history_home, champion):
    return TestClient(application.create_app(history_home), raise_server_exceptions=False)


def problem(answer, status, kind):
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["type"] == f"urn:clout:problem:{kind}"
    return answer.json()["detail"]


@pytest.mark.parametrize("user", ["user0001", "a/b", "..", "'; --", "ünï/çødé 🙂"])
def test_points_equal_the_scores_of_their_snapshots(history_home, user):
    result = history(history_home, user)
    assert [point.as_of for point in result.scores] == INSTANTS
    assert [point.model_version for point in result.scores] == ["2", "2", "3"]
    for point, as_of in zip(result.scores, (OLDEST, OLDER, NEWEST), strict=True):
        expected = UserScore.of(open_snapshot(history_home, as_of).score(user))
        assert {"user": user, "scope": "all"} | asdict(point) == expected.model_dump()
    assert (result.absent, result.damaged, result.earlier) == ((), (), None)


def test_a_scope_has_a_history_of_its_own(history_home):
    result = history(history_home, "user0001", "topic:birds")
    assert [point.score for point in result.scores] == [
        open_snapshot(history_home, as_of).score("user0001", "topic:birds")["score"]
        for as_of in (OLDEST, OLDER, NEWEST)
    ]


def test_instants_without_the_user_are_listed(history_home):
    result = history(history_home, "user0007")
    assert [point.as_of for point in result.scores] == [INSTANTS[0], INSTANTS[2]]
    assert result.absent == (INSTANTS[1],)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, INSTANTS),
        (OLDER, None, INSTANTS[1:]),
        (None, OLDER, INSTANTS[:2]),
        (OLDER, OLDER, INSTANTS[1:2]),
        (OLDER + timedelta(microseconds=1), None, INSTANTS[2:]),
        (None, OLDER - timedelta(microseconds=1), INSTANTS[:1]),
    ],
)
def test_both_bounds_are_included(history_home, start, end, expected):
    assert [point.as_of for point in history(history_home, "user0001", "all", start, end).scores] == expected


def test_empty_bounds_are_refused(history_home):
    with pytest.raises(AsOfError, match="from 2017-07-30T00:00:00Z to 2017-07-02T00:00:00Z runs backwards"):
        history(history_home, "user0001", "all", NEWEST, OLDER)
    with pytest.raises(
        AbsentSnapshotError,
        match="no snapshot from 2018-01-01T00:00:00Z; 3 there are, from 2017-06-04T00:00:00Z to 2017-07-30T00:00:00Z",
    ):
        history(history_home, "user0001", "all", datetime(2018, 1, 1, tzinfo=UTC))


def test_a_history_is_limited_and_names_the_next_instant(history_home):
    result = history(history_home, "user0001", most=2)
    assert [point.as_of for point in result.scores] == INSTANTS[1:]
    assert result.earlier == INSTANTS[0]
    rest = history(history_home, "user0001", end=datetime.fromisoformat(result.earlier))
    assert ([point.as_of for point in rest.scores], rest.earlier) == (INSTANTS[:1], None)


def test_an_unknown_user_is_refused(history_home, tmp_path):
    with pytest.raises(UnknownUserError, match="'nobody' has no score in the 3 snapshots from 2017-06-04T00:00:00Z"):
        history(history_home, "nobody")
    with pytest.raises(UnknownUserError, match=r"'user0003' has no score of the scope 'topic:birds' in .*: all"):
        history(history_home, "user0003", "topic:birds")
    with pytest.raises(UnknownUserError, match="in the one snapshot"):
        history(history_home, "user0007", "all", OLDER, OLDER)
    with pytest.raises(SnapshotError, match="make one with 'clout score"):
        history(Home(tmp_path / "empty"), "ann")


def test_half_a_surrogate_pair_matches_no_id(home, bundle, scores, rows):
    of = scores.replace({"user": {"user0000": "user?"}})
    write_snapshot(home, OLDER, bundle, "3", of, rows.replace({"user": {"user0000": "user?"}}))
    assert len(history(home, "user?").scores) == 1
    with pytest.raises(UnknownUserError):
        history(home, "user\udcff")


def test_damaged_snapshots_are_skipped_and_listed(history_home, caplog):
    newest, older, *_ = list_snapshots(history_home)
    (older / "scores.parquet").write_bytes(b"PAR1")
    (newest / "snapshot.json").write_text("{}")
    result = history(history_home, "user0001")
    assert ([point.as_of for point in result.scores], result.damaged) == (INSTANTS[:1], (INSTANTS[1], INSTANTS[2]))
    assert "scores.parquet cannot be read" in caplog.text
    with pytest.raises(SnapshotError, match=r"the snapshot is damaged: .*scores\.parquet"):
        history(history_home, "nobody")


def test_a_snapshot_removed_meanwhile_is_skipped(history_home, monkeypatch):
    _, older, *_ = list_snapshots(history_home)
    listed = module.require_snapshots(history_home)
    shutil.rmtree(older)
    monkeypatch.setattr(module, "require_snapshots", lambda _: listed)
    result = history(history_home, "user0001")
    assert ([point.as_of for point in result.scores], result.damaged) == ([INSTANTS[0], INSTANTS[2]], ())


def test_a_history_reads_neither_features_nor_models(history_home):
    for folder in list_snapshots(history_home):
        (folder / "features.arrow").unlink()
        shutil.rmtree(folder / "bundle")
    assert len(history(history_home, "user0001").scores) == 3


def test_users_of_every_row_group_are_read(tmp_path, scores, home):
    (folder,) = list_snapshots(home)
    many = scores.loc[np.repeat(0, 20_000)].assign(user=[f"id{k:05}" for k in range(20_000)])
    many["score"] = np.arange(20_000) / 200
    layout.write_table(many, folder / "scores.parquet")
    assert pq.ParquetFile(folder / "scores.parquet").num_row_groups == 3
    assert module.row_groups(pq.ParquetFile(folder / "scores.parquet"), "id08192") == [1]
    for number in (0, 8191, 8192, 16_384, 19_999):
        assert [point.score for point in history(home, f"id{number:05}").scores] == [number / 200]


def test_ids_too_long_for_row_group_statistics_are_read(home, scores):
    (folder,) = list_snapshots(home)
    ids = sorted(f"{k}{'x' * 9000}" for k in range(3))
    layout.write_table(scores.head(3).assign(user=ids, score=[1.0, 2.0, 3.0]), folder / "scores.parquet")
    assert [history(home, user).scores[0].score for user in ids] == [1.0, 2.0, 3.0]


def test_the_route_equals_the_library(client, history_home):
    answer = client.get("/v1/users/a%2Fb/history?from=2017-07-02&to=2017-07-30T00:00:00%2B00:00")
    assert answer.status_code == 200
    expected = history(history_home, "a/b", "all", OLDER, NEWEST)
    assert json.loads(answer.text) == json.loads(json.dumps(asdict(expected)))


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("nobody/history", 404, "unknown-user"),
        ("user0003/history?scope=topic:birds", 404, "absent-scope"),
        ("%27%3B%20DROP%20TABLE%20users%3B--/history", 404, "unknown-user"),
        ("%00/history", 404, "unknown-user"),
        ("%ff%fe/history", 404, "unknown-user"),
        (f"{'x' * 7_000}/history", 404, "unknown-user"),
        ("user0001/history?from=2018-01-01", 404, "absent-snapshot"),
        ("user0001/history?from=2017-07-30&to=2017-07-02", 422, "no-instant"),
        ("user0001/history?from=yesterday", 422, "no-instant"),
        ("user0001/history?to=", 422, "no-instant"),
    ],
)
def test_the_route_refuses_invalid_queries(client, path, status, kind):
    problem(client.get(f"/v1/users/{path}"), status, kind)


def test_a_newer_snapshot_is_in_the_history_at_once(client, history_home, bundle, scores, rows):
    assert len(client.get("/v1/users/user0001/history").json()["scores"]) == 3
    later = NEWEST + timedelta(days=28)
    write_snapshot(history_home, later, bundle, "4", scores.assign(model_version="4"), rows)
    points = client.get("/v1/users/user0001/history").json()["scores"]
    assert [(point["as_of"], point["model_version"]) for point in points[-2:]] == [
        ("2017-07-30T00:00:00Z", "3"),
        ("2017-08-27T00:00:00Z", "4"),
    ]


@pytest.fixture
def run_history(history_home, monkeypatch, capsys):
    def show(*words):
        monkeypatch.setattr(sys, "argv", ["clout", "history", *words, "--home", str(history_home.folder)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        result = capsys.readouterr()
        return ended.value.code, result.out, " ".join(result.err.split())

    return show


def test_a_history_on_the_terminal(run_history, history_home):
    code, out, err = run_history("user0001")
    assert (code, err) == (0, "")
    rows = [line for line in out.splitlines() if "2017-" in line]
    oldest, older, newest = history(history_home, "user0001").scores
    assert "3 of 3 snapshots" in out
    assert "range of people" in out
    assert [(rows[0].count("new"), rows[1].count("new"), rows[2].count("3 (new)"))] == [(0, 0, 1)]
    for row, point in zip(rows, (oldest, older, newest), strict=True):
        assert f" {point.score:.1f} " in row
        assert f" {point.interval.low} to {point.interval.high} " in row
    assert "+0.0" in rows[1]
    assert f"{newest.score - older.score:+.1f}" in rows[2]
    assert "clout change shows by how much" in out.replace("\n", " ")
    assert json.loads(run_history("user0001", "--json")[1]) == json.loads(
        json.dumps(asdict(history(history_home, "user0001")))
    )


def test_absent_damaged_and_unread_snapshots_are_printed(run_history, history_home, monkeypatch):
    assert "No score as of 2017-07-02." in run_history("user0007")[1]
    assert "too little known" in run_history("user0003", "--from", "2017-07-30")[1]
    monkeypatch.setattr(module, "MOST_SNAPSHOTS", 2)
    (list_snapshots(history_home)[0] / "scores.parquet").write_bytes(b"")
    _, out, err = run_history("user0001")
    assert "1 of 2 snapshots" in out
    command = f"clout history user0001 --to 2017-06-04T00:00:00Z --home {history_home.folder}"
    assert f"There are earlier ones: {command}" in err
    assert "skipped damaged snapshots: 2017-07-30." in err


def test_ids_are_printed_literally(capsys, tmp_path):
    point = PastScore("2017-07-30T00:00:00Z", "3", True, 28, 50.0, 1.0, Interval(1, 2, 0.9), 3.0, 4.0, "some", "scored")
    history_table(History("[/b][red]x", "topic:[/i]", (point,), (), (), None), Home(tmp_path))
    assert "The scores of [/b][red]x, scope topic:[/i]: 1 of 1 snapshot" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody"], "error: 'nobody' has no score in the 3 snapshots"),
        (["user0001", "--from", "2018-01-01"], "error: no snapshot from 2018-01-01T00:00:00Z"),
        (["user0001", "--from", "2017-07-30", "--to", "2017-07-02"], "runs backwards"),
        (["user0001", "--to", "x"], "error: 'x' is not a valid instant"),
    ],
)
def test_the_command_refuses_invalid_options(run_history, words, message):
    code, out, err = run_history(*words)
    assert (code, out) == (2, "")
    assert message in err
