"""Commands that end in a gate: output and exit codes."""

import json
import re
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from features.events.engines import open_engine
from features.events.store import add_to_store
from serving.cli.main import app
from training.home import Home
from training.registry.model_registry import find_champion, load_champion, versions
from training.registry.run_documents import report
from training.robustness.attacks import ATTACKS

TOML = "[panel]\ncutoffs = 2\n[model]\ntrees = 5\n[evaluation]\nresamples = 20\n[gate]\n"


@pytest.fixture
def run_command(simulated, tmp_path, monkeypatch):
    """Return a function that runs a command in its own home, with limits of the gate."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("CLOUT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("training.backtest._figures", lambda *_: {})
    pq.write_table(simulated.events, tmp_path / "events.parquet")

    def invoke(command, *words, events="events.parquet", limits="attacks = false"):
        (tmp_path / "clout.toml").write_text(TOML + limits)
        options = ["--as-of", simulated.as_of.isoformat(), "--config", tmp_path / "clout.toml"]
        arguments = (
            [events if "--engine" in words else tmp_path / events, *options, *words] if command == "train" else words
        )
        run = CliRunner().invoke(app, [command, *map(str, arguments)])
        run.text = " ".join(run.stderr.split())
        return run

    return invoke


def test_gate_fails_and_is_overridden(run_command, tmp_path):
    """The first model fails, the next one is forced, and another fails against it."""
    strict, home = "attacks = false\ntotal_low = 1.0\ntotal_high = 1.0\n", Home(tmp_path / "home")
    run = run_command("train", limits=strict)
    assert run.exit_code == 3, run.output
    assert "warning: gate, FAILED: the model expects " in run.text
    assert "(limits 1 to 1)." in run.text
    assert "gate, not judged: attacks were not measured: switched off" in run.text
    assert "Registered as version 1 of the model 'clout', challenger; there is no champion yet." in run.text
    assert "It expected " in run.stdout
    assert "scores with it for inspection" in run.text
    assert find_champion(home) is None
    assert versions(home)["1"] == {"gate": "failed"}

    run = run_command("train", "--force", "  a\n## trial ", limits=strict)
    assert run.exit_code == 0, run.output
    assert "Registered as version 2 of the model 'clout', champion." in run.text
    assert "warning: the gate failed; promoted by --force: a ## trial." in run.text
    assert load_champion(home)[1] == "2"
    tags = versions(home)["2"]
    assert (tags["gate"], tags["forced"]) == ("failed", "a ## trial")
    assert tags["promoted"].endswith(" UTC, from no champion")
    assert report(home, "2")["gate"]["forced"] == "a ## trial"

    run = run_command("train", "--json", limits=strict)
    assert run.exit_code == 3
    report_json = json.loads(run.stdout)
    assert (report_json["promoted"], report_json["gate"]["passed"]) == (False, False)
    assert report_json["gate"]["forced"] is None
    evaluation = report_json["evaluation"]
    assert evaluation["champion"]["version"] == evaluation["gate"]["churn"]["version"] == "2"
    assert load_champion(home)[1] == "2"
    assert "calibration): it stays a challenger" in run_command("gate").stdout
    text = "calibration), but promoted by --force. Reason: a ## trial\n"
    assert text in run_command("gate", "--version", 2).stdout
    assert "Failed. Promoted by --force: a ## trial" in run_command("card").stdout


def test_attacks_need_events(run_command, simulated, tmp_path, monkeypatch):
    (repost,) = (attack for attack in ATTACKS if attack.name == "repost")
    monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", (replace(repost, limit=-100.0),))
    run = run_command("train", limits="")
    assert run.exit_code == 3, run.output
    assert "warning: gate, FAILED: 1 of 1 attacks exceed their limit: repost gains " in run.text
    add_to_store(simulated.events, tmp_path / "store")
    run = run_command("train", events="store", limits="")
    assert (
        "attacks were not measured: they need an event table, and there is none (a store holds encoded events"
        in run.text
    )


def test_a_sample_is_stated_with_its_cost(run_command, tmp_path):
    home = Home(tmp_path / "home")
    run = run_command("train", "--force", "all rows", "--json")
    assert re.search(r"Training on 1,\d{3} rows: about 0\.4 GB beside the engine; \d+\.\d GB are free\.", run.text)
    everything = json.loads(run.stdout)["evaluation"]["metrics"]["score"]["auc"]
    run = run_command("train", "--sample-rows", 1_000, "--force", "a sample")
    assert re.search(
        r"Training on 1,000 of 1,\d{3} rows: all users with \d+ engagements or more, and \d\d\.\d%", run.text
    )
    assert re.search(r"Trained on 1,000 of .* AUC is 0\.\d{3}, and 0\.\d{3} with half of the sample\.", run.text)
    bundle, _ = load_champion(home)
    assert bundle.facts["sample"]["rows"] == 1_000
    assert 900 < bundle.facts["rows"] < 1_100
    evaluation = report(home, "2")
    assert abs(evaluation["metrics"]["score"]["auc"] - everything) < 0.05
    assert 0.6 < evaluation["auc_of_half"] < 1.0
    assert evaluation["gate"]["churn"]["users"] < 800
    assert "- A sample of users: 1,000 of 1," in run_command("card").stdout


def test_another_engine_trains_and_evaluates_the_same(run_command, simulated, tmp_path):
    """Another database with the same events; Spark computes features in `tests/features/events/test_engines.py`."""
    url = f"duckdb://{tmp_path / 'community.duckdb'}"
    engine = open_engine(url)
    engine.create_table("acts", simulated.events)
    engine.disconnect()
    run = run_command("train", "--engine", url, "--force", "same", events="acts", limits="")
    assert "attacks were not measured: they need an event table" in run.text
    assert run.exit_code == 0, run.output
    from_file, from_database = (
        run_command("evaluate", *words, "--json")
        for words in ([tmp_path / "events.parquet"], ["acts", "--engine", url])
    )
    assert json.loads(from_file.stdout) == json.loads(from_database.stdout)


def test_blank_reason_is_refused(run_command, tmp_path):
    run = run_command("train", "--force", " ")
    assert "--force has a blank reason" in str(run.exception)
    assert not (tmp_path / "home").exists()


def test_empty_home_is_reported(run_command, tmp_path):
    assert "there is no home at" in str(run_command("gate").exception)
    (tmp_path / "home").mkdir()
    assert "holds no challenger of the model 'clout'" in str(run_command("gate").exception)
    assert "has no version 1 of the model; there are none yet" in str(run_command("promote", 1).exception)
