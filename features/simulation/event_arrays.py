"""Simulated events as arrays of numbers, and as an Arrow table with the columns of the event table.

The tags of a piece are packed into one number, `first * (topics + 1) + 1 + second`; a second of -1 means one tag only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.events.event_table import SCHEMA, VERBS

VERB = {name: number for number, name in enumerate(VERBS)}
NULL = -1
TYPES = {"actor": np.int32, "verb": np.int8, "target": np.int32, "tags": np.int16, "links": np.int8}  # else np.int64
ONE_TAG, TWO_TAGS = 0.65, 0.9
PIECE_DIGITS, TEXT_DIGITS = 10, 15
DICTIONARY_TYPE = pa.dictionary(pa.int8(), pa.string())
COLUMN_TYPES = {
    "time": pa.timestamp("us", tz="UTC"),
    "verb": DICTIONARY_TYPE,
    "network": DICTIONARY_TYPE,
    "topics": pa.list_(pa.string()),
    "links": pa.int64(),
}
ARROW_SCHEMA = pa.schema([(name, COLUMN_TYPES.get(name, pa.string())) for name in SCHEMA.names])


@dataclass(frozen=True)
class EventArrays:
    """Events as arrays of one length, with NULL for null in all columns.

    `time` is in microseconds since 1970, `verb` an index into VERBS, `actor` and `target` are users' numbers, `object`
    and `result` pieces' numbers, `tags` the packed tags, `text` the key of the text.
    """

    time: np.ndarray
    actor: np.ndarray
    verb: np.ndarray
    target: np.ndarray
    object: np.ndarray
    result: np.ndarray
    tags: np.ndarray
    text: np.ndarray
    links: np.ndarray

    def __len__(self) -> int:
        return len(self.time)

    def where(self, rows: np.ndarray) -> EventArrays:
        """Return the rows of a mask or of positions."""
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        return EventArrays(*(getattr(self, column.name)[positions] for column in fields(self)))

    def split(self, time: int) -> tuple[EventArrays, EventArrays]:
        """Return the events before an instant, in a stable order of time, and the rest in its present order."""
        before = np.flatnonzero(self.time < time)
        return self.where(before[np.argsort(self.time[before], kind="stable")]), self.where(self.time >= time)


def build_events(time: np.ndarray, **columns: np.ndarray | int) -> EventArrays:
    """Build events at these instants; a single value fills a column and absent columns are null."""
    present = {"time": time, **columns}
    names = [column.name for column in fields(EventArrays)]
    return EventArrays(*(_column(present.get(name, NULL), len(time), TYPES.get(name, np.int64)) for name in names))


def concatenate(*parts: EventArrays) -> EventArrays:
    """Return the events of all parts, one part after the other."""
    return EventArrays(
        *(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(EventArrays))
    )


def _column(values: np.ndarray | int, size: int, kind: type) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values.astype(kind, copy=False)
    return np.full(size, values, dtype=kind)


def draw_tags(first: np.ndarray, second: np.ndarray, topics: int, rng: np.random.Generator) -> np.ndarray:
    """Draw each piece's tags: mostly the first topic, sometimes both or only the second; the same shape as first."""
    chance = rng.random(len(first))
    main = np.where(chance < TWO_TAGS, first, second)
    other = np.where((chance >= ONE_TAG) & (chance < TWO_TAGS) & (first != second), second, -1)
    return (main.astype(np.int16) * (topics + 1) + 1 + other).astype(np.int16)


def main_topic(tags: np.ndarray, topics: int) -> np.ndarray:
    """Return the topic of the first tag."""
    return tags // (topics + 1)


def topic_names(topics: int) -> list[str]:
    """Return the names of the topics."""
    return [f"topic{number:02d}" for number in range(topics)]


def tag_lists(topics: int) -> pa.Array:
    """Return the list of tags of each packed number, in the order of the numbers."""
    labels = topic_names(topics)
    lists = [[first] if second is None else [first, second] for first in labels for second in (None, *labels)]
    return pa.array(lists, type=pa.list_(pa.string()))


def user_names(numbers: np.ndarray, users: int) -> pa.StringArray:
    """Write users' numbers as ids: at least seven digits, and as many as the largest needs."""
    return number_ids("u", numbers, max(7, len(str(users - 1))))


def to_table(events: EventArrays, users: int, tags: pa.Array) -> pa.Table:
    """Convert events to a table of ARROW_SCHEMA: the event table's columns in order, repeated words as dictionaries.

    `tags` is the list of tags of each packed number.
    """
    columns = [
        pa.array(events.time).cast(ARROW_SCHEMA.field("time").type),
        user_names(events.actor, users),
        pa.DictionaryArray.from_arrays(events.verb, pa.array(VERBS)),
        user_names(events.target, users),
        number_ids("p", events.object, PIECE_DIGITS),
        number_ids("p", events.result, PIECE_DIGITS),
        pa.DictionaryArray.from_arrays(np.zeros(len(events), dtype=np.int8), pa.array(["default"])),
        tags.take(pa.array(events.tags, mask=events.tags < 0)),
        number_ids("h", events.text, TEXT_DIGITS),
        pa.array(events.links, mask=events.links < 0).cast(pa.int64()),
    ]
    return pa.Table.from_arrays(columns, schema=ARROW_SCHEMA)


def number_ids(prefix: str, numbers: np.ndarray, width: int) -> pa.StringArray:
    """Write numbers below `10 ** width` as ids of `width` digits, 18 at most, such as u0001234; negatives are null."""
    padded = pa.array(numbers.astype(np.int64) + 10**width, mask=numbers < 0).cast(pa.string())
    return pc.binary_replace_slice(padded, 0, 1, prefix)  # the leading 1 kept the zeros
