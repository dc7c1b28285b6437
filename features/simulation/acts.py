"""Acts before they are written: one array per column, with numbers in place of names."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from features.events import VERBS

VERB = {name: number for number, name in enumerate(VERBS)}
NOTHING = -1


@dataclass(frozen=True)
class Acts:
    """Acts as arrays of one length; NOTHING stands for null everywhere.

    `time` is in microseconds since 1970, `verb` an index into VERBS, `actor` and `target` are users' numbers, `object`
    and `result` pieces' numbers, `tags` a number of features.simulation.tags, `text` the key of the text.
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

    def where(self, rows: np.ndarray) -> Acts:
        """Return the rows of a mask or of positions."""
        picked = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Acts(*(getattr(self, column.name)[picked] for column in fields(self)))

    def split(self, time: int) -> tuple[Acts, Acts]:
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


def acts(time: np.ndarray, **columns: np.ndarray | int) -> Acts:
    """Make acts at these instants; a single value holds for all of them and absent columns are null."""
    size = len(time)
    filled = {name: _column(columns.get(name, NOTHING), size, kind) for name, kind in TYPES.items() if name != "time"}
    return Acts(time=time.astype(np.int64, copy=False), **filled)


def together(*parts: Acts) -> Acts:
    """Return all acts of the parts, one part after the other."""
    return Acts(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Acts)))


def _column(values: np.ndarray | int, size: int, kind: type) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values.astype(kind, copy=False)
    return np.full(size, values, dtype=kind)
