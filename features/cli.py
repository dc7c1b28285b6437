"""Commands that make event tables and features: simulate, import SOURCE, store, features."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.cli_options import (
    DATA,
    EVENTS_HELP,
    Engine,
    Events,
    Identities,
    Json,
    Out,
    Scopes,
    encode_command_events,
    parse_instant,
    read_command_identities,
)
from features.console import print_json, print_message, print_table, progress_bar, warn
from features.errors import EventsError

if TYPE_CHECKING:
    from features.events.encoding import EncodedEvents
    from features.importers.ingestion import ImportReport

sources = typer.Typer(no_args_is_help=True, help="Convert activity from a source into an event table.")


@sources.command("table")
def import_table(
    path: Annotated[Path, typer.Argument(help="CSV or TSV (plain or .gz), JSON Lines (plain or .gz) or Parquet.")],
    out: Out,
    map_: Annotated[
        list[str], typer.Option("--map", metavar="FIELD=COLUMN", help="The column of a field, or a member: author.id.")
    ] = [],  # noqa: B006
    verb: Annotated[
        list[str], typer.Option("--verb", metavar="FOUND=MEANT", help="The verb that a value stands for.")
    ] = [],  # noqa: B006
    time_format: Annotated[
        str | None, typer.Option(metavar="FORM", help="The form of times, such as '%d.%m.%Y %H:%M', as of strptime.")
    ] = None,
    time_unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="The unit of times as counts: s, ms, us, ns or excel-days.")
    ] = None,
    unknown_user: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="A text that stands for an unknown user; may be repeated. Default: [deleted], [removed], NULL, "
            "\\\\N, None, NaN, nan and `<NA>`; '' for none.",
        ),
    ] = None,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Count rows that are equal in all columns each time.")
    ] = False,
    json: Json = False,
) -> None:
    """Import any table of activity: one event per row.

    Fields are time, actor, verb and target (required), object, result, network, topics, content_hash and links. Times
    are ISO 8601, or epoch seconds, milli- or microseconds. Invalid rows go to OUT.rejects.csv with the reason.

    Example: clout import table acts.csv --map time=date --map actor=author --map verb=kind --map target=answered
    --verb comment=reply --out events
    """
    from features.importers.tables import UNKNOWN_USERS, import_table

    unknown = UNKNOWN_USERS if unknown_user is None else [text for text in unknown_user if text]
    pairs = _pairs(map_, "--map"), _pairs(verb, "--verb")
    report = import_table(path, out, *pairs, unknown, keep_duplicates, time_format, time_unit)
    _print_report(report, json)


def _add_source(name: str, path_help: str, text: str, has_private: bool = False) -> None:
    """Add the command of an importer, `import_NAME` in the module of that name, which is loaded when it runs.

    `has_private` adds the option to accept private messages.
    """

    def run(path: Path, out: Path, json: bool, **options: bool) -> None:
        importer = getattr(import_module(f"features.importers.{name}"), f"import_{name}")
        with progress_bar("import") as progress:
            report = importer(path, out, progress, **options)
        _print_report(report, json)

    def import_source(path: Annotated[Path, typer.Argument(help=path_help)], out: Out, json: Json = False) -> None:
        run(path, out, json)

    def import_with_private(
        path: Annotated[Path, typer.Argument(help=path_help)],
        out: Out,
        private: Annotated[bool, typer.Option("--private", help="Accept private messages too.")] = False,
        json: Json = False,
    ) -> None:
        run(path, out, json, private=private)

    sources.command(name, help=text)(import_with_private if has_private else import_source)


_add_source(
    "stackexchange",
    "Folder of a dump: Posts, Comments, Votes as .xml, .csv or .csv.gz.",
    """Import a Stack Exchange data dump, of any size.

    Answers and comments become replies, up-votes likes, and down-votes dislikes, both by unknown users. Totals at dump
    time (Score, ViewCount, Reputation) are never read.

    Example: clout import stackexchange travel.stackexchange.com/ --out travel
    """,
)
_add_source(
    "gharchive",
    "An hour of GH Archive (.json.gz or .json), or a folder of hours.",
    """Import hourly archives of GitHub's public activity from GH Archive, from 2011 on.

    Stars and merges become likes, forks reposts, pushes and releases posts; comments, reviews, issues and pull requests
    become replies to the user they address. Totals (stars, forks, comments) are never read.

    Example: clout import gharchive hours/ --out github
    """,
)
_add_source(
    "reddit",
    "RS_* or RC_* in JSON Lines (plain, .gz, .zst), or a folder of both.",
    """Import dumps of Reddit submissions and comments, of any size.

    Comments become replies to the author of their parent, crossposts quotes. Put submissions and comments in one
    folder: the importer looks up the author of a parent there. Totals at dump time (score, ups, num_comments) are never
    read, and no text is stored.

    Example: clout import reddit dumps/ --out reddit
    """,
)
_add_source(
    "activitystreams",
    "Outbox in JSON, activities in JSON Lines, or a folder of them.",
    """Import ActivityPub outboxes and Mastodon archives (unpack the archive first).

    Create becomes a post, reply, quote and mentions, Announce a repost, and Undo of a Follow an unfollow. The files, or
    the address of a post, must name its author; activities without a time are rejected, and so are private messages.

    Example: clout import activitystreams archive/ --out mastodon
    """,
    has_private=True,
)
_add_source(
    "bluesky",
    "Jetstream's JSON Lines (plain, .gz or .zst), or a folder of them.",
    """Import recordings of Bluesky's Jetstream, of any size.

    Posts become posts, replies, quotes and mentions; likes, reposts, follows and blocks keep their names. The time is
    when the network received the event, never what the author's client claims.

    Example: clout import bluesky jetstream/ --out bluesky
    """,
)
_add_source(
    "discourse",
    "Topics or posts in JSON, the table posts in CSV, or a folder of them.",
    """Import a Discourse forum: JSON of its API, or its table of posts in CSV.

    Answers become replies to the post they name, else to the first of the topic; quotes and mentions keep their names.
    Likes are not in these files; import the table post_actions with clout import table.

    Example: clout import discourse topics/ --out forum
    """,
    has_private=True,
)
_add_source(
    "slack",
    "Folder of an unpacked export of a workspace.",
    """Import the export of a Slack workspace (unpack it first).

    Messages become posts, and those in threads replies; mentions keep their name. The export does not say when somebody
    reacted, so reactions are rejected, and so are direct messages.

    Example: clout import slack export/ --out slack
    """,
    has_private=True,
)
_add_source(
    "discord",
    "JSON of DiscordChatExporter, or a folder of channels.",
    """Import Discord channels that DiscordChatExporter saved as JSON.

    Messages become posts and replies, forwarded ones reposts; mentions keep their name. The export does not say when
    somebody reacted, so reactions are rejected, and so are direct messages.

    Example: clout import discord channels/ --out discord
    """,
    has_private=True,
)
_add_source(
    "telegram",
    "result.json of Telegram Desktop, or a folder of them.",
    """Import chats that Telegram Desktop exported as JSON.

    Messages become posts and replies, forwarded ones reposts, and reactions with a user and a date likes. Personal
    chats are rejected.

    Example: clout import telegram result.json --out telegram
    """,
    has_private=True,
)
_add_source(
    "xarchive",
    "Folder of an unpacked archive of X.",
    """Import the archive of an account of X (Twitter): what its user wrote.

    Tweets become posts, replies, quotes, reposts and mentions by the account. The archive does not hold what others did
    with them, so import the archives of several users, each into a file of one folder.

    Example: clout import xarchive archive/ --out tweets/ann.parquet
    """,
)


def _pairs(options: list[str], name: str) -> dict[str, str]:
    pairs = {}
    for text in options:
        key, sign, value = text.partition("=")
        if not (key and sign and value):
            raise EventsError(f"{name} is {text!r}; expected two names with = between them, such as actor=author.")
        pairs[key] = value
    return pairs


def _print_report(report: "ImportReport", json: bool) -> None:
    if json:
        print_json(report.as_dict())
        return
    print_message(f"{report.read:,} rows read = {report.accepted:,} accepted + {report.rejected:,} rejected.")
    for reason, count in sorted(report.reasons.items(), key=lambda item: -item[1])[:10]:
        print_message(f"  rejected {count:,}: {reason}")
    for note in report.notes:
        warn(note)
    print_message(f"Events from {report.first:%Y-%m-%d} to {report.last:%Y-%m-%d} in {report.out}.")
    if report.rejects:
        print_message(f"Rejected rows and reasons in {report.rejects}.")


def simulate(
    out: Out,
    users: Annotated[int, typer.Option(help="Number of simulated users.")] = 20_000,
    days: Annotated[int, typer.Option(help="Number of simulated days.")] = 420,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Simulate a community of any size whose true influence is known.

    The true influence of each user is written to EVENTS.truth.parquet, beside the events.

    Example: clout simulate --users 20000 --days 420 --seed 7 --out community.parquet
    """
    from features.simulation import Community, simulate

    with progress_bar("simulate") as progress:
        files = simulate(Community(users=users, days=days, seed=seed), out, progress)
    print_message(f"{files.events:,} events by {users:,} users in {out}; their true influence is in {files.truth}.")


def store(
    events: Events,
    into: Annotated[Path, typer.Option("--into", help="Folder of the store; created if absent.")],
    scope: Scopes = None,
    identities: Identities = None,
    json: Json = False,
) -> None:
    """Add events to a store, so that later runs need not read and encode the old events again.

    Add each day as it arrives, in any order; late events are fine. The scopes and identities of a store are fixed when
    it is created. Other commands accept a store as EVENTS.

    Example: clout store today.parquet --into community.store
    """
    from features.events.store import add_to_store, read_manifest

    with progress_bar("store"):
        part = add_to_store(events, into, scope, read_command_identities(identities))
    if json:
        print_json(asdict(part))
        return
    total = sum(part.acts for part in read_manifest(into).parts)
    print_message(f"{part.acts:,} events and {part.people:,} new users added; {into} holds {total:,} events.")


def features(
    events: Annotated[Path | None, typer.Argument(help=EVENTS_HELP)] = None,
    as_of: Annotated[str | None, typer.Option(help="Use only events before this instant (ISO 8601, UTC).")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the feature table goes: .parquet.")] = None,
    scope: Scopes = None,
    identities: Identities = None,
    engine: Engine = "duckdb",
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
        raise typer.BadParameter("EVENTS and --out are required, unless --describe is set.")
    from features.atomic_files import check_parquet_name

    check_parquet_name("--out", out)
    scopes = scope or ["all"]
    _write_features(encode_command_events(events, scopes, identities, engine), as_of, out, scopes)


def _write_features(events: "EncodedEvents", as_of: str | None, out: Path, scopes: Sequence[str]) -> None:
    from features.atomic_files import publish, scratch_dir
    from features.events.loading import check_scopes, resolve_as_of
    from features.feature_table import feature_rows

    check_scopes(events, scopes)
    at = resolve_as_of(events.rows, parse_instant(as_of))
    with progress_bar("features") as progress, scratch_dir(out) as scratch:
        rows = feature_rows(events, at, progress)
        rows.to_parquet(scratch / out.name, index=False)
        publish(scratch / out.name, out, scratch)
    print_message(f"{len(rows):,} rows, {rows.shape[1] - 2} features as of {at:%Y-%m-%d %H:%M:%S} UTC in {out}.")


def _describe() -> None:
    from features.catalogue import CATALOGUE

    head, *rows = CATALOGUE.as_rows()
    print_table(f"{len(rows)} features", head, rows, text_columns=len(head))


def add_to(app: typer.Typer) -> None:
    """Add the commands of this layer to the application."""
    app.command(rich_help_panel=DATA)(simulate)
    app.add_typer(sources, name="import", rich_help_panel=DATA)
    app.command(rich_help_panel=DATA)(store)
    app.command(rich_help_panel=DATA)(features)
