"""Import Bluesky: the messages of its event stream, Jetstream, one JSON object per line.

Both versions are read, also mixed: that of `/subscribe`, and that of `network.bsky.jetstream.subscribeEvents`, whose
frames hold the message as `payload` (Jetstream's docs/README.md, 5.1 and 5.2).

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

One post can be several events: a post, reply or quote, and a mention of each other mentioned user; a post can be a
reply and a quote. Each event counts as one row read.

User ids are DIDs, and pieces are AT URIs, `at://DID/COLLECTION/RKEY`, which contain the owner. `time` is `time_us`, or
`time` of the second version, when Jetstream received the commit. The record's `createdAt` is never read: the author's
program sets it, and it can be years off, while features may only use what the network had received at an instant.
Where Jetstream fills in old records, this is the time of the backfill; the report notes how many records are much older
than their time by their key, a timestamp identifier.

Deletes of posts, likes, reposts and blocks are rejected, because no verb reverts them: the event was valid at its time.
Updates, other collections, and the kinds identity and account are rejected too. Topics are the hashtags, in lower case;
links are those in the text and of the card below it. If files overlap, a commit counts once, at its earliest time.
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from features.importers.event_fields import (
    CONTENT,
    NO_CONTENT,
    build_record,
    content_hash,
    json_extract_string,
    json_list,
    links,
    make_timestamp,
    read_time,
    reject_duplicates,
    with_mentions,
)
from features.importers.ingestion import ImportReport, JsonLinesSource
from features.progress import Progress, ignore_progress

EXPECTED = "messages of Jetstream in JSON Lines, each with did, time_us and kind"
RECORD_MEMBERS = {
    "record_type": "$type",
    "subject": "subject",
    "subject_uri": "subject/uri",
    "reply": "reply",
    "parent": "reply/parent/uri",
    "embedded": "embed/record/uri",
    "embedded_with_media": "embed/record/record/uri",
    "card": "embed/external/uri",
    "card_with_quote": "embed/media/external/uri",
    "facets": "facets",
    "tags": "tags",
    "text": "text",
}
MEMBERS = {
    "did": ("/did", "/payload/did"),
    "time": ("/time_us", "/payload/time"),
    "kind": ("/kind", "/payload/$type"),
    **{name: (f"/commit/{name}", f"/payload/{name}") for name in ("operation", "collection", "rkey", "rev")},
    **{name: (f"/commit/record/{path}", f"/payload/record/{path}") for name, path in RECORD_MEMBERS.items()},
}
MESSAGE_TYPE = r"^network\.bsky\.jetstream\.subscribeEvents#"
TID = r"^[2-7a-j][2-7a-z]{12}$"
TID_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"
BACKFILL_DAYS = 7
POST = "app.bsky.feed.post"
FOLLOW = "app.bsky.graph.follow"
DID = r"^did:[a-z]+:[A-Za-z0-9._:%-]+$"
QUOTABLE = rf"^at://did:[a-z]+:[A-Za-z0-9._:%-]+/{POST}/[^/]+$"
MAX_MICROSECONDS = 10**16
EMPTY = ibis.literal([], "array<string>")
ENDINGS = tuple(kind + suffix for kind in (".jsonl", ".ndjson", ".json") for suffix in ("", ".gz", ".zst"))
VERBS = {
    POST: "post",
    "app.bsky.feed.repost": "repost",
    "app.bsky.feed.like": "like",
    FOLLOW: "follow",
    "app.bsky.graph.block": "block",
}
OWNER = r"^at://(did:[a-z]+:[A-Za-z0-9._:%-]+)/[^/]+/[^/]+$"
EVENT_KEY = ("verb", "actor", "target", "collection", "rkey", "rev")
PASS_THROUGH = ("file", "row", "record", "time", "kind", "operation", "collection", "rkey", "rev")
ABOUT_USERS = (FOLLOW, "app.bsky.graph.block")
MAX_KIND_CHARS = 60
RECORD_FIELDS = {"did": "actor", **{name: name for name in ("kind", "operation", "collection", "rkey", "rev")}}


def import_bluesky(path: Path, out: Path, progress: Progress = ignore_progress) -> ImportReport:
    """Import messages of Jetstream, as it sends them, as in `JsonLinesSource.ingest`; counts are of events."""
    source = JsonLinesSource(ENDINGS, EXPECTED, MEMBERS, ("did", "kind"), _select_commits, _raw_events, _backfill_note)
    return source.ingest(path, out, progress)


def _select_commits(members: ir.Table) -> ir.Table:
    """Select what the events need, without the texts and lists of facets, which are large.

    Returns
    -------
    a row per message. `file`, `row`, `record` and `reason` are its position and what is wrong with the line; `did`,
    `time`, `kind`, `operation`, `collection`, `rkey` and `rev` are the commit; `subject` is the DID, or `subject_uri`
    the piece, that it is about; `is_reply` and `parent` what it replies to, `quoted` the post that it embeds;
    `has_record` whether there is a record of a post, with `mentions`, `topics`, `content_hash` and `links`

    """
    quoted = ibis.coalesce(members.embedded_with_media, members.embedded)
    return members.select(
        *("row", "reason", "did", "operation", "collection", "rkey", "rev", "subject_uri", "parent"),
        record=members.reason.notnull().ifelse(members.record, ibis.null("string")),
        kind=members.kind.re_replace(MESSAGE_TYPE, ""),
        time=_time(members.time),
        subject=members.subject.re_search(DID).ifelse(members.subject, ibis.null("string")),
        is_reply=members.reply.notnull(),
        has_record=members.text.notnull() | members.record_type.notnull(),
        quoted=quoted.re_search(QUOTABLE).ifelse(quoted, ibis.null("string")),
        mentions=_from_facets(members, "did").filter(lambda did: did.re_search(DID)).unique(),
        topics=_topics(members),
        content_hash=content_hash(members.text),
        links=_links(members),
    )


def _time(text: ir.StringValue) -> ir.TimestampValue:
    """Read microseconds since 1970, or ISO 8601."""
    count = text.re_search("^[0-9]+$")
    micros = text.try_cast("int64")
    instant = make_timestamp(micros.between(0, MAX_MICROSECONDS).ifelse(micros, ibis.null("int64")))
    return ibis.coalesce(instant.cast("timestamp('UTC')"), read_time(count.ifelse(ibis.null("string"), text)))


def _backfill_note(commits: ir.Table) -> tuple[str, ...]:
    """Note how many records are older by their keys than their times, because Jetstream filled them in."""
    created = commits.filter(commits.operation == "create", commits.time.notnull(), commits.rkey.re_search(TID))
    late = created.time.epoch_seconds() - _tid_microseconds(created.rkey) // 10**6
    count = created.filter(late > BACKFILL_DAYS * 86_400).count().to_pyarrow().as_py()
    if not count:
        return ()
    return (
        f"{count} records are more than {BACKFILL_DAYS} days older than their times, by their keys: a backfill brought "
        "them, so these times are when Jetstream received them, not when they happened",
    )


def _tid_microseconds(rkey: ir.StringValue) -> ir.IntegerValue:
    """Return the time of a timestamp identifier, in microseconds since 1970: its first eleven base-32 digits."""
    digits = [ibis.literal(TID_DIGITS).find(rkey.substr(position, 1)) for position in range(11)]
    return sum((digit * 32 ** (10 - position) for position, digit in enumerate(digits)), ibis.literal(0, "int64"))


def _from_facets(members: ir.Table, name: str) -> ir.ArrayValue:
    """List a field of the facets of a text: `did` of mentions, `tag` of hashtags, `uri` of links."""
    return json_extract_string(json_list(members.facets), f"$[*].features[*].{name}")


def _topics(members: ir.Table) -> ir.ArrayValue:
    hashtags, tags = _from_facets(members, "tag"), json_extract_string(json_list(members.tags), "$[*]")
    return hashtags.fill_null(EMPTY).concat(tags.fill_null(EMPTY)).map(lambda tag: tag.re_replace("^#", "").lower())


def _links(members: ir.Table) -> ir.IntegerValue:
    """Count the links in the facets and the card below the text; if there are none, the addresses in the text."""
    facets = _from_facets(members, "uri").fill_null(EMPTY)
    card = ibis.array([ibis.coalesce(members.card, members.card_with_quote)]).filter(lambda uri: uri.notnull())
    count = facets.concat(card).unique().length()
    return ibis.cases((count > 0, count), (members.text.notnull(), links(members.text)))


def _raw_events(commits: ir.Table, names: tuple[str, ...]) -> ir.Table:
    """Map commits to rows for `ingest`: columns of SCHEMA, row, record and reason."""
    resolved = _with_unfollowed(commits)
    reason = ibis.coalesce(resolved.reason, _unmapped_reason(resolved), _missing_reason(resolved))
    checked = resolved.mutate(reason=reason)
    events = ibis.union(_main_events(checked), _extra_quotes(checked))
    rows = reject_duplicates(with_mentions(events, lambda event: _uri(event, event.actor)), EVENT_KEY)
    return rows.select(
        *("time", "actor", "verb", "target", "object", "result", "topics", "content_hash", "links", "row", "reason"),
        record=build_record(rows, RECORD_FIELDS, names),
        network=ibis.literal("bluesky"),
    )


def _with_unfollowed(commits: ir.Table) -> ir.Table:
    """Set the `subject` of each delete of a follow: that of the last creation before it."""
    follow = (commits.collection == FOLLOW).fill_null(False)
    is_unfollow = follow & (commits.operation == "delete").fill_null(False)
    follows = commits.filter(follow, commits.operation == "create", commits.subject.notnull())
    follows = follows.select("did", "rkey", followed=follows.subject, since=follows.time)
    unfollows = commits.filter(is_unfollow)
    joined = unfollows.asof_join(follows, unfollows.time >= follows.since, ["did", "rkey"])
    return ibis.union(commits.filter(~is_unfollow), joined.mutate(subject=joined.followed).select(commits.columns))


def _unmapped_reason(c: ir.Table) -> ir.StringValue:
    """Return why a message does not map to an event."""
    label = c.operation.substr(0, MAX_KIND_CHARS) + " of " + c.collection.substr(0, MAX_KIND_CHARS)
    created = (c.operation == "create") & c.collection.isin(tuple(VERBS))
    deleted = (c.operation == "delete") & c.collection.isin(tuple(VERBS))
    unfollow = deleted & (c.collection == FOLLOW)
    return ibis.cases(
        (c.kind.isnull(), "kind missing"),
        (c.kind != "commit", c.kind.substr(0, MAX_KIND_CHARS) + " does not map to an event"),
        (c.operation.isnull() | c.collection.isnull(), "commit without operation or collection"),
        (unfollow & c.subject.isnull(), label + " that is not in the files"),
        (deleted & ~unfollow, label + " reverts no event: the event was valid at its time"),
        (~created & ~unfollow, label + " does not map to an event"),
    )


def _missing_reason(c: ir.Table) -> ir.StringValue:
    """Return what a commit lacks."""
    personal = c.collection.isin(ABOUT_USERS)
    return ibis.cases(
        (c.did.isnull(), "did missing"),
        (c.rkey.isnull(), "rkey missing"),
        (personal & c.subject.isnull(), "the subject is not a DID"),
        ((c.collection == POST) & ~c.has_record, "the record is missing"),
        ((c.collection == POST) & c.is_reply & ~_has_owner(c.parent), "the parent is not an at:// URI of a DID"),
        (~personal & (c.collection != POST) & ~_has_owner(c.subject_uri), "the subject is not an at:// URI of a DID"),
    )


def _has_owner(address: ir.StringValue) -> ir.BooleanValue:
    return address.re_search(OWNER).fill_null(False)


def _main_events(c: ir.Table) -> ir.Table:
    """Build the main event of each commit."""
    post = c.collection == POST
    reply, quote = post & c.is_reply, post & c.quoted.notnull()
    uri = ibis.cases((reply, c.parent), (quote, c.quoted), (post, _uri(c)), else_=c.subject_uri)
    plain_post = post & ~reply & ~quote
    verb = ibis.cases((c.operation == "delete", "unfollow"), (reply, "reply"), (quote, "quote"))
    return _select_event(
        c,
        verb=ibis.coalesce(verb, c.collection.cases(*VERBS.items())),
        target=plain_post.ifelse(ibis.null("string"), ibis.coalesce(_owner(uri), c.subject)),
        object=uri,
        result=(reply | quote).ifelse(_uri(c), ibis.null("string")),
        **{name: c[name] for name in CONTENT},
    )


def _extra_quotes(c: ir.Table) -> ir.Table:
    """Build the quotes of posts whose main event is a reply."""
    posts = c.filter(c.reason.isnull(), c.is_reply, c.quoted.notnull())
    return _select_event(
        posts,
        verb=ibis.literal("quote"),
        target=_owner(posts.quoted),
        object=posts.quoted,
        result=_uri(posts),
        **NO_CONTENT,
    )


def _select_event(c: ir.Table, **fields: ir.Value) -> ir.Table:
    """Add the fields that are equal for all events of a commit, and sort the columns for the union."""
    return c.select(*PASS_THROUGH, "reason", "topics", actor=c.did, **dict(sorted(fields.items())))


def _uri(c: ir.Table, did: ir.StringValue | None = None) -> ir.StringValue:
    return ibis.literal("at://") + (c.did if did is None else did) + "/" + c.collection + "/" + c.rkey


def _owner(address: ir.StringValue) -> ir.StringValue:
    return address.re_extract(OWNER, 1).nullif("")
