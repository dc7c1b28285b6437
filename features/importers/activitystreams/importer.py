"""ActivityStreams: outboxes of ActivityPub and archives of Mastodon as events.

| activity | verb | target | object | result |
|---|---|---|---|---|
| Create | post | | the piece | |
| Create of a piece with inReplyTo | reply | owner of the parent | the parent | the piece |
| Create of a piece with a quote (see below) | quote | owner of the quoted | the quoted | the piece |
| Create of a piece with a tag of type Mention | mention | the mentioned, not the replied to | the piece | |
| Announce | repost | owner of the piece | the piece | |
| Like, EmojiReact | like | owner of the piece | the piece | |
| Dislike | dislike | owner of the piece | the piece | |
| Flag | flag | the person, or owner of the piece | the piece, or the person | |
| View | view | owner of the piece | the piece | |
| Follow | follow | its object | | |
| Undo of a Follow | unfollow | object of the Follow | | |
| Block | block | its object | | |

One activity can be several events: a Create is a post, reply or quote, and a mention of each other person who is
mentioned; what is a reply and a quote is both. Each of them counts as a row read.

Quotes are named by quote, quoteUrl, quoteUri or _misskey_quote. Who owns a piece is told by its `attributedTo` where it
is embedded, by an activity in the same files, or by an address of a widely used form (see `owners`). Otherwise the
target is unknown and the act counts for its actor alone.

Everybody is called by their URI. All hosts are one network, `activitypub`, since people on different ones act on each
other. Topics are the hashtags, in lower case; links are those in the content, but not of its mentions and hashtags.
`published` is the activity's; of a Create also the piece's. An act without it is rejected, since nobody can tell when
it was known: so are the bare URIs in likes.json and bookmarks.json of an archive. Undo of anything but a Follow,
Delete, Update and others are no acts on a person and are rejected by their type. The same event from files that overlap
counts once.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ibis
import ibis.expr.types as ir

from features.atomic_files import check_events_path, scratch_dir
from features.errors import EventsError
from features.events.event_table import connect, open_events
from features.importers.activitystreams.activities import ACTS, read_activities
from features.importers.activitystreams.collections import owner_by_address, owners
from features.importers.event_fields import CONTENT, NOTHING, mentions, original, refuse_repeats
from features.importers.ingestion import ImportReport, ingest
from features.importers.readers.files import list_files

ENDINGS = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst")
MEANT = "an outbox in JSON, activities in JSON Lines, or the folder of an unpacked Mastodon archive"
PERSONAL = ("Follow", "Undo", "Block")
RECORD = {"id": "id", "type": "kind", "actor": "actor", "published": "published", "object": "piece"}
KEPT = ("file", "row", "record", "id", "kind", "actor", "published", "time", "piece")
EVENT = ("verb", "actor", "target", "object", "result", "time")
ONLY_URI = "only a URI, as in likes.json or bookmarks.json: who did what when is not said"
SHOWN = 40


def import_activitystreams(path: Path, out: Path, progress: Callable[[float], None] | None = None) -> ImportReport:
    """Import activities as events.

    Parameters
    ----------
    path : a JSON document (collection, page or activity), JSON Lines of activities, or a folder of such files
    out : where the events go, as in `ingest`
    progress : called with the share of the bytes that is read

    Returns
    -------
    the counts over all events that the activities would be; `notes` tells what the files lack

    Raises
    ------
    EventsError : nothing can be read there, a file is no ActivityStreams, or nothing in it is an event

    """
    files, passed = list_files(Path(path), ENDINGS, MEANT)
    backend = connect()
    check_events_path(Path(out))
    with scratch_dir(Path(out)) as scratch:
        read, lacks = read_activities(backend, files, scratch, progress or (lambda *_: None))
        if lacks and not read.count().to_pyarrow().as_py():
            raise EventsError(f"{'. '.join(lacks)}.")
        landing = ingest(raw_events(read, tuple(file.name for file in files)), Path(out))
    return replace(landing, notes=(*passed, *lacks, *_unknown(landing)))


def raw_events(activities: ir.Table, names: tuple[str, ...] = ()) -> ir.Table:
    """Turn activities into rows for the door: the columns of SCHEMA that are known, row, record, reason.

    Parameters
    ----------
    activities : from `read_activities`
    names : the names of the files, which go before the records where there is more than one

    """
    whole = _with_undone(activities)
    judged = whole.mutate(reason=ibis.coalesce(whole.reason, _no_act(whole), _no_undo(whole)))
    acts = _with_targets(ibis.union(_acts(judged), _quotes(judged)), owners(activities))
    rows = refuse_repeats(ibis.union(acts.drop("mentions"), mentions(acts, lambda act: act.piece)), EVENT)
    return rows.select(
        *("time", "actor", "verb", "target", "object", "result", "topics", "content_hash", "links", "row", "reason"),
        record=original(rows, RECORD, names),
        network=ibis.literal("activitypub"),
    )


def _with_undone(activities: ir.Table) -> ir.Table:
    """Tell of each Undo what it undoes: the kind and the object of the activity, as far as it is known."""
    named = activities.filter(activities.id.notnull(), activities.kind.notnull())
    known = named.group_by(undone=named.id).aggregate(known_kind=named.kind.min(), known_piece=named.piece.min())
    undo = activities.mutate(undo=(activities.kind == "Undo").ifelse(activities.piece, ibis.null("string")))
    a = undo.left_join(known, undo.undo == known.undone)
    kind, piece = ibis.coalesce(a.piece_kind, a.known_kind), ibis.coalesce(a.inner, a.known_piece)
    return a.select(*activities.columns, undone_kind=kind, undone_piece=piece)


def _no_act(a: ir.Table) -> ir.StringValue:
    """Tell why an activity is no act on a person."""
    kind = a.kind.substr(0, SHOWN)
    return ibis.cases(
        (a.kind.isnull() & a.id.notnull(), ONLY_URI),
        (a.kind.isnull(), "type missing"),
        (a.kind.notin(tuple(ACTS)), kind + " is no act on a person"),
        ((a.kind != "Undo") & a.piece.isnull(), kind + " of nothing: the object or its id is missing"),
        ((a.kind != "Undo") & a.piece_kind.isin(tuple(ACTS)), kind + " of " + a.piece_kind + " is no act on a person"),
    )


def _no_undo(a: ir.Table) -> ir.StringValue:
    """Tell why an Undo takes no Follow back."""
    undone = ibis.literal("Undo of ") + a.undone_kind.substr(0, SHOWN)
    reason = ibis.cases(
        (a.undone_kind.isnull(), "Undo of an activity that is not in the files"),
        (a.undone_kind != "Follow", undone + " is no act on a person"),
        (a.undone_piece.isnull(), undone + " of nothing: the object or its id is missing"),
    )
    return (a.kind == "Undo").ifelse(reason, ibis.null("string"))


def _acts(a: ir.Table) -> ir.Table:
    """Make of each activity its one act; `about` is the piece or person it is on."""
    written = a.kind == "Create"
    reply, quote = written & a.parent.notnull(), written & a.quoted.notnull()
    return _act(
        a,
        verb=ibis.cases((reply, "reply"), (quote, "quote"), else_=a.kind.cases(*ACTS.items())),
        about=ibis.cases((reply, a.parent), (quote, a.quoted), (a.kind == "Undo", a.undone_piece), else_=a.piece),
        result=(reply | quote).ifelse(a.piece, ibis.null("string")),
        **{name: a[name] for name in CONTENT},
    )


def _quotes(a: ir.Table) -> ir.Table:
    """Make the second act of what is a reply already."""
    both = a.filter(a.reason.isnull(), a.kind == "Create", a.parent.notnull(), a.quoted.notnull())
    return _act(both, verb=ibis.literal("quote"), about=both.quoted, result=both.piece, **NOTHING)


def _act(a: ir.Table, **fields: ir.Value) -> ir.Table:
    """Complete the fields that are the same for all acts of an activity, in one order."""
    return a.select(*KEPT, "reason", "topics", **dict(sorted(fields.items())))


def _with_targets(acts: ir.Table, known: ir.Table) -> ir.Table:
    joined = acts.left_join(known, acts.about == known.known)
    personal = joined.kind.isin(PERSONAL)
    owner = ibis.coalesce(joined.owner, owner_by_address(joined.about))
    topics = (joined.topics.length() > 0).ifelse(joined.topics, joined.known_topics)
    return joined.select(
        *KEPT,
        *("reason", "verb", "result", *CONTENT),
        target=ibis.cases((personal, joined.about), (joined.verb == "post", ibis.null("string")), else_=owner),
        object=personal.ifelse(ibis.null("string"), joined.about),
        topics=topics,
    )


def _unknown(landing: ImportReport) -> tuple[str, ...]:
    events = open_events(landing.out)
    lost = events.filter(events.target.isnull(), events.verb != "post").count().to_pyarrow().as_py()
    told = "acts are on pieces whose owner neither the files nor the address tells: they have no target"
    return (f"{lost} {told}",) if lost else ()
