"""Import ActivityStreams: outboxes of ActivityPub servers and Mastodon archives.

| activity | verb | target | object | result |
|---|---|---|---|---|
| Create | post | | the piece | |
| Create of a piece with inReplyTo | reply | owner of the parent | the parent | the piece |
| Create of a piece with a quote (see below) | quote | owner of the quoted | the quoted | the piece |
| Create of a piece with a tag of type Mention | mention | the mentioned user, except the one replied to | the piece | |
| Announce | repost | owner of the piece | the piece | |
| Like, EmojiReact | like | owner of the piece | the piece | |
| Dislike | dislike | owner of the piece | the piece | |
| Flag | flag | the user, or owner of the piece | the piece, or the user | |
| View | view | owner of the piece | the piece | |
| Follow | follow | its object | | |
| Undo of a Follow | unfollow | object of the Follow | | |
| Block | block | its object | | |

One activity can be several events: a Create is a post, reply or quote, and a mention of each other mentioned user; a
piece can be a reply and a quote. Each event counts as one row read.

The property of a quote is quote, quoteUrl, quoteUri or _misskey_quote. The owner of a piece comes from its
`attributedTo` if it is embedded, from an activity in the same files, or from a common form of its URI. Otherwise the
target is null and the event counts for its actor only.

| URI | user |
|---|---|
| `https://HOST/users/NAME/statuses/ID` (Mastodon, GoToSocial) | `https://HOST/users/NAME` |
| `https://HOST/ap/users/ID/statuses/ID` (Mastodon) | `https://HOST/ap/users/ID` |
| `https://HOST/@NAME/ID`, ID a number (Mastodon's page of it) | `https://HOST/users/NAME` |
| `https://HOST/p/NAME/ID`, ID a number (Pixelfed) | `https://HOST/users/NAME` |

The URI of a user, `https://HOST/users/NAME` or `https://HOST/@NAME`, belongs to that user. Other forms have no owner.

User ids are URIs. All hosts are one network, `activitypub`, because users of different hosts engage with each other.
Topics are the hashtags, in lower case; links are those in the content, except its mentions and hashtags. The time is
`published` of the activity, or of the piece of a Create. Activities without it are rejected, because it is unknown when
they became public, such as the bare URIs in likes.json and bookmarks.json of an archive. Undo of anything but a Follow,
Delete, Update and other types do not map to an event and are rejected with their type. If files overlap, an event
counts once.

A Create or Announce is private if it has addresses (to, cc, bto, bcc, audience, of the activity or its object), and
none is the public collection or one such as followers: it was sent to named users, or to nobody. It is rejected unless
private messages are asked for. Without any address it counts as public.
"""

from dataclasses import replace
from pathlib import Path

import ibis
import ibis.expr.types as ir

from features.atomic_files import check_events_path, scratch_dir
from features.errors import EventsError
from features.events.event_table import connect, open_events
from features.importers.activitystreams_reader import VERBS, read_activities
from features.importers.event_fields import CONTENT, NO_CONTENT, build_record, reject_duplicates, with_mentions
from features.importers.ingestion import ImportReport, ingest
from features.importers.readers.files import list_files
from features.progress import Progress, ignore_progress

ENDINGS = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst")
EXPECTED = "an outbox in JSON, activities in JSON Lines, or the folder of an unpacked Mastodon archive"
ABOUT_USERS = ("Follow", "Undo", "Block")
RECORD_FIELDS = {"id": "id", "type": "kind", "actor": "actor", "published": "published", "object": "piece"}
PASS_THROUGH = ("file", "row", "record", "id", "kind", "actor", "published", "time", "piece")
EVENT_KEY = ("verb", "actor", "target", "object", "result", "time")
ONLY_URI = "only a URI, as in likes.json or bookmarks.json: actor, verb and time are missing"
PRIVATE = "private, addressed to named users only; --private accepts it"
MAX_KIND_CHARS = 40
OWNER_PATTERNS = (
    (r"^(https?://[^/?#]+(?:/ap)?/users/[^/?#]+)(?:/statuses/[^/?#]+)?(?:/activity)?/?$", r"\1"),
    (r"^(https?://[^/?#]+)/@([^/@?#]+)(?:/[0-9]+)?/?$", r"\1/users/\2"),
    (r"^(https?://[^/?#]+)/p/([^/@?#]+)/[0-9]+/?$", r"\1/users/\2"),
)
SEPARATOR = "\n"


def import_activitystreams(
    path: Path, out: Path, progress: Progress = ignore_progress, private: bool = False
) -> ImportReport:
    """Import activities as events; parameters, report and errors are those of `JsonLinesSource.ingest`.

    `path` may also be a JSON document (collection, page or activity). The report's `notes` say what the files lack.
    `private` accepts private messages too.
    """
    files, skipped = list_files(Path(path), ENDINGS, EXPECTED)
    backend = connect()
    check_events_path(Path(out))
    with scratch_dir(Path(out)) as scratch:
        activities, missing = read_activities(backend, files, scratch, progress)
        if missing and not activities.count().to_pyarrow().as_py():
            raise EventsError(f"{'. '.join(missing)}.")
        public = activities.mutate(private=activities.private & (not private))
        report = ingest(_raw_events(public, tuple(file.name for file in files)), Path(out))
    return replace(report, notes=(*skipped, *missing, *_unknown_owner_note(report)))


def _raw_events(activities: ir.Table, names: tuple[str, ...]) -> ir.Table:
    """Map activities to rows for `ingest`: columns of SCHEMA, row, record and reason."""
    resolved = _with_undone(activities)
    hidden = resolved.private.ifelse(PRIVATE, ibis.null("string"))
    reason = ibis.coalesce(resolved.reason, _unmapped_reason(resolved), _undo_reason(resolved), hidden)
    checked = resolved.mutate(reason=reason)
    events = _with_targets(ibis.union(_main_events(checked), _extra_quotes(checked)), find_owners(activities))
    rows = reject_duplicates(with_mentions(events, lambda event: event.piece), EVENT_KEY)
    return rows.select(
        *("time", "actor", "verb", "target", "object", "result", "topics", "content_hash", "links", "row", "reason"),
        record=build_record(rows, RECORD_FIELDS, names),
        network=ibis.literal("activitypub"),
    )


def _with_undone(activities: ir.Table) -> ir.Table:
    """Look up what each Undo reverts: the kind and the object of an activity in the files, null if it is not there."""
    sources = activities.filter(activities.id.notnull(), activities.kind.notnull())
    lookup = sources.group_by(undone=sources.id).aggregate(
        found_kind=sources.kind.min(), found_piece=sources.piece.min()
    )
    undo = activities.mutate(undo=(activities.kind == "Undo").ifelse(activities.piece, ibis.null("string")))
    a = undo.left_join(lookup, undo.undo == lookup.undone)
    kind, piece = ibis.coalesce(a.piece_kind, a.found_kind), ibis.coalesce(a.inner, a.found_piece)
    return a.select(*activities.columns, undone_kind=kind, undone_piece=piece)


def _unmapped_reason(a: ir.Table) -> ir.StringValue:
    """Return why an activity does not map to an event."""
    kind = a.kind.substr(0, MAX_KIND_CHARS)
    return ibis.cases(
        (a.kind.isnull() & a.id.notnull(), ONLY_URI),
        (a.kind.isnull(), "type missing"),
        (a.kind.notin(tuple(VERBS)), kind + " does not map to an event"),
        ((a.kind != "Undo") & a.piece.isnull(), kind + " of nothing: the object or its id is missing"),
        (
            (a.kind != "Undo") & a.piece_kind.isin(tuple(VERBS)),
            kind + " of " + a.piece_kind + " does not map to an event",
        ),
    )


def _undo_reason(a: ir.Table) -> ir.StringValue:
    """Return why an Undo does not revert a Follow."""
    undone = ibis.literal("Undo of ") + a.undone_kind.substr(0, MAX_KIND_CHARS)
    reason = ibis.cases(
        (a.undone_kind.isnull(), "Undo of an activity that is not in the files"),
        (a.undone_kind != "Follow", undone + " does not map to an event"),
        (a.undone_piece.isnull(), undone + " of nothing: the object or its id is missing"),
    )
    return (a.kind == "Undo").ifelse(reason, ibis.null("string"))


def _main_events(a: ir.Table) -> ir.Table:
    """Build the main event of each activity; `about` is the piece or user that it is about."""
    create = a.kind == "Create"
    reply, quote = create & a.parent.notnull(), create & a.quoted.notnull()
    return _select_event(
        a,
        verb=ibis.cases((reply, "reply"), (quote, "quote"), else_=a.kind.cases(*VERBS.items())),
        about=ibis.cases((reply, a.parent), (quote, a.quoted), (a.kind == "Undo", a.undone_piece), else_=a.piece),
        result=(reply | quote).ifelse(a.piece, ibis.null("string")),
        **{name: a[name] for name in CONTENT},
    )


def _extra_quotes(a: ir.Table) -> ir.Table:
    """Build the quotes of pieces whose main event is a reply."""
    pieces = a.filter(a.reason.isnull(), a.kind == "Create", a.parent.notnull(), a.quoted.notnull())
    return _select_event(pieces, verb=ibis.literal("quote"), about=pieces.quoted, result=pieces.piece, **NO_CONTENT)


def _select_event(a: ir.Table, **fields: ir.Value) -> ir.Table:
    """Add the fields that are equal for all events of an activity, and sort the columns for the union."""
    return a.select(*PASS_THROUGH, "reason", "topics", **dict(sorted(fields.items())))


def _with_targets(events: ir.Table, owners: ir.Table) -> ir.Table:
    joined = events.left_join(owners, events.about == owners.uri)
    personal = joined.kind.isin(ABOUT_USERS)
    owner = ibis.coalesce(joined.owner, owner_from_uri(joined.about))
    topics = (joined.topics.length() > 0).ifelse(joined.topics, joined.owned_topics)
    return joined.select(
        *PASS_THROUGH,
        *("reason", "verb", "result", *CONTENT),
        target=ibis.cases((personal, joined.about), (joined.verb == "post", ibis.null("string")), else_=owner),
        object=personal.ifelse(ibis.null("string"), joined.about),
        topics=topics,
    )


def _unknown_owner_note(report: ImportReport) -> tuple[str, ...]:
    events = open_events(report.out)
    count = events.filter(events.target.isnull(), events.verb != "post").count().to_pyarrow().as_py()
    note = "events are about pieces whose owner is neither in the files nor in the URI: they have no target"
    return (f"{count} {note}",) if count else ()


def owner_from_uri(uri: ir.StringValue) -> ir.StringValue:
    """Return the owner of a piece by its URI; null if its form has none."""
    return ibis.cases(*((uri.re_search(pattern), uri.re_replace(pattern, user)) for pattern, user in OWNER_PATTERNS))


def find_owners(activities: ir.Table) -> ir.Table:
    """List the owners of pieces by the activities from `read_activities`: (uri, owner, owned_topics).

    The creator of a piece takes precedence over the author named by users that share it. Users own their own URI.
    """
    a = activities
    created = a.kind == "Create"
    claims = ibis.union(
        _claims(a.filter(created), a.piece, ibis.coalesce(a.author, a.actor), rank=0, topics=a.topics),
        _claims(a.filter(~created), a.piece, a.author, rank=1, topics=a.topics),
        _claims(a, a.parent, a.parent_author, rank=1),
        _claims(a, a.actor, a.actor, rank=2),
    )
    by_uri = claims.filter(claims.uri.notnull(), claims.owner.notnull()).group_by("uri")
    return by_uri.aggregate(
        owner=ibis.coalesce(*(claims.owner.min(where=claims.rank == rank) for rank in range(3))),
        owned_topics=claims.topics.max().split(SEPARATOR),
    )


def _claims(
    activities: ir.Table, uri: ir.StringValue, owner: ir.StringValue, rank: int, topics: ir.ArrayValue | None = None
) -> ir.Table:
    joined = ibis.null("string") if topics is None else topics.join(SEPARATOR).nullif("")
    return activities.select(uri=uri, owner=owner, rank=ibis.literal(rank), topics=joined)
