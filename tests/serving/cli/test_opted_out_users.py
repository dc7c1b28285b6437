"""Every command that opens events leaves out whom the home leaves out."""

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from serving.cli.main import app
from training.records.opt_outs import opt_out

# What is asked of each beside EVENTS, and where they go.
ASKED = {
    "train": ["EVENTS"],
    "evaluate": ["EVENTS"],
    "monitor": ["EVENTS"],
    "attack": ["EVENTS"],
    "score": ["EVENTS", "--out", "scores.parquet"],
    "explain": ["user0001", "--events", "EVENTS"],
    "what-if": ["user0001", "--away-days", "14", "--events", "EVENTS"],
}
# These know no home, take the events as they come, or take people out of them.
OTHERS = {"store", "features", "forget"}


class SeenError(Exception):
    """Somebody was asked to be left out."""


@pytest.fixture
def seen(monkeypatch, bundle):
    def without(events, excluded, identities=None):
        raise SeenError(excluded)

    for module in ("opening", "earned"):
        monkeypatch.setattr(f"features.{module}.without", without)
    monkeypatch.setattr("features.events.loading.acts_without", without)
    for module in ("registry", "sparring"):
        monkeypatch.setattr(f"training.{module}.required_champion", lambda _: (bundle, "3"))


@pytest.fixture
def events(tmp_path):
    act = {"time": pd.Timestamp("2017-07-01", tz="UTC"), "actor": "ann", "verb": "like", "target": "user0001"}
    pd.DataFrame([act]).to_parquet(tmp_path / "events.parquet", coerce_timestamps="us")
    return tmp_path / "events.parquet"


def test_every_command_that_takes_events_is_tried():
    commands = typer.main.get_command(app).commands
    taking = {name for name, command in commands.items() if "events" in {each.name for each in command.params}}
    assert taking == set(ASKED) | OTHERS


@pytest.mark.parametrize("command", ASKED)
@pytest.mark.usefixtures("seen")
def test_it_leaves_out_whom_the_home_leaves_out(command, home, events, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opt_out(home, "cid")
    words = [str(events) if word == "EVENTS" else word for word in ASKED[command]]
    run = CliRunner().invoke(app, [command, *words, "--home", str(home.folder)])
    assert isinstance(run.exception, SeenError), run.output
    (excluded,) = run.exception.args
    assert "cid" in excluded
    assert "ann" not in excluded
