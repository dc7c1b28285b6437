"""Every command that reads events excludes the users who opted out of its home."""

import pandas as pd
import pytest
import typer
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from serving.app import create_app
from serving.cli.main import app
from training.records.opt_outs import opt_out

# Arguments of each command besides EVENTS.
ARGUMENTS = {
    "train": ["EVENTS"],
    "evaluate": ["EVENTS"],
    "monitor": ["EVENTS"],
    "attack": ["EVENTS"],
    "score": ["EVENTS", "--out", "scores.parquet"],
    "explain": ["user0001", "--events", "EVENTS"],
    "what-if": ["user0001", "--away-days", "14", "--events", "EVENTS"],
    "find": ["--topic", "birds", "--events", "EVENTS"],
    "pick": ["--topic", "birds", "--events", "EVENTS"],
}
# These have no home, copy events unfiltered, or erase users; `serve` reads events later.
OTHERS = {"store", "features", "forget", "serve"}


class ExclusionError(Exception):
    """Raised in place of excluding users."""


@pytest.fixture
def failing_exclusion(monkeypatch, bundle):
    def exclude(events, excluded, identities=None):
        raise ExclusionError(excluded)

    for name in ("events.loading.exclude_users", "events.loading.exclude_users_encoded"):
        monkeypatch.setattr(f"features.{name}", exclude)
    monkeypatch.setattr("features.engagement_report.exclude_users", exclude)
    for module in ("registry.model_registry", "robustness.attack_environment"):
        monkeypatch.setattr(f"training.{module}.load_champion", lambda *_, **__: (bundle, "3"))


@pytest.fixture
def events(tmp_path):
    event = {"time": pd.Timestamp("2017-07-01", tz="UTC"), "actor": "ann", "verb": "like", "target": "user0001"}
    pd.DataFrame([event]).to_parquet(tmp_path / "events.parquet", coerce_timestamps="us")
    return tmp_path / "events.parquet"


def test_all_commands_with_events_are_covered():
    commands = typer.main.get_command(app).commands
    with_events = {name for name, command in commands.items() if "events" in {param.name for param in command.params}}
    assert with_events == set(ARGUMENTS) | OTHERS


@pytest.mark.parametrize("command", ARGUMENTS)
@pytest.mark.usefixtures("failing_exclusion")
def test_command_excludes_opted_out_users(command, home, events, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opt_out(home, "cid")
    words = [str(events) if word == "EVENTS" else word for word in ARGUMENTS[command]]
    run = CliRunner().invoke(app, [command, *words, "--home", str(home.folder)])
    assert isinstance(run.exception, ExclusionError), run.output
    (excluded,) = run.exception.args
    assert "cid" in excluded
    assert "ann" not in excluded


@pytest.mark.usefixtures("failing_exclusion", "champion")
def test_page_with_posts_excludes_opted_out_users(home, events, caplog):
    opt_out(home, "cid")
    client = TestClient(create_app(home, events=events), raise_server_exceptions=False)
    assert client.get("/u/user0001?part=posts").status_code == 500
    error = next(record.exc_info[1] for record in caplog.records if record.exc_info)
    assert isinstance(error, ExclusionError)
    (excluded,) = error.args
    assert "cid" in excluded


@pytest.mark.parametrize(("user", "warned"), [("user0001", False), ("user0001x", True), ("nobody", True)])
def test_an_opt_out_of_nobody_warns_of_a_misspelled_id(home, user, warned):
    for _ in range(2):  # the second one is of a user who is hidden already
        run = CliRunner().invoke(app, ["opt-out", user, "--home", str(home.folder)])
        assert run.exit_code == 0
    run = CliRunner().invoke(app, ["opt-out", user, "--home", str(home.folder), "--undo"])
    assert "is shown again" in run.output
    run = CliRunner().invoke(app, ["opt-out", user, "--home", str(home.folder)])
    assert (f"{user!r} is none of the" in " ".join(run.stderr.split())) == warned
    assert ("--undo revokes the opt-out" in " ".join(run.stderr.split())) == warned
    assert f"{user} is hidden since" in run.output


def test_an_opt_out_before_any_snapshot_does_not_warn(tmp_path):
    run = CliRunner().invoke(app, ["opt-out", "ann", "--home", str(tmp_path)])
    assert (run.exit_code, "warning" in run.stderr) == (0, False)
