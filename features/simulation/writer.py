"""Where events and truth are put: written aside and renamed into place, never half-written.

Event files in the making: groups of rows are encoded in the background while the next are drawn.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.atomic_files import check_events_place, is_file, publish, scratch_dir
from features.simulation.event_table import LAYOUT


class EventWriter:
    """A file or folder of events in the making, with its truth beside it; nothing is visible before `publish`.

    Parameters
    ----------
    out : `NAME.parquet` for one file, anything else for a folder of `part-00000.parquet` and so on

    Raises
    ------
    EventsError : out is something that must not be replaced
    OutputError : nothing can be written there

    """

    def __init__(self, out: Path) -> None:
        check_events_place(out)
        self.out = out
        self.truth = out.with_name(out.name.removesuffix(".parquet") + ".truth.parquet")
        check_events_place(self.truth)

    def __enter__(self) -> EventWriter:
        self.held = ExitStack()
        self.scratch = self.held.enter_context(scratch_dir(self.out))
        folder = self.scratch / "events"
        folder.mkdir()
        self.parts = Parts(folder, None if is_file(self.out) else ROWS_PER_PART)
        self.held.callback(self.parts.close)
        return self

    def __exit__(self, *_: object) -> None:
        self.held.close()

    def publish(self, truth: pa.Table) -> tuple[Path, ...]:
        """Finish the files, write the truth, and put both in place of what was there; return the event files."""
        files = self.parts.finish()
        pq.write_table(truth, self.scratch / "truth.parquet", compression="zstd")
        publish(files[0] if is_file(self.out) else self.scratch / "events", self.out, self.scratch)
        publish(self.scratch / "truth.parquet", self.truth, self.scratch)
        return (self.out,) if is_file(self.out) else tuple(self.out / file.name for file in files)


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
