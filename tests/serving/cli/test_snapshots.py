"""`clout snapshots` lists snapshots and marks the served one; one can be removed here and in the shared database."""

import json
import shutil
from datetime import UTC, datetime

import pytest

from features.errors import SnapshotError
from features.utc import to_iso_utc
from serving.runtime.replica import Replica
from serving.scoring import score_rows
from serving.snapshots.repository import AbsentSnapshotError, list_snapshots, remove_snapshot, write_snapshot
from training.home import Home
from training.registry.model_registry import promote

AS_OF, FUTURE = datetime(2017, 7, 30, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
NAME, FUTURE_NAME = "2017-07-30T000000Z_v1", "2099-01-01T000000Z_v1"


@pytest.fixture
def write(bundle, rows):
    """Return a function that writes two snapshots, the newer one forced."""

    def write(home):
        scores = score_rows(bundle, "1", rows)
        for as_of in (AS_OF, FUTURE):
            write_snapshot(home, as_of, bundle, "1", scores, rows, forced=as_of == FUTURE)
        return home

    return write


@pytest.fixture
def home(registry, tmp_path, write, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home(shutil.copytree(registry.folder, tmp_path / "home"))
    promote(home, "1")
    return write(home)


def names(home):
    return [folder.name for folder in list_snapshots(home)]


def test_the_list_marks_served_forced_and_damaged_snapshots(clout, home, rows):
    shutil.copytree(home.snapshots / NAME, home.snapshots / "2017-07-01T000000Z_v1")
    (home.snapshots / "2017-07-01T000000Z_v1" / "snapshot.json").write_text("{")
    users = rows["user"].nunique()
    lines = clout(home, "snapshots", "list").stdout.splitlines()
    assert lines[0] == "Snapshots"
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "snapshot note users",
        f"{FUTURE_NAME} served, in the future, published by --force {users}",
        f"{NAME} {users}",
        "2017-07-01T000000Z_v1 damaged",
    ]
    first, *_, last = json.loads(clout(home, "snapshots", "list", "--json").stdout)
    assert first == {
        "snapshot": FUTURE_NAME,
        "as_of": to_iso_utc(FUTURE),
        "model_version": "1",
        "users": users,
        "released": True,
        "forced": True,
        "damaged": False,
        "served": True,
    }
    assert (last["damaged"], last["users"]) == (True, None)


def test_a_removed_snapshot_is_no_longer_served(clout, home):
    run = clout(home, "snapshots", "remove", FUTURE_NAME)
    assert run.returncode == 0, run.stderr
    err = " ".join(run.stderr.split())
    assert err.startswith(f"The snapshot {FUTURE_NAME} is removed.")
    assert err.endswith("The scores as of 2017-07-30T00:00:00Z by version 1 are served.")
    assert names(home) == [NAME]
    assert [file.name for file in home.snapshots.iterdir()] == [NAME]


def test_the_only_snapshot_and_unknown_ones_cannot_be_removed(home):
    with pytest.raises(AbsentSnapshotError, match=f"no snapshot is named 'x'; there are: {FUTURE_NAME}, {NAME}"):
        remove_snapshot(home, "x")
    with pytest.raises(AbsentSnapshotError, match=r"no snapshot is named '\.\./home'"):
        remove_snapshot(home, "../home")
    remove_snapshot(home, FUTURE_NAME)
    with pytest.raises(SnapshotError, match=f"{NAME} is the only snapshot, and nothing would be left to serve"):
        remove_snapshot(home, NAME)
    assert names(home) == [NAME]


def test_replicas_drop_a_removed_snapshot(tmp_path, database, write):
    publisher, replica = (Home(tmp_path / name, database=database) for name in ("publisher", "replica"))
    write(publisher)
    Replica(replica, lambda: None).follow()
    assert names(replica) == [FUTURE_NAME, NAME]
    remove_snapshot(publisher, FUTURE_NAME)
    Replica(replica, lambda: None).follow()
    assert names(replica) == names(publisher) == [NAME]
