"""Reddit: submissions and comments in dumps of the kind that Pushshift began (RS_*, RC_*), as events.

| line | verb | target | object | result |
|---|---|---|---|---|
| submission | post | | t3_ID | |
| submission with crosspost_parent | quote | author of what it passes on | that submission | t3_ID |
| comment | reply | author of its parent | the parent | t1_ID |

A comment has a parent_id, link_id or body; a submission has a title. Whose the parent is tell the files themselves, so
submissions and comments belong in one folder; for a crosspost also the copy in it. Where they don't tell, the target is
unknown: the reply still is its author's own, and reaches nobody. Authors called [deleted] are unknown people. Accounts
of programs, such as AutoModerator, are accounts like others.

Topics are the subreddit. `content_hash` is of the title and text; `links` are the http(s) addresses in them, and one
more for a submission that is a link. Texts that became [deleted] or [removed] tell nothing. score, ups, num_comments
and the like are never read: they are totals at the time of the dump and would tell the future. Votes are not in dumps.
The same submission or comment from files that overlap counts once; of its versions that of the first file stands.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ibis
import ibis.expr.types as ir

from features.atomic_files import check_events_path, scratch_dir
from features.events.event_table import connect
from features.importers.event_fields import content_hash, links, original, refuse_repeats
from features.importers.ingestion import ImportReport, ingest
from features.importers.readers.files import list_files
from features.importers.readers.json_lines import read_parts
from features.importers.readers.values import read_id, read_time

ENDINGS = (".zst", ".gz", ".jsonl", ".ndjson", ".json")
MEANT = "submissions (RS_*) and comments (RC_*) in JSON Lines"
MEMBERS = {
    "id": "/id",
    "author": "/author",
    "created_utc": "/created_utc",
    "subreddit": "/subreddit",
    "title": "/title",
    "selftext": "/selftext",
    "is_self": "/is_self",
    "body": "/body",
    "parent_id": "/parent_id",
    "link_id": "/link_id",
    "crosspost_parent": "/crosspost_parent",
    "crosspost_author": "/crosspost_parent_list/0/author",
}
RECORD = {name: name for name in ("id", "author", "created_utc", "subreddit", "about")}
GONE = ("[deleted]", "[removed]", "")
PIECE = r"^t[13]_[0-9a-z]+$"
UNKNOWN = "neither a submission nor a comment"
NAMELESS = "id missing"


def import_reddit(path: Path, out: Path, progress: Callable[[float], None] | None = None) -> ImportReport:
    """Import dumps of submissions and comments as events.

    Parameters
    ----------
    path : a file in JSON Lines, plain, .gz or .zst, or a folder of them, of both kinds in any order
    out : where the events go, as in `ingest`
    progress : called with the share of the bytes that is read

    Returns
    -------
    the counts over all lines; `notes` names files that were passed over

    Raises
    ------
    EventsError : nothing can be read there, a file is no such dump, or nothing in it is an event

    """
    files, passed = list_files(Path(path), ENDINGS, MEANT)
    backend = connect()
    check_events_path(Path(out))
    with scratch_dir(Path(out)) as scratch:
        shown = progress or (lambda *_: None)
        pieces = read_parts(backend, files, scratch, MEMBERS, pieces_of, ("created_utc", "author"), MEANT, shown)
        landing = ingest(raw_events(pieces, tuple(file.name for file in files)), Path(out))
    return replace(landing, notes=passed)


def pieces_of(found: ir.Table) -> ir.Table:
    """Keep of the members of a file what the events need; texts are large.

    Parameters
    ----------
    found : with the columns of MEMBERS, row, record and reason, from `read_members`

    """
    comment = found.title.isnull() & (found.parent_id.notnull() | found.link_id.notnull() | found.body.notnull())
    known = comment | found.title.notnull()
    text = comment.ifelse(_text(found.body), _joined(_text(found.title), _text(found.selftext)))
    damage = ibis.cases((~known, UNKNOWN), (read_id(found.id).isnull(), NAMELESS))
    return found.select(
        *("row", "author", "created_utc", "subreddit"),
        id=read_id(found.id),
        piece=comment.ifelse("t1_", "t3_") + read_id(found.id),
        about=comment.ifelse(_piece(found.parent_id, found.link_id), _piece(found.crosspost_parent)),
        said_author=_person(found.crosspost_author),
        comment=comment,
        person=_person(found.author),
        time=read_time(found.created_utc),
        content_hash=content_hash(text),
        links=links(text) + (~comment & (found.is_self == "false")).fill_null(False).cast("int64"),
        record=found.reason.notnull().ifelse(found.record, ibis.null("string")),
        reason=ibis.coalesce(found.reason, damage),
    )


def raw_events(pieces: ir.Table, names: tuple[str, ...]) -> ir.Table:
    """Turn submissions and comments into rows for the door: the columns of SCHEMA that are known, row, record, reason.

    Parameters
    ----------
    pieces : of all files, from `pieces_of`
    names : the names of the files

    """
    rows = _with_target(refuse_repeats(pieces, ("piece",)))
    alone = ~rows.comment & rows.about.isnull()
    return rows.select(
        *("time", "row", "reason", "content_hash", "links"),
        actor=rows.person,
        verb=ibis.cases((rows.comment, "reply"), (alone, "post"), else_="quote"),
        target=rows.target,
        object=alone.ifelse(rows.piece, rows.about),
        result=alone.ifelse(ibis.null("string"), rows.piece),
        network=ibis.literal("reddit"),
        topics=ibis.array([rows.subreddit]),
        record=original(rows, RECORD, names),
    )


def _with_target(rows: ir.Table) -> ir.Table:
    """Look up whose the piece is that each row is about."""
    told = rows.filter(rows.person.notnull(), rows.piece.notnull())
    owners = told.group_by(known=told.piece).aggregate(owner=told.person.max())
    joined = rows.left_join(owners, rows.about == owners.known)
    return joined.mutate(target=ibis.coalesce(joined.owner, joined.said_author))


def _person(author: ir.StringValue) -> ir.StringValue:
    return author.isin(GONE).ifelse(ibis.null("string"), author)


def _text(written: ir.StringValue) -> ir.StringValue:
    return written.isin(GONE).ifelse(ibis.null("string"), written)


def _joined(title: ir.StringValue, text: ir.StringValue) -> ir.StringValue:
    return ibis.coalesce(title + "\n" + text, title, text)


def _piece(*names: ir.StringValue) -> ir.StringValue:
    """Take the first of the names that is one of a submission or comment."""
    return ibis.coalesce(*(name.re_search(PIECE).ifelse(name, ibis.null("string")) for name in names))
