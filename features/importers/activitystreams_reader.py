"""Read ActivityStreams files into one table of activities, with the variants of JSON-LD normalised.

| written | read |
|---|---|
| `"a"`, `["a"]` | the text a |
| `{"id": "a"}`, `{"@id": "a"}`, `{"href": "a"}` | the object with the id a |
| `as:Note`, `https://www.w3.org/ns/activitystreams#Note` | the type Note |
"""

from collections.abc import Callable
from functools import lru_cache
from glob import escape
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend
from ibis.expr.datatypes import DataType

from features.errors import EventsError
from features.events.engines import sql_function, sql_literal
from features.events.ids import json_valid
from features.importers.activitystreams_documents import EXPECTED, copy_collection, is_lines
from features.importers.event_fields import content_hash, json_extract_string, json_list, links, read_time
from features.importers.readers.files import byte_progress
from features.importers.readers.json_lines import read_members
from features.progress import Progress

VOCABULARY = r"^(as:|https?://www\.w3\.org/ns/activitystreams#)"
ID_POINTERS = ("/id", "/@id", "/href")
_text = sql_function("json_extract_string", ("string", "string"), "string")
ADDRESSES = ("to", "cc", "bto", "bcc", "audience")
MEMBERS = {
    "kind": "/type",
    "kind_ld": "/@type",
    "id": "/id",
    "id_ld": "/@id",
    "actor": "/actor",
    "published": "/published",
    "object_json": "/object",
    "object_kind": "/object/type",
    "object_author": "/object/attributedTo",
    "object_published": "/object/published",
    "reply_to": "/object/inReplyTo",
    "reply_author": "/object/inReplyTo/attributedTo",
    "quote": "/object/quote",
    "quote_url": "/object/quoteUrl",
    "quote_uri": "/object/quoteUri",
    "quote_misskey": "/object/_misskey_quote",
    "tag": "/object/tag",
    "content": "/object/content",
    "inner": "/object/object",
    **{name: f"/{name}" for name in ADDRESSES},
    **{f"object_{name}": f"/object/{name}" for name in ADDRESSES},
}
PUBLIC = r"^(https://www\.w3\.org/ns/activitystreams#|as:)?Public$"
COLLECTION = r"/(followers|following|members|subscribers)/?$"
ADDRESSED_KINDS = ("Create", "Announce")
QUOTES = ("quote", "quote_url", "quote_uri", "quote_misskey")
VERBS = {
    "Create": "post",
    "Announce": "repost",
    "Like": "like",
    "EmojiReact": "like",
    "Dislike": "dislike",
    "Follow": "follow",
    "Undo": "unfollow",
    "Block": "block",
    "Flag": "flag",
    "View": "view",
}
TAG_ANCHOR = r"""(?is)<a\s[^>]*class=["'][^"']*(mention|hashtag)[^>]*>.*?</a>"""


def text_at(value: ir.StringValue, *pointers: str) -> ir.StringValue:
    """Read the first text in a JSON object at one of the pointers.

    The null forces a function call in SQL; the arrow operator, written instead, is ambiguous in a lambda.
    """
    return ibis.coalesce(*(_text(value, pointer) for pointer in pointers), ibis.null("string"))


def values_of(member: ir.StringValue) -> ir.ArrayValue:
    """List the values of a member, objects as JSON; empty if it is absent or damaged."""
    array = json_list(member)
    single = member.startswith("[").ifelse(ibis.null("string"), member)
    values = array.notnull().ifelse(json_extract_string(array, "$[*]"), ibis.array([single]))
    return values.filter(lambda value: value.notnull() & (~value.startswith("{") | json_valid(value)))


def ids_of(member: ir.StringValue) -> ir.ArrayValue:
    """List the ids of the objects in a member."""
    return values_of(member).map(_id).filter(lambda value: value.notnull())


def first_id(member: ir.StringValue) -> ir.StringValue:
    """Return the id of the first object in a member."""
    return ids_of(member)[0]


def first_type(member: ir.StringValue, supported: tuple[str, ...]) -> ir.StringValue:
    """Return the first supported type in a member, or else its first type."""
    names = values_of(member).map(lambda value: value.re_replace(VOCABULARY, "").nullif(""))
    return ibis.coalesce(names.filter(lambda name: name.isin(supported))[0], names[0])


def texts_of_type(member: ir.StringValue, kind: str, pointer: str) -> ir.ArrayValue:
    """List the text at a JSON pointer of each object of a type in a member."""
    objects = values_of(member).filter(lambda value: value.startswith("{"))
    pattern = rf'(^|["#:]){kind}("|$)'
    matches = objects.filter(lambda value: text_at(value, "/type", "/@type").re_search(pattern))
    return matches.map(lambda value: text_at(value, pointer)).filter(lambda text: text.notnull())


def _id(value: ir.StringValue) -> ir.StringValue:
    object_ = value.startswith("{").ifelse(value, ibis.null("string"))
    return object_.notnull().ifelse(text_at(object_, *ID_POINTERS), value).nullif("")


def read_activities(
    backend: Backend, files: list[Path], scratch: Path, progress: Progress
) -> tuple[ir.Table, tuple[str, ...]]:
    """Read the activities of files, each a JSON document or JSON Lines; `scratch` is a folder for intermediate files.

    Returns
    -------
    a row per activity, and notes on what the files lack. `file`, `row`, `record` and `reason` are its position and what
    is wrong with it; `kind`, `id`, `actor`, `published` and `time` describe it; `piece` is its object, written by
    `author`, of the kind `piece_kind`, a reply to `parent` (written by `parent_author`), a quote of `quoted`, with
    `mentions`, `topics`, `content_hash` and `links`; `inner` is the object of its object; `private` is whether it is
    a Create or Announce that is addressed to named users only

    Raises
    ------
    EventsError : a file cannot be read, or is not ActivityStreams

    """
    advance = byte_progress(files, progress)
    notes = [_read(backend, number, file, scratch, advance) for number, file in enumerate(files)]
    activities = backend.read_parquet(escape(str(scratch)) + "/activities*.parquet")
    return activities, tuple(note for note in notes if note)


def _read(backend: Backend, number: int, file: Path, scratch: Path, advance: Callable[[int], None]) -> str | None:
    """Copy the activities of a file into `scratch`."""
    lines, note = file, None
    if not is_lines(file):
        lines = scratch / f"lines{number}.jsonl"
        note = copy_collection(file, lines, advance)
    members = read_members(backend, lines, scratch / f"members{number}.parquet", MEMBERS, private=MEMBERS)
    activities = scratch / f"activities{number:06}.parquet"
    rows = _activities_sql(tuple(members.schema().items()))
    rows = f'WITH members AS (FROM "{members.get_name()}") SELECT *, {number}::BIGINT AS file FROM ({rows})'
    backend.con.execute(f"COPY ({rows}) TO {sql_literal(str(activities))} (FORMAT parquet)")
    if lines == file:
        advance(file.stat().st_size)
    else:
        lines.unlink()
    _require_types(backend, file, activities)
    (scratch / f"members{number}.parquet").unlink(missing_ok=True)
    return note


def _require_types(backend: Backend, file: Path, activities: Path) -> None:
    rows = backend.read_parquet(escape(str(activities)))
    typed = (rows.kind.notnull() | rows.id.notnull()).sum()
    (totals,) = rows.aggregate(count=rows.count(), typed=typed).to_pyarrow().to_pylist()
    if totals["count"] and not totals["typed"]:
        raise EventsError(
            f"{file} is not ActivityStreams: none of its {totals['count']} items has a type; expected {EXPECTED}."
        )


@lru_cache(maxsize=1)
def _activities_sql(columns: tuple[tuple[str, DataType], ...]) -> str:
    """Return the query of `_select_activities` from a table `members`; composing it takes longer than a small file."""
    return str(ibis.to_sql(_select_activities(ibis.table(dict(columns), "members")), "duckdb", pretty=False))


def _select_activities(members: ir.Table) -> ir.Table:
    kind = first_type(ibis.coalesce(members.kind, members.kind_ld), tuple(VERBS))
    create = kind == "Create"
    author = first_id(members.object_author)
    content = create.ifelse(members.content, ibis.null("string"))
    return members.select(
        "row",
        "reason",
        record=members.reason.notnull().ifelse(members.record, ibis.null("string")),
        kind=kind,
        id=ibis.coalesce(members.id, members.id_ld).nullif(""),
        actor=ibis.coalesce(first_id(members.actor), create.ifelse(author, ibis.null("string"))),
        time=ibis.coalesce(
            read_time(members.published), read_time(create.ifelse(members.object_published, ibis.null("string")))
        ),
        published=ibis.coalesce(members.published, members.object_published),
        piece=first_id(members.object_json),
        piece_kind=first_type(members.object_kind, tuple(VERBS)),
        author=author,
        parent=first_id(members.reply_to),
        parent_author=first_id(members.reply_author),
        quoted=ibis.coalesce(*(first_id(members[name]) for name in QUOTES)),
        mentions=texts_of_type(members.tag, "Mention", "/href").unique(),
        topics=texts_of_type(members.tag, "Hashtag", "/name").map(lambda tag: tag.re_replace("^#", "").lower()),
        content_hash=content_hash(content),
        links=content.notnull().ifelse(links(content.re_replace(TAG_ANCHOR, "")), ibis.null("int64")),
        inner=first_id(members.inner),
        private=kind.isin(ADDRESSED_KINDS) & _is_private(members),
    )


def _is_private(members: ir.Table) -> ir.BooleanValue:
    """Return whether an activity has addresses, and none of them is the public or a collection such as followers."""
    lists = [members[name] for address in ADDRESSES for name in (address, f"object_{address}")]
    addresses = ids_of(lists[0]).concat(*(ids_of(member) for member in lists[1:]))
    collections = addresses.filter(lambda address: address.re_search(PUBLIC) | address.re_search(COLLECTION))
    return ibis.coalesce(*lists).notnull() & (collections.length() == 0)
