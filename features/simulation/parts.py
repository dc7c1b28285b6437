"""Event files in the making: groups of rows are encoded in the background while the next are drawn."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.simulation.table import LAYOUT

ROWS_PER_GROUP = 500_000
ROWS_PER_PART = 10_000_000
REPEATING = ["actor", "verb", "target", "network", "links", "topics.list.element"]


class Parts:
    """Parquet files `part-00000.parquet` and so on in a folder; two groups of rows are held at most.

    Parameters
    ----------
    folder : an existing folder
    rows_per_part : rows after which another file is begun; None writes one file

    """

    def __init__(self, folder: Path, rows_per_part: int | None) -> None:
        self.folder = folder
        self.rows_per_part = rows_per_part
        self.files: list[Path] = []
        self.rows = self.rows_in_part = 0
        self.held: list[pa.Table] = []
        self.encoder = ThreadPoolExecutor(max_workers=1)
        self.encoding: Future[None] | None = None
        self._open()

    def add(self, table: pa.Table) -> None:
        """Append a table of LAYOUT; it is written once ROWS_PER_GROUP rows have come together."""
        self.held.append(table)
        self.rows += len(table)
        if sum(map(len, self.held)) >= ROWS_PER_GROUP:
            self._flush()

    def finish(self) -> list[Path]:
        """Write what is held, close the last file and return all files."""
        if self.held:
            self._flush()
        self._wait()
        self.close()
        return self.files

    def close(self) -> None:
        """Let go of the file and the thread, written or not."""
        self.encoder.shutdown()
        self.writer.close()

    def _flush(self) -> None:
        self._wait()
        group, self.held = pa.concat_tables(self.held), []
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
            LAYOUT,
            store_schema=False,  # readers then see the dictionaries as plain strings
            compression="zstd",
            compression_level=1,
            use_dictionary=REPEATING,
            write_statistics=["time"],
            column_encoding={"time": "DELTA_BINARY_PACKED"},
        )
