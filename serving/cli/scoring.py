"""The command that scores everybody and writes the snapshot."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.cli_options import (
    Database,
    Engine,
    Events,
    HomeFolder,
    Identities,
    Json,
    Scopes,
    encode_command_events,
    parse_instant,
)
from features.console import print_commands, print_json, print_message, progress_bars, warn
from training.home import Home, home_from_environment

if TYPE_CHECKING:
    from features.events.encoding import EncodedEvents
    from serving.snapshots.layout import SnapshotFacts
    from serving.snapshots.scored_rows import ScoredRows

QUIET = timedelta(days=7)


def score(
    events: Events,
    out: Annotated[
        Path | None, typer.Option(help="A .parquet file for the scores, beside the snapshot that is written anyway.")
    ] = None,
    as_of: Annotated[str | None, typer.Option(help="Score at this instant; default just after the last event.")] = None,
    scope: Scopes = None,
    identities: Identities = None,
    points: Annotated[
        Path | None, typer.Option(help="Where every user's points per feature go: a .parquet file.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Score with this version of the model, also one that was never the champion.")
    ] = None,
    engine: Engine = "duckdb",
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Publish scores of fewer than half of the users of the last snapshot, or of an instant in the future.",
        ),
    ] = False,
    database: Database = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Score every user with the champion: one row per user and scope; the default scopes are the model's.

    With --version, a version that was never the champion scores for inspection: its snapshot is marked as not released,
    stays in this home, and is not served while there are others.

    Example: clout score events --as-of 2017-07-30
    """
    from features.atomic_files import check_parquet_name, check_writable, scratch_dir
    from features.events.loading import check_scopes
    from features.utc import now_utc, parse_utc
    from serving.scoring import score_audiences, write_points
    from serving.snapshots.baselines import read_baselines
    from serving.snapshots.layout import read_facts
    from serving.snapshots.repository import check_users, publish_snapshot, write_scores
    from training.records.opt_outs import load_opted_out_users
    from training.registry.model_registry import load_model

    folder = home_from_environment(home, database)
    outputs = {option: path for option, path in (("--out", out), ("--points", points)) if path is not None}
    for option, path in outputs.items():
        check_parquet_name(option, path)
    _check_apart(events, outputs)
    bundle, version, released = load_model(folder, version)
    for path in outputs.values():
        check_writable(path)
    scopes = scope or bundle.scopes
    encoded = encode_command_events(events, scopes, identities, engine, load_opted_out_users(folder))
    check_scopes(encoded, scopes)
    at = _resolve_as_of(encoded, parse_instant(as_of), force)
    trained = parse_utc(bundle.facts["as_of"])
    if trained > at:
        warn(f"the model was trained on events up to {trained:%Y-%m-%d}, later than this as_of: no forecast.")
    with scratch_dir(folder.snapshots / "rows") as scratch, progress_bars() as progress:
        scored = _score_function(encoded)(encoded, at, bundle, version, scratch, progress, force)
        audiences = score_audiences(bundle, scored)
        if not force:
            check_users(folder, at, scored)
        if out is not None:
            write_scores(scored, out)
        snapshot = publish_snapshot(folder, at, bundle, version, scored, audiences, released, at > now_utc())
        if points is not None:
            write_points(bundle, scored.feature_frames(), points, read_baselines(snapshot))
    facts = read_facts(snapshot)
    if json:
        print_json(_scoring_json(facts, {"snapshot": snapshot, "scores": out, "points": points}))
    else:
        _print_scoring(facts, snapshot, out, folder)


def _check_apart(events: Path, outputs: dict[str, Path]) -> None:
    """Check that outputs, by their options, replace neither each other nor events."""
    from features.errors import OutputError

    options: dict[Path, str] = {}
    for option, out in outputs.items():
        path = out.resolve()
        if events.resolve() in (path, *path.parents):
            raise OutputError(f"{option} {out} lies among the events that are scored, {events}: choose another file.")
        if path in options:
            raise OutputError(f"{options[path]} and {option} are both {out}: choose two files.")
        options[path] = option


def _resolve_as_of(events: "EncodedEvents", as_of: datetime | None, force: bool) -> datetime:
    """Check the instant to score at, and warn where the events end long before it."""
    from features.errors import FutureAsOfError
    from features.events.event_table import time_range
    from features.events.loading import resolve_as_of

    try:
        at = resolve_as_of(events.rows, as_of, force)
    except FutureAsOfError as error:
        raise FutureAsOfError(
            f"{error} Nothing was written. Give an --as-of up to now; to publish scores of that instant anyway, add "
            "--force."
        ) from error
    _, last = time_range(events.rows)
    if at - last >= QUIET:
        warn(f"the events end {(at - last).days} days before this as_of: for the scores, nothing happened since.")
    return at


def _score_function(events: "EncodedEvents") -> Callable[..., "ScoredRows"]:
    """Return what scores events: the executors of Spark, or this process."""
    if events.rows.get_backend().name == "pyspark":
        from serving.spark_scoring import score_on_spark

        return score_on_spark
    from serving.scoring import score_to_disk

    return score_to_disk


def _scoring_json(facts: "SnapshotFacts", files: dict[str, Path | None]) -> dict[str, Any]:
    names = ("as_of", "model_version", "released", "horizon_days", "users", "rows")
    return {name: getattr(facts, name) for name in names} | {
        name: None if file is None else str(file) for name, file in files.items()
    }


def _print_scoring(facts: "SnapshotFacts", snapshot: Path, out: Path | None, home: Home) -> None:
    from serving.snapshots.repository import served_otherwise

    in_file, explain = f" in {out}" if out else "", _explain_command(facts, snapshot, home)
    print_message(f"{facts.rows:,} scores as of {facts.as_of} by version {facts.model_version}{in_file}.")
    also = ", and in the database" if home.database and facts.released else ""
    print_message(f"Snapshot: {snapshot}{also}.")
    if facts.released:
        if detail := served_otherwise(home, [snapshot], None):
            warn(detail)
        print_commands("Next:", {explain: "", home.command("serve"): ""})
    else:
        warn(f"version {facts.model_version} is not released: these scores are for inspection, not served by default.")
        print_commands("Next:", {explain: ""})


def _explain_command(facts: "SnapshotFacts", snapshot: Path, home: Home) -> str:
    """Return the command that explains a score of a snapshot, which need not be the served one."""
    from serving.cli.served_snapshot import find_champion_version
    from serving.snapshots.repository import list_snapshots, served_folder

    folders, champion, words = list_snapshots(home), find_champion_version(home), "explain USER"
    if facts.model_version != champion:
        words += f" --version {facts.model_version}"
        folders = [folder for folder in folders if folder.name.endswith(f"_v{facts.model_version}")]
    if served_folder(folders, champion) != snapshot:
        words += f" --as-of {facts.as_of}"
    return home.command(words)
