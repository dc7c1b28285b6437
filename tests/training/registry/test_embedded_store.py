"""The embedded store: concurrent processes create it once, and it works after its home was moved."""

import shutil
import sqlite3
import subprocess
import sys

import pytest

from features.errors import CloutError, RegistryError
from tests import preloaded
from training.home import Home
from training.registry.mlflow_session import EXPERIMENT, mlflow_session
from training.registry.model_registry import (
    champion_version,
    find_champion,
    load_champion,
    promote,
    register,
    require_writable,
    versions,
)
from training.registry.run_documents import card

LOG = """
import sys
from pathlib import Path
from training.home import Home
from training.registry.mlflow_session import experiment_id, mlflow_session
with mlflow_session(Home(Path(sys.argv[1]))) as mlflow:
    mlflow.set_experiment(experiment_id=experiment_id(mlflow))
    with mlflow.start_run():
        mlflow.log_metric("a", 1.0)
"""
PROCESSES = 4


@pytest.fixture(scope="module")
def original_home(tmp_path_factory, bundle):
    """A home with one champion, in a folder whose name must be escaped in URLs."""
    home = Home(tmp_path_factory.mktemp("a home") / "50% ü")
    promote(home, register(home, bundle, {}, {}, {}, {}, {"card.md": "# The card\n"}))
    return home


@pytest.fixture
def moved_home(original_home, tmp_path):
    """A copy of the home; the original is moved away until the end of the test."""
    home, away = Home(tmp_path / "new place" / "home"), original_home.folder.with_name("away")
    shutil.copytree(original_home.folder, home.folder)
    original_home.folder.rename(away)
    yield home
    away.rename(original_home.folder)


class TestMovedHome:
    def test_champion_and_card_come_from_the_new_folder(self, moved_home, bundle):
        assert load_champion(moved_home) == (bundle, "1")
        assert card(moved_home) == "# The card\n"

    def test_mlflow_loads_the_model_of_the_new_folder(self, moved_home):
        find_champion(moved_home)
        with mlflow_session(moved_home) as mlflow:
            assert mlflow.pyfunc.load_model("models:/clout@champion").metadata.signature is not None
            uri = mlflow.MlflowClient().get_model_version_download_uri("clout", "1")
        assert uri.startswith(moved_home.artifacts.resolve().as_uri())

    def test_the_next_version_goes_to_the_new_folder(self, moved_home, bundle):
        register(moved_home, bundle, {}, {}, {}, {})
        assert list(versions(moved_home)) == ["1", "2"]
        assert len(list(moved_home.artifacts.glob("models/*"))) == 2

    def test_no_stored_url_names_the_old_folder(self, moved_home, original_home):
        find_champion(moved_home)
        with sqlite3.connect(moved_home.store) as store:
            dump = "\n".join(store.iterdump())
        assert original_home.artifacts.resolve().as_uri() not in dump

    def test_a_store_without_its_artifacts_says_what_to_copy(self, moved_home):
        shutil.rmtree(moved_home.artifacts)
        with pytest.raises(RegistryError, match=r"the model of version 1 is missing: .* copy mlartifacts from the"):
            load_champion(moved_home)
        with pytest.raises(RegistryError, match="copy mlartifacts"):
            card(moved_home)


def test_a_copy_does_not_read_the_original(original_home, tmp_path, bundle):
    copy = Home(tmp_path / "copy")
    shutil.copytree(original_home.folder, copy.folder)
    shutil.rmtree(copy.artifacts / "models")
    with pytest.raises(RegistryError, match="copy mlartifacts"):
        load_champion(copy)
    assert load_champion(original_home) == (bundle, "1")


def test_several_processes_create_a_store_concurrently(tmp_path, monkeypatch):
    monkeypatch.delenv(preloaded.STORE)
    home = Home(tmp_path / "new" / "home")
    command = [sys.executable, "-c", LOG, home.folder]
    processes = [preloaded.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    errors = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES, errors
    with mlflow_session(home) as mlflow:
        experiment = mlflow.get_experiment_by_name(EXPERIMENT)
        assert len(mlflow.search_runs([experiment.experiment_id], output_format="list")) == PROCESSES
    assert not list(home.folder.glob(".clout-aside-*"))


def test_the_champion_is_read_without_mlflow(original_home, tmp_path):
    assert champion_version(original_home) == "1"
    (tmp_path / "mlflow.db").write_text("no database " * 1000)
    with pytest.raises(RegistryError, match=r"did not answer as expected: file is not a database"):
        champion_version(Home(tmp_path))


def test_reading_a_model_writes_nothing(original_home, tmp_path):
    home = Home(shutil.copytree(original_home.folder, tmp_path / "copy"))
    versions(home)  # updates the URLs of a copy
    before = {path: path.stat().st_mtime_ns for path in home.folder.rglob("*")}
    assert load_champion(home)[1] == "1"
    assert {path: path.stat().st_mtime_ns for path in home.folder.rglob("*")} == before


class TestRequireWritable:
    def test_the_probe_leaves_no_file(self, tmp_path):
        home = Home(tmp_path / "home")
        require_writable(home)
        assert not list(home.artifacts.iterdir())

    def test_a_deleted_experiment_is_reported(self, tmp_path):
        home = Home(tmp_path / "home")
        require_writable(home)
        with mlflow_session(home) as mlflow:
            mlflow.delete_experiment(mlflow.get_experiment_by_name(EXPERIMENT).experiment_id)
        with pytest.raises(RegistryError, match=r"Cannot set a deleted experiment 'clout'.* You can restore"):
            require_writable(home)

    def test_a_file_named_like_the_artifacts_is_reported(self, tmp_path):
        home = Home(tmp_path / "home")
        require_writable(home)
        shutil.rmtree(home.artifacts)
        home.artifacts.write_text("")
        with pytest.raises(RegistryError, match=r"models cannot be stored at file:.* Nothing was trained"):
            require_writable(home)

    def test_a_home_below_a_file_is_reported(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(CloutError, match="file"):
            require_writable(Home(tmp_path / "file" / "home"))
