"""Import messages of chats and forums: the steps that the exports of these sources share.

| message | verb | target | object | result |
|---|---|---|---|---|
| message | post | | the message | |
| message about another one | reply | author of that one | that one | the message |
| message with the verb quote | quote | author of the quoted | the quoted | the message |
| message with the verb repost | repost | author of what is passed on | what is passed on, if known | |
| mention in a message | mention | the mentioned, not the replied to | the message | |
| reaction | like | author of the message | the message | |

The author of another message is looked up in the files, if the message does not say it. Most exports do not say when
somebody reacted; such reactions are rejected, because features may only use what was known at an instant. Private
messages, between named users only, are rejected unless they are asked for. If files overlap, an event counts once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from glob import escape
from itertools import count, islice
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from features.atomic_files import check_events_path, scratch_dir
from features.errors import EventsError
from features.events.event_table import connect
from features.events.ids import read_id
from features.ids import parse_id
from features.importers.event_fields import (
    build_record,
    content_hash,
    links,
    read_time,
    reject_duplicates,
    with_mentions,
)
from features.importers.ingestion import ImportReport, ingest
from features.importers.readers.files import byte_progress
from features.progress import Progress

BATCH_ROWS = 10_000
NO_TIME = "reaction: the export does not say when"
PRIVATE = "private, between named users only; --private accepts it"
NO_MESSAGE = "not a message: no object with an id"
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "time", "author", "text", "about", "target", "verb", "reason")),
        *((name, pa.list_(pa.string())) for name in ("mentions", "topics")),
        ("private", pa.bool_()),
        *((name, pa.int64()) for name in ("file", "row")),
    ]
)
MAX_KIND_CHARS = 60
RECORD_FIELDS = {"id": "id", "time": "time_text", "author": "author", "verb": "verb"}
KEY = ("verb", "author", "target", "about", "id")


@dataclass(frozen=True)
class Message:
    """A message, or a reaction to one; `time` in any form that `read_time` reads.

    Parameters
    ----------
    about : id of the message that it answers, quotes, passes on or reacts to
    target : the author of that message, if the export says it
    verb : empty for a message, which is a reply if it is about another one, and a post otherwise
    reason : why it does not map to an event

    """

    id: str | None = None
    time: str | None = None
    author: str | None = None
    text: str | None = None
    about: str | None = None
    target: str | None = None
    verb: str = ""
    reason: str | None = None
    mentions: Sequence[str] = ()
    topics: Sequence[str] = ()
    private: bool = False


def reaction_to(message: Message, author: str | None, time: str | None = None) -> Message:
    """Return a reaction to a message; without a time where the export has none."""
    return Message(
        time=time, author=author, about=message.id, target=message.author, verb="like", private=message.private
    )


@dataclass(frozen=True)
class MessageSource:
    """A source of messages: its network, what its files are, and how to read the messages of a file.

    `read` gets the file, and a function to call with the number of bytes read since its last call. Where the source
    does `ignore_case` in the names of users, targets and mentions get the spelling of the author with the same name.
    """

    network: str
    expected: str
    read: Callable[[Path, Callable[[int], None]], Iterator[Message]]
    ignore_case: bool = False

    def ingest(
        self, files: Sequence[Path], out: Path, progress: Progress, private: bool, notes: tuple[str, ...] = ()
    ) -> ImportReport:
        """Import the messages of files as events; the other parameters and errors are those of `ingest`.

        `private` accepts private messages; `progress` is called with the share of the bytes that is read. Files without
        messages are an error too.
        """
        backend = connect()
        check_events_path(Path(out))
        with scratch_dir(Path(out)) as scratch:
            self._copy(files, scratch / "messages.parquet", progress)
            messages = backend.read_parquet(escape(str(scratch / "messages.parquet")))
            if not messages.count().to_pyarrow().as_py():
                raise EventsError(f"found no messages in {files[0]}{_others(files)}; expected {self.expected}.")
            names = tuple(file.name for file in files)
            spelled = _with_spelling_of_authors(messages) if self.ignore_case else messages
            return ingest(_raw_events(spelled, names, self.network, private), Path(out), notes)

    def _copy(self, files: Sequence[Path], scratch: Path, progress: Progress) -> None:
        advance = byte_progress(files, progress)
        with pq.ParquetWriter(scratch, SCHEMA) as writer:
            for number, file in enumerate(files):
                rows = count(1)
                for batch in _batches(self.read(file, advance)):
                    columns = [{**_as_row(message), "file": number, "row": next(rows)} for message in batch]
                    writer.write_table(pa.Table.from_pylist(columns, SCHEMA))


def _others(files: Sequence[Path]) -> str:
    return f" and {len(files) - 1} more files" if len(files) > 1 else ""


def _batches(messages: Iterator[Message]) -> Iterator[tuple[Message, ...]]:
    while batch := tuple(islice(messages, BATCH_ROWS)):
        yield batch


def _as_row(message: Message) -> dict[str, object]:
    return {name: _encodable(value) for name, value in vars(message).items()}


def _encodable(value: object) -> object:
    """Replace halves of surrogate pairs, which JSON may hold and UTF-8 may not."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return [_encodable(item) for item in value] if isinstance(value, list | tuple) else value


def unmapped(kind: str) -> str:
    """Return the reason for rejecting a message of a kind that does not map to an event."""
    return f"{kind[:MAX_KIND_CHARS]} does not map to an event"


def text_of(value: object) -> str | None:
    """Return a text or number as text; None for anything else, and for an empty text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value) or None


def id_of(value: object) -> str | None:
    """Return an id as `features.ids` reads it; None if there is none, or the value cannot be one."""
    try:
        return parse_id(text_of(value) or "") or None
    except ValueError:
        return None


def list_of(value: object) -> list[dict[str, object]]:
    """Return the objects of a list; empty if it is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def dict_of(value: object) -> dict[str, object]:
    """Return an object; empty if it is not one."""
    return value if isinstance(value, dict) else {}


def _with_spelling_of_authors(messages: ir.Table) -> ir.Table:
    """Write targets and mentions as the author is written who has the same name but for upper and lower case."""
    authors = messages.filter(messages.author.notnull())
    authors = authors.group_by(name=authors.author.lower()).aggregate(spelling=authors.author.min())
    mentions = messages.select("file", "row", user=messages.mentions.unnest())
    spelled = mentions.left_join(authors, mentions.user.lower() == authors.name)
    lists = spelled.group_by("file", "row").aggregate(users=spelled.spelling.coalesce(spelled.user).collect().unique())
    targeted = messages.left_join(authors, messages.target.lower() == authors.name)
    joined = targeted.left_join(lists, ["file", "row"])
    return joined.select(
        *(name for name in SCHEMA.names if name not in ("target", "mentions")),
        target=joined.spelling.coalesce(joined.target),
        mentions=joined.users,
    )


def _raw_events(messages: ir.Table, names: tuple[str, ...], network: str, private: bool) -> ir.Table:
    """Map messages to rows for `ingest`: columns of SCHEMA, row, record and reason."""
    m = messages.mutate(author=read_id(messages.author), target=read_id(messages.target), time_text=messages.time)
    written = m.filter(m.id.notnull(), m.author.notnull(), m.verb.isin(("", "quote")))
    authors = written.group_by(about=written.id).aggregate(about_author=written.author.min())
    joined = m.left_join(authors, "about")
    default = joined.about.notnull().ifelse("reply", "post")
    text = joined.text.nullif("")
    hidden = joined.private & (not private)
    untimed = (joined.verb == "like") & joined.time_text.isnull()
    events = joined.select(
        *("id", "file", "row", "time_text", "author", "about", "topics", "mentions"),
        time=read_time(joined.time_text),
        verb=(joined.verb == "").ifelse(default, joined.verb),
        target=ibis.coalesce(joined.target, joined.about_author),
        content_hash=content_hash(text),
        links=links(text),
        record=ibis.null("string"),
        reason=ibis.coalesce(joined.reason, ibis.cases((hidden, PRIVATE), (untimed, NO_TIME))),
    )
    mentioned = with_mentions(events.mutate(object=events.about, result=events.id), lambda event: event.id)
    rows = reject_duplicates(mentioned, KEY)
    makes_piece = rows.verb.isin(("reply", "quote"))
    return rows.select(
        *("time", "verb", "target", "topics", "content_hash", "links", "row", "reason"),
        actor=rows.author,
        object=ibis.cases((rows.verb == "post", rows.id), (rows.verb == "mention", rows.object), else_=rows.about),
        result=makes_piece.ifelse(rows.id, ibis.null("string")),
        network=ibis.literal(network),
        record=build_record(rows, RECORD_FIELDS, names),
    )
