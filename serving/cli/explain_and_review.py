"""The commands of reviewers: why a user has a score, why it changed, and what would change it."""

import gc
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.cli_options import (
    FirstInstant,
    HomeFolder,
    Identities,
    Json,
    LastInstant,
    Scope,
    SnapshotTime,
    User,
    load_command_events,
    parse_instant,
    read_command_identities,
)
from features.console import print_json
from training.home import existing_home

if TYPE_CHECKING:
    from serving.snapshots.snapshot import Snapshot
    from training.home import Home

HIDDEN = ("sklearn", "charset_normalizer")


def explain(
    user: User,
    scope: Scope = "all",
    as_of: SnapshotTime = None,
    events: Annotated[
        Path | None, typer.Option(help="The events that were scored: also list the posts that earned the score.")
    ] = None,
    identities: Identities = None,
    top: Annotated[int, typer.Option(min=1, help="With --events: how many posts.")] = 10,
    home: HomeFolder = None,
    version: Annotated[
        str | None, typer.Option(help="Explain by this version of the model, which scored with clout score --version.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="The story in ten lines that can be read out.")] = False,
    json: Json = False,
) -> None:
    """Explain one score: what it means, the main reasons in words, and points per feature that add up to it.

    With --events, the posts that most people engaged with follow, with the engagements by verb.

    Example: clout explain u0000042 --events community.parquet
    """
    if identities is not None and events is None:
        raise typer.BadParameter("--identities maps the accounts in the events to people: give --events too.")
    import_model_libraries()
    from serving.cli.score_tables import earned_table, print_explanation
    from serving.cli.served_snapshot import open_served

    folder = existing_home(home)
    snapshot, _ = open_served(folder, parse_instant(as_of), version)
    explanation = snapshot.explain(user, scope)
    row = snapshot.feature_row(user, scope)
    report = None
    if events:
        from features.engagement_report import engagement_report
        from training.records.opt_outs import load_opted_out_users

        people, excluded = read_command_identities(identities), load_opted_out_users(folder)
        report = engagement_report(events, user, snapshot.as_of, scope, people, top, excluded=excluded)
    if json:
        earned = {"earned": asdict(report) | {"differing": report.differences(row)}} if report else {}
        print_json(asdict(explanation) | earned)
        return
    print_explanation(explanation, plain)
    if report:
        earned_table(report, row)


def history(
    user: User,
    start: FirstInstant = None,
    end: LastInstant = None,
    scope: Scope = "all",
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Show a user's scores over the stored snapshots, oldest first, each with the model version that made it.

    Example: clout history u0000042
    """
    import_model_libraries()
    from serving.cli.score_tables import history_table
    from serving.cli.served_snapshot import find_champion_version
    from serving.review.history import history

    folder = existing_home(home)
    bounds, champion = (parse_instant(start), parse_instant(end)), find_champion_version(folder)
    scores = history(folder, user, scope, *bounds, champion)
    print_json(asdict(scores)) if json else history_table(scores, folder)


def change(
    user: Annotated[str | None, typer.Argument(help="The user's id; without one, the whole community.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="The earlier snapshot's instant; default the one before the later.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="The later snapshot's instant; default the served one.")
    ] = None,
    scope: Scope = "all",
    top: Annotated[
        int, typer.Option(min=0, help="For a community: how many of the largest rises, and of the largest falls.")
    ] = 5,
    out: Annotated[
        Path | None, typer.Option(help="For a community: where every user's change goes, a .parquet file.")
    ] = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Explain a change of score: the user's own activity, the responses of others, a new model, a new scale.

    Without a user, show how far the community moved, what moved it, and who rose and fell most.

    Example: clout change u0000042 --from 2025-07-04 --to 2025-08-01
    """
    if user is not None and out is not None:
        raise typer.BadParameter("--out is for a whole community: omit the user.")
    if out is not None:
        from features.atomic_files import check_parquet_name

        check_parquet_name("--out", out)
    import_model_libraries()
    from serving.cli.change_tables import change_table, movements_table
    from serving.cli.served_snapshot import open_served
    from serving.review.community_change import community_change
    from serving.review.score_change import change
    from serving.snapshots.repository import open_earlier

    folder = existing_home(home)
    after, champion = open_served(folder, parse_instant(end))
    before = open_earlier(folder, after, parse_instant(start), champion)
    if user is not None:
        one = change(before, after, user, scope)
        print_json(asdict(one)) if json else change_table(one)
    else:
        everybody = community_change(before, after, scope, top, out)
        print_json(asdict(everybody)) if json else movements_table(everybody)


def what_if(
    user: User,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FEATURE=VALUE", help="Show the effect of this change; may be repeated."),
    ] = None,
    away_days: Annotated[
        int | None, typer.Option(help="Show the effect of this many days without activity, from the snapshot on.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(help="With --away-days: the events that were scored, to count others' side as well.")
    ] = None,
    identities: Identities = None,
    scope: Scope = "all",
    as_of: SnapshotTime = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Show what would change a score, smallest change first: only what the user controls and peers have reached.

    The results are associations, not promises. --set tries a change, --away-days a pause.

    Example: clout what-if u0000042 --away-days 14
    """
    if (events is not None and away_days is None) or (identities is not None and events is None):
        raise typer.BadParameter("--events goes with --away-days, and --identities with --events.")
    import_model_libraries()
    from serving.cli.change_tables import what_if_table
    from serving.cli.served_snapshot import open_served
    from serving.review.what_if import parse_changes, simulate_change, suggest_changes

    folder = existing_home(home)
    snapshot, _ = open_served(folder, parse_instant(as_of))
    if not change and away_days is None:
        result = suggest_changes(snapshot, user, scope)
    else:
        lost = _lost_responses(folder, snapshot, user, scope, away_days or 0, events, identities) if events else None
        result = simulate_change(snapshot, user, scope, parse_changes(change or []), away_days, lost)
    print_json(asdict(result)) if json else what_if_table(result, snapshot.feature_row(user, scope))


def _lost_responses(
    home: "Home", snapshot: "Snapshot", user: str, scope: str, days: int, events: Path, identities: Path | None
) -> dict[str, float]:
    """Return the features that change without the responses to the user's pieces of the last days."""
    from training.explanation.inactivity import lost_responses
    from training.records.opt_outs import load_opted_out_users

    table = load_command_events(events, identities, load_opted_out_users(home))
    row, seeds = snapshot.feature_row(user, scope), snapshot.bundle.seeds
    return lost_responses(table, user, scope, snapshot.as_of, days, row, seeds)


def import_model_libraries() -> None:
    """Import LightGBM in a third of the time that a plain import takes, which is most of what `clout explain` takes.

    LightGBM imports scikit-learn for estimators, and NumPy imports what detects the encoding of Fortran sources; no
    review command uses either, so they are hidden during the import. Imports create many long-lived objects, so the
    garbage collector runs less often meanwhile.
    """
    if sys.modules.keys() & {"lightgbm", *HIDDEN}:
        return
    gc.set_threshold(100_000)
    sys.modules.update(dict.fromkeys(HIDDEN))  # type: ignore[arg-type]
    try:
        import lightgbm  # noqa: F401
    finally:
        for name in HIDDEN:
            del sys.modules[name]
