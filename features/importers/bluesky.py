"""Bluesky: what the network did, as Jetstream tells it, as events.

| commit | verb | target | object | result |
|---|---|---|---|---|
| post | post | | the post | |
| post with reply | reply | owner of the parent | the parent | the post |
| post that embeds a post | quote | owner of the quoted | the quoted | the post |
| mention in the text of a post | mention | the mentioned, not the replied to | the post | |
| repost | repost | owner of the subject | the subject | |
| like | like | owner of the subject | the subject | |
| follow | follow | the subject | | |
| delete of a follow that is in the files | unfollow | the subject of the follow | | |
| block | block | the subject | | |

One post can be several events: a post, reply or quote, and a mention of each other person who is mentioned; what is a
reply and a quote is both. Each of them counts as a row read.

People are called by their DID and pieces `at://DID/COLLECTION/RKEY`, so that the owner is in the name. `time` is
`time_us`, when the network saw the act. The record's `createdAt` is never read: it is what the author's program claims,
and can lie years back or ahead, while at an instant only that was known which the network had seen.

Deletes of posts, likes, reposts and blocks are rejected, since no verb takes them back: what was given stood at its
time. So are updates, other collections, and the kinds identity and account. Topics are the hashtags, in lower case;
links are those in the text and of the card below it. The same commit from files that overlap counts once, at its
earliest time.

Jetstream: the messages of Bluesky's network, a JSON object a line, read into one table.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.atomic_files import check_events_path, scratch_dir
from features.events.event_table import connect
from features.importers.event_fields import CONTENT, NOTHING, content_hash, links, mentions, original, refuse_repeats
from features.importers.ingestion import ImportReport, ingest
from features.importers.readers.files import list_files
from features.importers.readers.json_lines import read_parts
from features.importers.readers.values import json_extract_string, json_valid, make_timestamp

MEANT = "messages of Jetstream in JSON Lines, each with did, time_us and kind"
MEMBERS = {
    "did": "/did",
    "time": "/time_us",
    "kind": "/kind",
    "operation": "/commit/operation",
    "collection": "/commit/collection",
    "rkey": "/commit/rkey",
    "rev": "/commit/rev",
    "made": "/commit/record/$type",
    "subject": "/commit/record/subject",
    "on": "/commit/record/subject/uri",
    "reply": "/commit/record/reply",
    "parent": "/commit/record/reply/parent/uri",
    "embedded": "/commit/record/embed/record/uri",
    "embedded_with_media": "/commit/record/embed/record/record/uri",
    "card": "/commit/record/embed/external/uri",
    "card_with_quote": "/commit/record/embed/media/external/uri",
    "facets": "/commit/record/facets",
    "tags": "/commit/record/tags",
    "text": "/commit/record/text",
}
POST = "app.bsky.feed.post"
FOLLOW = "app.bsky.graph.follow"
DID = r"^did:[a-z]+:[A-Za-z0-9._:%-]+$"
QUOTABLE = rf"^at://did:[a-z]+:[A-Za-z0-9._:%-]+/{POST}/[^/]+$"
LATEST = 10**16


def read_commits(backend: Backend, files: list[Path], scratch: Path, progress: Callable[[float], None]) -> ir.Table:
    """Read the messages of files, one file after the other.

    Parameters
    ----------
    backend : where the table lives
    files : plain, gzipped or .zst
    scratch : folder to copy what is wanted into
    progress : called with the share of the bytes that is read

    Returns
    -------
    a row per message. `file`, `row`, `record`, `reason` tell its place and what is wrong with the line; `did`, `time`,
    `kind`, `operation`, `collection`, `rkey`, `rev` what it is; `subject` is the DID and `on` the piece that it is on,
    `parent` what it replies to (`answers` says whether it does), `quoted` the post that it embeds; `told` says whether
    there is a record of a post, with `mentions`, `topics`, `content_hash` and `links`

    Raises
    ------
    EventsError : a file cannot be read, or is nothing of Jetstream's

    """
    return read_parts(backend, files, scratch, MEMBERS, _settled, ("did", "kind"), MEANT, progress)


def _settled(found: ir.Table) -> ir.Table:
    """Keep of the members what the events need; texts and lists of facets are large."""
    quoted = ibis.coalesce(found.embedded_with_media, found.embedded)
    micros = found.time.try_cast("int64")
    return found.select(
        *("row", "reason", "did", "kind", "operation", "collection", "rkey", "rev", "on", "parent"),
        record=found.reason.notnull().ifelse(found.record, ibis.null("string")),
        time=make_timestamp(micros.between(0, LATEST).ifelse(micros, ibis.null("int64"))).cast("timestamp('UTC')"),
        subject=found.subject.re_search(DID).ifelse(found.subject, ibis.null("string")),
        answers=found.reply.notnull(),
        told=found.text.notnull() | found.made.notnull(),
        quoted=quoted.re_search(QUOTABLE).ifelse(quoted, ibis.null("string")),
        mentions=_of_facets(found, "did").filter(lambda each: each.re_search(DID)).unique(),
        topics=_topics(found),
        content_hash=content_hash(found.text),
        links=_links(found),
    )


def _listed(member: ir.StringValue) -> ir.StringValue:
    return (member.startswith("[") & json_valid(member)).ifelse(member, ibis.null("string"))


def _of_facets(found: ir.Table, name: str) -> ir.ArrayValue:
    """List what the facets of a text hold: `did` of mentions, `tag` of hashtags, `uri` of links."""
    return json_extract_string(_listed(found.facets), f"$[*].features[*].{name}")


def _topics(found: ir.Table) -> ir.ArrayValue:
    none = ibis.literal([], "array<string>")
    tags = (
        _of_facets(found, "tag")
        .fill_null(none)
        .concat(json_extract_string(_listed(found.tags), "$[*]").fill_null(none))
    )
    return tags.map(lambda each: each.re_replace("^#", "").lower())


def _links(found: ir.Table) -> ir.IntegerValue:
    """Count the links: those marked in the text and of the card below it, or else those written in the text."""
    marked = _of_facets(found, "uri").fill_null(ibis.literal([], "array<string>"))
    card = ibis.array([ibis.coalesce(found.card, found.card_with_quote)]).filter(lambda each: each.notnull())
    count = marked.concat(card).unique().length()
    return ibis.cases((count > 0, count), (found.text.notnull(), links(found.text)))


ENDINGS = tuple(kind + packed for kind in (".jsonl", ".ndjson", ".json") for packed in ("", ".gz", ".zst"))
VERBS = {
    POST: "post",
    "app.bsky.feed.repost": "repost",
    "app.bsky.feed.like": "like",
    FOLLOW: "follow",
    "app.bsky.graph.block": "block",
}
OWNER = r"^at://(did:[a-z]+:[A-Za-z0-9._:%-]+)/[^/]+/[^/]+$"
EVENT = ("verb", "actor", "target", "collection", "rkey", "rev")
KEPT = ("file", "row", "record", "time", "kind", "operation", "collection", "rkey", "rev")
PERSONAL = (FOLLOW, "app.bsky.graph.block")
SHOWN = 60
RECORD = {"did": "actor", **{name: name for name in ("kind", "operation", "collection", "rkey", "rev")}}


def import_bluesky(path: Path, out: Path, progress: Callable[[float], None] | None = None) -> ImportReport:
    """Import what Jetstream told as events.

    Parameters
    ----------
    path : JSON Lines as Jetstream sends them, plain, .gz or .zst, or a folder of such files
    out : where the events go, as in `ingest`
    progress : called with the share of the bytes that is read

    Returns
    -------
    the counts over all events that the commits would be

    Raises
    ------
    EventsError : nothing can be read there, a file is nothing of Jetstream's, or nothing in it is an event

    """
    files, passed = list_files(Path(path), ENDINGS, MEANT)
    backend = connect()
    check_events_path(Path(out))
    with scratch_dir(Path(out)) as scratch:
        commits = read_commits(backend, files, scratch, progress or (lambda *_: None))
        landing = ingest(raw_events(commits, tuple(file.name for file in files)), Path(out))
    return replace(landing, notes=passed)


def raw_events(commits: ir.Table, names: tuple[str, ...] = ()) -> ir.Table:
    """Turn commits into rows for the door: the columns of SCHEMA that are known, row, record, reason.

    Parameters
    ----------
    commits : what was read of the files, from `read_commits`
    names : the names of the files, which go before the records where there is more than one

    """
    whole = _with_followed(commits)
    judged = whole.mutate(reason=ibis.coalesce(whole.reason, _no_act(whole), _damage(whole)))
    acts = ibis.union(_acts(judged), _quotes(judged))
    rows = refuse_repeats(ibis.union(acts.drop("mentions"), mentions(acts, lambda act: _piece(act, act.actor))), EVENT)
    return rows.select(
        *("time", "actor", "verb", "target", "object", "result", "topics", "content_hash", "links", "row", "reason"),
        record=original(rows, RECORD, names),
        network=ibis.literal("bluesky"),
    )


def _with_followed(commits: ir.Table) -> ir.Table:
    """Tell of each delete of a follow whom it was: the `subject` of the last creation before it."""
    follow = (commits.collection == FOLLOW).fill_null(False)
    gone = follow & (commits.operation == "delete").fill_null(False)
    made = commits.filter(follow, commits.operation == "create", commits.subject.notnull())
    made = made.select("did", "rkey", followed=made.subject, since=made.time)
    deletes = commits.filter(gone)
    joined = deletes.asof_join(made, deletes.time >= made.since, ["did", "rkey"])
    return ibis.union(commits.filter(~gone), joined.mutate(subject=joined.followed).select(commits.columns))


def _no_act(c: ir.Table) -> ir.StringValue:
    """Tell why a commit, or another message, is no act on a person."""
    what = c.operation.substr(0, SHOWN) + " of " + c.collection.substr(0, SHOWN)
    created = (c.operation == "create") & c.collection.isin(tuple(VERBS))
    gone = (c.operation == "delete") & c.collection.isin(tuple(VERBS))
    unfollow = gone & (c.collection == FOLLOW)
    return ibis.cases(
        (c.kind.isnull(), "kind missing"),
        (c.kind != "commit", c.kind.substr(0, SHOWN) + " is no act on a person"),
        (c.operation.isnull() | c.collection.isnull(), "commit without operation or collection"),
        (unfollow & c.subject.isnull(), what + " that is not in the files"),
        (gone & ~unfollow, what + " takes nothing back: what was given stood at its time"),
        (~created & ~unfollow, what + " is no act on a person"),
    )


def _damage(c: ir.Table) -> ir.StringValue:
    """Tell what a commit lacks."""
    personal = c.collection.isin(PERSONAL)
    return ibis.cases(
        (c.did.isnull(), "did missing"),
        (c.rkey.isnull(), "rkey missing"),
        (personal & c.subject.isnull(), "the subject is no DID"),
        ((c.collection == POST) & ~c.told, "the record is missing"),
        ((c.collection == POST) & c.answers & ~_owned(c.parent), "the parent is no at:// address of a DID"),
        (~personal & (c.collection != POST) & ~_owned(c.on), "the subject is no at:// address of a DID"),
    )


def _owned(address: ir.StringValue) -> ir.BooleanValue:
    return address.re_search(OWNER).fill_null(False)


def _acts(c: ir.Table) -> ir.Table:
    """Make of each commit its one act."""
    post = c.collection == POST
    reply, quote = post & c.answers, post & c.quoted.notnull()
    about = ibis.cases((reply, c.parent), (quote, c.quoted), (post, _piece(c)), else_=c.on)
    alone = post & ~reply & ~quote
    verb = ibis.cases((c.operation == "delete", "unfollow"), (reply, "reply"), (quote, "quote"))
    return _act(
        c,
        verb=ibis.coalesce(verb, c.collection.cases(*VERBS.items())),
        target=alone.ifelse(ibis.null("string"), ibis.coalesce(_owner(about), c.subject)),
        object=about,
        result=(reply | quote).ifelse(_piece(c), ibis.null("string")),
        **{name: c[name] for name in CONTENT},
    )


def _quotes(c: ir.Table) -> ir.Table:
    """Make the second act of what is a reply already."""
    both = c.filter(c.reason.isnull(), c.answers, c.quoted.notnull())
    return _act(
        both,
        verb=ibis.literal("quote"),
        target=_owner(both.quoted),
        object=both.quoted,
        result=_piece(both),
        **NOTHING,
    )


def _act(c: ir.Table, **fields: ir.Value) -> ir.Table:
    """Complete the fields that are the same for all acts of a commit, in one order."""
    return c.select(*KEPT, "reason", "topics", actor=c.did, **dict(sorted(fields.items())))


def _piece(c: ir.Table, did: ir.StringValue | None = None) -> ir.StringValue:
    return ibis.literal("at://") + (c.did if did is None else did) + "/" + c.collection + "/" + c.rkey


def _owner(address: ir.StringValue) -> ir.StringValue:
    return address.re_extract(OWNER, 1).nullif("")
