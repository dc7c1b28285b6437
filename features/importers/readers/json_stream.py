"""Parse JSON of any size value by value: documents, one after the other, and the elements of arrays inside them.

The parser is our own. `ijson` 3.6 (yajl2_c) takes 3.3 times as long on an outbox of 84 MB, because one pass over all
forms of a collection cannot use its fast `items`; it rewrites numbers (1.50, 1E2) and replaces lone surrogates by `?`,
where values are also returned as text; and it needs memory quadratic in the nesting: 970 MB for 20,000 brackets.
"""

import codecs
import gzip
import json
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any

from features.errors import EventsError
from features.importers.readers.files import hint_about_content

CHUNK_BYTES = 1 << 20
WHITESPACE = " \t\r\n"


def read_elements(
    file: Path, progress: Callable[[int], None], name: str = "", inside: Collection[str] = (), start: str = ""
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Read the elements of arrays in a JSON file, plain or .gz, one at a time.

    Parameters
    ----------
    file : one JSON document, or several
    progress : called with the number of bytes read since the last call
    name : the member whose elements are read; if empty, the elements of each document that is an array, and all others
    inside : the members in which `name` is looked for, beside the document itself
    start : the last character of the text before the document, up to which everything is skipped

    Yields
    ------
    the members of the object that holds the array, as far as they are written before it, and the element

    Raises
    ------
    EventsError : the file is not JSON, or is truncated

    """
    try:
        with file.open("rb") as source:
            document = JsonStream(source, file.suffix.lower() == ".gz", progress)
            if start and document.peek() not in ("[", "{"):
                document.skip_past(start)
            while document.peek() not in ("", ";"):
                yield from _elements(document, name, inside) if name else _documents(document)
    except (ValueError, OSError, EOFError, zlib.error, RecursionError) as error:
        raise EventsError(f"{file} cannot be read as JSON: {error}. {hint_about_content(file)}") from error


def _documents(document: "JsonStream") -> Iterator[tuple[dict[str, Any], Any]]:
    if document.peek() == "[":
        for element, _ in document.array():
            yield {}, element
    else:
        yield {}, document.value()[0]


def _elements(document: "JsonStream", name: str, inside: Collection[str]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the elements of the arrays called `name` in the next value."""
    if document.peek() == "[":
        document.expect("[")
        separator = "" if document.peek() == "]" else ","
        while separator == ",":
            yield from _elements(document, name, inside)
            separator = document.expect(",]")
        if not separator:
            document.expect("]")
        return
    if document.peek() != "{":
        document.value()
        return
    members: dict[str, Any] = {}
    for key in document.names():
        if key == name and document.peek() == "[":
            yield from ((members, element) for element, _ in document.array())
        elif key in inside:
            yield from _elements(document, name, inside)
        else:
            members[key], _ = document.value()


class JsonStream:
    """A stream of JSON that is parsed value by value from a buffer, which grows to fit the largest value."""

    def __init__(self, file: IO[bytes], gzipped: bool, progress: Callable[[int], None]) -> None:
        self._file = file
        self._source = gzip.GzipFile(fileobj=file) if gzipped else file
        self._progress = progress
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._buffer, self._offset, self._bytes_read, self._ended = "", 0, 0, False

    def peek(self) -> str:
        """Return the next character that is not white space, or an empty text at the end."""
        while True:
            while self._offset < len(self._buffer):
                if self._buffer[self._offset] not in WHITESPACE:
                    return self._buffer[self._offset]
                self._offset += 1
            if not self._fill():
                return ""

    def expect(self, allowed: str) -> str:
        """Consume one of the allowed characters."""
        character = self.peek()
        if not character or character not in allowed:
            raise ValueError(f"expected {' or '.join(allowed)}, found {character or 'the end'}")
        self._offset += 1
        return character

    def value(self) -> tuple[Any, str]:
        """Consume a value; return it and its text."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._buffer, self._offset)
                if end < len(self._buffer) or not self._fill():
                    text = self._buffer[self._offset : end]
                    self._offset = end
                    return value, text
            except json.JSONDecodeError:
                if not self._fill():
                    raise

    def _fill(self) -> bool:
        """Read more, at least as much as is buffered: a large value is retried only a logarithmic number of times."""
        if self._ended:
            return False
        self._buffer = self._buffer[self._offset :]
        self._offset = 0
        chunk = self._source.read(max(CHUNK_BYTES, len(self._buffer)))
        self._ended = not chunk
        self._buffer += self._utf8.decode(chunk, final=self._ended)
        position = self._file.tell()
        self._progress(position - self._bytes_read)
        self._bytes_read = position
        return True

    def skip_past(self, text: str) -> None:
        """Consume everything up to the end of a text of one character."""
        while character := self.peek():
            self._offset += 1
            if character == text:
                return

    def names(self) -> Iterator[str]:
        """Consume an object; yield each name, whose value is to be consumed before the next."""
        self.expect("{")
        separator = "" if self.peek() == "}" else ","
        while separator == ",":
            name, _ = self.value()
            self.expect(":")
            yield name
            separator = self.expect(",}")
        if separator == "":
            self.expect("}")

    def array(self) -> Iterator[tuple[Any, str]]:
        """Consume an array; yield each element and its text."""
        self.expect("[")
        if self.peek() == "]":
            self.expect("]")
            return
        while True:
            yield self.value()
            if self.expect(",]") == "]":
                return
