"""The commands that bring activity in from a source: clout import SOURCE."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import EventsError
from features.terminal import Json, as_json, say, step, warn

if TYPE_CHECKING:
    from features.sources.door import Landing

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
    from features.sources.table import import_table

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
    from features.sources.stackexchange import import_stackexchange

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
    from features.sources.gharchive import import_gharchive

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
    from features.sources.reddit import import_reddit

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
    from features.sources.activitystreams import import_activitystreams

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
    from features.sources.bluesky import import_bluesky

    _bring_in(import_bluesky, path, out, json)


def _bring_in(run: Callable[..., "Landing"], path: Path, out: Path, json: bool) -> None:
    with step("import") as progress:
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


def _tell(landing: "Landing", json: bool) -> None:
    if json:
        as_json(landing.as_dict())
        return
    say(f"{landing.read:,} rows read = {landing.accepted:,} accepted + {landing.rejected:,} rejected.")
    for reason, count in sorted(landing.reasons.items(), key=lambda item: -item[1])[:10]:
        say(f"  rejected {count:,}: {reason}")
    for note in landing.notes:
        warn(note)
    say(f"Events from {landing.first:%Y-%m-%d} to {landing.last:%Y-%m-%d} in {landing.out}.")
    if landing.rejects:
        say(f"Rejected rows and reasons in {landing.rejects}.")
