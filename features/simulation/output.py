"""Where events and truth are put: written aside and renamed into place, never half-written."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import EventsError
from features.simulation.parts import ROWS_PER_PART, Parts


class Output:
    """A file or folder of events in the making, with its truth beside it; nothing is visible before `publish`.

    Parameters
    ----------
    out : `NAME.parquet` for one file, anything else for a folder of `part-00000.parquet` and so on

    Raises
    ------
    EventsError : out is something that must not be replaced

    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.single = out.suffix == ".parquet"
        _check_replaceable(out, self.single)
        self.truth = out.with_name(f"{out.stem if self.single else out.name}.truth.parquet")
        _check_replaceable(self.truth, single=True)

    def __enter__(self) -> Output:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.aside = Path(mkdtemp(prefix=f".{self.out.name}.", dir=self.out.parent))
        self.folder = self.aside / "events"
        self.folder.mkdir()
        self.parts = Parts(self.folder, None if self.single else ROWS_PER_PART)
        return self

    def __exit__(self, *_: object) -> None:
        self.parts.close()
        shutil.rmtree(self.aside, ignore_errors=True)

    def publish(self, truth: pa.Table) -> tuple[Path, ...]:
        """Finish the files, write the truth, and put both in place of what was there; return the event files."""
        files = self.parts.finish()
        pq.write_table(truth, self.aside / "truth.parquet", compression="zstd")
        if self.single:
            files[0].replace(self.out)
        else:
            self._swap_folder()
        (self.aside / "truth.parquet").replace(self.truth)
        return (self.out,) if self.single else tuple(self.out / file.name for file in files)

    def _swap_folder(self) -> None:
        """Put the new folder in place of the old one, and the old one back if that fails."""
        replaced = self.aside / "replaced"
        if self.out.exists():
            self.out.rename(replaced)
        try:
            self.folder.rename(self.out)
        except OSError:
            if replaced.exists():
                replaced.rename(self.out)
            raise


def _check_replaceable(out: Path, single: bool) -> None:
    """Refuse what is not ours to replace: a folder where a file goes, a file where a folder goes, other files."""
    if not out.name:
        raise EventsError(f"out is {str(out)!r}; expected the name of a .parquet file or of a folder.")
    if single and out.is_dir():
        raise EventsError(f"{out} is a folder; expected a file there, or nothing.")
    if not single and out.is_file():
        raise EventsError(f"{out} is a file; expected a folder there, or nothing. A file must end in .parquet.")
    if not single and out.is_dir():
        foreign = sorted(found.name for found in out.iterdir() if not found.match("part-*.parquet"))
        if foreign:
            raise EventsError(f"{out} holds {foreign[0]}, which is no event file; expected an empty or a new folder.")
