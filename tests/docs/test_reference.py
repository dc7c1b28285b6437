"""The reference pages match the code: generated parts are current, and everything visible to users is on a page."""

import re
import tomllib
from pathlib import Path

import pytest
import typer.main
from generate import ENVIRONMENT, PART, generate, metrics
from run_pages import blocks, pages

from features.catalogue import CATALOGUE
from features.events.event_table import SCHEMA, VERBS
from serving.api.problems import KINDS
from serving.app import create_app
from serving.cli.main import app
from serving.pages.install import ROUTERS
from training.config import Config, read_config
from training.evaluation.baselines import BASELINES
from training.home import Home
from training.robustness.attacks import ATTACKS

ROOT = Path(__file__).parents[2]
TEXT = "\n".join(page.read_text() for page in pages())


@pytest.mark.parametrize(
    "page", [page for page in pages() if PART.search(page.read_text())], ids=lambda page: page.name
)
def test_generated_parts_are_current(page):
    text = page.read_text()
    assert generate(text) == text, "run python docs/generate.py to update them"


def commands(path, command):
    children = getattr(command, "commands", {})
    return [pair for name, child in children.items() for pair in commands(f"{path} {name}", child)] or [(path, command)]


COMMANDS = commands("clout", typer.main.get_command(app))


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_commands_and_options_are_on_a_page(path, command):
    assert f"`{path}`" in TEXT
    options = [name for parameter in command.params for name in parameter.opts if name.startswith("--")]
    assert [name for name in options if name != "--help" and not re.search(rf"`{name}[` =]", TEXT)] == []


def option_names(command):
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


def test_options_that_pages_name_exist():
    options = {path.removeprefix("clout "): option_names(command) for path, command in COMMANDS}
    names = "|".join(sorted(options, key=len, reverse=True))
    named = [match.groups() for match in re.finditer(rf"clout ({names})\b([^`\n|;&]*)", TEXT)]
    pairs = [(command, option) for command, rest in named for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", rest)]
    assert [(command, option) for command, option in pairs if option not in options[command]] == []
    assert len(pairs) > 200


def test_routes_are_on_a_page(tmp_path):
    paths = create_app(Home(tmp_path)).openapi()["paths"]
    assert [
        path for path, methods in paths.items() for method in methods if f"`{method.upper()} {path}`" not in TEXT
    ] == []


def test_pages_of_the_service_are_on_a_page():
    paths = {route.path for router in ROUTERS for route in router.routes if "GET" in route.methods}
    names = {re.sub(r"\{(\w+)(:\w+)?\}", lambda match: match[1].upper(), path) for path in paths}
    assert [name for name in names if f"`{name}`" not in TEXT] == []


def test_features_events_problems_and_metrics_are_on_a_page():
    names = [
        *CATALOGUE.names,
        *SCHEMA,
        *VERBS,
        *(kind for _, _, kind in KINDS),
        *re.findall(r"`(clout_\w+)`", metrics()),
    ]
    assert [name for name in names if f"`{name}`" not in TEXT] == []


def test_baselines_and_attacks_are_on_a_page():
    names = [*BASELINES, *(attack.name for attack in ATTACKS)]
    assert [name for name in names if f"`{name}`" not in TEXT] == []


def test_environment_variables_are_on_a_page():
    sources = [file for layer in ("features", "training", "serving") for file in (ROOT / layer).rglob("*.py")]
    text = "\n".join(file.read_text() for file in sources)
    used = set(re.findall(r"\b(?:CLOUT_[A-Z_]+|FORWARDED_ALLOW_IPS|MLFLOW_TRACKING_URI|MLFLOW_REGISTRY_URI)\b", text))
    assert used - {name for name in ENVIRONMENT if f"`{name}`" in TEXT} == set()


def test_the_configuration_of_the_pages_is_the_default(tmp_path):
    (block,) = [
        block.text for page in pages() for block in blocks(page) if block.language == "toml" and "[gate]" in block.text
    ]
    (tmp_path / "clout.toml").write_text(block)
    assert read_config(tmp_path / "clout.toml") == Config()
    assert tomllib.loads(block) == Config().model_dump(mode="json")
