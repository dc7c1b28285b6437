"""Import the dump of one Stack Exchange site.

| row | verb | actor | target | object | result |
|---|---|---|---|---|---|
| question (PostTypeId 1) | post | its owner | | post:Id | |
| answer (PostTypeId 2) | reply | its owner | owner of the question | the question | post:Id |
| comment | reply | its user | owner of the post | the post | comment:Id |
| vote 1, accepted | like | owner of the question | owner of the answer | the answer | |
| vote 2, up | like | unknown | owner of the post | the post | |
| vote 3, down | dislike | unknown | owner of the post | the post | |
| vote 4, offensive; 12, spam | flag | unknown | owner of the post | the post | |
| vote 5, favourite | like | its user | owner of the post | the post | |

Other posts and votes do not map to an event; they are rejected with their type as the reason. Votes have a date without
a time and count at the end of the day. Topics are the question's tags. Totals at the time of the dump (Score,
ViewCount, FavoriteCount, AnswerCount, those of Users) are never read: they would leak the future.
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from features.atomic_files import check_events_path, scratch_dir
from features.events.event_table import connect
from features.events.ids import read_id
from features.importers.event_fields import read_time
from features.importers.ingestion import ImportReport, ingest
from features.importers.stackexchange_dump import REQUIRED, find_dump_files, read_dump
from features.progress import Progress, ignore_progress

VOTE_VERBS = {"1": "like", "2": "like", "3": "dislike", "4": "flag", "5": "like", "12": "flag"}
POST_NAMES = {
    "3": "orphaned tag wiki",
    "4": "tag wiki excerpt",
    "5": "tag wiki",
    "6": "moderator nomination",
    "7": "wiki placeholder",
    "8": "privilege wiki",
}
VOTE_NAMES = {
    "6": "close",
    "7": "reopen",
    "8": "bounty start",
    "9": "bounty close",
    "10": "deletion",
    "11": "undeletion",
    "13": "inform moderator",
    "15": "moderator review",
    "16": "approve edit suggestion",
}


def import_stackexchange(path: Path, out: Path, progress: Progress = ignore_progress) -> ImportReport:
    """Import the dump of a site as events; `out`, `progress` and the report are those of `JsonLinesSource.ingest`.

    `path` is a folder with Posts and, optionally, Comments and Votes: .xml as downloaded, or .csv, each also with .gz.
    The `notes` of the report name the missing tables.

    Raises
    ------
    EventsError : Posts is missing, a file cannot be read, or no row is an event

    """
    files = find_dump_files(Path(path))
    backend = connect()
    check_events_path(Path(out))
    with scratch_dir(Path(out)) as scratch:
        tables = read_dump(backend, files, scratch, progress)
        notes = tuple(f"the {name} table is missing" for name in REQUIRED if name not in files)
        return ingest(_raw_events(**{name.lower(): table for name, table in tables.items()}), Path(out), notes)


def _raw_events(posts: ir.Table, comments: ir.Table, votes: ir.Table) -> ir.Table:
    """Map the tables of a dump to rows for `ingest`: columns of SCHEMA, row, record and reason."""
    content = _content(posts)
    return ibis.union(_posts(posts, content), _comments(comments, content), _votes(votes, content)).mutate(
        network=ibis.literal("stackexchange")
    )


def _content(posts: ir.Table) -> ir.Table:
    """Look up each post's `owner`, its question's owner (`asker`) and its question's `topics`."""
    own = posts.group_by(post=read_id(posts.Id)).aggregate(
        owner=read_id(posts.OwnerUserId).max(), question=read_id(posts.ParentId).max(), tags=posts.Tags.max()
    )
    question = own.view()
    joined = own.left_join(question, own.question == question.post)
    tags = ibis.coalesce(own.tags.nullif(""), question.tags)
    return joined.select(own.post, own.owner, asker=question.owner, topics=_topics(tags))


def _topics(tags: ir.StringValue) -> ir.ArrayValue:
    """Split tags in the older form `<a><b>` or the newer `|a|b|`."""
    return tags.re_replace("[<>|]+", " ").strip().split(" ")


def _posts(posts: ir.Table, content: ir.Table) -> ir.Table:
    joined = _with_content(posts, content, posts.ParentId)
    kind = read_id(joined.PostTypeId)
    answer = kind == "2"
    piece = _piece_id("post", joined.Id)
    own = _topics(joined.Tags.nullif(""))
    return _row(
        joined,
        verb=kind.cases(("1", "post"), ("2", "reply")),
        actor=read_id(joined.OwnerUserId),
        target=answer.ifelse(joined.owner, ibis.null("string")),
        object=answer.ifelse(_piece_id("post", joined.ParentId), piece),
        result=answer.ifelse(piece, ibis.null("string")),
        topics=ibis.coalesce(own, joined.topics),
        reason=ibis.coalesce(joined.reason, _unmapped_reason("PostTypeId", kind, ("1", "2"), POST_NAMES)),
    )


def _comments(comments: ir.Table, content: ir.Table) -> ir.Table:
    joined = _with_content(comments, content, comments.PostId)
    return _row(
        joined,
        verb=ibis.literal("reply"),
        actor=read_id(joined.UserId),
        object=_piece_id("post", joined.PostId),
        result=_piece_id("comment", joined.Id),
    )


def _votes(votes: ir.Table, content: ir.Table) -> ir.Table:
    joined = _with_content(votes, content, votes.PostId)
    kind = read_id(joined.VoteTypeId)
    return _row(
        joined,
        time=read_time(joined.CreationDate.left(10)),
        verb=kind.cases(*VOTE_VERBS.items()),
        actor=kind.cases(("1", joined.asker), ("5", read_id(joined.UserId))),
        object=_piece_id("post", joined.PostId),
        reason=ibis.coalesce(joined.reason, _unmapped_reason("VoteTypeId", kind, tuple(VOTE_VERBS), VOTE_NAMES)),
    )


def _with_content(rows: ir.Table, content: ir.Table, post: ir.StringColumn) -> ir.Table:
    """Add the columns of `_content` of the post that each row is about."""
    other = content.view()
    return rows.left_join(other, read_id(post) == other.post)


def _piece_id(kind: str, number: ir.StringColumn) -> ir.StringValue:
    return ibis.literal(f"{kind}:") + read_id(number)


def _unmapped_reason(
    column: str, kind: ir.StringValue, mapped: tuple[str, ...], names: dict[str, str]
) -> ir.StringValue:
    label = kind.cases(*((number, f"{number} ({name})") for number, name in names.items()), else_=kind)
    reason = ibis.literal(f"{column} ") + label.fill_null("missing") + " does not map to an event"
    return kind.isin(mapped).fill_null(False).ifelse(ibis.null("string"), reason)


def _row(joined: ir.Table, **fields: ir.Value) -> ir.Table:
    """Fill in the fields that are equal for most tables, and sort the columns for the union."""
    defaults = {
        "time": read_time(joined.CreationDate),
        "target": joined.owner,
        "result": ibis.null("string"),
        "topics": joined.topics,
        "reason": joined.reason,
        "row": joined.row,
        "record": joined.record,
    }
    return joined.select(
        **{
            name: value.cast("string") if name == "verb" else value
            for name, value in sorted({**defaults, **fields}.items())
        }
    )
