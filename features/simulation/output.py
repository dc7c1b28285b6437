"""Where events and truth are put: written aside and renamed into place, never half-written."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.aside import aside, check_events_place, is_file, replace
from features.simulation.parts import ROWS_PER_PART, Parts


class Output:
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

    def __enter__(self) -> Output:
        self.held = ExitStack()
        self.scratch = self.held.enter_context(aside(self.out))
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
        replace(files[0] if is_file(self.out) else self.scratch / "events", self.out, self.scratch)
        replace(self.scratch / "truth.parquet", self.truth, self.scratch)
        return (self.out,) if is_file(self.out) else tuple(self.out / file.name for file in files)
