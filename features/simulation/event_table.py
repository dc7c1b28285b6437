"""Acts before they are written: one array per column, with numbers in place of names.

Tags of a piece: its author's interests, packed into one number.

The number is `first * (topics + 1) + 1 + second`, where a second of -1 means that there is one tag only.
Acts as an Arrow table with the columns of the event table.
Numbers written as names of one length, a whole column at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.events.event_table import SCHEMA, VERBS

VERB = {name: number for number, name in enumerate(VERBS)}
NOTHING = -1


@dataclass(frozen=True)
class EventArrays:
    """Acts as arrays of one length; NOTHING stands for null everywhere.

    `time` is in microseconds since 1970, `verb` an index into VERBS, `actor` and `target` are users' numbers, `object`
    and `result` pieces' numbers, `tags` a number of features.simulation.event_table, `text` the key of the text.
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
        picked = np.flatnonzero(rows) if rows.dtype == bool else rows
        return EventArrays(*(getattr(self, column.name)[picked] for column in fields(self)))

    def split(self, time: int) -> tuple[EventArrays, EventArrays]:
        """Return the acts before an instant in the order of time, equal ones in their order, and the rest as it is."""
        before = np.flatnonzero(self.time < time)
        return self.where(before[np.argsort(self.time[before], kind="stable")]), self.where(self.time >= time)


TYPES = {
    "time": np.int64,
    "actor": np.int32,
    "verb": np.int8,
    "target": np.int32,
    "object": np.int64,
    "result": np.int64,
    "tags": np.int16,
    "text": np.int64,
    "links": np.int8,
}


def empty_events(time: np.ndarray, **columns: np.ndarray | int) -> EventArrays:
    """Make acts at these instants; a single value holds for all of them and absent columns are null."""
    size = len(time)
    filled = {name: _column(columns.get(name, NOTHING), size, kind) for name, kind in TYPES.items() if name != "time"}
    return EventArrays(time=time.astype(np.int64, copy=False), **filled)


def concatenate(*parts: EventArrays) -> EventArrays:
    """Return all acts of the parts, one part after the other."""
    return EventArrays(
        *(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(EventArrays))
    )


def _column(values: np.ndarray | int, size: int, kind: type) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values.astype(kind, copy=False)
    return np.full(size, values, dtype=kind)


ONE_TAG, TWO_TAGS = 0.65, 0.9


def draw_tags(first: np.ndarray, second: np.ndarray, topics: int, rng: np.random.Generator) -> np.ndarray:
    """Draw each piece's tags: mostly the first interest, at times both or the second alone; shape as first."""
    chance = rng.random(len(first))
    main = np.where(chance < TWO_TAGS, first, second)
    other = np.where((chance >= ONE_TAG) & (chance < TWO_TAGS) & (first != second), second, -1)
    return (main.astype(np.int16) * (topics + 1) + 1 + other).astype(np.int16)


def main_topic(tags: np.ndarray, topics: int) -> np.ndarray:
    """Return the topic of the first tag."""
    return tags // (topics + 1)


def names(topics: int) -> list[str]:
    """Return what the topics are called."""
    return [f"topic{number:02d}" for number in range(topics)]


def tag_lists(topics: int) -> pa.Array:
    """Return the list of tags that each number stands for, in the order of the numbers."""
    called = names(topics)
    both = [[first] if second is None else [first, second] for first in called for second in (None, *called)]
    return pa.array(both, type=pa.list_(pa.string()))


PIECE_DIGITS, TEXT_DIGITS = 10, 15
WORD = pa.dictionary(pa.int8(), pa.string())
KINDS = {
    "time": pa.timestamp("us", tz="UTC"),
    "verb": WORD,
    "network": WORD,
    "topics": pa.list_(pa.string()),
    "links": pa.int64(),
}
LAYOUT = pa.schema([(name, KINDS.get(name, pa.string())) for name in SCHEMA.names])


def user_names(numbers: np.ndarray, users: int) -> pa.StringArray:
    """Write users' numbers as ids: at least seven digits, and as many as the largest needs."""
    return number_ids("u", numbers, max(7, len(str(users - 1))))


def to_table(acts: EventArrays, users: int, tags: pa.Array) -> pa.Table:
    """Write acts as events.

    Parameters
    ----------
    acts : the acts, with NOTHING for null
    users : how many users there are
    tags : the list of tags that each tag number stands for

    Returns
    -------
    a table of LAYOUT: the event table's columns in order, with repeated words held as dictionaries

    """
    columns = [
        pa.array(acts.time).cast(LAYOUT.field("time").type),
        user_names(acts.actor, users),
        pa.DictionaryArray.from_arrays(acts.verb, pa.array(VERBS)),
        user_names(acts.target, users),
        number_ids("p", acts.object, PIECE_DIGITS),
        number_ids("p", acts.result, PIECE_DIGITS),
        pa.DictionaryArray.from_arrays(np.zeros(len(acts), dtype=np.int8), pa.array(["default"])),
        tags.take(pa.array(acts.tags, mask=acts.tags < 0)),
        number_ids("h", acts.text, TEXT_DIGITS),
        pa.array(acts.links, mask=acts.links < 0).cast(pa.int64()),
    ]
    return pa.Table.from_arrays(columns, schema=LAYOUT)


def number_ids(prefix: str, numbers: np.ndarray, width: int) -> pa.StringArray:
    """Write numbers as ids, such as u0001234.

    Parameters
    ----------
    prefix : one letter before each number
    numbers : whole numbers below `10 ** width`; negative ones become null
    width : digits of each id, 18 at most, filled with zeros

    """
    padded = pa.array(numbers.astype(np.int64) + 10**width, mask=numbers < 0).cast(pa.string())
    return pc.binary_replace_slice(padded, 0, 1, prefix)  # the leading 1 kept the zeros
