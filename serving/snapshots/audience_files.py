"""The audiences of a snapshot's users on disk: who engaged with whom, as arrays that are mapped into memory."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc

from training.selection.audiences import Audiences, sum_by_user
from training.selection.file_arrays import FileArray, mapped_zeros, user_parts

PAIRS_FILE = "pairs.arrow"
REACH_FILE = "reach.arrow"
POOLS = b"pools"
FILES = (PAIRS_FILE, REACH_FILE)
ARRAYS = ("pairs", "engagers", "probability", "strangers", "weight", "followers")


@dataclass(frozen=True)
class StoredAudiences:
    """The audiences of every row of a snapshot (a user in a scope), everybody counting as one.

    Parameters
    ----------
    pairs : int32, shape (rows,), how many people engaged with each row in the 365 days before
    engagers, probability, strangers, weight : as in `Audiences`; the weight is how far established people vouch
    followers : int32, shape (rows,)
    pools : the pool of strangers of each scope, in people

    """

    pairs: np.ndarray
    engagers: np.ndarray
    probability: np.ndarray
    strangers: np.ndarray
    weight: np.ndarray
    followers: np.ndarray
    pools: dict[str, float]

    def __len__(self) -> int:
        return len(self.pairs)

    def audiences(self, scope: str) -> Audiences:
        """Return the audiences, with the pool of a scope."""
        starts = np.concatenate([[0], np.cumsum(self.pairs, dtype=np.int64)])
        everybody = np.ones(len(self))
        return Audiences(starts, self.engagers, self.probability, self.strangers, self.pools[scope], everybody)

    def of_rows(self, keep: np.ndarray) -> "StoredAudiences":
        """Return the audiences of some rows among themselves, bool, shape (rows,): nobody else counts as an engager."""
        if keep.all():
            return self
        rest = {name: FileArray(getattr(self, name).dtype.type) for name in ARRAYS}
        starts = mapped_zeros(len(self) + 1, np.int64)
        np.cumsum(self.pairs, dtype=np.int64, out=starts[1:])
        numbers = np.cumsum(keep, dtype=np.int32, out=mapped_zeros(len(keep), np.int32))
        for users, part in user_parts(starts):
            rows, engagers = keep[users], self.engagers[part]
            inside = np.repeat(rows, self.pairs[users]) & keep[engagers]
            counts = sum_by_user(starts[users.start : users.stop + 1] - part.start, inside)
            rest["pairs"].append(counts[rows])
            rest["engagers"].append(numbers[engagers[inside]] - 1)
            rest["probability"].append(self.probability[part][inside])
            for name in ("strangers", "weight", "followers"):
                rest[name].append(getattr(self, name)[users][rows])
        arrays: dict[str, Any] = {name: array.mapped() for name, array in rest.items()}
        return replace(self, **arrays)


def write_audiences(stored: StoredAudiences, folder: Path) -> None:
    """Write audiences into a snapshot's folder; the same ones give the same bytes."""
    pairs = pa.table({"engager": stored.engagers, "probability": stored.probability})
    columns = {name: getattr(stored, name) for name in ("pairs", "strangers", "weight", "followers")}
    rows = pa.table(columns).replace_schema_metadata({POOLS: json.dumps(stored.pools)})
    for table, name in ((pairs, PAIRS_FILE), (rows, REACH_FILE)):
        with ipc.new_file(str(folder / name), table.schema) as writer:
            writer.write_table(table.combine_chunks())


def has_audiences(folder: Path) -> bool:
    """Return whether a snapshot's folder holds audiences."""
    return (folder / PAIRS_FILE).exists()


def map_audiences(folder: Path) -> StoredAudiences:
    """Map the audiences in a snapshot's folder; the maps stay valid after the folder is replaced.

    Raises
    ------
    OSError, pa.ArrowException, KeyError, ValueError : the files are absent or damaged

    """
    pairs, rows = (ipc.open_file(pa.memory_map(str(folder / name))).read_all() for name in FILES)
    pools = json.loads(rows.schema.metadata[POOLS])
    stored = StoredAudiences(
        engagers=_array(pairs, "engager", np.int32),
        probability=_array(pairs, "probability", np.float32),
        pairs=_array(rows, "pairs", np.int32),
        strangers=_array(rows, "strangers", np.float64),
        weight=_array(rows, "weight", np.float64),
        followers=_array(rows, "followers", np.int32),
        pools=pools,
    )
    if int(stored.pairs.sum(dtype=np.int64)) != len(stored.engagers):
        raise ValueError(f"{PAIRS_FILE} holds {len(stored.engagers)} pairs, unlike {REACH_FILE}")
    return stored


def _array(table: pa.Table, name: str, dtype: type) -> np.ndarray:
    chunks = table.column(name).chunks
    return chunks[0].to_numpy() if chunks else np.zeros(0, dtype)
