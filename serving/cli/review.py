"""The commands of reviewers: why somebody has a score, why it changed, and what would change it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.cli import Identities
from features.console import Json, print_json
from training.cli import HomeFolder
from training.home import home_from_environment

if TYPE_CHECKING:
    from serving.snapshots.snapshot import Snapshot
    from training.home import Home


def explain(
    user: Annotated[str, typer.Argument(help="The user's id, as in the events.")],
    scope: Annotated[str, typer.Option(help="The scope of the score.")] = "all",
    as_of: Annotated[str | None, typer.Option(help="The snapshot of this instant; default the newest.")] = None,
    events: Annotated[
        Path | None, typer.Option(help="The events that were scored: also show what earned it, piece by piece.")
    ] = None,
    identities: Identities = None,
    top: Annotated[int, typer.Option(min=1, help="With --events: how many pieces.")] = 10,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Show the ledger of one score: points per feature that add up to it, by family, and the reasons in a few words.

    With --events, the pieces that earned the most follow, with how many people engaged.

    Example: clout explain u0000042 --events community.parquet
    """
    from features.engagement_report import engagement_report
    from features.events.identities import read_identities
    from features.utc import parse_utc
    from serving.cli.score_tables import earned_table, ledger_table
    from serving.snapshots.repository import open_snapshot
    from training.records.opt_outs import load_opted_out_users

    if identities is not None and events is None:
        raise typer.BadParameter("--identities says who is who in the events: it goes with --events.")
    place = home_from_environment(home)
    snapshot = open_snapshot(place, parse_utc(as_of) if as_of else None)
    told = snapshot.explain(user, scope)
    person = snapshot.person(user, scope)
    people = read_identities(identities) if identities else None
    out = load_opted_out_users(place)
    made = engagement_report(events, user, snapshot.as_of, scope, people, top, excluded=out) if events else None
    if json:
        print_json(asdict(told) | ({"earned": asdict(made) | {"differing": made.differing(person)}} if made else {}))
        return
    ledger_table(told)
    if made:
        earned_table(made, person)


def history(
    user: Annotated[str, typer.Argument(help="The user's id, as in the events.")],
    start: Annotated[str | None, typer.Option("--from", help="The first instant that counts; default all.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="The last instant that counts; default all.")] = None,
    scope: Annotated[str, typer.Option(help="The scope of the scores.")] = "all",
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Show a user's scores over the snapshots that are kept, oldest first, each with the model that made it.

    Example: clout history u0000042
    """
    from features.utc import parse_utc
    from serving.cli.score_tables import history_table
    from serving.review.history import history

    bounds = [parse_utc(text) if text else None for text in (start, end)]
    told = history(home_from_environment(home), user, scope, *bounds)
    print_json(asdict(told)) if json else history_table(told)


def change(
    user: Annotated[str | None, typer.Argument(help="The user's id; without one, the whole community.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="The snapshot of this instant; default the one before the later.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="The snapshot of this instant; default the newest.")] = None,
    scope: Annotated[str, typer.Option(help="The scope of the scores.")] = "all",
    top: Annotated[int, typer.Option(min=0, help="Of a community: how many of those who moved most.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="Of a community: where everybody's change goes, a .parquet file.")
    ] = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Show the ledger of a change of score: what the person did, how others responded, a new model, a new scale.

    Without a user, show how far the community moved, by what, and who moved most.

    Example: clout change u0000042 --from 2025-07-04 --to 2025-08-01
    """
    from features.utc import parse_utc
    from serving.cli.change_tables import change_table, movements_table
    from serving.review.community_change import community_change
    from serving.review.score_change import change
    from serving.snapshots.repository import open_earlier, open_snapshot

    if user is not None and out is not None:
        raise typer.BadParameter("--out is of a whole community: leave out the user.")
    place = home_from_environment(home)
    after = open_snapshot(place, parse_utc(end) if end else None)
    before = open_earlier(place, after, parse_utc(start) if start else None)
    if user is not None:
        told = change(before, after, user, scope)
        print_json(asdict(told)) if json else change_table(told)
        return
    moved = community_change(before, after, scope, top, out)
    print_json(asdict(moved)) if json else movements_table(moved)


def what_if(
    user: Annotated[str, typer.Argument(help="The user's id, as in the events.")],
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FEATURE=VALUE", help="Ask for this change; may be given again."),
    ] = None,
    away_days: Annotated[
        int | None, typer.Option(help="Ask for so many days of doing nothing, from the snapshot's instant on.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(help="With --away-days: the events of the snapshot, so that others' side is counted.")
    ] = None,
    identities: Identities = None,
    scope: Annotated[str, typer.Option(help="The scope of the score.")] = "all",
    as_of: Annotated[str | None, typer.Option(help="The snapshot of this instant; default the newest.")] = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Say what would change a score: the smallest change first, of what is in a person's hands and peers show.

    It is an association found among people, no promise. --set asks for a change, --away-days what stopping would do.

    Example: clout what-if u0000042 --away-days 14
    """
    from features.utc import parse_utc
    from serving.cli.change_tables import what_if_table
    from serving.review.what_if import changed, proposed, settings
    from serving.snapshots.repository import open_snapshot

    place = home_from_environment(home)
    snapshot = open_snapshot(place, parse_utc(as_of) if as_of else None)
    if (events is not None and away_days is None) or (identities is not None and events is None):
        raise typer.BadParameter("--events goes with --away-days, and --identities with --events.")
    if not change and away_days is None:
        told = proposed(snapshot, user, scope)
    else:
        drawn = None if events is None else _drawn(place, snapshot, user, scope, away_days or 0, events, identities)
        told = changed(snapshot, user, scope, settings(change or []), away_days, drawn)
    if json:
        print_json(asdict(told))
    else:
        what_if_table(told)


def _drawn(
    home: "Home", snapshot: "Snapshot", user: str, scope: str, days: int, events: Path, identities: Path | None
) -> dict[str, float]:
    from features.events.identities import read_identities
    from features.events.loading import load_events
    from training.explanation.inactivity import drawn_no_more
    from training.records.opt_outs import load_opted_out_users

    people = load_events(
        events, read_identities(identities) if identities else None, excluded=load_opted_out_users(home)
    )
    person, seeds = snapshot.person(user, scope), snapshot.bundle.seeds
    return drawn_no_more(people, user, scope, snapshot.as_of, days, person, seeds)
