"""The commands that give answers; those of reviewers are in `review`."""

import gc
from pathlib import Path
from typing import Annotated

import typer

from features.cli import Events, Identities, Scopes, open_as_asked
from features.console import Json, print_json, print_message, progress_bars, warn
from serving.cli.cases_and_audit import audit, case, cases, resolve
from serving.cli.keys import keys
from serving.cli.opt_out_and_deletion import forget, opt_out, receipt
from serving.cli.review import change, explain, history, what_if
from training.cli import HomeFolder
from training.home import Home, home_from_environment

Database = Annotated[
    str | None,
    typer.Option(
        help="URL of a PostgreSQL that replicas share; better as CLOUT_DATABASE, which no process list shows."
    ),
]


def score(
    events: Events,
    out: Annotated[Path, typer.Option(help="Where the scores go: a .parquet file. A snapshot is kept as well.")],
    as_of: Annotated[str | None, typer.Option(help="Score at this instant; default just after the last event.")] = None,
    scope: Scopes = None,
    identities: Identities = None,
    points: Annotated[
        Path | None, typer.Option(help="Where everybody's points per feature go: a .parquet file.")
    ] = None,
    database: Database = None,
    home: HomeFolder = None,
) -> None:
    """Score everybody with the champion: one row per user and scope; the scopes are the champion's unless given.

    Example: clout score events --as-of 2017-07-30 --out scores.parquet
    """
    from features.events.loading import check_scopes, resolve_as_of
    from features.utc import parse_utc
    from serving.scoring import score_users, write_points
    from serving.snapshots.repository import write_scores, write_snapshot
    from training.records.opt_outs import load_opted_out_users
    from training.registry.model_registry import load_champion

    place = home_from_environment(home, database)
    bundle, version = load_champion(place)
    scopes = scope or bundle.scopes
    acts = open_as_asked(events, scopes, identities, excluded=load_opted_out_users(place))
    check_scopes(acts, scopes)
    at = resolve_as_of(acts.rows, parse_utc(as_of) if as_of else None)
    seen = parse_utc(bundle.facts["as_of"])
    if seen > at:
        warn(f"the champion has seen events up to {seen:%Y-%m-%d}, later than this as_of: its scores are no forecast.")
    with progress_bars() as progress:
        scores, rows = score_users(acts, at, bundle, version, progress)
    write_scores(scores, out)
    if points is not None:
        write_points(bundle, rows, points)
    snapshot = write_snapshot(place, at, bundle, version, scores, rows)
    print_message(f"{len(scores):,} scores as of {at:%Y-%m-%d %H:%M:%S} UTC by version {version} in {out}.")
    also = ", and in the database" if place.database else ""
    print_message(f"Snapshot: {snapshot}{also}. Next: clout explain USER, or clout serve.")


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Requests a second per API key, or per address without keys; 0: any number.  "
            "Default: 200 per key, any number without keys.",
        ),
    ] = None,
    refresh: Annotated[float, typer.Option(help="Seconds between looks for a newer champion or snapshot.")] = 5.0,
    demand_purpose: Annotated[
        bool, typer.Option(help="Refuse requests about people that do not say what for, as the header Clout-Purpose.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes that answer, such as one per core.")] = 1,
    check: Annotated[bool, typer.Option("--check", help="Say what is there and what is missing, and end.")] = False,
    database: Database = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Answer scores and explanations over HTTP; the API's documentation is at /docs.

    On a loopback address it needs no API keys; on any other it does not start without: see clout keys.

    Example: clout serve --port 8000
    """
    place = home_from_environment(home, database)
    if check:
        raise typer.Exit(_tell_check(place, host, port, json))
    gc.disable()  # what a start brings stays: looking through it for what does not takes a sixth of the time
    try:
        from serving.app import serve
        from serving.middleware.request_limits import Limits

        print_message(f"The API's documentation: http://{host}:{port}/docs (stop with Ctrl-C)")
        serve(place, host, port, Limits(rate), refresh, demand_purpose, workers)
    finally:
        gc.enable()


def _tell_check(place: Home, host: str, port: int, json: bool) -> int:
    """Print what a start would find and return the exit code: 2 where anything is missing."""
    from serving.runtime.startup_check import check_start

    findings = check_start(place, host, port)
    if json:
        print_json([finding.as_dict() for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{'ok     ' if finding.holds else 'MISSING'} {finding.told}")
    return 0 if all(finding.holds for finding in findings) else 2


def demo(
    users: Annotated[int, typer.Option(help="How many simulated people.")] = 6_000,
    days: Annotated[int, typer.Option(help="How many days they are watched.")] = 420,
    seed: Annotated[int, typer.Option(help="The same seed gives the same demo.")] = 0,
    home: HomeFolder = None,
) -> None:
    """Run the main job end to end on a simulated community, then say what to open.

    Example: clout demo
    """
    from serving.cli.demo import demo

    demo(home_from_environment(home), users, days, seed)


def add_to(app: typer.Typer) -> None:
    """Give the commands of this layer to the application."""
    rights = (opt_out, forget, receipt, cases, case, resolve, audit)
    for command in (score, explain, history, change, what_if, *rights, serve, demo):
        app.command()(command)
    app.add_typer(keys, name="keys")
