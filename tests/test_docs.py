"""The README says what is so: its commands run, its configuration is the default, its words are the code's."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from features.catalogue import CATALOGUE
from features.events.event_table import ENGAGEMENTS, SCHEMA
from training.config import Config, read_config
from training.evaluation.baselines import BASELINES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *(ROOT / ".ci").iterdir(),
    ROOT / "pyproject.toml",
]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def clout(command, folder):
    words = shlex.split(command)
    environment = os.environ | {"CLOUT_HOME": str(folder / "clout-home"), "COLUMNS": "100"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    script = "import sys; from serving.cli.main import main; sys.argv[0] = 'clout'; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *words[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """Run the way through, as the README has it, in an empty folder."""
    folder = tmp_path_factory.mktemp("readme")
    way = next(block for block in blocks("sh") if block.startswith("clout simulate"))
    return folder, {line: clout(line, folder) for line in way.splitlines()}


def test_the_way_through_works(walked):
    folder, runs = walked
    for command, run in runs.items():
        assert run.returncode == 0, f"{command}\n{run.stderr}"
    assert (folder / "scores.parquet").exists()


def test_the_ledger_it_ends_with_adds_up(walked):
    folder, runs = walked
    *_, command = runs
    text = json.loads(clout(f"{command} --json", folder).stdout)
    assert text["base"] + sum(line["points"] for line in text["lines"]) == pytest.approx(text["unclipped"], abs=1e-6)


def test_the_points_of_everybody_add_up_to_the_scores(walked):
    folder, _ = walked
    points, scores = (pd.read_parquet(folder / f"{name}.parquet") for name in ("points", "scores"))
    assert points["user"].tolist() == scores["user"].tolist()
    added = points["base"] + points.drop(columns=["user", "scope", "base", "unclipped", "score"]).sum(axis=1)
    assert (added - points["unclipped"]).abs().max() < 1e-6
    assert (points["unclipped"].clip(0, 100) - scores["score"]).abs().max() < 1e-9


def test_python_of_the_readme_works(walked, monkeypatch):
    folder, _ = walked
    monkeypatch.chdir(folder)
    for block in blocks("python"):
        names = {}
        exec(block, names)
        assert len(names["rows"]) > 500


def test_imports_of_the_readme_are_understood(tmp_path):
    for line in next(block for block in blocks("sh") if block.startswith("clout import")).splitlines():
        run = clout(line, tmp_path)
        assert run.returncode == 2
        assert re.search(
            r"error: .*(acts\.csv\.gz|travel\.stackexchange\.com|archive|jetstream|hours|dumps"
            r"|topics|export|channels|result\.json)",
            run.stderr,
        ), run.stderr


def test_the_toml_of_the_readme_is_the_default(tmp_path):
    (block,) = blocks("toml")
    (tmp_path / "clout.toml").write_text(block)
    assert read_config(tmp_path / "clout.toml") == Config()
    assert tomllib.loads(block) == Config().model_dump(mode="json")


def test_the_gate_runs_the_readme_itself():
    for command in ("&& .venv/bin/python -m pytest", "&& .venv/bin/clout demo"):
        assert sum(line.endswith(command) for line in README.splitlines()) == 1
    gate = (ROOT / ".ci" / "run").read_text()
    assert r"readme '&& \.venv/bin/python -m pytest$'" in gate
    assert r"readme '&& \.venv/bin/clout demo$'" in gate


def test_words_and_columns_are_the_codes():
    for word in (*ENGAGEMENTS, *SCHEMA):
        assert word in README, word
    text = README.lower()
    for baseline in BASELINES:
        assert baseline.split("_")[-1] in text, baseline


def test_every_command_is_in_the_readme():
    listed = subprocess.run(
        [sys.executable, "-c", "import sys; from serving.cli.main import main; sys.argv = ['clout', '--help']; main()"],
        capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"},
    ).stdout  # fmt: skip
    commands = re.findall(r"^│ (\w+) ", listed, flags=re.MULTILINE)
    assert {"train", "import", "demo"} <= set(commands)
    for command in commands:
        assert f"clout {command}" in README, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_registry_or_a_machine(page):
    text = page.read_text()
    assert not re.search(r"https?://(?!www\.apache\.org|127\.0\.0\.1)\S+", text)
    assert not re.search(r"(?<![\w.])/(home|root|work|Users|opt)/", text)


def test_the_catalogue_of_the_readme_is_the_codes():
    text = README.partition("<!-- catalogue -->\n")[2].partition("\n<!-- /catalogue -->")[0]
    assert text == CATALOGUE.as_markdown()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_files_that_a_page_names_exist(page):
    paths = re.findall(r"`((?:features|training|serving|tests)/[\w./]*\w)`", (ROOT / page).read_text())
    assert len(paths) > 5
    assert [path for path in paths if "SOURCE" not in path and not (ROOT / path).exists()] == []
