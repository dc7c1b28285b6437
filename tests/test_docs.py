"""README and docs are true: commands run, the configuration is the default, words are the code's, links lead on."""

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
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = {page: page.read_text() for page in PAGES}
README = TEXT[ROOT / "README.md"]
ALL_TEXT = "\n".join(TEXT.values())
PUBLISHED = [
    *PAGES,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *(ROOT / ".ci").iterdir(),
    ROOT / "pyproject.toml",
]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", ALL_TEXT, flags=re.MULTILINE | re.DOTALL)


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


def test_python_of_the_pages_works(walked, monkeypatch):
    folder, _ = walked
    monkeypatch.chdir(folder)
    for block in blocks("python"):
        names = {}
        exec(block, names)
        assert len(names["rows"]) > 500


def test_imports_of_the_pages_are_understood(tmp_path):
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("clout import")]
    assert len(lines) > 10
    for line in lines:
        run = clout(line, tmp_path)
        assert run.returncode == 2
        assert re.search(
            r"error: .*(acts\.csv\.gz|posts\.csv|travel\.stackexchange\.com|archive|jetstream|hours|dumps"
            r"|topics|export|channels|result\.json)",
            run.stderr,
        ), run.stderr


def test_the_toml_of_the_pages_is_the_default(tmp_path):
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
        assert word in ALL_TEXT, word
    text = ALL_TEXT.lower()
    for baseline in BASELINES:
        assert baseline.split("_")[-1] in text, baseline


def test_every_command_is_on_a_page():
    listed = subprocess.run(
        [sys.executable, "-c", "import sys; from serving.cli.main import main; sys.argv = ['clout', '--help']; main()"],
        capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"},
    ).stdout  # fmt: skip
    commands = re.findall(r"^│ ([\w-]+) ", listed, flags=re.MULTILINE)
    assert {"train", "import", "opt-out"} <= set(commands)
    for command in commands:
        assert f"clout {command}" in ALL_TEXT, command


@pytest.mark.parametrize("page", PUBLISHED, ids=lambda page: page.name)
def test_no_page_names_a_registry_or_a_machine(page):
    text = page.read_text()
    assert not re.search(r"https?://(?!www\.apache\.org|127\.0\.0\.1)\S+", text)
    assert not re.search(r"(?<![\w.])/(home|root|work|Users|opt)/", text)


def test_the_catalogue_of_the_pages_is_the_codes():
    text = ALL_TEXT.partition("<!-- catalogue -->\n")[2].partition("\n<!-- /catalogue -->")[0]
    assert text == CATALOGUE.as_markdown()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    paths = re.findall(r"`((?:features|training|serving|tests|docs)/[\w./]*\w)`", page.read_text())
    assert [path for path in paths if "SOURCE" not in path and not (ROOT / path).exists()] == []


def anchors(page):
    """Return the anchors of a page's headings, made as renderers of Markdown make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_to_pages_and_headings(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_one_click_from_the_readme():
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README)}
    assert [str(page.relative_to(ROOT)) for page in PAGES[1:] if str(page.relative_to(ROOT)) not in links] == []
