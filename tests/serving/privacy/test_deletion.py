"""Deletion: no file of the home contains a deleted user, even after interruptions."""

import io
import json
import os
import shutil
import signal
import sqlite3
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from features.errors import EventsError
from features.events.store import add_to_store
from serving.app import create_app
from serving.privacy import deletion
from serving.privacy.deletion import delete_pending, request_deletion
from serving.snapshots import erasure as snapshot_erasure
from serving.snapshots import layout as files
from serving.snapshots.erasure import FORGOTTEN
from serving.snapshots.repository import list_snapshots, open_snapshot, write_snapshot
from tests import preloaded
from training.home import Home
from training.records.deletion_receipts import AbsentReceiptError, Removed, pending_deletions, read_receipt
from training.records.opt_outs import HiddenUserError, list_opt_outs, load_opted_out_users, opt_in, opt_out
from training.registry.model_registry import promote, register

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
LATER = AS_OF + timedelta(days=28)
WHO = "u5er\N{SNOWMAN}-to-be-forgotten"
NASTY = ["a/b/opt-out", "'; DROP TABLE left_out; --", '"q"', "ü/ø 🙂", "100 %", "e\u0301e\u0301", "n" * 7000]


def with_one(frame, user):
    """Replace user0009 by another user."""
    return frame.assign(user=frame["user"].replace("user0009", user))


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory, bundle, scores, rows):
    """Write two snapshots with the user to delete, who is also a seed of the model, and one without; return copies."""
    home = Home(tmp_path_factory.mktemp("snapshots"))
    config = bundle.facts["config"] | {"credibility": {"seeds": ["user0003", WHO]}}
    seeded = replace(bundle, facts=bundle.facts | {"config": config})
    for as_of in (AS_OF, LATER):
        write_snapshot(home, as_of, seeded, "3", with_one(scores, WHO), with_one(rows, WHO))
    write_snapshot(home, AS_OF - timedelta(days=28), bundle, "3", scores, rows)
    return home.snapshots


@pytest.fixture
def snapshot_home(home, snapshots):
    shutil.rmtree(home.snapshots)
    shutil.copytree(snapshots, home.snapshots)
    return home


@pytest.fixture
def client(snapshot_home):
    return TestClient(create_app(snapshot_home), raise_server_exceptions=False)


def files_containing(folder, user):
    """Return the files below a folder that contain an id, plain or JSON-encoded."""
    written = {user.encode(), json.dumps(user)[1:-1].encode()}
    files = [file for file in folder.rglob("*") if file.is_file()]
    compressed = [file for file in files if file.suffix in (".parquet", ".arrow")]
    plain = {file for file in files if any(form in file.read_bytes() for form in written)}
    return sorted(str(f) for f in plain | {file for file in compressed if user in ids_in(file)})


def ids_in(file):
    table = pq.read_table(file) if file.suffix == ".parquet" else pa.ipc.open_file(file).read_all()
    columns = [name for name in ("user", "actor", "target") if name in table.column_names]
    return {user for name in columns for user in table[name].to_pylist()}


def finished(client, answer):
    assert answer.status_code == 202, answer.text
    client.app.state.deletion_worker.wait()
    receipt = client.get(answer.headers["Location"]).json()
    assert receipt["receipt"] == answer.json()["receipt"]
    assert receipt["finished"] is not None
    return receipt


def test_deletion_removes_one_user_and_changes_no_other(client, snapshot_home, scores):
    before = {
        folder.name: open_snapshot(snapshot_home, *parsed_name(folder)) for folder in list_snapshots(snapshot_home)
    }
    answers = {user: client.get(f"/v1/users/{user}/explanation").json() for user in ("user0001", "user0200")}
    shares_below = {user: answer.pop("users_below") for user, answer in answers.items()}
    assert len(files_containing(snapshot_home.folder, WHO)) >= 6
    receipt = finished(client, client.delete(f"/v1/users/{quote(WHO)}"))
    assert files_containing(snapshot_home.folder, WHO) == []
    assert {item["place"]: item["rows"] for item in receipt["removed"]} == {
        "snapshot 2017-07-30T000000Z_v3": 2,
        "snapshot 2017-08-27T000000Z_v3": 2,
    }
    assert receipt["failed"] == []
    for folder in list_snapshots(snapshot_home):
        snapshot_before, snapshot_after = before[folder.name], open_snapshot(snapshot_home, *parsed_name(folder))
        others = snapshot_before.scores.filter(pa.compute.not_equal(snapshot_before.scores["user"], WHO))
        assert snapshot_after.scores.to_pylist() == others.to_pylist()
        assert snapshot_after.users == len(set(snapshot_after.scores["user"].to_pylist()))
        assert snapshot_after.feature_row("user0250") == pytest.approx(
            snapshot_before.feature_row("user0250"), nan_ok=True
        )
    client.app.state.watcher.look()
    assert WHO not in client.app.state.service.snapshot().scores["user"].to_pylist()
    answers_now = {user: client.get(f"/v1/users/{user}/explanation").json() for user in answers}
    for user, answer in answers_now.items():  # a share of the remaining users
        assert answer.pop("users_below") == pytest.approx(shares_below[user], abs=1 / snapshot_after.users)
    assert answers_now == answers


def parsed_name(folder):
    from serving.snapshots.layout import parse_folder_name

    return parse_folder_name(folder)


def test_seed_in_a_stored_model_is_replaced(snapshot_home):
    request_deletion(snapshot_home, WHO)
    delete_pending(snapshot_home)
    assert open_snapshot(snapshot_home).bundle.seeds == ["user0003", FORGOTTEN]
    assert open_snapshot(snapshot_home).explain("user0001").lines


def test_deleted_user_stays_hidden(client, snapshot_home, bundle, scores, rows):
    finished(client, client.delete(f"/v1/users/{quote(WHO)}"))
    assert list_opt_outs(snapshot_home) == []
    assert client.get(f"/v1/users/{quote(WHO)}/score").status_code == 410
    folder = write_snapshot(
        snapshot_home, LATER + timedelta(days=1), bundle, "3", with_one(scores, WHO), with_one(rows, WHO)
    )
    assert files_containing(folder, WHO) == []
    opt_out(snapshot_home, WHO)
    assert list_opt_outs(snapshot_home) == []  # the hash suffices; the id is not stored again
    assert files_containing(snapshot_home.folder, WHO) == []
    assert opt_in(snapshot_home, WHO)
    assert WHO not in load_opted_out_users(snapshot_home)


def test_earlier_opt_out_is_deleted(client, snapshot_home):
    opt_out(snapshot_home, WHO)
    assert any("records.db" in file for file in files_containing(snapshot_home.folder, WHO))
    finished(client, client.delete(f"/v1/users/{quote(WHO)}"))
    assert files_containing(snapshot_home.folder, WHO) == []


def test_receipt_has_no_id(client, snapshot_home):
    receipt = finished(client, client.delete("/v1/users/never-seen-anywhere"))
    assert (receipt["removed"], receipt["failed"]) == ([], [])
    assert files_containing(snapshot_home.folder, "never-seen-anywhere") == []
    assert "never-seen-anywhere" in load_opted_out_users(snapshot_home)
    assert any("No events were given" in sentence for sentence in receipt["remains"])
    with pytest.raises(AbsentReceiptError, match="there is no receipt 'x'"):
        read_receipt(snapshot_home, "x")


@pytest.mark.parametrize("user", NASTY)
def test_unusual_ids_are_deleted(client, snapshot_home, bundle, scores, rows, user):
    write_snapshot(snapshot_home, LATER, bundle, "3", with_one(scores, user), with_one(rows, user))
    receipt = finished(client, client.delete(f"/v1/users/{quote(user, safe='')}"))
    assert {item["rows"] for item in receipt["removed"]} == {1}
    assert files_containing(snapshot_home.folder, user) == []
    assert client.get(f"/v1/users/{quote(user, safe='')}/score").status_code == 410


def test_unencoded_slash_deletes_no_user(client, snapshot_home):
    for path in ("/v1/users/user0001/score", "/v1/users/user0001/", "/v1/users/a/b", "/v1/users/user0001/opt-out/"):
        assert client.delete(path).status_code in (404, 405), path
    assert pending_deletions(snapshot_home) == []
    assert len(load_opted_out_users(snapshot_home)) == 0
    client.put("/v1/users/a/opt-out")
    finished(client, client.delete("/v1/users/a%2Fopt-out"))
    assert "a" in load_opted_out_users(snapshot_home)
    assert "a/opt-out" in load_opted_out_users(snapshot_home)


def test_repeated_request_has_one_receipt(snapshot_home):
    first, second = request_deletion(snapshot_home, WHO), request_deletion(snapshot_home, WHO)
    assert first == second
    assert [receipt.receipt for receipt in delete_pending(snapshot_home)] == [first.receipt]
    assert delete_pending(snapshot_home) == []
    assert request_deletion(snapshot_home, WHO).receipt != first.receipt
    (again,) = delete_pending(snapshot_home)
    assert again.removed == ()
    assert again.person == first.person


STEPS = [
    (snapshot_erasure, "_write"),
    (files, "publish"),
    (snapshot_erasure, "_write_facts"),
    (deletion, "_clear_events"),
    (deletion, "residual_data"),
    (deletion, "finish_deletion"),
]


class KilledError(BaseException):
    """Simulates that the process was killed."""


@pytest.mark.parametrize(("module", "step"), STEPS, ids=[step for _, step in STEPS])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_interrupted_deletion_hides_and_is_completed(snapshot_home, tmp_path, monkeypatch, module, step, after):
    events = event_file(tmp_path / "events.parquet")
    work = getattr(module, step)

    def killed(*arguments):
        if after:
            work(*arguments)
        raise KilledError

    request = request_deletion(snapshot_home, WHO, [events])
    with monkeypatch.context() as patched:
        patched.setattr(module, step, killed)
        with pytest.raises(KilledError):
            delete_pending(snapshot_home)
    with pytest.raises(HiddenUserError):
        open_snapshot(snapshot_home, AS_OF - timedelta(days=28)).score(WHO)
    delete_pending(snapshot_home)
    receipt = read_receipt(snapshot_home, request.receipt)
    assert receipt.finished is not None
    assert set(receipt.removed) == {
        Removed("snapshot 2017-07-30T000000Z_v3", 2),
        Removed("snapshot 2017-08-27T000000Z_v3", 2),
        Removed(f"events {events}", 2),
    }
    assert len(list_snapshots(snapshot_home)) == 3
    assert [folder.name for folder in snapshot_home.snapshots.iterdir() if folder.name.startswith(".")] == []
    assert files_containing(snapshot_home.folder, WHO) == []
    assert files_containing(tmp_path / "events.parquet", WHO) == []
    assert open_snapshot(snapshot_home).score("user0001")


def test_service_completes_deletion_of_killed_process(snapshot_home):
    code = """
import os, signal, sys
from pathlib import Path
from features import atomic_files
from serving.privacy import deletion
from training.home import Home
atomic_files.rmtree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
home = Home(Path(sys.argv[1]))
deletion.request_deletion(home, sys.argv[2])
deletion.delete_pending(home)
"""
    killed = preloaded.run([sys.executable, "-c", code, snapshot_home.folder, WHO], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert files_containing(snapshot_home.folder, WHO)
    client = TestClient(create_app(snapshot_home), raise_server_exceptions=False)  # starts the deletion
    assert client.get(f"/v1/users/{quote(WHO)}/score").status_code == 410
    client.app.state.deletion_worker.wait()
    assert pending_deletions(snapshot_home) == []
    assert files_containing(snapshot_home.folder, WHO) == []
    assert len(list_snapshots(snapshot_home)) == 3


@pytest.mark.parametrize("file", ["scores.parquet", "features.arrow"])
def test_damaged_snapshot_is_reported_and_others_cleared(snapshot_home, file):
    damaged = list_snapshots(snapshot_home)[1] / file
    damaged.write_bytes(damaged.read_bytes()[:50])
    request_deletion(snapshot_home, WHO)
    (receipt,) = delete_pending(snapshot_home)
    assert [item.place for item in receipt.removed] == ["snapshot 2017-08-27T000000Z_v3"]
    (message,) = receipt.failed
    assert f"2017-07-30T000000Z_v3/{file} cannot be read" in message
    assert [folder.name for folder in snapshot_home.snapshots.iterdir() if folder.name.startswith(".")] == []
    assert message.endswith("Data of the user may still be there.")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_the_command_exits_with_3_after_an_incomplete_search(clout, snapshot_home, words):
    damaged = list_snapshots(snapshot_home)[1]
    (damaged / "scores.parquet").write_bytes(b"nonsense")
    run = clout(snapshot_home, "forget", WHO, *words)
    assert run.returncode == 3
    assert "Data of the user may still be there." in " ".join(run.stdout.split())
    assert clout(snapshot_home, "snapshots", "remove", damaged.name).returncode == 0
    assert clout(snapshot_home, "forget", WHO, *words).returncode == 0


@pytest.mark.parametrize("user", ["", " "])
def test_the_command_refuses_an_empty_id(clout, snapshot_home, user):
    run = clout(snapshot_home, "forget", user)
    assert (run.returncode, run.stdout) == (2, "")
    assert "the id of a user is empty; expected one as in the events." in run.stderr


@pytest.mark.parametrize(("user", "warned"), [("user0001", False), ("user001", True), (WHO, False)])
def test_the_command_warns_of_an_unknown_id(clout, snapshot_home, user, warned):
    run = clout(snapshot_home, "forget", user)
    assert run.returncode == 0
    assert (f"warning: {user!r} is none of the" in run.stderr) == warned
    assert (" Close ids: 'user0001'" in run.stderr) == warned
    assert (f"If the id is misspelled, 'clout opt-out {user} --undo' shows it again." in run.stderr) == warned
    assert "is none of the" not in clout(snapshot_home, "forget", user).stderr


def test_an_account_of_a_scored_person_causes_no_warning(clout, snapshot_home, tmp_path):
    (tmp_path / "people.csv").write_text("account,person\nacc1,user0001\n")
    run = clout(snapshot_home, "forget", "acc1", "--identities", str(tmp_path / "people.csv"))
    assert run.returncode == 0
    assert "is none of the" not in run.stderr


class TestConfirmation:
    @pytest.fixture
    def answer(self, monkeypatch):
        """Answer a question on a terminal."""

        def answer(text):
            stdin = io.StringIO(f"{text}\n")
            stdin.isatty = lambda: True
            monkeypatch.setattr(sys, "stdin", stdin)

        return answer

    def test_a_no_deletes_nothing(self, clout, snapshot_home, tmp_path, answer):
        events = event_file(tmp_path / "one.parquet")
        before = events.read_bytes()
        answer("n")
        run = clout(snapshot_home, "forget", WHO, "--events", str(events))
        assert (run.returncode, run.stdout) == (2, "")
        assert f"Delete all data of {WHO!r}, also from {events}? It cannot be restored. [y/N]: " in run.stderr
        assert run.stderr.endswith("error: nothing was deleted, because the answer was no.\n")
        assert events.read_bytes() == before
        assert (list_opt_outs(snapshot_home), pending_deletions(snapshot_home)) == ([], [])

    @pytest.mark.parametrize(("text", "words"), [("y", []), ("", ["--yes"])])
    def test_a_yes_deletes(self, clout, snapshot_home, tmp_path, answer, text, words):
        events = event_file(tmp_path / "one.parquet")
        answer(text)
        run = clout(snapshot_home, "forget", WHO, "--events", str(events), *words)
        assert run.returncode == 0
        assert ("Delete all data" in run.stderr) == (not words)
        assert f"events {events}" in run.stdout

    def test_no_question_without_events_or_without_a_terminal(self, clout, snapshot_home, tmp_path, answer):
        answer("n")
        assert clout(snapshot_home, "forget", "user0001").returncode == 0
        sys.stdin.isatty = lambda: False
        events = event_file(tmp_path / "one.parquet")
        assert clout(snapshot_home, "forget", WHO, "--events", str(events)).returncode == 0


def test_other_records_are_deleted(snapshot_home, monkeypatch):
    notes = {WHO: 3}
    monkeypatch.setattr(deletion, "RECORD_DELETERS", {"notes": lambda _, user: notes.pop(user, 0)})
    request_deletion(snapshot_home, WHO)
    (receipt,) = delete_pending(snapshot_home)
    assert Removed("notes", 3) in receipt.removed
    assert notes == {}


def test_receipt_lists_models_that_name_the_user(snapshot_home, bundle):
    config = bundle.facts["config"] | {"credibility": {"seeds": [WHO]}}
    seeded = replace(bundle, facts=bundle.facts | {"config": config})
    moved = {"gate": {"churn": {"moved": [{"user": WHO}]}}, "metrics": {}}
    for model, report in ((bundle, {"metrics": {}}), (seeded, {"metrics": {}}), (bundle, moved)):
        register(snapshot_home, model, {}, {}, report, {})
    promote(snapshot_home, "1")
    request_deletion(snapshot_home, WHO)
    (receipt,) = delete_pending(snapshot_home)
    assert any("(1, 2, 3) may have learnt" in sentence for sentence in receipt.remains)
    (seeds_remain,) = [sentence for sentence in receipt.remains if "credibility seeds" in sentence]
    (gate_remains,) = [sentence for sentence in receipt.remains if "who moved furthest" in sentence]
    assert seeds_remain.startswith("Version 2 names")
    assert gate_remains.startswith("The gate of version 3 names")
    assert {
        file
        for file in files_containing(snapshot_home.folder, WHO)
        if "mlartifacts" not in file and "mlflow" not in file
    } == set()


@pytest.mark.parametrize("with_events", [True, False])
def test_receipt_of_nobody_says_that_the_id_may_be_misspelled(snapshot_home, bundle, tmp_path, with_events):
    register(snapshot_home, bundle, {}, {}, {"metrics": {}}, {})
    request_deletion(snapshot_home, "nobody", [event_file(tmp_path / "one.parquet")] if with_events else [])
    (receipt,) = delete_pending(snapshot_home)
    assert (receipt.removed, receipt.failed) == ((), ())
    text = " ".join(receipt.remains)
    assert "the id may be misspelled: 'clout opt-out USER --undo' shows it again" in text
    assert "the user's rows" not in text
    assert "counted among" not in text
    assert ("No events were given" in text) == (not with_events)


def test_receipt_of_a_user_that_only_a_report_names_is_not_of_nobody(snapshot_home, bundle):
    moved = {"gate": {"churn": {"moved": [{"user": "nobody"}]}}, "metrics": {}}
    register(snapshot_home, bundle, {}, {}, moved, {})
    request_deletion(snapshot_home, "nobody")
    (receipt,) = delete_pending(snapshot_home)
    text = " ".join(receipt.remains)
    assert "The gate of version 1 names the user" in text
    assert "(1) may have learnt" in text
    assert "misspelled" not in text


def test_receipt_of_a_user_in_a_damaged_snapshot_is_not_of_nobody(snapshot_home):
    (folder, *_) = list_snapshots(snapshot_home)
    (folder / "scores.parquet").write_bytes(b"nonsense")
    request_deletion(snapshot_home, "nobody")
    (receipt,) = delete_pending(snapshot_home)
    assert receipt.failed
    assert receipt.remains[0] == "No model is registered."
    assert "misspelled" not in " ".join(receipt.remains)


def test_receipt_reports_unreachable_registry(snapshot_home):
    snapshot_home.store.write_bytes(b"no database " * 1000)
    request_deletion(snapshot_home, WHO)
    (receipt,) = delete_pending(snapshot_home)
    assert any("The registry could not be searched" in sentence for sentence in receipt.remains)
    assert receipt.finished


def event_file(file):
    names = ["time", "actor", "verb", "target", "object"]
    theirs = [("ann", "like", WHO, "o1"), (WHO, "post", None, "o1")]
    acts = [*theirs, ("ann", "post", None, "o2"), (None, "like", "ann", "o2")]
    rows = [(AS_OF - timedelta(days=k), *act) for k, act in enumerate(acts)]
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=names).to_parquet(file, index=False, coerce_timestamps="us")
    return file


def test_events_are_rewritten_without_the_user(snapshot_home, tmp_path):
    folder, single = tmp_path / "events", event_file(tmp_path / "one.parquet")
    event_file(folder / "2017" / "part-1.parquet")
    single.chmod(0o640)
    untouched = folder / "part-2.parquet"
    pd.read_parquet(single).iloc[2:].to_parquet(untouched, index=False)
    before = untouched.stat()
    request_deletion(snapshot_home, WHO, [folder, single])
    (receipt,) = delete_pending(snapshot_home)
    assert Removed(f"events {folder}", 2) in receipt.removed
    assert Removed(f"events {single}", 2) in receipt.removed
    assert pq.read_table(single)["actor"].to_pylist() == ["ann", None]
    assert single.stat().st_mode & 0o777 == 0o640
    assert (untouched.stat().st_ino, untouched.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert files_containing(tmp_path / "events", WHO) == []
    assert not any("No events were given" in sentence for sentence in receipt.remains)


def test_ids_are_read_as_in_other_inputs(snapshot_home, tmp_path):
    file = tmp_path / "events.parquet"
    event_file(file)
    events = pd.read_parquet(file)
    events.assign(actor=["12.0", "12", "120", "b"], target="b").to_parquet(file, index=False)
    request_deletion(snapshot_home, "12.0", [file])
    delete_pending(snapshot_home)
    assert pq.read_table(file)["actor"].to_pylist() == ["120", "b"]
    assert len(load_opted_out_users(snapshot_home)) == 1


def test_path_without_events_is_refused_first(snapshot_home, tmp_path):
    with pytest.raises(EventsError, match="no events at"):
        request_deletion(snapshot_home, WHO, [tmp_path / "absent.parquet"])
    assert pending_deletions(snapshot_home) == []
    assert len(load_opted_out_users(snapshot_home)) == 0


def test_store_is_cleared_of_all_accounts(snapshot_home, tmp_path):
    store = tmp_path / "store"
    identities = pd.DataFrame({"account": ["acc1", "acc2"], "person": [WHO, WHO]})
    events = pd.read_parquet(event_file(tmp_path / "events.parquet"))
    add_to_store(events.assign(actor=events["actor"].replace(WHO, "acc1")), store, identities=identities)
    request_deletion(snapshot_home, WHO, [store])
    (receipt,) = delete_pending(snapshot_home)
    assert Removed(f"events {store}", 3) in receipt.removed  # the name of the person, and two accounts
    assert all(user in load_opted_out_users(snapshot_home) for user in (WHO, "acc1", "acc2"))
    for user in (WHO, "acc1"):
        assert files_containing(store, user) == []


def test_records_contain_no_bytes_of_deleted_id(snapshot_home):
    """This holds even while another connection reads them."""
    opt_out(snapshot_home, WHO)
    with sqlite3.connect(snapshot_home.records) as reader:
        assert reader.execute("SELECT count(*) FROM left_out").fetchone() == (1,)
        request_deletion(snapshot_home, WHO)
        delete_pending(snapshot_home)
    reader.close()
    assert [file for file in files_containing(snapshot_home.folder, WHO) if "records" in file] == []
