"""The commands that make and judge models: train, evaluate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.commands import Events, Identities, open_as_asked
from features.terminal import Json, as_json, say, steps, table, warn
from training.home import home_from_environment

if TYPE_CHECKING:
    from training.train import Trained

FIGURES = {"auc": "AUC", "ndcg_100": "NDCG@100", "r2_log": "R2 (log)", "total": "total", "coverage": "coverage"}

HomeFolder = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of models and snapshots; default $CLOUT_HOME, else ./clout-home."),
]


def train(
    events: Events,
    as_of: Annotated[str | None, typer.Option(help="See nothing at or after this instant (ISO 8601, UTC).")] = None,
    config: Annotated[Path | None, typer.Option(help="A clout.toml; every field is optional.")] = None,
    identities: Identities = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Train a model, judge it out of time, register it, and make it the champion if it passes the gate.

    The model learns how many different people engage with somebody within the horizon. Its figures come from the same
    recipe fitted one horizon earlier, so they are out of time.

    Example: clout train events --as-of 2017-07-30
    """
    from features.events import instant
    from training.config import read_config
    from training.train import train

    settings, place = read_config(config), home_from_environment(home)
    acts = open_as_asked(events, settings.panel.scopes, identities)
    with steps() as progress:
        made = train(acts, settings, place, instant(as_of) if as_of else None, progress)
    if json:
        as_json(_trained(made))
        return
    figures_table(made.evaluation)
    _tell(made)


def evaluate(
    events: Events,
    as_of: Annotated[str | None, typer.Option(help="Judge the horizon from here; default the newest complete.")] = None,
    identities: Identities = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Judge the champion against the baselines on the newest complete horizon.

    Example: clout evaluate events --json
    """
    from features.events import instant
    from features.scopes import ALL
    from training.evaluation import evaluate_bundle
    from training.registry import required_champion

    bundle, version = required_champion(home_from_environment(home))
    figures = evaluate_bundle(open_as_asked(events, [ALL], identities), bundle, instant(as_of) if as_of else None)
    if figures["in_sample"]:
        warn(f"the champion has seen this horizon: {', '.join(figures['in_sample'])} are not out of time.")
    if json:
        as_json({"model_version": version, **figures})
        return
    figures_table(figures)


def figures_table(figures: dict) -> None:
    """Print the score's figures beside every baseline's, and its lead over the best of them."""
    rows = [
        [name.replace("_", " "), *(f"{held[key]:.3f}" if key in held else "" for key in FIGURES)]
        for name, held in figures["metrics"].items()
    ]
    until = f"{figures['horizon_days']} days from {figures['as_of'][:10]}"
    table(f"What was foretold: {figures['users']:,} users, {until}", ["signal", *FIGURES.values()], rows)
    leads = [
        [FIGURES[key], lead["best_baseline"].replace("_", " "), f"{lead['margin']:+.3f}", _range(lead)]
        for key, lead in figures["margins"].items()
    ]
    table("Lead of the score over the best baseline", ["figure", "best baseline", "lead", "95 % interval"], leads, 2)


def _range(lead: dict) -> str:
    return f"{lead['low']:+.3f} to {lead['high']:+.3f}"


def _trained(made: "Trained") -> dict:
    return {
        "model_version": made.version,
        "promoted": made.promoted,
        "gate": {"passed": made.verdict.passed, "findings": list(made.verdict.findings)},
        "facts": made.bundle.facts,
        "scale": {"anchor": made.bundle.scale.anchor, "points_per_nat": made.bundle.scale.points_per_nat},
        "evaluation": made.evaluation,
    }


def _tell(made: "Trained") -> None:
    for finding in made.verdict.findings:
        say(f"gate: {finding}")
    if made.promoted and not made.verdict.passed:
        warn("the gate failed; promoted all the same, because there was no champion to keep.")
    role = "champion" if made.promoted else "challenger; the champion stays"
    say(f"Registered as version {made.version} of the model 'clout', {role}.")


def add_to(app: typer.Typer) -> None:
    """Give the commands of this layer to the application."""
    app.command()(train)
    app.command()(evaluate)
