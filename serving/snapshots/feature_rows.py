"""Kept rows: a snapshot's feature rows on disk, in batches so small that one is read in a millisecond."""

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc as ipc

from features.feature_table import KEYS

ROWS_PER_BATCH = 256
# A thread for each of a hundred small columns takes longer to begin than the column takes to unpack.
READING = ipc.IpcReadOptions(use_threads=False)
WRITING = ipc.IpcWriteOptions(compression="lz4", use_threads=False)


@dataclass(frozen=True)
class FeatureRowFile:
    """An Arrow file that is mapped into memory without being read; the map outlives a replaced file.

    Parameters
    ----------
    reader : of the mapped file; its batches are all as long as the first, but the last
    per_batch : rows in each
    features : the columns that are features, in order
    alone : held while a batch is read, since threads cannot share a reader

    """

    reader: ipc.RecordBatchFileReader
    per_batch: int
    features: list[str]
    alone: Lock = field(default_factory=Lock, repr=False)

    def __len__(self) -> int:
        last = self.reader.num_record_batches - 1
        return last * self.per_batch + self._batch(last).num_rows if last >= 0 else 0

    def person(self, place: int) -> dict[str, float]:
        """Return one row's features, counted from 0, null as NaN."""
        batch, within = divmod(place, self.per_batch)
        found = self._batch(batch).slice(within, 1).select(self.features)
        values = found.to_tensor(null_to_nan=True).to_numpy()[0].tolist()
        return dict(zip(self.features, map(float, values), strict=True))

    def rows(self, places: np.ndarray, names: list[str]) -> pd.DataFrame:
        """Return some rows' features by name, null as NaN; each batch is read once where the places ascend."""
        batches, within = np.divmod(places, self.per_batch)
        starts = np.flatnonzero(np.diff(batches, prepend=-1))
        values = np.empty((len(places), len(names)))
        for start, end in zip(starts, np.append(starts[1:], len(places)), strict=False):
            found = self._batch(int(batches[start])).select(names).to_tensor(null_to_nan=True)
            values[start:end] = found.to_numpy()[within[start:end]]
        return pd.DataFrame(values, columns=names)

    def columns(self, names: list[str]) -> pd.DataFrame:
        """Return some columns of all rows, null as NaN in features."""
        with self.alone:
            batches = [self.reader.get_batch(k).select(names) for k in range(self.reader.num_record_batches)]
        return pa.Table.from_batches(batches).to_pandas() if batches else pd.DataFrame(columns=names)

    def _batch(self, batch: int) -> pa.RecordBatch:
        with self.alone:
            return self.reader.get_batch(batch)


def write_rows(rows: pd.DataFrame, file: Path) -> None:
    """Write feature rows (user, scope and one column per feature); the same rows give the same bytes."""
    table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None)
    with ipc.new_file(str(file), table.schema, options=WRITING) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=ROWS_PER_BATCH)


def map_rows(file: Path) -> FeatureRowFile:
    """Map kept rows."""
    reader = ipc.open_file(pa.memory_map(str(file)), options=READING)
    per_batch = reader.get_batch(0).num_rows if reader.num_record_batches else ROWS_PER_BATCH
    return FeatureRowFile(reader, per_batch, [name for name in reader.schema.names if name not in KEYS])
