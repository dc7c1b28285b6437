"""A running service loads newer snapshots and champions; if one cannot be loaded, the last one stays in use."""

import gc
import math
import shutil
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fastapi.testclient import TestClient

from features.catalogue import CATALOGUE
from features.errors import CloutError, RegistryError, SnapshotError
from features.feature_table import KEYS
from features.utc import to_iso_utc
from serving.app import create_app
from serving.runtime import state, watcher
from serving.runtime.watcher import Refreshable
from serving.scoring import score_rows
from serving.snapshots import repository as snapshots
from serving.snapshots.repository import list_snapshots, open_snapshot, write_snapshot
from tests import preloaded
from training.home import Home
from training.registry.model_registry import promote, register

PATIENCE = 60
AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
LATER = AS_OF + timedelta(days=28)
KILLED = """
import os, signal, sys
from pathlib import Path
from serving.snapshots.layout import atomic_file
with atomic_file(Path(sys.argv[1])) as folder:
    folder.mkdir()
    (folder / "scores.parquet").write_bytes(b"PAR1")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def client(home):
    return TestClient(create_app(home), raise_server_exceptions=False)


@pytest.fixture
def publish(home, bundle, rows):
    """Return a function that publishes a snapshot of the same users with their features permuted."""

    def publish(as_of, version="3", seed=5):
        order = np.random.default_rng(seed).permutation(len(rows))
        permuted = rows[KEYS].join(rows[CATALOGUE.names].take(order).set_axis(rows.index))
        return write_snapshot(home, as_of, bundle, version, score_rows(bundle, version, permuted), permuted)

    return publish


def look(client):
    client.app.state.watcher.look()


def ready(client):
    answer = client.get("/ready")
    assert answer.status_code == 200, answer.text
    return answer.json()


def stale(client):
    """Return the details of what cannot be renewed, by part, whether or not the service is ready."""
    return {name: stale.detail for name, stale in client.app.state.service.stale.items()}


def scored_as_of(client):
    answer = client.get("/v1/users/user0001/score")
    assert answer.status_code == 200, answer.text
    return answer.json()["as_of"]


class Clients:
    """Threads that send requests without a pause, and the answers of each thread in order."""

    REQUESTS = (
        ("GET", "/v1/users/user0001/score", None),
        ("GET", "/v1/users/user0001/explanation", None),
        ("POST", "/v1/scores", {"users": ["user0001"]}),
    )

    def __init__(self, client):
        self.client, self.stop, self.answers = client, threading.Event(), []

    def ask(self, method, path, body):
        answers = []
        self.answers.append(answers)
        while not self.stop.is_set():
            answers.append(self.client.request(method, path, json=body))

    def wait_for_versions(self, as_of):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if all(answers and answers[-1].json().get("as_of") == as_of for answers in self.answers):
                return
            time.sleep(0.01)
        raise AssertionError(f"not all clients were answered as of {as_of} within {PATIENCE} s")


def test_newer_snapshots_are_loaded_and_no_request_fails(home, publish):
    app = create_app(home, refresh=0.05)
    with TestClient(app, raise_server_exceptions=False) as client, ThreadPoolExecutor() as pool:
        asking = Clients(client)
        try:
            running = [pool.submit(asking.ask, *request) for request in asking.REQUESTS]
            for k in (1, 2, 3):
                publish(AS_OF + timedelta(days=k), version=str(3 + k), seed=10 + k)
                asking.wait_for_versions(to_iso_utc(AS_OF + timedelta(days=k)))
        finally:
            asking.stop.set()
        for document in running:
            document.result()
    expected = {
        to_iso_utc(AS_OF + timedelta(days=k)): open_snapshot(home, AS_OF + timedelta(days=k)).score("user0001")
        for k in range(4)
    }
    for answers in asking.answers:
        assert {answer.status_code for answer in answers} == {200}
        documents = [answer.json() for answer in answers]
        assert [document["as_of"] for document in documents] == sorted(document["as_of"] for document in documents)
        for document in documents:
            of_one_state = expected[document["as_of"]]
            entry = document["users"][0] if "users" in document else document
            assert {key: entry[key] for key in ("model_version", "score")} == {
                key: of_one_state[key] for key in ("model_version", "score")
            }
            if "lines" in document:
                total = document["base"] + sum(line["points"] for line in document["lines"])
                assert total == pytest.approx(document["unclipped"], abs=1e-6)
                assert document["score"] == pytest.approx(min(max(total, 0), 100), abs=1e-6)


def test_the_watcher_ends_with_the_application(home):
    with TestClient(create_app(home, refresh=0.01)):
        assert "watcher" in {thread.name for thread in threading.enumerate()}
    assert "watcher" not in {thread.name for thread in threading.enumerate()}


def test_parts_missing_at_the_start_are_loaded_when_they_appear(home, publish):
    shutil.rmtree(home.snapshots)
    client = TestClient(create_app(home), raise_server_exceptions=False)
    assert set(client.get("/ready").json()["missing"]) == {"champion", "snapshot"}
    look(client)
    assert client.get("/v1/users/user0001/score").status_code == 503
    publish(AS_OF)
    look(client)
    assert scored_as_of(client) == to_iso_utc(AS_OF)
    assert set(client.get("/ready").json()["missing"]) == {"champion"}


def test_unchanged_parts_are_not_reloaded(client, monkeypatch):
    before = client.app.state.service
    monkeypatch.setattr(state, "open_snapshot", lambda *_, **__: pytest.fail("opened again"))
    look(client)
    look(client)
    assert client.app.state.service is before


def test_a_snapshot_replaced_under_its_name_is_reloaded(client, home, publish):
    before = client.get("/v1/users/user0001/score").json()["score"]
    publish(AS_OF, seed=99)
    look(client)
    after = client.get("/v1/users/user0001/score").json()["score"]
    assert after == open_snapshot(home).score("user0001")["score"] != before


def test_a_snapshot_by_a_later_model_at_the_same_instant_is_loaded(client, publish):
    publish(AS_OF, version="10")
    look(client)
    assert client.get("/v1/users/user0001/score").json()["model_version"] == "10"


def test_a_removed_snapshot_is_replaced_by_the_previous_one(client, tmp_path, publish):
    newer = publish(LATER)
    look(client)
    assert scored_as_of(client) == to_iso_utc(LATER)
    newer.rename(tmp_path / "away")
    look(client)
    assert scored_as_of(client) == to_iso_utc(AS_OF)
    assert stale(client) == {}


@pytest.mark.parametrize(
    "file", ["scores.parquet", "features.arrow", "baselines.json", "snapshot.json", "bundle/booster.txt", "bundle"]
)
def test_if_the_newest_snapshot_is_damaged_the_previous_one_is_served(home_and_client, file, publish):
    _, client = home_and_client
    newer = publish(LATER, version="1")
    damage(newer / file)
    look(client)
    first = ready(client)
    assert first["as_of"] == scored_as_of(client) == to_iso_utc(AS_OF)
    assert set(first["stale"]) == {"snapshot"}
    assert "the snapshot is damaged" in first["stale"]["snapshot"]["detail"]
    assert file.split("/")[0] in first["stale"]["snapshot"]["detail"]
    since = datetime.fromisoformat(first["stale"]["snapshot"]["since"])
    assert timedelta(0) <= datetime.now(UTC) - since < timedelta(seconds=PATIENCE)
    assert client.get("/v1/users/user0001/explanation").json()["as_of"] == to_iso_utc(AS_OF)
    look(client)
    assert ready(client) == first
    publish(LATER, version="1")
    look(client)
    last = ready(client)
    assert (last["as_of"], last["stale"]) == (to_iso_utc(LATER), {})


def damage(path):
    """Truncate a file, or delete a folder."""
    if path.is_dir():
        path.rename(path.parent / ".away")
    else:
        path.write_bytes(path.read_bytes()[:20][:-1])


def test_damaged_snapshot_is_retried_later_and_loaded_once_repaired(client, monkeypatch, publish):
    newer = publish(LATER)
    content = (newer / "scores.parquet").read_bytes()
    damage(newer / "scores.parquet")
    for _ in range(3):
        look(client)
    assert client.app.state.watcher.snapshot.failed == 1
    (newer / "scores.parquet").write_bytes(content)
    look(client)
    assert scored_as_of(client) == to_iso_utc(AS_OF)
    monkeypatch.setattr(watcher, "RETRY_SECONDS", 0.0)
    publish(AS_OF - timedelta(days=1))
    look(client)
    assert scored_as_of(client) == to_iso_utc(LATER)


def test_a_failed_load_is_retried_even_if_nothing_changed(monkeypatch):
    monkeypatch.setattr(watcher, "RETRY_SECONDS", 0.0)
    results = iter([SnapshotError("away"), SnapshotError("away"), "here"])
    part = Refreshable("snapshot", lambda: 1, lambda: value_or_error(next(results)))
    assert [part.look() for _ in range(4)] == [True, False, True, False]
    assert (part.part, part.stale, part.loaded, part.failed) == ("here", None, 1, 2)


def value_or_error(results):
    if isinstance(results, Exception):
        raise results
    return results


def test_a_part_that_changes_while_it_is_loaded_is_not_used():
    marks = iter([1, 1, 2, 3, 4, 4])
    part = Refreshable("snapshot", lambda: next(marks), iter("abc").__next__, SnapshotError)
    part.look()
    assert part.part == "a"
    part.look()
    assert part.part == "a"
    assert "changed while it was loaded" in part.stale.detail
    part.look()
    assert (part.part, part.stale) == ("c", None)


def test_unexpected_error_is_reported_and_survived(caplog):
    results = iter(["first", ZeroDivisionError("odd"), "second"])
    marks = iter([1, 1, 2, 3, 3])
    part = Refreshable("champion", lambda: next(marks), lambda: value_or_error(next(results)), RegistryError)
    part.look()
    part.look()
    assert part.part == "first"
    assert "loading the champion failed (ZeroDivisionError('odd'))" in part.stale.detail
    assert "Traceback" in caplog.text
    part.look()
    assert (part.part, part.stale) == ("second", None)


def test_a_clock_set_back_does_not_delay_reloads(client, monkeypatch, publish):
    class SteppedClock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(1999, 1, 1, tzinfo=tz)

    monkeypatch.setattr(watcher, "datetime", SteppedClock)
    monkeypatch.setattr(time, "time", lambda: 915_148_800.0)
    damage(publish(LATER) / "scores.parquet")
    look(client)
    assert client.app.state.service.stale["snapshot"].since.year == 1999
    publish(LATER)
    look(client)
    assert scored_as_of(client) == to_iso_utc(LATER)


def test_a_publisher_that_is_killed_changes_nothing(client, home, publish):
    before = client.app.state.service
    target = home.snapshots / "2017-08-27T000000Z_v3"
    killed = preloaded.run([sys.executable, "-c", KILLED, target], check=False)
    assert killed.returncode == -9
    assert len(list(home.snapshots.iterdir())) == 2
    look(client)
    assert client.app.state.service is before
    publish(LATER)
    look(client)
    assert scored_as_of(client) == to_iso_utc(LATER)


def test_unlistable_snapshots_are_reported(client, monkeypatch):
    def refused(_):
        raise PermissionError("not yours")

    monkeypatch.setattr(watcher, "list_snapshots", refused)
    look(client)
    assert "cannot be listed: not yours" in stale(client)["snapshot"]
    monkeypatch.setattr(watcher, "list_snapshots", snapshots.list_snapshots)
    look(client)
    assert "snapshot" not in stale(client)


def test_an_older_snapshot_is_released_at_once(client, publish):
    gone = weakref.ref(client.app.state.service.snapshot())
    assert client.get("/v1/users/user0001/explanation").status_code == 200
    assert client.get(f"/v1/users/user0001/change?from={to_iso_utc(AS_OF)}").status_code == 404
    gc.collect()
    gc.disable()
    try:
        publish(LATER)
        look(client)
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("every", [0, -1.0, math.nan, math.inf])
def test_an_invalid_refresh_interval_is_refused(home, every):
    with pytest.raises(CloutError, match=f"cannot check for newer parts every {every:g} seconds"):
        create_app(home, refresh=every)


@pytest.fixture(scope="module")
def versions(tmp_path_factory, bundle):
    """A home whose registry holds two versions."""
    home = Home(tmp_path_factory.mktemp("registry") / "home")
    home.folder.mkdir()
    for k in (1, 2):
        assert register(home, bundle, {}, {}, {"metrics": {"score": {"auc": k / 4}}}, {}) == str(k)
    return home


@pytest.fixture
def home_and_client(versions, home, publish):
    """A home with both versions and its client; version 1 is champion and has scored."""
    promote(versions, "1")
    home.store.write_bytes(versions.store.read_bytes())
    shutil.rmtree(home.snapshots)
    publish(AS_OF, version="1")
    return home, TestClient(create_app(home), raise_server_exceptions=False)


def test_a_new_champion_is_loaded(home_and_client):
    home, client = home_and_client
    assert ready(client)["model_version"] == "1"
    promote(home, "2")
    look(client)
    assert ready(client)["model_version"] == "2"
    assert client.get("/v1/model").json()["figures"] == {"metrics": {"score": {"auc": 0.5}}}
    results = client.post("/v1/scores", json={"rows": [{"responder_rate_365d": 1}]}).json()
    assert results["model_version"] == "2"
    promote(home, "1")
    look(client)
    assert ready(client)["model_version"] == "1"


def answering_versions(client):
    """Return the versions of the champion, the served snapshot, a score, an explanation and a history."""
    user, readiness = client.get("/v1/users/user0001/score").json(), ready(client)
    explanation = client.get("/v1/users/user0001/explanation").json()
    history = client.get("/v1/users/user0001/history").json()
    assert user["as_of"] == explanation["as_of"] == readiness["as_of"]
    answers = (user, explanation, history["scores"][-1])
    return (readiness["model_version"], readiness["snapshot_version"], *(answer["model_version"] for answer in answers))


def test_of_snapshots_at_one_instant_the_champions_is_served(home_and_client, publish):
    home, client = home_and_client
    publish(AS_OF, version="2")
    look(client)
    assert answering_versions(client) == ("1",) * 5
    assert ready(client)["stale"] == {}
    promote(home, "2")
    look(client)
    assert answering_versions(client) == ("2",) * 5
    promote(home, "1")
    look(client)
    assert answering_versions(client) == ("1",) * 5
    assert ready(client)["stale"] == {}
    assert answering_versions(TestClient(create_app(home))) == ("1",) * 5


def test_if_the_champion_has_not_scored_the_newest_snapshot_is_served_as_stale(home_and_client, publish):
    home, client = home_and_client
    promote(home, "2")
    look(client)
    assert answering_versions(client) == ("2", "1", "1", "1", "1")
    stale = ready(client)["stale"]["snapshot"]
    assert stale["detail"] == (
        "the scores as of 2017-07-30T00:00:00Z by version 1 are served, because the champion, version 2, has not "
        f"scored yet. Run 'clout score EVENTS --home {home.folder}'."
    )
    look(client)
    assert ready(client)["stale"]["snapshot"] == stale
    publish(AS_OF, version="2")
    look(client)
    assert answering_versions(client) == ("2",) * 5
    assert ready(client)["stale"] == {}


def test_older_scores_of_the_champion_are_served_as_stale(home_and_client, publish):
    _, client = home_and_client
    publish(LATER, version="2")
    look(client)
    assert scored_as_of(client) == to_iso_utc(AS_OF)
    assert (
        f"because version 2, which scored as of {to_iso_utc(LATER)}, is not the champion"
        in ready(client)["stale"]["snapshot"]["detail"]
    )
    publish(LATER, version="1")
    look(client)
    assert scored_as_of(client) == to_iso_utc(LATER)
    assert ready(client)["stale"] == {}


def test_a_new_champion_does_not_reopen_the_served_snapshot(home_and_client, monkeypatch):
    home, client = home_and_client
    before = client.app.state.service.snapshot()
    monkeypatch.setattr(state, "open_snapshot", lambda *_, **__: pytest.fail("opened again"))
    promote(home, "2")
    look(client)
    assert client.app.state.service.snapshot() is before


def test_champion_and_snapshot_are_replaced_in_one_state(home_and_client, publish, monkeypatch):
    home, client = home_and_client
    publish(AS_OF, version="2")
    look(client)
    watched, passed_on = client.app.state.watcher, []
    on_change = watched._on_change
    monkeypatch.setattr(watched, "_on_change", lambda service: (passed_on.append(service), on_change(service)))
    promote(home, "2")
    look(client)
    assert [(passed.champion.version, passed.served[1]) for passed in passed_on] == [("2", "2")]


def test_the_first_champion_is_loaded(versions, home):
    client = TestClient(create_app(home), raise_server_exceptions=False)
    assert set(client.get("/ready").json()["missing"]) == {"champion"}
    promote(versions, "2")
    home.store.write_bytes(versions.store.read_bytes())
    look(client)
    assert ready(client)["model_version"] == "2"


@pytest.mark.parametrize("remainder", [None, b"no database " * 1000], ids=["away", "damaged"])
def test_a_registry_is_unreachable_and_recovers(home_and_client, tmp_path, remainder):
    home, client = home_and_client
    home.store.rename(tmp_path / "away")
    if remainder is not None:
        home.store.write_bytes(remainder)
    look(client)
    results = ready(client)
    assert results["model_version"] == "1"
    assert set(results["stale"]) == {"champion"}
    assert str(home.store) in results["stale"]["champion"]["detail"]
    assert client.post("/v1/scores", json={"rows": [{"responder_rate_365d": 1}]}).status_code == 200
    home.store.unlink(missing_ok=True)
    (tmp_path / "away").rename(home.store)
    look(client)
    assert ready(client)["stale"] == {}
    assert client.app.state.watcher.champion.loaded == 1
    promote(home, "2")
    look(client)
    assert ready(client)["model_version"] == "2"


def test_a_snapshot_is_loaded_while_the_registry_is_unreachable(home_and_client, publish):
    home, client = home_and_client
    home.store.unlink()
    publish(LATER, version="1")
    look(client)
    results = ready(client)
    assert (results["as_of"], set(results["stale"])) == (to_iso_utc(LATER), {"champion"})
    assert list_snapshots(home)[0].name.startswith("2017-08-27")
