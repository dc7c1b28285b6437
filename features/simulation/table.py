"""Acts as an Arrow table with the columns of the event table."""

import numpy as np
import pyarrow as pa

from features.events import SCHEMA, VERBS
from features.simulation.acts import Acts
from features.simulation.names import named

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
    return named("u", numbers, max(7, len(str(users - 1))))


def to_table(acts: Acts, users: int, tags: pa.Array) -> pa.Table:
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
        named("p", acts.object, PIECE_DIGITS),
        named("p", acts.result, PIECE_DIGITS),
        pa.DictionaryArray.from_arrays(np.zeros(len(acts), dtype=np.int8), pa.array(["default"])),
        tags.take(pa.array(acts.tags, mask=acts.tags < 0)),
        named("h", acts.text, TEXT_DIGITS),
        pa.array(acts.links, mask=acts.links < 0).cast(pa.int64()),
    ]
    return pa.Table.from_arrays(columns, schema=LAYOUT)
