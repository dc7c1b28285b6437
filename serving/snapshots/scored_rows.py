"""Scores and the feature rows behind them, read in parts: a snapshot of any number of users is written from them."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.feature_table import KEYS, ROWS_AT_ONCE
from training.selection.pairs import ROW, Pairs

RANKS = ["percentile", "peer_percentile"]
SCORES = [*KEYS, "score", "expected_audience", "low", "high", *RANKS, "evidence", "model_version"]
TYPES = {name: pa.large_string() for name in (*KEYS, "evidence", "model_version")} | {
    name: pa.int64() for name in ("low", "high")
}


def schema(names: Iterable[str]) -> pa.Schema:
    """Return the schema of some columns of scores and features."""
    return pa.schema([(name, TYPES.get(name, pa.float64())) for name in names])


@dataclass(frozen=True)
class ScoredRows:
    """The scores of users and their feature rows, ordered by user and scope, in memory or on disk.

    Parameters
    ----------
    rows : how many
    features : the names of the feature columns
    read : yields some columns of all rows, in parts; the same rows each time
    pairs : who engaged with whom among the rows, where groups are to be selected

    """

    rows: int
    features: list[str]
    read: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    pairs: Pairs | None = None

    @classmethod
    def of_frames(cls, scores: pd.DataFrame, rows: pd.DataFrame) -> "ScoredRows":
        """Return those in two frames of the same users and scopes, in the order of both."""
        frame = pd.concat([scores, rows.drop(columns=KEYS)], axis=1)
        features = [str(name) for name in rows if name not in KEYS]

        def read(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
            return iter(pa.Table.from_pandas(frame[list(names)], preserve_index=False).to_batches(ROWS_AT_ONCE))

        return cls(len(frame), features, read)

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of all rows, in parts and in the types of `schema`; below a null lie the bytes of NaN."""
        types = schema(names)
        for batch in self.read(names):
            same = pa.RecordBatch.from_pandas(batch.to_pandas(), types, preserve_index=False)
            yield same.replace_schema_metadata(None)

    def frame(self, names: Sequence[str]) -> pd.DataFrame:
        """Return some columns of all rows."""
        frame: pd.DataFrame = pa.Table.from_batches(self.batches(names), schema(names)).to_pandas(self_destruct=True)
        return frame

    def number(self, file: Path) -> None:
        """Write user, scope and the number of every row to a Parquet file."""
        columns = schema(KEYS)
        with pq.ParquetWriter(file, columns.append(pa.field(ROW, pa.int64()))) as writer:
            start = 0
            for batch in self.batches(KEYS):
                writer.write_batch(batch.append_column(ROW, pa.array(np.arange(start, start + len(batch)))))
                start += len(batch)

    def feature_frames(self) -> Iterator[pd.DataFrame]:
        """Yield user, scope and features of all rows, in parts."""
        return (batch.to_pandas() for batch in self.batches([*KEYS, *self.features]))

    @cached_property
    def users(self) -> int:
        """How many different users there are."""
        users, last = 0, None
        for batch in self.batches(["user"]):
            if len(batch):
                column = batch.column(0)
                users += pc.sum(pc.not_equal(column[1:], column[:-1]), min_count=0).as_py()
                users += column[0].as_py() != last
                last = column[-1].as_py()
        return users

    def count_among(self, users: pa.Array) -> int:
        """Return how many of some users, distinct and in order, are among these; compares one part at a time."""
        count, compared = 0, 0
        for batch in self.batches(["user"]):
            if len(batch):
                scored = batch.column(0)
                first = bisect_left(users, scored[0].as_py(), lo=compared, key=lambda cell: cell.as_py())
                compared = bisect_right(users, scored[-1].as_py(), lo=first, key=lambda cell: cell.as_py())
                count += pc.sum(pc.is_in(users[first:compared], value_set=scored), min_count=0).as_py()
        return count

    def only(self, keep: np.ndarray) -> "ScoredRows":
        """Return some of the rows, bool, shape (rows,)."""
        if keep.all():
            return self

        def read(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
            start = 0
            for batch in self.read(names):
                yield batch.filter(pa.array(keep[start : start + len(batch)]))
                start += len(batch)

        return replace(self, rows=int(keep.sum()), read=read)

    def take(self, rows: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
        """Return some columns of some rows, ascending numbers, shape (rows,); one part at a time is in memory."""
        parts, start = [], 0
        for batch in self.batches(names):
            of_batch = rows[(rows >= start) & (rows < start + len(batch))] - start
            parts.append(batch.take(pa.array(of_batch)))
            start += len(batch)
        frame: pd.DataFrame = pa.Table.from_batches(parts, schema(names)).to_pandas()
        return frame
