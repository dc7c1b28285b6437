"""Stack Exchange: a dump of one site as events.

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

Other posts and votes are no acts on a person; they are rejected with their type as the reason. Votes are dated by the
day and placed at its end. Topics are the question's tags. Totals at the time of the dump (Score, ViewCount,
FavoriteCount, AnswerCount, those of Users) are never read: they would tell the future.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ibis
import ibis.expr.types as ir

from features.atomic_files import check_events_path, scratch_dir
from features.events.event_table import connect
from features.importers.ingestion import ImportReport, ingest
from features.importers.readers.values import read_id, read_time
from features.importers.stackexchange_dump import NEEDED, dump_files, read_dump

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


def import_stackexchange(path: Path, out: Path, progress: Callable[[float], None] | None = None) -> ImportReport:
    """Import the dump of a site as events.

    Parameters
    ----------
    path : folder with Posts and, if there, Comments and Votes: .xml as downloaded, or .csv, each also with .gz
    out : where the events go, as in `ingest`
    progress : called with the share of the bytes that is read

    Returns
    -------
    the counts over all rows of the tables; `notes` names the tables that are absent

    Raises
    ------
    EventsError : there are no Posts, a file cannot be read, or nothing in it is an event

    """
    files = dump_files(Path(path))
    backend = connect()
    check_events_path(Path(out))
    with scratch_dir(Path(out)) as scratch:
        tables = read_dump(backend, files, scratch, progress or (lambda *_: None))
        landing = ingest(raw_events(**{name.lower(): table for name, table in tables.items()}), Path(out))
    return replace(landing, notes=tuple(f"there is no {name} table" for name in NEEDED if name not in files))


def raw_events(posts: ir.Table, comments: ir.Table, votes: ir.Table) -> ir.Table:
    """Turn the tables of a dump into rows for the door: the columns of SCHEMA that are known, row, record, reason."""
    content = _content(posts)
    return ibis.union(_posts(posts, content), _comments(comments, content), _votes(votes, content)).mutate(
        network=ibis.literal("stackexchange")
    )


def _content(posts: ir.Table) -> ir.Table:
    """Tell for each post its `owner`, its question's owner (`asker`) and its question's `topics`."""
    own = posts.group_by(post=read_id(posts.Id)).aggregate(
        owner=read_id(posts.OwnerUserId).max(), question=read_id(posts.ParentId).max(), tags=posts.Tags.max()
    )
    question = own.view()
    joined = own.left_join(question, own.question == question.post)
    tags = ibis.coalesce(own.tags.nullif(""), question.tags)
    return joined.select(own.post, own.owner, asker=question.owner, topics=_topics(tags))


def _topics(tags: ir.StringValue) -> ir.ArrayValue:
    """Cut tags in the older form `<a><b>` or the newer `|a|b|`."""
    return tags.re_replace("[<>|]+", " ").strip().split(" ")


def _posts(posts: ir.Table, content: ir.Table) -> ir.Table:
    joined = _about(posts, content, posts.ParentId)
    kind = read_id(joined.PostTypeId)
    answer = kind == "2"
    piece = _piece("post", joined.Id)
    own = _topics(joined.Tags.nullif(""))
    return _row(
        joined,
        verb=kind.cases(("1", "post"), ("2", "reply")),
        actor=read_id(joined.OwnerUserId),
        target=answer.ifelse(joined.owner, ibis.null("string")),
        object=answer.ifelse(_piece("post", joined.ParentId), piece),
        result=answer.ifelse(piece, ibis.null("string")),
        topics=ibis.coalesce(own, joined.topics),
        reason=ibis.coalesce(joined.reason, _no_act("PostTypeId", kind, ("1", "2"), POST_NAMES)),
    )


def _comments(comments: ir.Table, content: ir.Table) -> ir.Table:
    joined = _about(comments, content, comments.PostId)
    return _row(
        joined,
        verb=ibis.literal("reply"),
        actor=read_id(joined.UserId),
        object=_piece("post", joined.PostId),
        result=_piece("comment", joined.Id),
    )


def _votes(votes: ir.Table, content: ir.Table) -> ir.Table:
    joined = _about(votes, content, votes.PostId)
    kind = read_id(joined.VoteTypeId)
    return _row(
        joined,
        time=read_time(joined.CreationDate.left(10)),
        verb=kind.cases(*VOTE_VERBS.items()),
        actor=kind.cases(("1", joined.asker), ("5", read_id(joined.UserId))),
        object=_piece("post", joined.PostId),
        reason=ibis.coalesce(joined.reason, _no_act("VoteTypeId", kind, tuple(VOTE_VERBS), VOTE_NAMES)),
    )


def _about(rows: ir.Table, content: ir.Table, post: ir.StringColumn) -> ir.Table:
    about = content.view()
    return rows.left_join(about, read_id(post) == about.post)


def _piece(kind: str, number: ir.StringColumn) -> ir.StringValue:
    return ibis.literal(f"{kind}:") + read_id(number)


def _no_act(column: str, kind: ir.StringValue, acts: tuple[str, ...], names: dict[str, str]) -> ir.StringValue:
    named = kind.cases(*((number, f"{number} ({name})") for number, name in names.items()), else_=kind)
    reason = ibis.literal(f"{column} ") + named.fill_null("missing") + " is no act on a person"
    return kind.isin(acts).fill_null(False).ifelse(ibis.null("string"), reason)


def _row(joined: ir.Table, **fields: ir.Value) -> ir.Table:
    """Complete the fields of a row that are the same for most tables, in one order."""
    usual = {
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
            for name, value in sorted({**usual, **fields}.items())
        }
    )
