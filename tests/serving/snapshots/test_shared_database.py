"""Snapshots shared through PostgreSQL: one home publishes, replicas fetch into homes of their own, despite faults."""

import errno
import shutil
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, func, select, text, update

from features.catalogue import CATALOGUE
from features.errors import OutputError, SnapshotError
from features.feature_table import KEYS
from features.utc import to_iso_utc
from serving.app import create_app
from serving.runtime import replica as mirror
from serving.runtime import watcher
from serving.runtime.replica import Replica
from serving.scoring import score_rows
from serving.snapshots import shared_database
from serving.snapshots import shared_database as travelling
from serving.snapshots.layout import PUBLISHED_FILE
from serving.snapshots.repository import list_snapshots, open_snapshot, write_snapshot
from serving.snapshots.shared_database import PARTS, SNAPSHOTS, SnapshotDatabase, digest, parts
from tests import preloaded
from training.home import Home
from training.records.database import Records, RecordsError

ROOT = Path(__file__).parents[3]
AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
LATER = AS_OF + timedelta(days=28)
KILLED = """
import os, signal, sys
from pathlib import Path
from serving.snapshots import shared_database
from serving.snapshots.shared_database import SnapshotDatabase
from training.home import Home

read = shared_database.parts
def broken(folder):
    for number, part in enumerate(read(folder)):
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield part
shared_database.parts = broken
SnapshotDatabase(Home(Path("nowhere"), database=sys.argv[1])).publish(Path(sys.argv[2]))
"""


@pytest.fixture
def publisher(tmp_path, database):
    return Home(tmp_path / "publisher", database=database)


@pytest.fixture
def replica(tmp_path, database):
    return Home(tmp_path / "replica", database=database)


@pytest.fixture
def publish(publisher, bundle, rows):
    """Return a function that publishes a snapshot of the same users with their features permuted."""

    def publish(as_of=AS_OF, version="3", seed=5, people=None):
        selected = rows if people is None else rows[rows["user"].isin(people)].reset_index(drop=True)
        order = np.random.default_rng(seed).permutation(len(selected))
        permuted = selected[KEYS].join(selected[CATALOGUE.names].take(order).set_axis(selected.index))
        return write_snapshot(publisher, as_of, bundle, version, score_rows(bundle, version, permuted), permuted)

    return publish


def client_of(home, refresh=5.0):
    return TestClient(create_app(home, refresh=refresh), raise_server_exceptions=False)


def look(client):
    client.app.state.watcher.look()
    return {name: part.detail for name, part in client.app.state.service.stale.items()}


def follow(home):
    return Replica(home, lambda: None).follow()


def contents(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }


def names(home):
    return [folder.name for folder in list_snapshots(home)]


def in_database(home, *statements):
    with Records(home).begin() as connection:
        return [connection.execute(statement) for statement in statements]


def count(home, table):
    with Records(home).begin() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_published_snapshots_are_identical_in_every_replica(publisher, replica, tmp_path, publish):
    folders = [publish(AS_OF), publish(LATER)]
    for home in (replica, Home(tmp_path / "other", database=replica.database)):
        follow(home)
        assert names(home) == [folder.name for folder in reversed(folders)]
        for folder in folders:
            assert contents(home.snapshots / folder.name) == contents(folder)
        assert open_snapshot(home, AS_OF).score("a/b") == open_snapshot(publisher, AS_OF).score("a/b")
        assert {path.name for path in home.snapshots.iterdir()} == {*names(home), mirror.LOCK}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_files_of_any_size_are_shared_in_parts_of_any_size(replica, tmp_path, monkeypatch, size):
    monkeypatch.setattr(travelling, "PART_BYTES", size)
    folder = tmp_path / "2017-07-30T000000Z_v3"
    (folder / "bundle").mkdir(parents=True)
    files = {"empty": b"", "one": b"\0", "bundle/exact": b"0123456", "bundle/ünï": bytes(range(256)) * 3}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    SnapshotDatabase(replica).publish(folder)
    follow(replica)
    fetched = contents(replica.snapshots / folder.name)
    fetched.pop(PUBLISHED_FILE)
    assert fetched == files
    assert b"".join(part for _, part in parts(folder)) == b"".join(files[name] for name in sorted(files))


def test_two_replicas_give_equal_answers_and_load_new_snapshots(replica, tmp_path, publish):
    publish(AS_OF)
    clients = [client_of(home) for home in (replica, Home(tmp_path / "other", database=replica.database))]
    for as_of, seed in ((AS_OF, 5), (LATER, 6)):
        publish(as_of, seed=seed)
        assert [look(client) for client in clients] == [{}, {}]
        for path in ("score", "explanation", "history", f"score?as_of={to_iso_utc(AS_OF)}"):
            first, second = (client.get(f"/v1/users/user0001/{path}") for client in clients)
            assert first.status_code == 200, first.text
            assert first.json() == second.json()
    assert clients[0].get("/v1/users/user0001/score").json()["as_of"] == to_iso_utc(LATER)
    assert clients[0].get(f"/v1/users/user0001/score?as_of={to_iso_utc(AS_OF)}").json()["as_of"] == to_iso_utc(AS_OF)
    assert clients[0].get("/v1/users/user0001/change").status_code == 200


def test_a_running_replica_fetches_snapshots_and_answers_before_the_first(replica, publish):
    with client_of(replica, refresh=0.05) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/v1/users/user0001/score").status_code == 503
        publish(AS_OF)
        until = time.monotonic() + 30
        while (answer := client.get("/v1/users/user0001/score")).status_code != 200 and time.monotonic() < until:
            time.sleep(0.05)
        assert answer.json()["as_of"] == to_iso_utc(AS_OF)


def test_the_newest_snapshot_is_fetched_before_older_ones(replica, publish):
    publish(AS_OF)
    publish(LATER)
    newest = []
    Replica(replica, lambda: newest.append(names(replica)[0])).follow()
    assert newest == ["2017-08-27T000000Z_v3"] * 2


def test_a_snapshot_is_fetched_once(replica, publish, monkeypatch):
    publish()
    client = client_of(replica)
    look(client)
    monkeypatch.setattr(SnapshotDatabase, "parts", lambda *_: pytest.fail("fetched again"))
    assert look(client) == {}
    assert look(client_of(replica)) == {}


def test_a_replaced_snapshot_is_fetched_again(replica, publish):
    """Users who are deleted disappear from every replica at its next check."""
    publish()
    client = client_of(replica)
    look(client)
    assert client.get("/v1/users/user0001/score").status_code == 200
    publish(people=[f"user{k:04}" for k in range(2, 200)])
    look(client)
    assert client.get("/v1/users/user0001/score").status_code == 404
    assert client.get("/v1/users/user0002/score").status_code == 200
    assert count(replica, SNAPSHOTS) == 1


def test_the_replacement_of_a_published_snapshot_is_published(publisher, replica, publish, tmp_path):
    folder = publish()
    replacement = shutil.copytree(folder, tmp_path / "aside" / folder.name)
    (replacement / "baselines.json").write_bytes(b"other")
    shared_database.republish(publisher, folder, replacement)
    follow(replica)
    assert (replica.snapshots / folder.name / "baselines.json").read_bytes() == b"other"
    (folder / PUBLISHED_FILE).unlink()
    (replacement / "baselines.json").write_bytes(b"never published")
    shared_database.republish(publisher, folder, replacement)
    shared_database.republish(Home(publisher.folder), folder, replacement)
    assert follow(replica)[0].sha256 == travelling.published_digest(replica.snapshots / folder.name)
    assert (replica.snapshots / folder.name / "baselines.json").read_bytes() == b"other"


def test_an_identical_republication_is_not_fetched(replica, publish, monkeypatch):
    publish()
    follow(replica)
    publish()
    monkeypatch.setattr(SnapshotDatabase, "parts", lambda *_: pytest.fail("fetched again"))
    follow(replica)


def test_the_oldest_snapshots_are_deleted_from_database_and_replicas(publisher, replica, publish, monkeypatch):
    monkeypatch.setattr(shared_database, "MOST_SNAPSHOTS", 2)
    publish(AS_OF, version="9")
    publish(AS_OF, version="10")
    follow(replica)
    assert names(replica) == ["2017-07-30T000000Z_v10", "2017-07-30T000000Z_v9"]
    publish(LATER)
    client = client_of(replica)
    assert look(client) == {}
    assert names(replica) == ["2017-08-27T000000Z_v3", "2017-07-30T000000Z_v10"]
    with Records(replica).begin_if_exists() as connection:
        stored = connection.execute(select(PARTS.c.snapshot).distinct()).all()
    assert len(stored) == count(replica, SNAPSHOTS) == 2
    follow(publisher)
    assert names(publisher) == names(replica)


def test_unpublished_snapshots_are_not_deleted(replica, publish, bundle, scores, rows):
    write_snapshot(Home(replica.folder), AS_OF, bundle, "3", scores, rows)
    publish(LATER)
    follow(replica)
    follow(replica)
    assert names(replica) == ["2017-08-27T000000Z_v3", "2017-07-30T000000Z_v3"]
    assert count(replica, SNAPSHOTS) == 1


def test_an_existing_snapshot_is_recognised_by_its_files(publisher, replica, publish, monkeypatch):
    folder = publish()
    shutil.copytree(folder, replica.snapshots / folder.name)
    (replica.snapshots / folder.name / PUBLISHED_FILE).unlink()
    monkeypatch.setattr(SnapshotDatabase, "parts", lambda *_: pytest.fail("fetched again"))
    follow(replica)
    assert contents(replica.snapshots / folder.name) == contents(folder)


def test_a_damaged_publication_record_counts_as_absent(replica, publish):
    folder = publish()
    follow(replica)
    file = replica.snapshots / folder.name / PUBLISHED_FILE
    for nonsense in (b"\xff", b"[]", b"{", b'"sha256"'):
        file.write_bytes(nonsense)
        follow(replica)
        assert file.read_bytes() == (folder / PUBLISHED_FILE).read_bytes()


def test_a_killed_publisher_leaves_the_database_unchanged(publisher, replica, publish, tmp_path):
    folder = publish()
    follow(replica)
    before = contents(replica.snapshots / folder.name)
    (folder / PUBLISHED_FILE).unlink()
    (folder / "snapshot.json").write_text("{}")
    command = [sys.executable, "-c", KILLED, publisher.database, str(folder)]
    killed = preloaded.run(command, cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [snapshot.name for snapshot in follow(replica)] == [folder.name]
    assert contents(replica.snapshots / folder.name) == before
    publish(LATER)  # does not wait for the killed publisher
    assert [snapshot.name for snapshot in follow(replica)] == ["2017-08-27T000000Z_v3", folder.name]


def test_a_snapshot_becomes_visible_at_once(publisher, replica, publish, monkeypatch):
    folder = publish()
    listings = []
    read = shared_database.parts

    def recording_parts(source):
        for part in read(source):
            listings.append(names_listed(replica))
            yield part

    monkeypatch.setattr(shared_database, "parts", recording_parts)
    (folder / PUBLISHED_FILE).unlink()
    renamed = folder.rename(folder.parent / "2017-08-27T000000Z_v3")
    SnapshotDatabase(publisher).publish(renamed)
    assert len(listings) > 5
    assert set(map(tuple, listings)) == {("2017-07-30T000000Z_v3",)}
    assert names_listed(replica) == ["2017-08-27T000000Z_v3", "2017-07-30T000000Z_v3"]


def names_listed(home):
    return [snapshot.name for snapshot in SnapshotDatabase(home).published()]


def test_concurrent_publishers_take_turns(publisher, replica, publish):
    folder = publish()
    failed = []

    def publish_again():
        try:
            SnapshotDatabase(publisher).publish(folder)
        except RecordsError as error:
            failed.append(error)

    threads = [threading.Thread(target=publish_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert count(publisher, SNAPSHOTS) == 1
    follow(replica)
    assert contents(replica.snapshots / folder.name) == contents(folder)


@pytest.mark.parametrize(
    "damage",
    [
        update(PARTS).where(PARTS.c.path == "features.arrow").values(bytes=b"nonsense"),
        update(PARTS).where(PARTS.c.path == "scores.parquet").values(path="features.arrow"),
        delete(PARTS).where(PARTS.c.path == "snapshot.json"),
        update(SNAPSHOTS).values(sha256="0" * 64),
    ],
    ids=["bytes", "path", "absent", "hash"],
)
def test_a_corrupted_part_is_reported_and_never_served(replica, publish, damage, monkeypatch):
    publish(AS_OF)
    client = client_of(replica)
    look(client)
    before = client.get("/v1/users/user0001/score").json()
    publish(LATER, seed=8)
    newest = select(func.max(SNAPSHOTS.c.id)).scalar_subquery()
    in_database(replica, damage.where((PARTS.c.snapshot if damage.table is PARTS else SNAPSHOTS.c.id) == newest))
    stale = look(client)
    assert "the snapshot 2017-08-27T000000Z_v3 in postgresql" in stale["database"]
    assert "is damaged: " in stale["database"]
    assert "Make it anew with 'clout score'" in stale["database"]
    assert client.get("/v1/users/user0001/score").json() == before
    publish(LATER, seed=8)
    assert look(client) == {}
    assert client.get("/v1/users/user0001/score").json()["as_of"] == to_iso_utc(LATER)


def test_a_damaged_snapshot_does_not_block_others(replica, publish):
    publish(AS_OF)
    publish(LATER)
    in_database(replica, update(PARTS).where(PARTS.c.path == "snapshot.json", PARTS.c.snapshot == 2).values(bytes=b""))
    with pytest.raises(SnapshotError, match="2017-08-27T000000Z_v3"):
        follow(replica)
    assert names(replica) == ["2017-07-30T000000Z_v3"]


@pytest.mark.parametrize("path", ["../../out", "/tmp/clout-out", "bundle/../../../out"])
def test_no_part_is_written_outside_the_snapshot(replica, publish, path, tmp_path):
    publish()
    in_database(replica, update(PARTS).where(PARTS.c.path == "snapshot.json").values(path=path))
    with pytest.raises(SnapshotError, match="expected one within the snapshot"):
        follow(replica)
    assert list(tmp_path.rglob("out")) == []
    assert not Path("/tmp/clout-out").exists()


def test_the_service_answers_while_the_database_is_unreachable(postgresql, replica, publish, registered_replica):
    publish(AS_OF)
    with client_of(registered_replica, refresh=0.05) as client:
        wait(lambda: client.get("/ready").status_code == 200)
        assert client.get("/ready").json()["stale"] == {}
        postgresql.stop()
        try:
            wait(lambda: "database" in client.get("/ready").json()["stale"])
            assert "cannot be used" in client.get("/ready").json()["stale"]["database"]["detail"]
            assert client.get("/v1/users/user0001/score").status_code == 200
            restarted = client_of(registered_replica)  # started while the database is unreachable
            assert set(look(restarted)) == {"database"}
            assert restarted.get("/v1/users/user0001/explanation").status_code == 200
        finally:
            postgresql.start()
        publish(LATER)
        wait(lambda: client.get("/v1/users/user0001/score").json()["as_of"] == to_iso_utc(LATER))
        wait(lambda: client.get("/ready").json()["stale"] == {})


@pytest.fixture
def registered_replica(replica, monkeypatch, bundle):
    from serving.runtime import state, watcher

    monkeypatch.setattr(watcher, "champion_version", lambda _: "3")
    monkeypatch.setattr(state, "load_champion", lambda *_: (bundle, "3"))
    monkeypatch.setattr(state, "report", lambda *_: None)
    return replica


def wait(until, seconds=30):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.05)


def test_an_emptied_database_deletes_nothing_in_replicas(replica, publish):
    publish()
    client = client_of(replica)
    look(client)
    in_database(replica, delete(SNAPSHOTS))
    assert "holds no snapshots, expected the 1 that were fetched" in look(client)["database"]
    assert client.get("/v1/users/user0001/score").status_code == 200
    publish(LATER)
    assert look(client) == {}
    assert names(replica) == ["2017-08-27T000000Z_v3"]


def test_a_full_disk_is_reported_and_retried(replica, publish, monkeypatch):
    publish()
    monkeypatch.setattr(watcher, "RETRY_SECONDS", 0)
    client = client_of(replica)

    open_file = Path.open

    def full(self, mode="r", *arguments, **named):
        if "a" in mode:
            raise OSError(errno.ENOSPC, "No space left on device")
        return open_file(self, mode, *arguments, **named)

    with monkeypatch.context() as now:
        now.setattr(Path, "open", full)
        assert "cannot be written: No space left on device; free disk space there" in look(client)["database"]
    assert look(client) == {}
    assert client.get("/v1/users/user0001/score").status_code == 200


def test_scratch_files_of_a_killed_replica_are_removed(replica, publish):
    publish()
    scratch = replica.snapshots / mirror.SCRATCH / "2017-07-30T000000Z_v3"
    scratch.mkdir(parents=True)
    (scratch / "half").write_bytes(b"half")
    follow(replica)
    assert not (replica.snapshots / mirror.SCRATCH).exists()
    assert "half" not in contents(replica.snapshots / "2017-07-30T000000Z_v3")


def test_processes_of_one_home_fetch_once(replica, publish, monkeypatch):
    publish()
    fetched = []
    read_parts = SnapshotDatabase.parts
    monkeypatch.setattr(
        SnapshotDatabase, "parts", lambda self, published: fetched.append(published) or read_parts(self, published)
    )
    threads = [threading.Thread(target=follow, args=(replica,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1


def test_a_snapshot_that_cannot_be_published_is_not_in_the_home(publisher, publish, tmp_path, bundle, rows):
    nowhere = Home(publisher.folder, database="postgresql://clout@127.0.0.1:9/none")
    with pytest.raises(RecordsError, match="cannot be used"):
        write_snapshot(nowhere, AS_OF, bundle, "3", score_rows(bundle, "3", rows), rows)
    assert names(nowhere) == []


def test_only_postgresql_can_share_snapshots(tmp_path):
    with pytest.raises(RecordsError, match="shared through PostgreSQL, not through sqlite"):
        SnapshotDatabase(Home(tmp_path, database="sqlite:///there.db"))
    client = client_of(Home(tmp_path, database="sqlite:///there.db"))
    assert "shared through PostgreSQL" in look(client)["database"]


def test_parts_are_stored_uncompressed(replica, publish):
    publish()
    with Records(replica).begin_if_exists() as connection:
        kind = "SELECT attstorage FROM pg_attribute WHERE attrelid = 'snapshot_parts'::regclass AND attname = 'bytes'"
        assert connection.execute(text(kind)).scalar_one() in ("e", b"e")


def test_only_a_snapshot_can_be_published(publisher, tmp_path):
    with pytest.raises(SnapshotError, match="not named like a snapshot"):
        SnapshotDatabase(publisher).publish(tmp_path)


def test_the_digest_covers_paths_and_lengths(tmp_path):
    variants = [{"a": b"xy", "b": b""}, {"a": b"x", "b": b"y"}, {"a": b"", "b": b"xy"}, {"ax": b"y", "b": b""}]
    digests = set()
    for k, files in enumerate(variants):
        (tmp_path / str(k)).mkdir()
        for name, data in files.items():
            (tmp_path / str(k) / name).write_bytes(data)
        digests.add(digest(tmp_path / str(k)).sha256)
    assert len(digests) == len(variants)


def test_a_replica_reports_an_unwritable_disk(replica, publish, monkeypatch):
    publish()
    replica.folder.mkdir(exist_ok=True)
    (replica.folder / "snapshots").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        follow(replica)
