"""The `clout` command: its help, and the imports of each command."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version

import pandas as pd
import pytest
from typer.testing import CliRunner

from features.cli_options import CAMPAIGN, DATA, MODEL, PRIVACY, REVIEW, SERVICE
from serving.cli.main import app
from training.home import Home
from training.registry.model_registry import promote

COMMANDS = {
    DATA: "simulate store features import",
    MODEL: "train evaluate versions card gate monitor attack promote",
    REVIEW: "explain history change what-if cases case resolve",
    CAMPAIGN: "find pick",
    SERVICE: "score serve demo keys snapshots",
    PRIVACY: "opt-out forget receipt audit",
}
UNUSED = {
    "mlflow", "fastapi", "sklearn", "matplotlib", "shap", "optuna", "ibis.backends.duckdb", "scipy.optimize",
    "scipy.special", "charset_normalizer",
}  # fmt: skip
PRINT_MODULES = """
import sys
from serving.cli.main import main
try:
    main()
except SystemExit as end:
    print(end.code or 0, *sys.modules)
"""


def test_help_groups_the_commands_by_audience():
    lines = CliRunner().invoke(app, ["--help"]).stdout.splitlines()
    panels: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("╭"):
            panels[line.strip("╭╮─ ")] = commands = []
        elif line.startswith("│ ") and line[2] not in " -":
            commands.append(line.split()[1])
    assert list(panels) == ["Options", *COMMANDS]
    assert {panel: " ".join(panels[panel]) for panel in COMMANDS} == COMMANDS


def test_every_command_has_a_summary_of_one_sentence():
    summaries = {info.callback.__name__: info.callback.__doc__.split("\n\n")[0] for info in app.registered_commands}
    wrong = {name: text for name, text in summaries.items() if not text.strip().endswith(".") or len(text) > 160}
    assert wrong == {}


@pytest.mark.parametrize(
    "words",
    [["explain", "user0001"], ["history", "user0001"], ["change", "user0001"], ["what-if", "user0001"], ["cases"]],
)
def test_a_review_command_imports_only_what_it_uses(home, words):
    command = [sys.executable, "-c", PRINT_MODULES, *words, "--home", str(home.folder), "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    code, *modules = run.stdout.splitlines()[-1].split()
    assert int(code) == (2 if words[0] == "change" else 0), run.stderr  # there is only one snapshot
    assert UNUSED & set(modules) == set()


def test_explain_prints_one_json_document_in_its_own_process(home):
    command = [sys.executable, "-c", "from serving.cli.main import main; main()", "explain", "user0001", "--json"]
    run = subprocess.run([*command, "--home", str(home.folder)], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["user"] == "user0001"


def test_the_version_is_printed():
    run = CliRunner().invoke(app, ["--version"])
    assert (run.exit_code, run.stdout) == (0, f"clout {version('clout-score')}\n")


@pytest.mark.parametrize("command", ["evaluate", "monitor", "score"])
def test_too_little_memory_is_reported_in_one_line_with_the_setting(clout, registry, tmp_path, monkeypatch, command):
    home = Home(shutil.copytree(registry.folder, tmp_path / "home"))
    promote(home, "1")
    times = pd.date_range("2025-01-01", periods=5_000, freq="h", tz="UTC").as_unit("us")
    users = [f"u{k % 700}" for k in range(len(times) + 1)]
    events = pd.DataFrame({"time": times, "actor": users[:-1], "verb": "like", "target": users[1:]})
    events.to_parquet(tmp_path / "events.parquet")
    monkeypatch.setenv("CLOUT_MEMORY", "2MB")
    run = clout(home, command, str(tmp_path / "events.parquet"))
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == (
        "error: the memory of 2MB does not suffice; set CLOUT_MEMORY to more, such as 16GB."
    )
