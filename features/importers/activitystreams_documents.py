"""Convert JSON documents of activities, of any size, to JSON Lines.

| document | lines |
|---|---|
| Collection, OrderedCollection or a page of one | its `items` or `orderedItems`, also of an embedded `first` page |
| a JSON array | its elements, also those of nested arrays and collections |
| any other object with a type | itself |

An item that is only a URI becomes the equivalent `{"id": URI}`. A file may hold several documents, such as pages.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from features.errors import EventsError
from features.importers.readers.json_stream import JsonStream

COLLECTIONS = ("Collection", "OrderedCollection", "CollectionPage", "OrderedCollectionPage")
ITEMS = ("items", "orderedItems")
EXPECTED = "an outbox (OrderedCollection), or activities such as Create, Announce and Follow"
MAX_LINE_BYTES = 1 << 24


def is_lines(file: Path) -> bool:
    """Return whether a file is JSON Lines: its first line is an activity, or is inconclusive and the name says so."""
    first = _parse_first_line(file)
    if isinstance(first, dict) and _types(first):
        return not _is_collection(first)
    return not file.name.lower().removesuffix(".gz").endswith(".json")


def copy_collection(file: Path, lines: Path, progress: Callable[[int], None]) -> str | None:
    """Write the activities of a JSON document, plain or .gz, one per line; it is read in chunks, one item at a time.

    `progress` is called with the number of bytes read since the last call. Returns a note that the items are on other
    pages, or None.

    Raises
    ------
    EventsError : the file is not JSON, is truncated, or is not ActivityStreams

    """
    try:
        with file.open("rb") as source, lines.open("w", encoding="utf-8", newline="\n") as out:
            document = JsonStream(source, file.suffix.lower() == ".gz", progress)
            notes = [_copy(file, document, out)]
            while document.peek():
                notes.append(_copy(file, document, out))
    except (ValueError, OSError, EOFError, zlib.error, RecursionError) as error:
        raise EventsError(
            f"{file} cannot be read as JSON: {error}. Is the download complete? If it holds one object per line, "
            "rename it to end in .jsonl."
        ) from error
    return next((note for note in notes if note), None)


def _copy(file: Path, document: JsonStream, out: IO[str]) -> str | None:
    members: dict[str, Any] = {}
    written = 0
    for line in _items(document, members):
        out.write(line.replace("\r", " ").replace("\n", " ") + "\n")
        written += 1
    return _note(file, members, written)


def _items(document: JsonStream, members: dict[str, Any]) -> Iterator[str]:
    """Yield the activities of a document as text; its other members are added to `members`."""
    if document.peek() == "[":
        members["type"] = COLLECTIONS[0]
        yield from _array(document)
        return
    for name in document.names():
        if name in ITEMS and document.peek() == "[":
            members[name] = True
            yield from _array(document)
        else:
            members[name], _ = document.value()
    yield from _embedded_items(members)


def _array(document: JsonStream) -> Iterator[str]:
    for value, text in document.array():
        yield from _lines(value, text)


def _embedded_items(members: dict[str, Any]) -> Iterator[str]:
    """Yield the items of a document that are not streamed: those in memory, or the document itself."""
    if _is_collection(members):
        yield from _items_in_memory(members)
    elif not any(name in members for name in ITEMS):
        yield json.dumps(members)


def _items_in_memory(members: dict[str, Any]) -> Iterator[str]:
    """Yield the items of a collection in memory, and those of its embedded first page."""
    for name in ITEMS:
        if isinstance(items := members.get(name), list | dict | str):
            yield from _lines(items, json.dumps(items))
    if isinstance(first := members.get("first"), dict):
        yield from _items_in_memory(first)


def _lines(value: Any, text: str) -> Iterator[str]:
    """Yield an item as text, or the items of a nested list or collection."""
    if isinstance(value, list):
        for item in value:
            yield from _lines(item, json.dumps(item))
    elif isinstance(value, dict) and _is_collection(value):
        yield from _items_in_memory(value)
    else:
        yield json.dumps({"id": value}) if isinstance(value, str) else text


def _types(members: dict[str, Any]) -> list[str]:
    types = members.get("type", members.get("@type"))
    return [str(name) for name in types] if isinstance(types, list) else [str(types)] if types else []


def _is_collection(members: dict[str, Any]) -> bool:
    return any(name.rpartition("#")[2].removeprefix("as:") in COLLECTIONS for name in _types(members))


def _note(file: Path, members: dict[str, Any], written: int) -> str | None:
    if not _types(members) or (any(name in members for name in ITEMS) and not _is_collection(members)):
        content = ", ".join(list(members)[:8]) or "nothing"
        raise EventsError(f"{file} is not ActivityStreams: found {content}; expected {EXPECTED}.")
    first = members.get("first")
    if written == 0 and isinstance(first, str):
        total = members.get("totalItems", "unknown number of")
        return f"{file} holds none of its {total} items: they are on pages, from {first}; download those"
    return None


def _parse_first_line(file: Path) -> Any:
    """Parse the first line that is not blank; None if it is not JSON."""
    if file.suffix.lower() == ".zst":
        return None
    try:
        with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as text:
            line = text.readline(MAX_LINE_BYTES)
            while line and not line.strip():
                line = text.readline(MAX_LINE_BYTES)
        return json.loads(line.decode("utf-8-sig"))
    except (OSError, EOFError, zlib.error, ValueError, RecursionError):
        return None
