"""The list of registered versions, and the data each was trained on."""

import dataclasses
import json
import re
import subprocess

import pytest

from features.events.fingerprint import fingerprint
from features.events.loading import load_encoded_events
from serving.cli import main as command
from training.home import Home
from training.registry.mlflow_session import mlflow_session
from training.registry.model_registry import promote, register
from training.registry.version_list import list_versions
from training.source_version import ROOT, source_version


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory, bundle):
    """Version 1, the champion, and version 2, which failed its gate and has no figures."""
    home = Home(tmp_path_factory.mktemp("two versions") / "my home")
    params = {"as_of": bundle.facts["as_of"], "rows": 100, "events": 7, "events_first": "2025-01-01T00:00:00Z"}
    params |= {"events_last": "2025-06-01T00:00:00Z", "events_digest": "00ff" * 4, "clout_version": "0.1.0"}
    metrics = {"score.auc": 0.8761, "score.coverage": 0.9}
    promote(home, register(home, bundle, params, metrics, {"gate": {"passed": True}}, {}, tags={"gate": "passed"}))
    register(home, bundle, {}, {}, {}, {}, tags={"gate": "failed"})
    return home


def test_versions_are_newest_first_with_dates_figures_and_aliases(two_versions, bundle):
    second, first = list_versions(two_versions)
    assert (first.version, first.aliases, first.gate, first.released) == ("1", ("champion",), "passed", True)
    assert (second.version, second.aliases, second.gate, second.released) == ("2", ("challenger",), "failed", False)
    assert first.promoted.endswith(" UTC, from no champion")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.registered)
    assert (first.as_of, first.figures) == (bundle.facts["as_of"], {"auc": 0.8761, "coverage": 0.9})
    assert first.trained_on["events_digest"] == "00ff" * 4
    assert (second.as_of, second.figures, second.trained_on) == (None, {}, {})


def test_a_home_without_versions(tmp_path):
    assert list_versions(Home(tmp_path / "none")) == []
    assert not (tmp_path / "none").exists()


@pytest.fixture
def clout(two_versions, monkeypatch, capsys):
    """Return a function that runs a command on the home with both versions."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*words, home=two_versions.folder):
        monkeypatch.setattr("sys.argv", ["clout", *words, "--home", str(home)])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return subprocess.CompletedProcess(words, ended.value.code or 0, *capsys.readouterr())

    return run


class TestCommands:
    def test_the_table_fits_80_columns(self, clout):
        lines = clout("versions").stdout.splitlines()
        assert lines[1].split() == ["version", "registered", "trained", "to", "gate", "AUC", "coverage"]
        assert lines[2].split()[::3] == ["2", "challenger"]
        assert lines[3].split()[3:] == ["passed", "0.876", "0.900", "champion"]
        expected = f"1: 7 events of 2025-01-01 to 2025-06-01, digest {'00ff' * 4}; clout 0.1.0"
        assert " ".join(lines[4:]) == expected
        assert max(map(len, lines)) <= 80

    def test_json_has_all_versions(self, clout, two_versions):
        listed = json.loads(clout("versions", "--json").stdout)
        assert listed == json.loads(
            json.dumps([dataclasses.asdict(version) for version in list_versions(two_versions)])
        )

    def test_without_versions_the_next_command_is_printed(self, clout, tmp_path):
        run = clout("versions", home=tmp_path)
        assert (run.returncode, run.stdout) == (0, "")
        assert "No version is registered yet. Next:\n  clout train EVENTS --home " in run.stderr

    def test_gate_as_json(self, clout):
        assert json.loads(clout("gate", "--version", "1", "--json").stdout) == {"model_version": "1", "passed": True}
        run = clout("gate", "--json")
        assert run.returncode == 2
        assert "version 2 of the model 'clout' has no report.json with a gate" in run.stderr

    def test_card_as_json(self, clout, bundle):
        card = json.loads(clout("card", "--json").stdout)
        assert (card["model_version"], card["features"]) == ("1", list(bundle.features))
        assert card["facts"]["events"] == bundle.facts["events"]
        assert "reference" not in card["facts"]
        assert card["report"] == {"gate": {"passed": True}}


def test_training_logs_its_events_and_commit(home, trained, simulated):
    facts = trained.bundle.facts
    assert facts["events"] == dataclasses.asdict(fingerprint(load_encoded_events(simulated.events), simulated.as_of))
    assert facts["source"] == source_version()
    (version,) = list_versions(home)
    assert version.trained_on["events_digest"] == facts["events"]["digest"]
    assert version.trained_on["clout_version"] == facts["source"]["version"]
    with mlflow_session(home) as mlflow:
        run = mlflow.get_run(version.run)
        (dataset,) = run.inputs.dataset_inputs
        assert (dataset.dataset.name, dataset.dataset.digest) == ("events", facts["events"]["digest"])
        tags = {tag.key: tag.value for tag in dataset.tags}
        assert (tags["mlflow.data.context"], tags["events"]) == ("training", str(facts["events"]["events"]))
        assert run.data.tags.get("mlflow.source.git.commit") == facts["source"].get("commit")


def test_the_commit_is_that_of_the_checkout(need):
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    need(head.returncode == 0, "the project is not a Git checkout here")
    assert source_version()["commit"].removesuffix("-dirty") == head.stdout.strip()


def test_no_commit_without_git(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(source_version()) == {"version"}
