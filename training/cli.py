"""The commands about models: train, evaluate, versions, card, gate, monitor, attack."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.cli_options import (
    MODEL,
    Engine,
    Events,
    HomeFolder,
    Identities,
    Json,
    encode_command_events,
    load_command_events,
    parse_instant,
    read_command_identities,
)
from features.console import print_commands, print_json, print_markdown, print_message, progress_bars, warn
from training.cli_output import attacks_table, figures_table, print_monitoring, print_training, versions_table
from training.home import existing_home, home_from_environment

if TYPE_CHECKING:
    from training.config import Config
    from training.records.opt_outs import OptedOutUsers
    from training.release.release_candidate import Release

PAST_LIMITS = 3

Force = Annotated[
    str | None,
    typer.Option(metavar="REASON", help="Promote a version that fails the gate; the reason is stored with it."),
]


def train(
    events: Events,
    as_of: Annotated[str | None, typer.Option(help="Use only events before this instant (ISO 8601, UTC).")] = None,
    config: Annotated[Path | None, typer.Option(help="A clout.toml; every field is optional.")] = None,
    identities: Identities = None,
    tune: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tune the hyper-parameters in this many trials, including those of earlier runs of this training.",
        ),
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also measure the effect of each part of the recipe, on past cutoffs.")
    ] = False,
    rescale: Annotated[
        bool, typer.Option("--rescale", help="Make a new scale; every score changes, and the command prints how.")
    ] = False,
    sample_rows: Annotated[
        int | None,
        typer.Option(
            min=1_000,
            help="Train on a sample of users with about so many rows, those with many engagements all of them; "
            "default [panel] rows, else all rows.",
        ),
    ] = None,
    force: Force = None,
    home: HomeFolder = None,
    engine: Engine = "duckdb",
    json: Json = False,
) -> None:
    """Train a model, evaluate it out of time, register it, and make it the champion if it passes the gate.

    The model predicts how many different people engage with a user within the horizon. Its figures come from the same
    recipe fitted one horizon earlier, so they are out of time. The gate compares it with the baselines, the champion
    and the limits of [gate] in clout.toml, including attacks, which take a while.

    Exit code: 0 if it is the champion now, 3 if the gate failed and the champion stays, 2 on an error.

    Example: clout train events --as-of 2017-07-30
    """
    from features.events.store import is_store
    from training.config import read_config
    from training.model_selection.tuning import TRIALS
    from training.records.opt_outs import load_opted_out_users
    from training.registry.model_registry import find_champion, require_writable
    from training.release.gate import normalize_override_reason
    from training.release.release_candidate import release
    from training.train import TrainOptions, train

    force = normalize_override_reason(force)
    settings, clout_home = read_config(config), home_from_environment(home)
    excluded = load_opted_out_users(clout_home)
    settings = _with_sample(_without_seeds(settings, excluded), sample_rows)
    encoded = encode_command_events(events, settings.panel.scopes, identities, engine, excluded)
    require_writable(clout_home)
    with progress_bars() as progress:
        # A store holds no events to add attacks to, and an engine may hold more than this machine can attack.
        attackable = settings.gate.attacks and engine == "duckdb" and not is_store(events)
        attack_events = load_command_events(events, identities, excluded) if attackable else None
        options = TrainOptions(parse_instant(as_of), tune, clout_home.folder / TRIALS, ablate, rescale)
        champion = find_champion(clout_home, check_catalogue=False)
        candidate = train(encoded, settings, champion, options, progress, _print_size)
        result = release(candidate, clout_home, attack_events, force, progress)
    if json:
        print_json(_training_json(result))
    else:
        print_training(result, clout_home)
    if not result.promoted:
        raise typer.Exit(PAST_LIMITS)


def evaluate(
    events: Events,
    as_of: Annotated[str | None, typer.Option(help="Start of the horizon; default the newest complete one.")] = None,
    identities: Identities = None,
    engine: Engine = "duckdb",
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Evaluate the champion and the baselines on the newest complete horizon.

    Example: clout evaluate events --json
    """
    from features.events.scopes import ALL
    from training.evaluation.evaluate import evaluate_bundle
    from training.records.opt_outs import load_opted_out_users
    from training.registry.model_registry import load_champion

    clout_home = existing_home(home, "tracking_uri")
    bundle, version = load_champion(clout_home)
    encoded = encode_command_events(events, [ALL], identities, engine, load_opted_out_users(clout_home))
    evaluation = evaluate_bundle(encoded, bundle, parse_instant(as_of))
    if evaluation.in_sample:
        warn("the champion was trained on this horizon: its figures are not out of time.")
    if json:
        print_json({"model_version": version, **evaluation.as_json()})
    else:
        figures_table(evaluation)


def card(
    home: HomeFolder = None,
    version: Annotated[str | None, typer.Option(help="A version of the model; default the champion.")] = None,
    json: Json = False,
) -> None:
    """Print the model card: intended and prohibited uses, accuracy by group of users, and limits.

    --json prints the figures behind it: what the model was trained on, and its evaluation.

    Example: clout card > card.md
    """
    from training.registry.run_documents import card, card_json

    folder = existing_home(home, "tracking_uri")
    print_json(card_json(folder, version)) if json else print_markdown(card(folder, version))


def gate(
    home: HomeFolder = None,
    version: Annotated[str | None, typer.Option(help="A version of the model; default the newest.")] = None,
    json: Json = False,
) -> None:
    """Print the gate's report on a version: each finding with its limit, the largest score changes, and the attacks.

    Example: clout gate --version 3
    """
    from training.registry.run_documents import gate, gate_json

    folder = existing_home(home, "tracking_uri")
    print_json(gate_json(folder, version)) if json else print_markdown(gate(folder, version))


def versions(home: HomeFolder = None, json: Json = False) -> None:
    """List the registered versions of the model, newest first: dates, the gate, figures and aliases.

    --json adds what each was trained on: the events' number, span and digest, the project's version and its commit.

    Example: clout versions
    """
    from training.registry.version_list import list_versions

    folder = existing_home(home, "tracking_uri")
    registered = list_versions(folder)
    if json:
        print_json([asdict(version) for version in registered])
    elif registered:
        versions_table(registered)
    else:
        print_commands("No version is registered yet. Next:", {folder.command("train EVENTS"): ""})


def monitor(
    events: Events,
    as_of: Annotated[
        str | None, typer.Option(help="Instant to monitor (use the same time of day); default after the last event.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A clout.toml; its section \\[monitor] has the limits.")] = None,
    identities: Identities = None,
    engine: Engine = "duckdb",
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Measure the drift of features and scores since the champion's training, evaluate its predictions, and log both.

    Exit code: 0 within all limits, 3 past a limit, 2 on an error.

    Example: clout monitor events --as-of 2017-08-27
    """
    from features.events.scopes import ALL
    from training.config import read_config
    from training.drift import check_reference, monitor
    from training.records.opt_outs import load_opted_out_users
    from training.registry.model_registry import load_champion, log_monitor

    settings, clout_home = read_config(config), existing_home(home, "tracking_uri")
    bundle, version = load_champion(clout_home)
    check_reference(bundle, version)
    encoded = encode_command_events(events, [ALL], identities, engine, load_opted_out_users(clout_home))
    with progress_bars() as progress:
        report = monitor(encoded, bundle, parse_instant(as_of), settings, progress)
    document = {"model_version": version, **report.as_json()}
    run = log_monitor(clout_home, version, document, report.metrics())
    if json:
        print_json(document)
    else:
        print_monitoring(report, version, run)
    if not report.within_limits:
        raise typer.Exit(PAST_LIMITS)


class Mode(StrEnum):
    """When attackers join: after training, before it, or both in turn."""

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
            help="scoring: attack the model as it is. training: fit it again among attackers and attack the result, "
            "which takes about six times as long and twice the memory. both: one after the other."
        ),
    ] = Mode.scoring,
    as_of: Annotated[str | None, typer.Option(help="Attack just before this; default after the last event.")] = None,
    members: Annotated[int, typer.Option(min=20, help="How many ordinary members carry out each attack.")] = 30,
    users: Annotated[int, typer.Option(help="How many users are simulated if no EVENTS are given.")] = 3_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same attacks and community.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Also plot the report to a .png file.")] = None,
    identities: Identities = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Measure what eleven attacks by fake accounts and thirty alliances of real users gain, under the champion.

    The events of an attack are added for ordinary members, and all users are scored again. With --mode training, 1 % of
    the accounts attack before every cutoff of the training; the command measures what others gain under that model, and
    how much worse it ranks honest users. Nothing is stored.

    An attack is within its limit if the median gain is at most the limit (twice that with --mode training) and at most
    a third of the gain under the baseline that ranks honest users best. An alliance is within its limit if the median
    gain in expected people is. A gate fails only where the whole 95 % interval of a median lies beyond its limit.

    Without EVENTS, a year of a community is simulated and the champion attacked in it. If the home has no champion, a
    model is trained on the simulated events and not stored, so 'clout attack' works without any data.

    Example: clout attack events --as-of 2017-07-30 --mode both --plot attacks.png
    """
    from training.reports.attack_plots import check_plot_name, save_attack_plot
    from training.robustness.attack_environment import attack_environment
    from training.robustness.poisoning import run_attacks

    if plot is not None:
        check_plot_name(plot)
    if identities is not None and events is None:
        raise typer.BadParameter("--identities merges accounts of EVENTS: give EVENTS.")
    accounts, folder = read_command_identities(identities), home_from_environment(home)
    with (
        progress_bars() as progress,
        attack_environment(folder, events, users, seed, progress, accounts) as (table, bundle, version),
    ):
        report = run_attacks(mode, table, bundle, parse_instant(as_of), members, seed, progress)
    if plot is not None:
        save_attack_plot(report, plot)
    if json:
        print_json({"model_version": version, **report.as_json()})
    else:
        attacks_table(report)


def _without_seeds(config: "Config", excluded: "OptedOutUsers") -> "Config":
    """Remove excluded users from the seeds of credibility, so that no model contains their ids."""
    seeds = config.credibility.seeds
    remaining = type(seeds)(seed for seed in seeds if seed not in excluded)
    if len(remaining) == len(seeds):
        return config
    rule = "" if remaining else ": none remains, so the default rule selects them"
    warn(f"{len(seeds) - len(remaining)} of the {len(seeds)} seeds of credibility are excluded{rule}.")
    return config.model_copy(update={"credibility": config.credibility.model_copy(update={"seeds": remaining})})


def _with_sample(config: "Config", rows: int | None) -> "Config":
    """Let the panel have about so many rows; None leaves what the configuration says."""
    if rows is None:
        return config
    return config.model_copy(update={"panel": config.panel.model_copy(update={"rows": rows})})


def _print_size(text: str, fits: bool) -> None:
    (print_message if fits else warn)(text)


def _training_json(result: "Release") -> dict[str, Any]:
    from training.release.release_candidate import report_document

    tuned, scale = result.tuned, result.bundle.scale
    return {
        "model_version": result.version,
        "promoted": result.promoted,
        "gate": result.verdict.as_json(),
        "facts": {name: fact for name, fact in result.bundle.facts.items() if name != "reference"},
        "scale": asdict(scale),
        "evaluation": report_document(result.measured, result.verdict),
        "tuned": tuned and {"model": tuned.model.model_dump(), "finished": tuned.finished, "pruned": tuned.pruned},
    }


def add_to(app: typer.Typer) -> None:
    """Add the commands of this layer to the application."""
    for command in (train, evaluate, versions, card, gate, monitor, attack):
        app.command(rich_help_panel=MODEL)(command)
