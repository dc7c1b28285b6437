"""Write events and ground truth to a scratch folder and publish both at once.

A background thread encodes one group of rows while the next is drawn.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.atomic_files import check_events_path, is_single_file, publish, scratch_dir
from features.simulation.event_arrays import ARROW_SCHEMA

ROWS_PER_GROUP = 500_000
ROWS_PER_PART = 10_000_000
REPEATING = ["actor", "verb", "target", "network", "links", "topics.list.element"]


class EventWriter:
    """A file or folder of events with the ground truth beside it; nothing is visible before `publish`.

    Parameters
    ----------
    out : `NAME.parquet` for one file, anything else for a folder of `part-00000.parquet` and so on

    Raises
    ------
    EventsError : out exists and must not be replaced
    OutputError : out cannot be written

    """

    def __init__(self, out: Path) -> None:
        check_events_path(out)
        self.out = out
        self.truth = out.with_name(out.name.removesuffix(".parquet") + ".truth.parquet")
        check_events_path(self.truth)

    def __enter__(self) -> EventWriter:
        self.stack = ExitStack()
        self.scratch = self.stack.enter_context(scratch_dir(self.out))
        folder = self.scratch / "events"
        folder.mkdir()
        self.parts = PartWriter(folder, None if is_single_file(self.out) else ROWS_PER_PART)
        self.stack.callback(self.parts.close)
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def publish(self, truth: pa.Table) -> tuple[Path, ...]:
        """Finish the files, write the ground truth, replace the old files by both; return the event files."""
        files = self.parts.finish()
        pq.write_table(truth, self.scratch / "truth.parquet", compression="zstd")
        publish(files[0] if is_single_file(self.out) else self.scratch / "events", self.out, self.scratch)
        publish(self.scratch / "truth.parquet", self.truth, self.scratch)
        return (self.out,) if is_single_file(self.out) else tuple(self.out / file.name for file in files)


class PartWriter:
    """Parquet files `part-00000.parquet` and so on in a folder; memory holds two groups of rows at most.

    A new file starts after `rows_per_part` rows; None writes one file.
    """

    def __init__(self, folder: Path, rows_per_part: int | None) -> None:
        self.folder = folder
        self.rows_per_part = rows_per_part
        self.files: list[Path] = []
        self.rows = self.rows_in_part = 0
        self.pending: list[pa.Table] = []
        self.encoder = ThreadPoolExecutor(max_workers=1)
        self.encoding: Future[None] | None = None
        self._open()

    def add(self, table: pa.Table) -> None:
        """Append a table of ARROW_SCHEMA; rows are written in groups of at least ROWS_PER_GROUP."""
        self.pending.append(table)
        self.rows += len(table)
        if sum(map(len, self.pending)) >= ROWS_PER_GROUP:
            self._flush()

    def finish(self) -> list[Path]:
        """Write the pending rows, close the last file and return all files."""
        if self.pending:
            self._flush()
        self._wait()
        self.close()
        return self.files

    def close(self) -> None:
        """Close the file and stop the thread, finished or not."""
        self.encoder.shutdown()
        self.writer.close()

    def _flush(self) -> None:
        self._wait()
        group, self.pending = pa.concat_tables(self.pending), []
        self.encoding = self.encoder.submit(self._encode, group)

    def _wait(self) -> None:
        if self.encoding is not None:
            self.encoding.result()

    def _encode(self, group: pa.Table) -> None:
        if self.rows_per_part is not None and self.rows_in_part >= self.rows_per_part:
            self.writer.close()
            self._open()
        self.writer.write_table(group)
        self.rows_in_part += len(group)

    def _open(self) -> None:
        self.files.append(self.folder / f"part-{len(self.files):05d}.parquet")
        self.rows_in_part = 0
        self.writer = pq.ParquetWriter(
            self.files[-1],
            ARROW_SCHEMA,
            store_schema=False,  # readers then see the dictionaries as plain strings
            compression="zstd",
            compression_level=1,
            use_dictionary=REPEATING,
            write_statistics=["time"],
            column_encoding={"time": "DELTA_BINARY_PACKED"},
        )
