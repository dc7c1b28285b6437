"""Deletion: nothing of somebody is left in a file of the home, whatever happens on the way."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
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
from serving.snapshots.opt_out_filter import HiddenUserError
from serving.snapshots.repository import list_snapshots, open_snapshot, write_snapshot
from training.records.deletion_receipts import AbsentReceiptError, Removed, pending_deletions, read_receipt
from training.records.opt_outs import list_opt_outs, load_opted_out_users, opt_in, opt_out
from training.registry.model_registry import promote, register

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
LATER = AS_OF + timedelta(days=28)
WHO = "u5er\N{SNOWMAN}-to-be-forgotten"
NASTY = ["a/b/opt-out", "'; DROP TABLE left_out; --", '"q"', "ü/ø 🙂", "100 %", "e\u0301e\u0301", "n" * 7000]


def with_one(frame, user):
    """Let another user stand where user0009 stood."""
    return frame.assign(user=frame["user"].replace("user0009", user))


@pytest.fixture
def kept(home, bundle, scores, rows):
    """Keep two snapshots with one who is to be forgotten, a seed of the model, and one without."""
    shutil.rmtree(home.snapshots)
    config = bundle.facts["config"] | {"credibility": {"seeds": ["user0003", WHO]}}
    seeded = replace(bundle, facts=bundle.facts | {"config": config})
    for as_of in (AS_OF, LATER):
        write_snapshot(home, as_of, seeded, "3", with_one(scores, WHO), with_one(rows, WHO))
    write_snapshot(home, AS_OF - timedelta(days=28), bundle, "3", scores, rows)
    return home


@pytest.fixture
def client(kept):
    return TestClient(create_app(kept), raise_server_exceptions=False)


def holding(folder, user):
    """Return the files below a folder in whose bytes an id stands, as it is or as JSON writes it."""
    written = {user.encode(), json.dumps(user)[1:-1].encode()}
    files = [file for file in folder.rglob("*") if file.is_file()]
    compressed = [file for file in files if file.suffix in (".parquet", ".arrow")]
    plain = {file for file in files if any(each in file.read_bytes() for each in written)}
    return sorted(str(f) for f in plain | {file for file in compressed if user in ids_in(file)})


def ids_in(file):
    table = pq.read_table(file) if file.suffix == ".parquet" else pa.ipc.open_file(file).read_all()
    found = [name for name in ("user", "actor", "target") if name in table.column_names]
    return {each for name in found for each in table[name].to_pylist()}


def finished(client, answer):
    assert answer.status_code == 202, answer.text
    client.app.state.deletion_worker.wait()
    found = client.get(answer.headers["Location"]).json()
    assert found["receipt"] == answer.json()["receipt"]
    assert found["finished"] is not None
    return found


def test_nothing_in_the_home_holds_them_and_everybody_else_is_as_before(client, kept, scores):
    before = {folder.name: open_snapshot(kept, *named(folder)) for folder in list_snapshots(kept)}
    answers = {user: client.get(f"/v1/users/{user}/explanation").json() for user in ("user0001", "user0200")}
    assert len(holding(kept.folder, WHO)) >= 6
    found = finished(client, client.delete(f"/v1/users/{quote(WHO)}"))
    assert holding(kept.folder, WHO) == []
    assert {each["place"]: each["rows"] for each in found["removed"]} == {
        "snapshot 2017-07-30T000000Z_v3": 2,
        "snapshot 2017-08-27T000000Z_v3": 2,
    }
    assert found["failed"] == []
    for folder in list_snapshots(kept):
        was, now = before[folder.name], open_snapshot(kept, *named(folder))
        others = was.scores.filter(pa.compute.not_equal(was.scores["user"], WHO))
        assert now.scores.to_pylist() == others.to_pylist()
        assert now.users == len(set(now.scores["user"].to_pylist()))
        assert now.feature_row("user0250") == pytest.approx(was.feature_row("user0250"), nan_ok=True)
    client.app.state.watcher.look()
    assert WHO not in client.app.state.service.snapshot().scores["user"].to_pylist()
    assert answers == {user: client.get(f"/v1/users/{user}/explanation").json() for user in answers}


def named(folder):
    from serving.snapshots.layout import parse_folder_name

    return parse_folder_name(folder)


def test_a_seed_of_a_kept_model_gives_way_to_a_word(kept):
    request_deletion(kept, WHO)
    delete_pending(kept)
    assert open_snapshot(kept).bundle.seeds == ["user0003", FORGOTTEN]
    assert open_snapshot(kept).explain("user0001").lines


def test_they_stay_hidden_and_do_not_come_back(client, kept, bundle, scores, rows):
    finished(client, client.delete(f"/v1/users/{quote(WHO)}"))
    assert list_opt_outs(kept) == []
    assert client.get(f"/v1/users/{quote(WHO)}/score").status_code == 410
    folder = write_snapshot(kept, LATER + timedelta(days=1), bundle, "3", with_one(scores, WHO), with_one(rows, WHO))
    assert holding(folder, WHO) == []
    opt_out(kept, WHO)
    assert list_opt_outs(kept) == []  # the hash says so already, and the id is not written down again
    assert holding(kept.folder, WHO) == []
    assert opt_in(kept, WHO)
    assert WHO not in load_opted_out_users(kept)


def test_an_opt_out_before_is_forgotten_too(client, kept):
    opt_out(kept, WHO)
    assert any("records.db" in file for file in holding(kept.folder, WHO))
    finished(client, client.delete(f"/v1/users/{quote(WHO)}"))
    assert holding(kept.folder, WHO) == []


def test_a_receipt_names_nobody_and_nowhere_is_said(client, kept):
    found = finished(client, client.delete("/v1/users/never-seen-anywhere"))
    assert (found["removed"], found["failed"]) == ([], [])
    assert holding(kept.folder, "never-seen-anywhere") == []
    assert "never-seen-anywhere" in load_opted_out_users(kept)
    assert any("No model is registered" in each for each in found["remains"])
    assert any("No events were given" in each for each in found["remains"])
    with pytest.raises(AbsentReceiptError, match="there is no receipt 'x'"):
        read_receipt(kept, "x")


@pytest.mark.parametrize("user", NASTY)
def test_nasty_ids(client, kept, bundle, scores, rows, user):
    write_snapshot(kept, LATER, bundle, "3", with_one(scores, user), with_one(rows, user))
    found = finished(client, client.delete(f"/v1/users/{quote(user, safe='')}"))
    assert {each["rows"] for each in found["removed"]} == {1}
    assert holding(kept.folder, user) == []
    assert client.get(f"/v1/users/{quote(user, safe='')}/score").status_code == 410


def test_a_slash_that_is_no_part_of_the_id_deletes_nobody(client, kept):
    for path in ("/v1/users/user0001/score", "/v1/users/user0001/", "/v1/users/a/b", "/v1/users/user0001/opt-out/"):
        assert client.delete(path).status_code in (404, 405), path
    assert pending_deletions(kept) == []
    assert len(load_opted_out_users(kept)) == 0
    client.put("/v1/users/a/opt-out")
    finished(client, client.delete("/v1/users/a%2Fopt-out"))
    assert "a" in load_opted_out_users(kept)
    assert "a/opt-out" in load_opted_out_users(kept)


def test_a_deletion_that_is_asked_twice_has_one_receipt(kept):
    first, second = request_deletion(kept, WHO), request_deletion(kept, WHO)
    assert first == second
    assert [receipt.receipt for receipt in delete_pending(kept)] == [first.receipt]
    assert delete_pending(kept) == []
    assert request_deletion(kept, WHO).receipt != first.receipt
    (again,) = delete_pending(kept)
    assert again.removed == ()
    assert again.person == first.person


STEPS = [
    (snapshot_erasure, "_write"),
    (files, "publish"),
    (snapshot_erasure, "_write_facts"),
    (deletion, "_clear_events"),
    (deletion, "residual_data"),
    (deletion, "finish"),
]


class KilledError(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(("module", "step"), STEPS, ids=[step for _, step in STEPS])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_broken_off_deletion_hides_and_is_brought_to_its_end(kept, tmp_path, monkeypatch, module, step, after):
    events = event_file(tmp_path / "events.parquet")
    work = getattr(module, step)

    def killed(*arguments):
        if after:
            work(*arguments)
        raise KilledError

    asked = request_deletion(kept, WHO, [events])
    with monkeypatch.context() as patched:
        patched.setattr(module, step, killed)
        with pytest.raises(KilledError):
            delete_pending(kept)
    with pytest.raises(HiddenUserError):
        open_snapshot(kept, AS_OF - timedelta(days=28)).score(WHO)
    delete_pending(kept)
    receipt = read_receipt(kept, asked.receipt)
    assert receipt.finished is not None
    assert set(receipt.removed) == {
        Removed("snapshot 2017-07-30T000000Z_v3", 2),
        Removed("snapshot 2017-08-27T000000Z_v3", 2),
        Removed(f"events {events}", 2),
    }
    assert len(list_snapshots(kept)) == 3
    assert [place.name for place in kept.snapshots.iterdir() if place.name.startswith(".")] == []
    assert holding(kept.folder, WHO) == []
    assert holding(tmp_path / "events.parquet", WHO) == []
    assert open_snapshot(kept).score("user0001")


def test_a_killed_process_leaves_what_a_service_brings_to_its_end(kept):
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
    killed = subprocess.run([sys.executable, "-c", code, kept.folder, WHO], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert holding(kept.folder, WHO)
    client = TestClient(create_app(kept), raise_server_exceptions=False)  # whose first look finds it
    assert client.get(f"/v1/users/{quote(WHO)}/score").status_code == 410
    client.app.state.deletion_worker.wait()
    assert pending_deletions(kept) == []
    assert holding(kept.folder, WHO) == []
    assert len(list_snapshots(kept)) == 3


@pytest.mark.parametrize("file", ["scores.parquet", "features.arrow"])
def test_a_damaged_snapshot_is_told_and_the_rest_is_cleared(kept, file):
    damaged = list_snapshots(kept)[1] / file
    damaged.write_bytes(damaged.read_bytes()[:50])
    request_deletion(kept, WHO)
    (receipt,) = delete_pending(kept)
    assert [each.place for each in receipt.removed] == ["snapshot 2017-08-27T000000Z_v3"]
    (told,) = receipt.failed
    assert f"2017-07-30T000000Z_v3/{file} cannot be read" in told
    assert [folder.name for folder in kept.snapshots.iterdir() if folder.name.startswith(".")] == []
    assert told.endswith("Data of the user may still be there.")


def test_others_who_keep_something_forget_it_too(kept, monkeypatch):
    notes = {WHO: 3}
    monkeypatch.setattr(deletion, "RECORD_DELETERS", {"notes": lambda _, user: notes.pop(user, 0)})
    request_deletion(kept, WHO)
    (receipt,) = delete_pending(kept)
    assert Removed("notes", 3) in receipt.removed
    assert notes == {}


def test_what_a_registered_model_holds_is_told(kept, bundle):
    config = bundle.facts["config"] | {"credibility": {"seeds": [WHO]}}
    seeded = replace(bundle, facts=bundle.facts | {"config": config})
    moved = {"gate": {"churn": {"moved": [{"user": WHO}]}}, "metrics": {}}
    for made, report in ((bundle, {"metrics": {}}), (seeded, {"metrics": {}}), (bundle, moved)):
        register(kept, made, {}, {}, report, {})
    promote(kept, "1")
    request_deletion(kept, WHO)
    (receipt,) = delete_pending(kept)
    assert any("(1, 2, 3) may have learnt" in each for each in receipt.remains)
    (of_seeds,) = [each for each in receipt.remains if "credibility seeds" in each]
    (of_gate,) = [each for each in receipt.remains if "who moved furthest" in each]
    assert of_seeds.startswith("Version 2 names")
    assert of_gate.startswith("The gate of version 3 names")
    assert {file for file in holding(kept.folder, WHO) if "mlartifacts" not in file and "mlflow" not in file} == set()


def test_a_registry_that_is_away_is_told(kept):
    kept.store.write_bytes(b"no database " * 1000)
    request_deletion(kept, WHO)
    (receipt,) = delete_pending(kept)
    assert any("The registry could not be searched" in each for each in receipt.remains)
    assert receipt.finished


def event_file(file):
    names = ["time", "actor", "verb", "target", "object"]
    theirs = [("ann", "like", WHO, "o1"), (WHO, "post", None, "o1")]
    acts = [*theirs, ("ann", "post", None, "o2"), (None, "like", "ann", "o2")]
    rows = [(AS_OF - timedelta(days=k), *act) for k, act in enumerate(acts)]
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=names).to_parquet(file, index=False, coerce_timestamps="us")
    return file


def test_events_are_written_anew_without_them(kept, tmp_path):
    folder, alone = tmp_path / "events", event_file(tmp_path / "one.parquet")
    event_file(folder / "2017" / "part-1.parquet")
    alone.chmod(0o640)
    untouched = folder / "part-2.parquet"
    pd.read_parquet(alone).iloc[2:].to_parquet(untouched, index=False)
    before = untouched.stat()
    request_deletion(kept, WHO, [folder, alone])
    (receipt,) = delete_pending(kept)
    assert Removed(f"events {folder}", 2) in receipt.removed
    assert Removed(f"events {alone}", 2) in receipt.removed
    assert pq.read_table(alone)["actor"].to_pylist() == ["ann", None]
    assert alone.stat().st_mode & 0o777 == 0o640
    assert (untouched.stat().st_ino, untouched.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert holding(tmp_path / "events", WHO) == []
    assert not any("No events were given" in each for each in receipt.remains)


def test_a_place_without_events_is_refused_before_anything_happens(kept, tmp_path):
    with pytest.raises(EventsError, match="no events at"):
        request_deletion(kept, WHO, [tmp_path / "absent.parquet"])
    assert pending_deletions(kept) == []
    assert len(load_opted_out_users(kept)) == 0


def test_a_store_is_cleared_with_all_accounts_of_the_person(kept, tmp_path):
    store = tmp_path / "store"
    identities = pd.DataFrame({"account": ["acc1", "acc2"], "person": [WHO, WHO]})
    events = pd.read_parquet(event_file(tmp_path / "events.parquet"))
    add_to_store(events.assign(actor=events["actor"].replace(WHO, "acc1")), store, identities=identities)
    request_deletion(kept, WHO, [store])
    (receipt,) = delete_pending(kept)
    assert Removed(f"events {store}", 3) in receipt.removed  # the person's name, and two accounts
    assert all(user in load_opted_out_users(kept) for user in (WHO, "acc1", "acc2"))
    for user in (WHO, "acc1"):
        assert holding(store, user) == []


def test_records_keep_no_bytes_of_them(kept):
    """Not even where others read them meanwhile, or records were made by an older version."""
    opt_out(kept, WHO)
    with sqlite3.connect(kept.records) as reader:
        assert reader.execute("SELECT count(*) FROM left_out").fetchone() == (1,)
        request_deletion(kept, WHO)
        delete_pending(kept)
    reader.close()
    assert [file for file in holding(kept.folder, WHO) if "records" in file] == []
