"""The commands that score users and answer requests; the table of all commands of this layer."""

import gc
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from features.cli_options import (
    PRIVACY,
    REVIEW,
    SERVICE,
    Database,
    Events,
    HomeFolder,
    Identities,
    Json,
    Scopes,
    encode_command_events,
    parse_instant,
)
from features.console import print_json, print_message, progress_bars, warn
from serving.cli.keys import keys
from serving.cli.privacy import audit, case, cases, forget, opt_out, receipt, resolve
from serving.cli.review import change, explain, history, what_if
from training.home import Home, home_from_environment


def score(
    events: Events,
    out: Annotated[Path, typer.Option(help="Where the scores go: a .parquet file. A snapshot is written as well.")],
    as_of: Annotated[str | None, typer.Option(help="Score at this instant; default just after the last event.")] = None,
    scope: Scopes = None,
    identities: Identities = None,
    points: Annotated[
        Path | None, typer.Option(help="Where every user's points per feature go: a .parquet file.")
    ] = None,
    database: Database = None,
    home: HomeFolder = None,
) -> None:
    """Score every user with the champion: one row per user and scope; the default scopes are the champion's.

    Example: clout score events --as-of 2017-07-30 --out scores.parquet
    """
    from features.events.loading import check_scopes, resolve_as_of
    from features.utc import parse_utc
    from serving.scoring import score_users, write_points
    from serving.snapshots.repository import write_scores, write_snapshot
    from training.records.opt_outs import load_opted_out_users
    from training.registry.model_registry import load_champion

    folder = home_from_environment(home, database)
    bundle, version = load_champion(folder)
    scopes = scope or bundle.scopes
    encoded = encode_command_events(events, scopes, identities, excluded=load_opted_out_users(folder))
    check_scopes(encoded, scopes)
    at = resolve_as_of(encoded.rows, parse_instant(as_of))
    trained = parse_utc(bundle.facts["as_of"])
    if trained > at:
        warn(f"the champion was trained on events up to {trained:%Y-%m-%d}, later than this as_of: no forecast.")
    with progress_bars() as progress:
        scores, rows = score_users(encoded, at, bundle, version, progress)
    write_scores(scores, out)
    if points is not None:
        write_points(bundle, rows, points)
    snapshot = write_snapshot(folder, at, bundle, version, scores, rows)
    print_message(f"{len(scores):,} scores as of {at:%Y-%m-%d %H:%M:%S} UTC by version {version} in {out}.")
    also = ", and in the database" if folder.database else ""
    print_message(f"Snapshot: {snapshot}{also}. Next: clout explain USER, or clout serve.")


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Requests per second per API key, or per address without keys; 0: unlimited. "
            "Default: 200 per key, unlimited without keys.",
        ),
    ] = None,
    refresh: Annotated[float, typer.Option(help="Seconds between checks for a newer champion or snapshot.")] = 5.0,
    demand_purpose: Annotated[
        bool, typer.Option(help="Refuse requests about users without a purpose in the header Clout-Purpose.")
    ] = False,
    allow_purpose: Annotated[
        list[str] | None,
        typer.Option(
            help="A purpose that requests may name; may be given again. Default: those of CLOUT_PURPOSES, separated by "
            "commas, else the built-in list."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of worker processes, such as one per core.")] = 1,
    check: Annotated[
        bool, typer.Option("--check", help="Check what a start needs, report what is missing, and exit.")
    ] = False,
    database: Database = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Serve scores and explanations over HTTP; the API documentation is at /docs.

    A loopback address needs no API keys; any other address refuses to start without them: see clout keys.

    Example: clout serve --port 8000
    """
    folder = home_from_environment(home, database)
    if check:
        raise typer.Exit(_print_check(folder, host, port, json))
    gc.disable()  # objects created at startup stay alive: collecting among them takes a sixth of the startup time
    try:
        from serving.app import serve
        from serving.middleware.request_limits import Limits
        from serving.privacy.purposes import purpose_policy

        print_message(f"API documentation: http://{host}:{port}/docs (stop with Ctrl-C)")
        serve(folder, host, port, Limits(rate), refresh, purpose_policy(demand_purpose, allow_purpose), workers)
    finally:
        gc.enable()


def _print_check(home: Home, host: str, port: int, json: bool) -> int:
    """Print what a start would find and return the exit code: 2 if anything is missing."""
    from serving.runtime.startup_check import check_start

    findings = check_start(home, host, port)
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{'ok     ' if finding.holds else 'MISSING'} {finding.message}")
    return 0 if all(finding.holds for finding in findings) else 2


def demo(
    users: Annotated[int, typer.Option(help="Number of simulated users.")] = 6_000,
    days: Annotated[int, typer.Option(help="Number of simulated days.")] = 420,
    seed: Annotated[int, typer.Option(help="The same seed gives the same demo.")] = 0,
    home: HomeFolder = None,
) -> None:
    """Simulate a community, train, score and explain, then print the next commands to try.

    Example: clout demo
    """
    from serving.cli.demo import demo

    demo(home_from_environment(home), users, days, seed)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this layer to the application."""
    panels = {
        REVIEW: (explain, history, change, what_if, cases, case, resolve),
        SERVICE: (score, serve, demo),
        PRIVACY: (opt_out, forget, receipt, audit),
    }
    for panel, commands in panels.items():
        for command in commands:
            app.command(rich_help_panel=panel)(command)
    app.add_typer(keys, name="keys", rich_help_panel=SERVICE)
