"""The commands that make events and features: simulate, import, store, features.

The commands that bring activity in from a source: clout import SOURCE.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.console import Json, print_json, print_message, print_table, progress_bar, warn
from features.errors import EventsError, OutputError

if TYPE_CHECKING:
    from features.events.encoding import EncodedEvents
    from features.events.exclusions import UserIdSet
    from features.importers.ingestion import ImportReport

Out = Annotated[Path, typer.Option("--out", help="Where the events go: a .parquet file, or a folder.")]

sources = typer.Typer(no_args_is_help=True, help="Bring activity in from a source, as an event table.")


@sources.command("table")
def import_table(
    path: Annotated[Path, typer.Argument(help="CSV or TSV (plain or .gz), JSON Lines (plain or .gz) or Parquet.")],
    out: Out,
    map_: Annotated[list[str], typer.Option("--map", metavar="FIELD=COLUMN", help="A field called otherwise.")] = [],  # noqa: B006
    verb: Annotated[list[str], typer.Option("--verb", metavar="FOUND=MEANT", help="A verb called otherwise.")] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Import any table of activity: one act a row.

    Fields are time, actor, verb and target (required), object, result, network, topics, content_hash and links. Times
    are ISO 8601, or epoch seconds, milli- or microseconds. Rows that fail go to OUT.rejects.csv with the reason.

    Example: clout import table acts.csv.gz --map time=created_utc --map actor=author --verb comment=reply --out events
    """
    from features.importers.tables import import_table

    _tell(import_table(path, out, _pairs(map_, "--map"), _pairs(verb, "--verb")), json)


@sources.command("stackexchange")
def import_stackexchange(
    path: Annotated[Path, typer.Argument(help="Folder of a dump: Posts, Comments, Votes as .xml, .csv or .csv.gz.")],
    out: Out,
    json: Json = False,
) -> None:
    """Import a Stack Exchange data dump, of any size.

    Answers and comments are replies, up-votes likes and down-votes dislikes by unknown people. Totals at dump time
    (Score, ViewCount, Reputation) are never read.

    Example: clout import stackexchange travel.stackexchange.com/ --out travel
    """
    from features.importers.stackexchange import import_stackexchange

    _bring_in(import_stackexchange, path, out, json)


@sources.command("gharchive")
def import_gharchive(
    path: Annotated[Path, typer.Argument(help="An hour of GH Archive (.json.gz or .json), or a folder of hours.")],
    out: Out,
    json: Json = False,
) -> None:
    """Import GitHub's public activity, as GH Archive keeps it by the hour, from 2011 on.

    Stars and merges are likes, forks reposts, comments, reviews, issues and pull requests replies to whom they are
    said to, pushes and releases posts. Totals (stars, forks, comments) are never read.

    Example: clout import gharchive hours/ --out github
    """
    from features.importers.gharchive import import_gharchive

    _bring_in(import_gharchive, path, out, json)


@sources.command("reddit")
def import_reddit(
    path: Annotated[Path, typer.Argument(help="RS_* or RC_* in JSON Lines (plain, .gz, .zst), or a folder of both.")],
    out: Out,
    json: Json = False,
) -> None:
    """Import dumps of Reddit submissions and comments, of any size.

    Comments are replies to the author of their parent, crossposts quotes. Put submissions and comments in one folder:
    they tell whose a parent is. Totals at dump time (score, ups, num_comments) are never read, nor is any text kept.

    Example: clout import reddit dumps/ --out reddit
    """
    from features.importers.reddit import import_reddit

    _bring_in(import_reddit, path, out, json)


@sources.command("activitystreams")
def import_activitystreams(
    path: Annotated[Path, typer.Argument(help="Outbox in JSON, activities in JSON Lines, or a folder of them.")],
    out: Out,
    json: Json = False,
) -> None:
    """Import ActivityPub outboxes and Mastodon archives (unpack the archive first).

    Create is a post, reply, quote and mentions, Announce a repost, Undo of a Follow an unfollow. Whose a piece is must
    be told by the files or its address; activities without a time are rejected.

    Example: clout import activitystreams archive/ --out mastodon
    """
    from features.importers.activitystreams.importer import import_activitystreams

    _bring_in(import_activitystreams, path, out, json)


@sources.command("bluesky")
def import_bluesky(
    path: Annotated[Path, typer.Argument(help="Jetstream's JSON Lines (plain, .gz or .zst), or a folder of them.")],
    out: Out,
    json: Json = False,
) -> None:
    """Import what Bluesky's Jetstream sends, of any size.

    Posts are posts, replies, quotes and mentions; likes, reposts, follows and blocks are what they are called. Time is
    when the network saw the act, never what the author's program claims.

    Example: clout import bluesky jetstream/ --out bluesky
    """
    from features.importers.bluesky import import_bluesky

    _bring_in(import_bluesky, path, out, json)


def _bring_in(run: Callable[..., "ImportReport"], path: Path, out: Path, json: bool) -> None:
    with progress_bar("import") as progress:
        landing = run(path, out, progress)
    _tell(landing, json)


def _pairs(given: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in given:
        left, sign, right = text.partition("=")
        if not (left and sign and right):
            raise EventsError(f"{option} is {text!r}; expected two names with = between them, such as actor=author.")
        pairs[left] = right
    return pairs


def _tell(landing: "ImportReport", json: bool) -> None:
    if json:
        print_json(landing.as_dict())
        return
    print_message(f"{landing.read:,} rows read = {landing.accepted:,} accepted + {landing.rejected:,} rejected.")
    for reason, count in sorted(landing.reasons.items(), key=lambda item: -item[1])[:10]:
        print_message(f"  rejected {count:,}: {reason}")
    for note in landing.notes:
        warn(note)
    print_message(f"Events from {landing.first:%Y-%m-%d} to {landing.last:%Y-%m-%d} in {landing.out}.")
    if landing.rejects:
        print_message(f"Rejected rows and reasons in {landing.rejects}.")


EVENTS_HELP = "Event table: a Parquet file, or a folder of Parquet files; or a store."
Events = Annotated[Path, typer.Argument(help=EVENTS_HELP)]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="all, network:NAME, topic:NAME, network:* or topic:*; may be given again."),
]
Identities = Annotated[
    Path | None, typer.Option(help="Table (.csv, .parquet) of account and person, for accounts that are one person.")
]


def simulate(
    out: Out,
    users: Annotated[int, typer.Option(help="How many people.")] = 20_000,
    days: Annotated[int, typer.Option(help="How many days.")] = 420,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Make a community with known truth, of any size.

    Each person's true pull is written beside the events, in EVENTS.truth.parquet.

    Example: clout simulate --users 20000 --days 420 --seed 7 --out community.parquet
    """
    from features.simulation import Community, simulate

    with progress_bar("simulate") as progress:
        made = simulate(Community(users=users, days=days, seed=seed), out, progress)
    print_message(f"{made.events:,} events by {users:,} people in {out}; the truth about them is in {made.truth}.")


def store(
    events: Events,
    into: Annotated[Path, typer.Option("--into", help="Folder of the store; made if it is not there.")],
    scope: Scopes = None,
    identities: Identities = None,
    json: Json = False,
) -> None:
    """Take events into a store, from which features are computed without reading and keying the old ones again.

    Take in each day as it comes, in any order; late events are welcome. The scopes and identities of a store are given
    when it is made. A store stands for EVENTS in the other commands.

    Example: clout store today.parquet --into community.store
    """
    from features.events.identities import read_identities
    from features.events.store import add_to_store, read_manifest

    with progress_bar("store"):
        part = add_to_store(events, into, scope, read_identities(identities) if identities else None)
    if json:
        print_json(asdict(part))
        return
    held = sum(each.acts for each in read_manifest(into).parts)
    print_message(f"{part.acts:,} acts and {part.people:,} new people taken in; {held:,} acts are in {into}.")


def features(
    events: Annotated[Path | None, typer.Argument(help=EVENTS_HELP)] = None,
    as_of: Annotated[str | None, typer.Option(help="Only events before this instant count (ISO 8601, UTC).")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the feature table goes: .parquet.")] = None,
    scope: Scopes = None,
    identities: Identities = None,
    engine: Annotated[str, typer.Option(help="duckdb, spark, or the URL of a database.")] = "duckdb",
    describe: Annotated[bool, typer.Option("--describe", help="Print the catalogue of features instead.")] = False,
) -> None:
    """Compute the feature table: one row per user and scope seen in the 365 days before an instant.

    With the URL of a database, EVENTS may be the name of a table in it.

    Example: clout features community.parquet --as-of 2026-01-01 --out features.parquet
    """
    if describe:
        _describe()
        return
    if events is None or out is None:
        raise typer.BadParameter("EVENTS and --out are needed, or --describe alone.")
    if out.suffix != ".parquet":
        raise OutputError(f"--out is {out}; expected a name that ends in .parquet.")
    scopes = scope or ["all"]
    _write_features(open_as_asked(events, scopes, identities, engine), as_of, out, scopes)


def open_as_asked(
    events: Path,
    scopes: Sequence[str],
    identities: Path | None,
    engine: str = "duckdb",
    excluded: "UserIdSet" = frozenset(),
) -> "EncodedEvents":
    """Open events, or a store, as the options of a command ask, without the people who are left out."""
    from features.events.engines import open_engine
    from features.events.identities import read_identities
    from features.events.loading import load_encoded_events

    people = read_identities(identities) if identities else None
    return load_encoded_events(events, scopes, people, open_engine(engine) if engine != "duckdb" else None, excluded)


def _write_features(acts: "EncodedEvents", as_of: str | None, out: Path, scopes: Sequence[str]) -> None:
    from features.atomic_files import publish, scratch_dir
    from features.events.loading import check_scopes, resolve_as_of
    from features.feature_table import feature_rows
    from features.utc import parse_utc

    check_scopes(acts, scopes)
    at = resolve_as_of(acts.rows, parse_utc(as_of) if as_of else None)
    with progress_bar("features") as progress, scratch_dir(out) as scratch:
        rows = feature_rows(acts, at, progress)
        rows.to_parquet(scratch / out.name, index=False)
        publish(scratch / out.name, out, scratch)
    print_message(f"{len(rows):,} rows, {rows.shape[1] - 2} features as of {at:%Y-%m-%d %H:%M:%S} UTC in {out}.")


def _describe() -> None:
    from features.catalogue import CATALOGUE

    rows = [[f.name, f.family, f.unit, f.direction, f.actionable_text, f.meaning] for f in CATALOGUE]
    print_table(
        f"{len(rows)} features", ["feature", "family", "unit", "direction", "actionable", "meaning"], rows, left=6
    )


def add_to(app: typer.Typer) -> None:
    """Give the commands of this layer to the application."""
    app.command()(simulate)
    app.add_typer(sources, name="import")
    app.command()(store)
    app.command()(features)
