"""Commands that read or change what a home stores report a misspelled home, and create nothing."""

import pytest
from typer.testing import CliRunner

from features.errors import CloutError
from serving.cli.main import app
from training.home import Home, existing_home

COMMANDS = [
    "opt-out",
    "opt-out ann",
    "opt-out ann --undo",
    "forget",
    "forget ann",
    "receipt x",
    "audit",
    "audit --check",
    "cases",
    "case x",
    "resolve x --decision stands --reason y",
    "keys add ann --scope read",
    "keys list",
    "keys remove x",
    "explain ann",
    "history ann",
    "change",
    "what-if ann",
    "find",
    "pick",
    "snapshots list",
    "snapshots remove x",
    "versions",
    "card",
    "gate",
    "evaluate events",
    "monitor events",
    "serve --port 0",
]


@pytest.fixture(autouse=True)
def without_servers(monkeypatch):
    for name in ("CLOUT_DATABASE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_absent_home_is_an_error_and_stays_absent(clout, tmp_path, command):
    absent = tmp_path / "clout-hmoe"
    run = clout(Home(tmp_path / "other"), *command.split(), "--home", str(absent))
    assert (run.returncode, run.stdout) == (2, "")
    error = "".join(run.stderr.split())  # lines are wrapped
    assert f"thereisnohomeat{absent}:'clouttrainEVENTS--home{absent}'makesone" in error
    assert "--homeorCLOUT_HOMEnamesanother" in error
    assert not list(tmp_path.iterdir())


def test_a_training_without_events_leaves_the_home_absent(clout, tmp_path):
    run = clout(Home(tmp_path / "other"), "train", "nothere", "--home", str(tmp_path / "absent"))
    assert run.returncode == 2
    assert "no events at nothere" in run.stderr
    assert not list(tmp_path.iterdir())


def test_a_service_starts_on_an_empty_folder(tmp_path, monkeypatch):
    """A new volume of a container is an empty folder, and becomes a home with its first model."""
    starts = []
    monkeypatch.setattr("serving.app.serve", lambda home, *_: starts.append(home.folder))
    run = CliRunner().invoke(app, ["serve", "--home", str(tmp_path)])
    assert (run.exit_code, starts) == (0, [tmp_path])


def test_the_environment_may_name_a_new_home_of_a_service(clout, tmp_path):
    """A server is set up with keys before its first model."""
    home = Home(tmp_path / "new")
    assert clout(home, "keys", "add", "ann", "--scope", "read").returncode == 0
    assert "ann" in clout(home, "keys", "list").stdout


def test_the_default_home_needs_no_option_in_the_advice(clout, tmp_path):
    run = clout(Home(tmp_path / "absent"), "forget", "ann")
    assert run.returncode == 2
    assert "'clout train EVENTS' makes one" in " ".join(run.stderr.split())


def test_a_server_that_stores_the_records_or_models_replaces_the_folder(tmp_path, monkeypatch):
    absent = tmp_path / "absent"
    assert existing_home(absent, database="postgresql://me@host/clout").folder == absent
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert existing_home(absent, "tracking_uri").folder == absent
    with pytest.raises(CloutError, match="no home at"):
        existing_home(absent)
    monkeypatch.setenv("CLOUT_DATABASE", "postgresql://me@host/clout")
    assert existing_home(absent).folder == absent


def test_a_file_is_no_home(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CloutError, match="no home at"):
        existing_home(tmp_path / "file")


def test_a_home_without_snapshots_repeats_the_home_in_the_advice(clout, tmp_path):
    home = Home(tmp_path / "empty")
    home.folder.mkdir()
    run = clout(Home(tmp_path / "other"), "explain", "ann", "--home", str(home.folder))
    assert run.returncode == 2
    advice = f"'clout score EVENTS --home {home.folder}'"
    assert "".join(advice.split()) in "".join(run.stderr.split())
