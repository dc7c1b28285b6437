"""Collections: JSON documents of activities, of any size, rewritten as JSON Lines.

| document | lines |
|---|---|
| Collection, OrderedCollection or a page of one | its `items` or `orderedItems`, also those of a `first` page in it |
| a JSON array | its elements, also those of arrays and collections in it |
| anything else with a type | itself |

An item that is only a URI becomes `{"id": URI}`, which says the same. A file may hold one document after the other,
such as pages.

Owners: whose a piece is, as far as the activities or its address tell.

| address | person |
|---|---|
| `https://HOST/users/NAME/statuses/ID` (Mastodon, GoToSocial) | `https://HOST/users/NAME` |
| `https://HOST/ap/users/ID/statuses/ID` (Mastodon) | `https://HOST/ap/users/ID` |
| `https://HOST/@NAME/ID`, ID a number (Mastodon's page of it) | `https://HOST/users/NAME` |
| `https://HOST/p/NAME/ID`, ID a number (Pixelfed) | `https://HOST/users/NAME` |

A person's own address, `https://HOST/users/NAME` or `https://HOST/@NAME`, is that person's. Other addresses tell
nothing.
"""

import codecs
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import ibis
import ibis.expr.types as ir

from features.errors import EventsError

COLLECTIONS = ("Collection", "OrderedCollection", "CollectionPage", "OrderedCollectionPage")
ITEMS = ("items", "orderedItems")
EXPECTED = "an outbox (OrderedCollection), or activities such as Create, Announce and Follow"
CHUNK_BYTES = 1 << 20
LONGEST_LINE = 1 << 24
SPACE = " \t\r\n"


def is_lines(file: Path) -> bool:
    """Tell whether a file holds an activity a line: its first line is one, or tells nothing and its name says so."""
    first = _first_line(file)
    if isinstance(first, dict) and _types(first):
        return not _is_collection(first)
    return not file.name.lower().removesuffix(".gz").endswith(".json")


def copy_collection(file: Path, lines: Path, progress: Callable[[int], None]) -> str | None:
    """Write the activities of a document a line each; it is read in pieces, an item at a time.

    Parameters
    ----------
    file : a JSON document, gzipped where its name ends in .gz
    lines : the file to write
    progress : is called with the number of bytes of the file read since the last call

    Returns
    -------
    what is to be noted: the items are elsewhere; or nothing

    Raises
    ------
    EventsError : the file is no JSON, ends early, or is no ActivityStreams

    """
    try:
        with file.open("rb") as held, lines.open("w", encoding="utf-8", newline="\n") as out:
            document = _Document(held, file.suffix.lower() == ".gz", progress)
            notes = [_copy(file, document, out)]
            while document.peek():
                notes.append(_copy(file, document, out))
    except (ValueError, OSError, EOFError, zlib.error, RecursionError) as error:
        raise EventsError(
            f"{file} cannot be read as JSON: {error}. Is the download complete? Where it holds an object a line, "
            "let its name end in .jsonl."
        ) from error
    return next((note for note in notes if note), None)


def _copy(file: Path, document: "_Document", out: IO[str]) -> str | None:
    members: dict[str, Any] = {}
    written = 0
    for line in _items(document, members):
        out.write(line.replace("\r", " ").replace("\n", " ") + "\n")
        written += 1
    return _note(file, members, written)


class _Document:
    """A JSON text that is taken value by value from a buffer, which is refilled as need be."""

    def __init__(self, held: IO[bytes], packed: bool, progress: Callable[[int], None]) -> None:
        self._held = held
        self._source = gzip.GzipFile(fileobj=held) if packed else held
        self._progress = progress
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._buffer, self._at, self._seen, self._ended = "", 0, 0, False

    def peek(self) -> str:
        """Return the next character that is no space, or nothing at the end."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in SPACE:
                    return self._buffer[self._at]
                self._at += 1
            if not self._fill():
                return ""

    def take(self, wanted: str) -> str:
        """Take one of the characters `wanted`."""
        found = self.peek()
        if not found or found not in wanted:
            raise ValueError(f"expected {' or '.join(wanted)}, found {found or 'the end'}")
        self._at += 1
        return found

    def value(self) -> tuple[Any, str]:
        """Take a whole value; return it, and its text."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._buffer, self._at)
                if end < len(self._buffer) or not self._fill():
                    text = self._buffer[self._at : end]
                    self._at = end
                    return value, text
            except json.JSONDecodeError:
                if not self._fill():
                    raise

    def _fill(self) -> bool:
        """Read on: each time as much again as is waiting, so that one large value is not tried too often."""
        if self._ended:
            return False
        self._buffer = self._buffer[self._at :]
        self._at = 0
        chunk = self._source.read(max(CHUNK_BYTES, len(self._buffer)))
        self._ended = not chunk
        self._buffer += self._utf8.decode(chunk, final=self._ended)
        read = self._held.tell()
        self._progress(read - self._seen)
        self._seen = read
        return True


def _items(document: _Document, members: dict[str, Any]) -> Iterator[str]:
    """Go through the activities of a document; the members of the document itself are put into `members`."""
    if document.peek() == "[":
        members["type"] = COLLECTIONS[0]
        yield from _array(document)
        return
    document.take("{")
    separator = "" if document.peek() == "}" else ","
    while separator == ",":
        name, _ = document.value()
        document.take(":")
        if name in ITEMS and document.peek() == "[":
            members[name] = True
            yield from _array(document)
        else:
            members[name], _ = document.value()
        separator = document.take(",}")
    if separator == "":
        document.take("}")
    yield from _inner(members)


def _array(document: _Document) -> Iterator[str]:
    document.take("[")
    if document.peek() == "]":
        document.take("]")
        return
    while True:
        yield from _lines(*document.value())
        if document.take(",]") == "]":
            return


def _inner(members: dict[str, Any]) -> Iterator[str]:
    """Go through what is to be had of a document beside its own items."""
    if _is_collection(members):
        yield from _held(members)
    elif not any(name in members for name in ITEMS):
        yield json.dumps(members)


def _held(members: dict[str, Any]) -> Iterator[str]:
    """Go through the items of a collection in memory, and those of its first page where that is in it."""
    for name in ITEMS:
        if isinstance(held := members.get(name), list | dict | str):
            yield from _lines(held, json.dumps(held))
    if isinstance(first := members.get("first"), dict):
        yield from _held(first)


def _lines(value: Any, text: str) -> Iterator[str]:
    """Write an item; a list or collection in the place of one is its items."""
    if isinstance(value, list):
        for each in value:
            yield from _lines(each, json.dumps(each))
    elif isinstance(value, dict) and _is_collection(value):
        yield from _held(value)
    else:
        yield json.dumps({"id": value}) if isinstance(value, str) else text


def _types(members: dict[str, Any]) -> list[str]:
    found = members.get("type", members.get("@type"))
    return [str(each) for each in found] if isinstance(found, list) else [str(found)] if found else []


def _is_collection(members: dict[str, Any]) -> bool:
    return any(each.rpartition("#")[2].removeprefix("as:") in COLLECTIONS for each in _types(members))


def _note(file: Path, members: dict[str, Any], written: int) -> str | None:
    if not _types(members) or (any(name in members for name in ITEMS) and not _is_collection(members)):
        found = ", ".join(list(members)[:8]) or "nothing"
        raise EventsError(f"{file} is no ActivityStreams: it holds {found}; expected {EXPECTED}.")
    first = members.get("first")
    if written == 0 and isinstance(first, str):
        total = members.get("totalItems", "unknown number of")
        return f"{file} holds none of its {total} items: they are on pages, from {first}; download those"
    return None


def _first_line(file: Path) -> Any:
    """Read the first line that isn't blank, as far as it is JSON."""
    if file.suffix.lower() == ".zst":
        return None
    try:
        with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as text:
            line = text.readline(LONGEST_LINE)
            while line and not line.strip():
                line = text.readline(LONGEST_LINE)
        return json.loads(line.decode("utf-8-sig"))
    except (OSError, EOFError, zlib.error, ValueError, RecursionError):
        return None


ADDRESSES = (
    (r"^(https?://[^/?#]+(?:/ap)?/users/[^/?#]+)(?:/statuses/[^/?#]+)?(?:/activity)?/?$", r"\1"),
    (r"^(https?://[^/?#]+)/@([^/@?#]+)(?:/[0-9]+)?/?$", r"\1/users/\2"),
    (r"^(https?://[^/?#]+)/p/([^/@?#]+)/[0-9]+/?$", r"\1/users/\2"),
)
BREAK = "\n"


def owner_by_address(address: ir.StringValue) -> ir.StringValue:
    """Read from the address of a piece whose it is; null where it doesn't tell."""
    return ibis.cases(*((address.re_search(form), address.re_replace(form, person)) for form, person in ADDRESSES))


def owners(activities: ir.Table) -> ir.Table:
    """List the pieces that the activities tell the owner of: (known, owner, known_topics).

    Who created a piece counts more than who is said to have written it by somebody who passes it on. People own
    themselves.

    Parameters
    ----------
    activities : from `read_activities`

    """
    a = activities
    created = a.kind == "Create"
    said = ibis.union(
        _said(a.filter(created), a.piece, ibis.coalesce(a.author, a.actor), rank=0, topics=a.topics),
        _said(a.filter(~created), a.piece, a.author, rank=1, topics=a.topics),
        _said(a, a.parent, a.parent_author, rank=1),
        _said(a, a.actor, a.actor, rank=2),
    )
    known = said.filter(said.known.notnull(), said.owner.notnull()).group_by("known")
    return known.aggregate(
        owner=ibis.coalesce(*(said.owner.min(where=said.rank == rank) for rank in range(3))),
        known_topics=said.topics.max().split(BREAK),
    )


def _said(
    activities: ir.Table, known: ir.StringValue, owner: ir.StringValue, rank: int, topics: ir.ArrayValue | None = None
) -> ir.Table:
    joined = ibis.null("string") if topics is None else topics.join(BREAK).nullif("")
    return activities.select(known=known, owner=owner, rank=ibis.literal(rank), topics=joined)
