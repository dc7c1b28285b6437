"""Feature rows as they are posted, read from JSON straight into what the model sees."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct, defstruct
from msgspec.json import Decoder
from msgspec.structs import astuple

from features.catalogue import CATALOGUE
from serving.routes.forms import LARGEST_VALUE, MOST_PER_REQUEST

Value = Annotated[float, Meta(ge=-LARGEST_VALUE, le=LARGEST_VALUE)] | None
STRICT: dict[str, Any] = {"forbid_unknown_fields": True, "gc": False}
NAMES = frozenset(CATALOGUE.names)
KEPT = 4  # a new champion may see other features


class _Table(Struct, **STRICT):
    features: list[str]
    values: list[list[Value]]


def read_posted(body: bytes, names: tuple[str, ...]) -> np.ndarray | None:
    """Read a table, or rows of features that the model sees.

    Of anything else None is returned, be it ids or not as it should be: the forms (`serving.routes.forms`) take longer
    over it and say what is wrong.

    Parameters
    ----------
    body : JSON
    names : the features that the model sees, in its order

    Returns
    -------
    shape (rows, names), NaN where unknown

    """
    try:
        read = _reader(names).decode(body)
    except (ValueError, RecursionError):
        return None
    if (read.rows is None) == (read.table is None):
        return None
    given = read.rows if read.table is None else read.table.values
    if not 0 < len(given) <= MOST_PER_REQUEST:
        return None
    return _of_table(read.table, names) if read.rows is None else as_array(list(map(astuple, given)), len(names))


def seen(features: Sequence[str], values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the columns of an array that the model sees, in its order, NaN where it has none."""
    if list(features) == list(names):
        return values
    matrix = np.full((len(values), len(names)), np.nan)
    for place, name in enumerate(features):
        if name in names:
            matrix[:, names.index(name)] = values[:, place]
    return matrix


def as_array(values: Sequence[Sequence[float | None]], features: int) -> np.ndarray:
    """Return rows of values, one for each feature, as an array, NaN where unknown."""
    return np.array(values, dtype=float).reshape(len(values), features)


def _of_table(table: _Table, names: tuple[str, ...]) -> np.ndarray | None:
    features = table.features
    known = NAMES.issuperset(features) and 0 < len(set(features)) == len(features)
    even = set(map(len, table.values)) == {len(features)}
    return seen(features, as_array(table.values, len(features)), names) if known and even else None


@lru_cache(maxsize=KEPT)
def _reader(names: tuple[str, ...]) -> Decoder:
    """Make a reader of bodies whose rows hold some of these features."""
    row: Any = defstruct("Row", [(name, Value, None) for name in names], **STRICT)
    body = defstruct("Body", [("table", _Table | None, None), ("rows", list[row] | None, None)], **STRICT)
    return Decoder(body)
