"""Feature rows of a snapshot on disk, in batches small enough to read one in a millisecond."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc as ipc

from features.feature_table import KEYS
from serving.snapshots.layout import lacking, rebatch

ROWS_PER_BATCH = 128
# Starting a thread for each of a hundred small columns takes longer than decompressing the column.
READING = ipc.IpcReadOptions(use_threads=False)
WRITING = ipc.IpcWriteOptions(compression="lz4", use_threads=False)


@dataclass(frozen=True)
class FeatureRowFile:
    """A memory-mapped Arrow file of feature rows; the map stays valid after the file is replaced.

    Parameters
    ----------
    source : the map
    reader : of the mapped file; all batches but the last are as long as the first
    per_batch : rows in each
    features : the feature columns, in order
    features_reader : of these columns alone
    lock : serialises reads, since threads cannot share a reader

    """

    source: pa.MemoryMappedFile
    reader: ipc.RecordBatchFileReader
    per_batch: int
    features: list[str]
    features_reader: ipc.RecordBatchFileReader
    lock: Lock = field(default_factory=Lock, repr=False)

    def __len__(self) -> int:
        last = self.reader.num_record_batches - 1
        return last * self.per_batch + self._batch(last).num_rows if last >= 0 else 0

    def row(self, index: int) -> dict[str, float]:
        """Return the features of one row, counted from 0, null as NaN."""
        batch, within = divmod(index, self.per_batch)
        with self.lock:
            rows = self.features_reader.get_batch(batch)
        values = rows.slice(within, 1).to_tensor(null_to_nan=True).to_numpy()[0].astype(float, copy=False)
        return dict(zip(self.features, values.tolist(), strict=True))

    def rows(self, indices: np.ndarray, names: list[str]) -> pd.DataFrame:
        """Return some features of some rows, null as NaN; ascending indices read each batch only once."""
        batches, within = np.divmod(indices, self.per_batch)
        starts = np.flatnonzero(np.diff(batches, prepend=-1))
        values = np.empty((len(indices), len(names)))
        for start, end in zip(starts, np.append(starts[1:], len(indices)), strict=False):
            batch = self._batch(int(batches[start])).select(names).to_tensor(null_to_nan=True)
            values[start:end] = batch.to_numpy()[within[start:end]]
        return pd.DataFrame(values, columns=names)

    def columns(self, names: list[str]) -> pd.DataFrame:
        """Return some columns of all rows, null as NaN in features; no other column is decompressed.

        Raises
        ------
        SnapshotError : the file lacks one of them

        """
        schema = self.reader.schema
        fields = sorted(schema.get_field_index(name) for name in names)
        if -1 in fields:
            raise lacking(next(name for name in names if name not in schema.names))
        options = ipc.IpcReadOptions(use_threads=False, included_fields=fields)
        with self.lock:
            table = ipc.open_file(self.source, options=options).read_all()
        rows: pd.DataFrame = table.select(names).to_pandas()
        return rows

    def _batch(self, number: int) -> pa.RecordBatch:
        with self.lock:
            return self.reader.get_batch(number)


def write_row_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema, file: Path) -> None:
    """Write feature rows (user, scope, one column per feature) in parts; the same rows give the same bytes."""
    with ipc.new_file(str(file), schema, options=WRITING) as writer:
        for table in rebatch(batches, schema, ROWS_PER_BATCH):
            for batch in table.to_batches(max_chunksize=ROWS_PER_BATCH):
                writer.write_batch(batch.take(pa.array(range(len(batch)))))  # a slice would contain bits of others


def map_rows(file: Path) -> FeatureRowFile:
    """Map a file of feature rows into memory."""
    source = pa.memory_map(str(file))
    reader = ipc.open_file(source, options=READING)
    per_batch = reader.get_batch(0).num_rows if reader.num_record_batches else ROWS_PER_BATCH
    features = [name for name in reader.schema.names if name not in KEYS]
    fields = [reader.schema.get_field_index(name) for name in features]
    of_features = ipc.open_file(source, options=ipc.IpcReadOptions(use_threads=False, included_fields=fields))
    return FeatureRowFile(source, reader, per_batch, features, of_features)
