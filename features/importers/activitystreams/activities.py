"""Linked data: the freedoms of JSON-LD, where a value may be one or many, and a thing itself or its name.

| written | read |
|---|---|
| `"a"`, `["a"]` | the one text a |
| `{"id": "a"}`, `{"@id": "a"}`, `{"href": "a"}` | the thing called a |
| `as:Note`, `https://www.w3.org/ns/activitystreams#Note` | the type Note |

Activities: ActivityStreams files read into one table, with the freedoms of JSON-LD settled.
"""

from collections.abc import Callable
from glob import escape
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.errors import EventsError
from features.importers.activitystreams.collections import EXPECTED, copy_collection, is_lines
from features.importers.event_fields import content_hash, links
from features.importers.readers.files import by_bytes
from features.importers.readers.json_lines import read_members
from features.importers.readers.values import json_extract_string, json_valid, read_time

VOCABULARY = r"^(as:|https?://www\.w3\.org/ns/activitystreams#)"
NAMES = ("/id", "/@id", "/href")


@ibis.udf.scalar.builtin(name="json_extract_string")
def _text(json: str, pointer: str) -> str:
    raise NotImplementedError


def text_at(thing: ir.StringValue, *pointers: str) -> ir.StringValue:
    """Read the first text that is there in a JSON object.

    The null makes it a call in SQL: a bare arrow, as which it would be written, cannot stand in a lambda.
    """
    return ibis.coalesce(*(_text(thing, pointer) for pointer in pointers), ibis.null("string"))


def all_of(member: ir.StringValue) -> ir.ArrayValue:
    """List the values of a member, things in them as JSON; none where it is absent or damaged."""
    listed = (member.startswith("[") & json_valid(member)).ifelse(member, ibis.null("string"))
    alone = member.startswith("[").ifelse(ibis.null("string"), member)
    values = listed.notnull().ifelse(json_extract_string(listed, "$[*]"), ibis.array([alone]))
    return values.filter(lambda each: each.notnull() & (~each.startswith("{") | json_valid(each)))


def all_ids(member: ir.StringValue) -> ir.ArrayValue:
    """List the names of the things in a member."""
    return all_of(member).map(_id).filter(lambda each: each.notnull())


def one_id(member: ir.StringValue) -> ir.StringValue:
    """Name the thing in a member, the first one where there are more."""
    return all_ids(member)[0]


def one_type(member: ir.StringValue, known: tuple[str, ...]) -> ir.StringValue:
    """Read a type; of more than one the first that is known, or else the first."""
    names = all_of(member).map(lambda each: each.re_replace(VOCABULARY, "").nullif(""))
    return ibis.coalesce(names.filter(lambda each: each.isin(known))[0], names[0])


def tagged(member: ir.StringValue, kind: str, name: str) -> ir.ArrayValue:
    """List a text of each of the things in a member that are of one kind; `name` is its JSON pointer."""
    things = all_of(member).filter(lambda each: each.startswith("{"))
    written = rf'(^|["#:]){kind}("|$)'
    wanted = things.filter(lambda each: text_at(each, "/type", "/@type").re_search(written))
    return wanted.map(lambda each: text_at(each, name)).filter(lambda each: each.notnull())


def _id(value: ir.StringValue) -> ir.StringValue:
    thing = value.startswith("{").ifelse(value, ibis.null("string"))
    return thing.notnull().ifelse(text_at(thing, *NAMES), value).nullif("")


MEMBERS = {
    "kind": "/type",
    "kind_ld": "/@type",
    "id": "/id",
    "id_ld": "/@id",
    "who": "/actor",
    "published": "/published",
    "thing": "/object",
    "thing_kind": "/object/type",
    "thing_author": "/object/attributedTo",
    "thing_published": "/object/published",
    "reply_to": "/object/inReplyTo",
    "reply_author": "/object/inReplyTo/attributedTo",
    "quote": "/object/quote",
    "quote_url": "/object/quoteUrl",
    "quote_uri": "/object/quoteUri",
    "quote_misskey": "/object/_misskey_quote",
    "tag": "/object/tag",
    "content": "/object/content",
    "inner": "/object/object",
}
QUOTES = ("quote", "quote_url", "quote_uri", "quote_misskey")
ACTS = {
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
OWN_ANCHOR = r"""(?is)<a\s[^>]*class=["'][^"']*(mention|hashtag)[^>]*>.*?</a>"""


def read_activities(
    backend: Backend, files: list[Path], scratch: Path, progress: Callable[[float], None]
) -> tuple[ir.Table, tuple[str, ...]]:
    """Read the activities of files: documents or JSON Lines.

    Parameters
    ----------
    backend : where the table lives
    files : each a JSON document or JSON Lines
    scratch : folder to copy what is wanted into
    progress : called with the share of the bytes that is read

    Returns
    -------
    a row per activity, and notes on what the files lack. `file`, `row`, `record`, `reason` tell its place and what is
    wrong with it; `kind`, `id`, `actor`, `published`, `time` what it is; `piece` is its object, written by `author`, of
    the kind `piece_kind`, a reply to `parent` (written by `parent_author`), a quote of `quoted`, with `mentions`,
    `topics`, `content_hash` and `links`; `inner` is the object of its object

    Raises
    ------
    EventsError : a file cannot be read, or is no ActivityStreams

    """
    advance = by_bytes(files, progress)
    notes = [_read(backend, number, file, scratch, advance) for number, file in enumerate(files)]
    read = backend.read_parquet(escape(str(scratch)) + "/activities*.parquet")
    return read, tuple(note for note in notes if note)


def _read(backend: Backend, number: int, file: Path, scratch: Path, advance: Callable[[int], None]) -> str | None:
    """Copy the activities of a file into `scratch`."""
    lines, note = file, None
    if not is_lines(file):
        lines = scratch / f"lines{number}.jsonl"
        note = copy_collection(file, lines, advance)
    found = read_members(backend, lines, scratch / f"members{number}.parquet", MEMBERS, private=MEMBERS)
    made = scratch / f"activities{number:06}.parquet"
    backend.to_parquet(_settled(found).mutate(file=ibis.literal(number, "int64")), made)
    if lines == file:
        advance(file.stat().st_size)
    else:
        lines.unlink()
    _refuse_foreign(backend, file, made)
    (scratch / f"members{number}.parquet").unlink(missing_ok=True)
    return note


def _refuse_foreign(backend: Backend, file: Path, made: Path) -> None:
    rows = backend.read_parquet(escape(str(made)))
    count, typed = (
        rows.aggregate(rows=rows.count(), typed=(rows.kind.notnull() | rows.id.notnull()).sum())
        .to_pyarrow()
        .to_pylist()[0]
        .values()
    )
    if count and not typed:
        raise EventsError(f"{file} is no ActivityStreams: none of its {count} items has a type; expected {EXPECTED}.")


def _settled(found: ir.Table) -> ir.Table:
    kind = one_type(ibis.coalesce(found.kind, found.kind_ld), tuple(ACTS))
    written = kind == "Create"
    author = one_id(found.thing_author)
    content = written.ifelse(found.content, ibis.null("string"))
    return found.select(
        "row",
        "reason",
        record=found.reason.notnull().ifelse(found.record, ibis.null("string")),
        kind=kind,
        id=ibis.coalesce(found.id, found.id_ld).nullif(""),
        actor=ibis.coalesce(one_id(found.who), written.ifelse(author, ibis.null("string"))),
        time=ibis.coalesce(
            read_time(found.published), read_time(written.ifelse(found.thing_published, ibis.null("string")))
        ),
        published=ibis.coalesce(found.published, found.thing_published),
        piece=one_id(found.thing),
        piece_kind=one_type(found.thing_kind, tuple(ACTS)),
        author=author,
        parent=one_id(found.reply_to),
        parent_author=one_id(found.reply_author),
        quoted=ibis.coalesce(*(one_id(found[name]) for name in QUOTES)),
        mentions=tagged(found.tag, "Mention", "/href").unique(),
        topics=tagged(found.tag, "Hashtag", "/name").map(lambda each: each.re_replace("^#", "").lower()),
        content_hash=content_hash(content),
        links=content.notnull().ifelse(links(content.re_replace(OWN_ANCHOR, "")), ibis.null("int64")),
        inner=one_id(found.inner),
    )
