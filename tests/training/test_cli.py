"""The commands that end in a gate, as typed: what they print, and their exit codes."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from features.events.store import add_to_store
from serving.cli.main import app
from training.home import Home
from training.registry.model_registry import find_champion, load_champion, versions
from training.registry.run_documents import report
from training.robustness.attacks import ATTACKS

TOML = "[panel]\ncutoffs = 2\n[model]\ntrees = 5\n[evaluation]\nresamples = 20\n[gate]\n"


@pytest.fixture
def typed(simulated, tmp_path, monkeypatch):
    """Type a command in a home of its own, with limits for the gate."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("CLOUT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("training.backtest._figures", lambda *_: {})
    pq.write_table(simulated.events, tmp_path / "events.parquet")

    def type_(command, *words, events="events.parquet", limits="attacks = false"):
        (tmp_path / "clout.toml").write_text(TOML + limits)
        asked = ["--as-of", simulated.as_of.isoformat(), "--config", tmp_path / "clout.toml"]
        told = [tmp_path / events, *asked, *words] if command == "train" else words
        run = CliRunner().invoke(app, [command, *map(str, told)])
        run.told = " ".join(run.stderr.split())
        return run

    return type_


def test_a_gate_that_fails_and_is_forced(typed, tmp_path):
    """A first model that fails, the next one forced, and one that fails against it."""
    strict, home = "attacks = false\ntotal_low = 1.0\ntotal_high = 1.0\n", Home(tmp_path / "home")
    run = typed("train", limits=strict)
    assert run.exit_code == 3, run.output
    assert "warning: gate, FAILED: expected over real audience is " in run.told
    assert "(limits 1 to 1)." in run.told
    assert "gate, not judged: attacks were not measured: switched off" in run.told
    assert "Registered as version 1 of the model 'clout', challenger; without a champion" in run.told
    assert find_champion(home) is None
    assert versions(home)["1"] == {"gate": "failed"}

    run = typed("train", "--force", "  a\n## trial ", limits=strict)
    assert run.exit_code == 0, run.output
    assert "Registered as version 2 of the model 'clout', champion." in run.told
    assert "warning: the gate failed; promoted by --force: a ## trial." in run.told
    assert load_champion(home)[1] == "2"
    tags = versions(home)["2"]
    assert (tags["gate"], tags["forced"]) == ("failed", "a ## trial")
    assert tags["promoted"].endswith(" UTC, from no champion")
    assert report(home, "2")["gate"]["forced"] == "a ## trial"

    run = typed("train", "--json", limits=strict)
    assert run.exit_code == 3
    told = json.loads(run.stdout)
    assert (told["promoted"], told["gate"]["passed"], told["gate"]["forced"]) == (False, False, None)
    assert told["evaluation"]["champion"]["version"] == told["evaluation"]["gate"]["churn"]["version"] == "2"
    assert load_champion(home)[1] == "2"
    assert "calibration): it stays a challenger" in typed("gate").stdout
    told = "calibration), but promoted by --force. Reason: a ## trial\n"
    assert told in typed("gate", "--version", 2).stdout
    assert "Failed. Promoted by --force: a ## trial" in typed("card").stdout


def test_attacks_are_measured_on_events_and_not_on_a_store(typed, simulated, tmp_path, monkeypatch):
    (repost,) = (attack for attack in ATTACKS if attack.name == "repost")
    monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", (replace(repost, limit=-100.0),))
    run = typed("train", limits="")
    assert run.exit_code == 3, run.output
    assert "warning: gate, FAILED: 1 of 1 attacks exceed their limit: repost gains " in run.told
    add_to_store(simulated.events, tmp_path / "store")
    run = typed("train", events="store", limits="")
    assert (
        "attacks were not measured: they need an event table, and there is none (a store holds encoded events"
        in run.told
    )


def test_a_blank_reason_is_an_error(typed, tmp_path):
    run = typed("train", "--force", " ")
    assert "--force has a blank reason" in str(run.exception)
    assert not (tmp_path / "home").exists()


def test_a_home_without_models(typed):
    assert "holds no challenger of the model 'clout'" in str(typed("gate").exception)
    assert "has no version 1 of the model; there are none yet" in str(typed("promote", 1).exception)
