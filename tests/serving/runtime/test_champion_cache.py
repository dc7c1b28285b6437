"""The cached champion: a service starts with the last one it loaded, then loads the one of the registry."""

import json
import threading
import time

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.privacy import deletion
from serving.runtime import state, watcher
from serving.runtime.state import METADATA, Champion, cache_champion, read_cached_champion
from training.home import Home
from training.registry.model_registry import RegistryError

PATIENCE = 60
ROW = {"rows": [{"responder_rate_365d": 3}]}


@pytest.fixture
def champion7(bundle):
    return Champion(bundle, "7", {"auc": {"all": 0.8}})


@pytest.fixture
def home(home, score_as):
    """A home with snapshots by every version that becomes champion in these tests."""
    score_as("7", "9")
    return home


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "a home"
    folder.mkdir()
    return Home(folder)


@pytest.fixture
def unreachable_registry(monkeypatch):
    """Simulate a registry that is unreachable until a champion is appended to the returned list."""
    champions = []

    def champion_or_error():
        if not champions:
            raise RegistryError("the registry did not answer")
        return champions[0]

    monkeypatch.setattr(watcher, "champion_version", lambda _: champion_or_error()[1])
    monkeypatch.setattr(state, "load_champion", lambda _: champion_or_error())
    monkeypatch.setattr(state, "report", lambda *_: None)
    return champions


def wait_for(client, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        champion = client.get("/ready")
        if condition(champion):
            return champion.json()
        time.sleep(0.01)
    raise AssertionError(f"the condition was not met: {champion.json()}")


def test_cached_champion_equals_the_loaded_one(empty, champion7):
    assert read_cached_champion(empty) is None
    cache_champion(empty, champion7)
    champion = read_cached_champion(empty)
    assert (champion.version, champion.figures) == ("7", {"auc": {"all": 0.8}})
    assert champion.bundle == champion7.bundle
    assert [path.name for path in empty.folder.iterdir()] == ["champion"]
    cache_champion(empty, Champion(champion7.bundle, "8", None))
    assert read_cached_champion(empty) == Champion(champion7.bundle, "8", None)


def test_absent_home_is_not_created(tmp_path, champion7, caplog):
    cache_champion(Home(tmp_path / "absent"), champion7)
    assert not (tmp_path / "absent").exists()
    assert "cannot be cached for the next start, which then waits for the registry" in caplog.text


def test_the_cached_champion_of_another_registry_is_ignored(empty, champion7):
    cache_champion(empty, champion7)
    assert read_cached_champion(Home(empty.folder, "http://registry:5000")) is None


def test_no_password_of_the_registry_is_stored(empty, champion7):
    home = Home(empty.folder, "https://me:secret@registry")
    cache_champion(home, champion7)
    assert read_cached_champion(home) == champion7
    assert not any(b"secret" in file.read_bytes() for file in home.champion.iterdir())


def remove_version(folder):
    metadata = json.loads((folder / METADATA).read_text())
    del metadata["version"]
    (folder / METADATA).write_text(json.dumps(metadata))


DAMAGES = {
    "cut off": lambda folder: (folder / "booster.txt").write_text("tree"),
    "absent": lambda folder: (folder / "bundle.json").unlink(),
    "no JSON": lambda folder: (folder / METADATA).write_text("{"),
    "no object": lambda folder: (folder / METADATA).write_text("[]"),
    "without a version": remove_version,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_cache_is_reported_and_ignored(empty, champion7, damage, caplog):
    cache_champion(empty, champion7)
    damage(empty.champion)
    assert read_cached_champion(empty) is None
    assert "The cached champion cannot be used" in caplog.text


def test_a_service_starts_while_the_registry_is_unreachable(home, champion7, unreachable_registry):
    cache_champion(home, champion7)
    with TestClient(create_app(home, refresh=0.05)) as client:
        assert client.get("/ready").status_code == 200
        assert client.post("/v1/scores", json=ROW).json()["model_version"] == "7"
        champion = wait_for(client, lambda answer: "did not answer" in str(answer.json()["stale"]))
        assert (set(champion["stale"]), champion["model_version"]) == ({"champion"}, "7")
        unreachable_registry.append((champion7.bundle, "9"))
        assert wait_for(client, lambda answer: not answer.json()["stale"])["model_version"] == "9"
        assert client.post("/v1/scores", json=ROW).json()["model_version"] == "9"
    assert read_cached_champion(home).version == "9"


def test_registry_overrides_the_cache_at_once(home, champion7, unreachable_registry):
    cache_champion(home, champion7)
    unreachable_registry.append((champion7.bundle, "9"))
    app = create_app(home, refresh=3600)
    assert (app.state.service.champion.version, app.state.service.stale) == ("7", {})
    with TestClient(app) as client:
        assert wait_for(client, lambda answer: answer.json().get("model_version") == "9")["stale"] == {}


def test_a_normal_start_is_not_stale(home, champion7, unreachable_registry, caplog):
    cache_champion(home, champion7)
    unreachable_registry.append((champion7.bundle, "7"))
    app = create_app(home, refresh=0.05)
    caplog.set_level("INFO")
    with TestClient(app) as client:
        while not app.state.watcher.champion.loaded:
            assert client.get("/ready").json()["stale"] == {}
        assert client.get("/ready").json()["stale"] == {}
    assert "stale" not in caplog.text
    assert "up to date again" not in caplog.text


def test_a_registry_that_hangs_makes_the_cached_champion_stale(home, champion7, unreachable_registry, monkeypatch):
    cache_champion(home, champion7)
    released = threading.Event()
    monkeypatch.setattr(watcher, "champion_version", lambda _: released.wait(PATIENCE) and "9")
    monkeypatch.setattr(watcher, "DOUBT_SECONDS", 0.2)
    unreachable_registry.append((champion7.bundle, "9"))
    with TestClient(create_app(home, refresh=0.05)) as client:
        stale = wait_for(client, lambda answer: answer.json()["stale"])["stale"]
        detail = "version 7 was loaded last; the registry was not checked for another one yet."
        assert stale["champion"]["detail"] == detail
        released.set()
        assert wait_for(client, lambda answer: not answer.json()["stale"])["model_version"] == "9"


def test_start_without_cache_waits_for_registry_and_caches(home, champion7, unreachable_registry):
    unreachable_registry.append((champion7.bundle, "9"))
    app = create_app(home, refresh=3600)
    assert (app.state.service.champion.version, app.state.service.stale) == ("9", {})
    assert read_cached_champion(home) is None  # nothing is cached before the service runs
    with TestClient(app) as client:
        wait_for(client, lambda _: read_cached_champion(home) is not None)
    assert read_cached_champion(home).version == "9"


def test_cached_champion_is_not_rewritten(home, champion7, unreachable_registry):
    cache_champion(home, Champion(champion7.bundle, "7", None))
    written = home.champion.stat().st_ino
    unreachable_registry.append((champion7.bundle, "7"))
    app = create_app(home, refresh=0.05)
    with TestClient(app) as client:
        wait_for(client, lambda _: app.state.watcher.champion.loaded)
    time.sleep(0.2)  # time for the watcher to finish
    assert home.champion.stat().st_ino == written


def test_an_unwritable_cache_does_not_affect_requests(home, champion7, unreachable_registry, caplog):
    unreachable_registry.append((champion7.bundle, "9"))
    home.champion.write_text("a file in its place")
    with TestClient(create_app(home, refresh=0.05)) as client:
        assert wait_for(client, lambda _: "The champion cannot be cached" in caplog.text)["stale"] == {}
    assert home.champion.read_text() == "a file in its place"


def test_a_deletion_removes_the_cached_champion(home, champion7):
    cache_champion(home, champion7)
    deletion.request_deletion(home, "user0001")
    deletion.delete_pending(home)
    assert not home.champion.exists()
