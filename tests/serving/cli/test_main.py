"""The command as a whole: its help, and what each command imports."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from features.cli_options import CAMPAIGN, DATA, MODEL, PRIVACY, REVIEW, SERVICE
from serving.cli.main import app

COMMANDS = {
    DATA: "simulate store features import",
    MODEL: "train evaluate versions card gate monitor attack promote",
    REVIEW: "explain history change what-if cases case resolve",
    CAMPAIGN: "find pick",
    SERVICE: "score serve demo keys",
    PRIVACY: "opt-out forget receipt audit",
}
UNUSED = {"mlflow", "fastapi", "sklearn", "matplotlib", "shap", "optuna", "ibis.backends.duckdb"}
PRINT_MODULES = """
import sys
from serving.cli.main import main
try:
    main()
except SystemExit as end:
    print(end.code or 0, *sys.modules)
"""


def test_help_groups_the_commands_by_who_uses_them():
    lines = CliRunner().invoke(app, ["--help"]).stdout.splitlines()
    panels: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("╭"):
            panels[line.strip("╭╮─ ")] = commands = []
        elif line.startswith("│ ") and line[2] not in " -":
            commands.append(line.split()[1])
    assert list(panels) == ["Options", *COMMANDS]
    assert {panel: " ".join(panels[panel]) for panel in COMMANDS} == COMMANDS


def test_every_command_explains_itself_in_one_sentence():
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


def test_explain_prints_one_document_in_a_process_of_its_own(home):
    command = [sys.executable, "-c", "from serving.cli.main import main; main()", "explain", "user0001", "--json"]
    run = subprocess.run([*command, "--home", str(home.folder)], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["user"] == "user0001"


def test_the_version_is_printed():
    run = CliRunner().invoke(app, ["--version"])
    assert (run.exit_code, run.stdout) == (0, f"clout {version('clout-score')}\n")
