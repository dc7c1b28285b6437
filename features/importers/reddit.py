"""Import Reddit dumps in the format of Pushshift: submissions (RS_*) and comments (RC_*).

| line | verb | target | object | result |
|---|---|---|---|---|
| submission | post | | t3_ID | |
| submission with crosspost_parent | quote | author of the crossposted submission | that submission | t3_ID |
| comment | reply | author of its parent | the parent | t1_ID |

A comment has a parent_id, link_id or body; a submission has a title. A comment without parent_id is about the
submission link_id. Dumps by Pushshift of 2022 and 2023 hold the ids of parents as numbers, which are read as fullnames
in base 36. A parent_id of any other form is unknown, and not the submission. The author of a parent is looked up in the
files, so import submissions and comments in one folder; a crosspost also holds a copy of its parent. If the author is
unknown, the target is null, and the reply counts for its author only. An author [deleted] is null. Accounts of
programs, such as AutoModerator, are normal accounts.

Topics are the subreddit. `content_hash` is of the title and text; `links` counts the http(s) addresses in them, plus
one for a link submission. A text [deleted] or [removed] is null. score, ups, num_comments and similar fields are never
read: they are totals at the time of the dump, and would leak the future. Dumps hold no votes. If files overlap, the
version of a submission or comment in the first file counts.
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from features.events.engines import sql_function
from features.events.ids import read_id
from features.importers.event_fields import build_record, content_hash, links, read_time, reject_duplicates
from features.importers.ingestion import ImportReport, JsonLinesSource
from features.progress import Progress, ignore_progress

ENDINGS = (".zst", ".gz", ".jsonl", ".ndjson", ".json")
EXPECTED = "submissions (RS_*) and comments (RC_*) in JSON Lines"
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
RECORD_FIELDS = {**{name: name for name in ("id", "author", "created_utc", "subreddit")}, "about": "parent"}
DELETED = ("[deleted]", "[removed]", "")
FULLNAME = r"^t[13]_[0-9a-z]+$"
NUMBER = r"^([0-9]+)(\.0+)?$"
to_base = sql_function("to_base", ("int64", "int64"), "string")


def import_reddit(path: Path, out: Path, progress: Progress = ignore_progress) -> ImportReport:
    """Import a file, or a folder of files of both kinds in any order, as in `JsonLinesSource.ingest`."""
    source = JsonLinesSource(ENDINGS, EXPECTED, MEMBERS, ("created_utc", "author"), _select_pieces, _raw_events)
    return source.ingest(path, out, progress)


def _select_pieces(rows: ir.Table) -> ir.Table:
    """Select what the events need from the members of a file, without the texts, which are large."""
    comment = rows.title.isnull() & (rows.parent_id.notnull() | rows.link_id.notnull() | rows.body.notnull())
    valid = comment | rows.title.notnull()
    text = comment.ifelse(_present(rows.body), _join(_present(rows.title), _present(rows.selftext)))
    reason = ibis.cases((~valid, "neither a submission nor a comment"), (read_id(rows.id).isnull(), "id missing"))
    return rows.select(
        *("row", "author", "created_utc", "subreddit"),
        id=read_id(rows.id),
        fullname=comment.ifelse("t1_", "t3_") + read_id(rows.id),
        parent=comment.ifelse(_comment_parent(rows), _fullname(rows.crosspost_parent)),
        crosspost_author=_present(rows.crosspost_author),
        comment=comment,
        actor=_present(rows.author),
        time=read_time(rows.created_utc),
        content_hash=content_hash(text),
        links=links(text) + (~comment & (rows.is_self == "false")).fill_null(False).cast("int64"),
        record=rows.reason.notnull().ifelse(rows.record, ibis.null("string")),
        reason=ibis.coalesce(rows.reason, reason),
    )


def _raw_events(pieces: ir.Table, names: tuple[str, ...]) -> ir.Table:
    """Map the submissions and comments of all files to rows for `ingest`: columns of SCHEMA, row, record and reason."""
    rows = _with_targets(reject_duplicates(pieces, ("fullname",)))
    post = ~rows.comment & rows.parent.isnull()
    return rows.select(
        *("time", "row", "reason", "content_hash", "links"),
        actor=rows.actor,
        verb=ibis.cases((rows.comment, "reply"), (post, "post"), else_="quote"),
        target=rows.target,
        object=post.ifelse(rows.fullname, rows.parent),
        result=post.ifelse(ibis.null("string"), rows.fullname),
        network=ibis.literal("reddit"),
        topics=ibis.array([rows.subreddit]),
        record=build_record(rows, RECORD_FIELDS, names),
    )


def _with_targets(rows: ir.Table) -> ir.Table:
    """Look up the author of each row's parent."""
    authored = rows.filter(rows.actor.notnull(), rows.fullname.notnull())
    authors = authored.group_by(authored_fullname=authored.fullname).aggregate(parent_author=authored.actor.max())
    joined = rows.left_join(authors, rows.parent == authors.authored_fullname)
    return joined.mutate(target=ibis.coalesce(joined.parent_author, joined.crosspost_author))


def _present(text: ir.StringValue) -> ir.StringValue:
    """Replace markers of deletion by null."""
    return text.isin(DELETED).ifelse(ibis.null("string"), text)


def _join(title: ir.StringValue, text: ir.StringValue) -> ir.StringValue:
    return ibis.coalesce(title + "\n" + text, title, text)


def _comment_parent(rows: ir.Table) -> ir.StringValue:
    parent, submission = rows.parent_id.nullif(""), _fullname(rows.link_id, "t3_")
    number = _fullname(parent, "t1_")
    is_submission = number.re_replace("^t1_", "t3_") == submission
    return ibis.cases((parent.isnull() | is_submission, submission), else_=number)


def _fullname(text: ir.StringValue, kind: str = "") -> ir.StringValue:
    """Return the fullname of a submission or comment; a number becomes one of a kind, if there is one."""
    number = text.re_extract(NUMBER, 1).try_cast("int64")
    from_number = ibis.literal(kind) + to_base(number, 36).lower() if kind else ibis.null("string")
    return ibis.coalesce(text.re_search(FULLNAME).ifelse(text, ibis.null("string")), from_number)
