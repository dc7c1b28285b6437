"""The commands about models: train, evaluate, card, gate, promote, monitor, attack."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.cli_options import MODEL, Events, HomeFolder, Identities, Json, encode_command_events, load_command_events
from features.console import print_json, progress_bars, warn
from training.cli_output import attacks_table, figures_table, tell_monitor, tell_promotion, tell_training
from training.home import home_from_environment

if TYPE_CHECKING:
    from ibis.expr.types import Table

    from training.config import Config
    from training.records.opt_outs import OptedOutUsers
    from training.registration import Release

PAST_LIMITS = 3

Force = Annotated[
    str | None,
    typer.Option(metavar="REASON", help="Promote even what fails the gate; the reason is kept with the version."),
]


def train(
    events: Events,
    as_of: Annotated[str | None, typer.Option(help="See nothing at or after this instant (ISO 8601, UTC).")] = None,
    config: Annotated[Path | None, typer.Option(help="A clout.toml; every field is optional.")] = None,
    identities: Identities = None,
    tune: Annotated[
        int | None,
        typer.Option(
            "--tune",
            min=1,
            help="Tune the model's settings in so many trials, those of earlier runs of the same training included.",
        ),
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also measure what each part of the recipe is worth, on past cutoffs.")
    ] = False,
    rescale: Annotated[
        bool, typer.Option("--rescale", help="Make a new scale; every score changes, and the command says how.")
    ] = False,
    force: Force = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Train a model, judge it out of time, register it, and make it the champion if it passes the gate.

    The model learns how many different people engage with somebody within the horizon. Its figures come from the same
    recipe fitted one horizon earlier, so they are out of time. The gate holds it against the baselines, the champion
    and the limits of [gate] in clout.toml, attacks among them, which takes a while.

    Exit code: 0 where it is the champion now, 3 where the gate failed and the champion stays, 2 on an error.

    Example: clout train events --as-of 2017-07-30
    """
    from features.utc import parse_utc
    from training.config import read_config
    from training.model_selection.tuning import TRIALS
    from training.records.opt_outs import load_opted_out_users
    from training.registration import release
    from training.registry.model_registry import find_champion
    from training.release.gate import normalize_override_reason
    from training.train import TrainOptions, train

    force = normalize_override_reason(force)
    settings, place = read_config(config), home_from_environment(home)
    out = load_opted_out_users(place)
    settings = _without_seeds(settings, out)
    acts = encode_command_events(events, settings.panel.scopes, identities, excluded=out)
    with progress_bars() as progress:
        at = parse_utc(as_of) if as_of else None
        attacked = _event_table(events, identities, out) if settings.gate.attacks else None
        options = TrainOptions(at, tune, place.folder / TRIALS, ablate, rescale)
        candidate = train(acts, settings, find_champion(place, check_catalogue=False), options, progress)
        made = release(candidate, place, attacked, force, progress)
    if json:
        print_json(_trained(made))
    else:
        tell_training(made)
    if not made.promoted:
        raise typer.Exit(PAST_LIMITS)


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
    from features.events.scopes import ALL
    from features.utc import parse_utc
    from training.evaluation.evaluate import evaluate_bundle
    from training.records.opt_outs import load_opted_out_users
    from training.registry.model_registry import load_champion

    place = home_from_environment(home)
    bundle, version = load_champion(place)
    acts = encode_command_events(events, [ALL], identities, excluded=load_opted_out_users(place))
    figures = evaluate_bundle(acts, bundle, parse_utc(as_of) if as_of else None)
    if figures.in_sample:
        warn("the champion has learnt from outcomes of this horizon: its figures are not out of time.")
    if json:
        print_json({"model_version": version, **figures.as_json()})
        return
    figures_table(figures)


def card(
    home: HomeFolder = None,
    version: Annotated[str | None, typer.Option(help="A version of the model; default the champion.")] = None,
) -> None:
    """Print the model card: what a model is for and not for, how well it foretells, for whom, and its limits.

    Example: clout card > card.md
    """
    from training.registry.run_documents import card

    typer.echo(card(home_from_environment(home), version), nl=False)


def gate(
    home: HomeFolder = None,
    version: Annotated[str | None, typer.Option(help="A version of the model; default the newest.")] = None,
) -> None:
    """Print the gate's report on a version: each finding with its limit, who moves furthest and why, and the attacks.

    Example: clout gate --version 3
    """
    from training.registry.run_documents import gate

    typer.echo(gate(home_from_environment(home), version), nl=False)


def promote(
    version: Annotated[str, typer.Argument(help="A version of the model, such as 3.")],
    force: Force = None,
    home: HomeFolder = None,
) -> None:
    """Make a version the champion: roll back to an earlier one, or go forward again.

    Old snapshots stay as they are; the next `clout score` and `clout train` take this version and its scale. A service
    takes it up when it is started again. A version that has not passed its gate needs --force REASON.

    Example: clout promote 2
    """
    from training.release.promotion import promote

    tell_promotion(promote(home_from_environment(home), version, force))


def monitor(
    events: Events,
    as_of: Annotated[
        str | None, typer.Option(help="Watch at this instant (keep to one time of day); default after the last event.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A clout.toml; its section \\[monitor] holds the limits.")] = None,
    identities: Identities = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Hold live features, scores and forecasts against those of the champion's training, and log it.

    Exit code: 0 where every limit is kept, 3 where one is passed, 2 where the question cannot be answered.

    Example: clout monitor events --as-of 2017-08-27
    """
    from features.events.scopes import ALL
    from features.utc import parse_utc
    from training.config import read_config
    from training.evaluation.report import to_json
    from training.monitor import check_reference, metrics_of, monitor
    from training.records.opt_outs import load_opted_out_users
    from training.registry.model_registry import load_champion, log_monitor

    settings, place = read_config(config), home_from_environment(home)
    bundle, version = load_champion(place)
    check_reference(bundle, version)
    acts = encode_command_events(events, [ALL], identities, excluded=load_opted_out_users(place))
    with progress_bars() as progress:
        found = monitor(acts, bundle, parse_utc(as_of) if as_of else None, settings, progress)
    report = {"model_version": version, **found}
    document = to_json(report)
    run = log_monitor(place, version, document, metrics_of(document))
    if json:
        print_json(document)
    else:
        tell_monitor(report, run)
    if not report["held"]:
        raise typer.Exit(PAST_LIMITS)


class Mode(StrEnum):
    """When attackers come in: after training, before it, or each in turn."""

    scoring = "scoring"
    training = "training"
    both = "both"


def attack(
    events: Annotated[
        Path | None,
        typer.Argument(help="Event table: a Parquet file, or a folder of them. Without one, a community is simulated."),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="scoring: attack the model as it is. training: fit it anew among attackers, then attack that; takes "
            "about six times as long, and twice the memory. both: one after the other."
        ),
    ] = Mode.scoring,
    as_of: Annotated[str | None, typer.Option(help="Attack just before this; default after the last event.")] = None,
    members: Annotated[int, typer.Option(min=20, help="How many ordinary members try each attack.")] = 30,
    users: Annotated[int, typer.Option(help="How many people are simulated, where no EVENTS are given.")] = 3_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same attacks, and community.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Also draw the report, as a .png file.")] = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Measure what each of eleven attacks gains, in points, under the champion and under every baseline.

    The acts of an attack are put among the events for ordinary members, and everybody is scored anew. With --mode
    training, 1 % of the accounts have attacked before every cutoff from which the model then learns; measured is what
    others gain under that model, and how much worse it ranks honest people. Nothing is kept.

    An attack is held where the median gain is at most its limit (twice that with --mode training), and a third of what
    the baseline gives away that ranks honest people best.

    Without EVENTS, a year of a community is simulated and the champion attacked in it; where the home has no champion,
    a model is trained on it, which is not kept either: 'clout attack' alone shows it all.

    Example: clout attack events --as-of 2017-07-30 --mode both --plot attacks.png
    """
    from features.utc import parse_utc
    from training.reports.attack_plots import check_plot_name, save_attack_plot
    from training.robustness.poisoning import run_attacks
    from training.robustness.sandbox import attack_environment

    if plot is not None:
        check_plot_name(plot)
    with (
        progress_bars() as progress,
        attack_environment(home_from_environment(home), events, users, seed, progress) as (table, bundle, version),
    ):
        report = run_attacks(mode, table, bundle, parse_utc(as_of) if as_of else None, members, seed, progress)
    if plot is not None:
        save_attack_plot(report, plot)
    if json:
        print_json({"model_version": version, **report.as_json()})
    else:
        attacks_table(report)


def _without_seeds(config: "Config", excluded: "OptedOutUsers") -> "Config":
    """Take people who are left out from the seeds of credibility, so that no model names them."""
    seeds = config.credibility.seeds
    kept = type(seeds)(seed for seed in seeds if seed not in excluded)
    if len(kept) == len(seeds):
        return config
    rule = "" if kept else ": none is left, and the rule chooses them"
    warn(f"{len(seeds) - len(kept)} of the {len(seeds)} seeds of credibility are left out{rule}.")
    return config.model_copy(update={"credibility": config.credibility.model_copy(update={"seeds": kept})})


def _event_table(events: Path, identities: Path | None, excluded: "OptedOutUsers") -> "Table | None":
    """Open what attacks are put among; a store has no events."""
    from features.events.store import is_store

    return None if is_store(events) else load_command_events(events, identities, excluded)


def _trained(made: "Release") -> dict:
    from training.registration import report_document

    return {
        "model_version": made.version,
        "promoted": made.promoted,
        "gate": made.verdict.as_json(),
        "facts": {name: fact for name, fact in made.bundle.facts.items() if name != "reference"},
        "scale": {"anchor": made.bundle.scale.anchor, "points_per_nat": made.bundle.scale.points_per_nat},
        "evaluation": report_document(made.measured, made.verdict),
        "tuned": _chosen(made),
    }


def _chosen(made: "Release") -> dict | None:
    if made.tuned is None:
        return None
    return {"model": made.tuned.model.model_dump(), "finished": made.tuned.finished, "pruned": made.tuned.pruned}


def add_to(app: typer.Typer) -> None:
    """Give the commands of this layer to the application."""
    for command in (train, evaluate, card, gate, promote, monitor, attack):
        app.command(rich_help_panel=MODEL)(command)
