"""Writing aside: a result appears whole under its name, or the older one stays."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from features.errors import EventsError, OutputError

FOREIGN = (".csv", ".tsv", ".gz", ".json", ".jsonl", ".ndjson", ".xml", ".zip", ".7z")


@contextmanager
def aside(out: Path) -> Iterator[Path]:
    """Open a folder beside `out`, on the same disk, that is gone afterwards whatever happens.

    Raises
    ------
    OutputError : nothing can be written there

    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(prefix=".clout-", dir=out.parent)
    except OSError as error:
        raise OutputError(f"{out.parent} cannot be written to: {error.strerror}.") from error
    with folder as name:
        yield Path(name)


def replace(made: Path, out: Path, scratch: Path) -> None:
    """Put the file or folder `made` in the place of `out`; both, and `scratch`, are on one disk."""
    if not out.is_dir():
        made.replace(out)
        return
    older = scratch / "older"
    out.rename(older)
    try:
        made.rename(out)
    except BaseException:
        older.rename(out)
        raise


def is_file(out: Path) -> bool:
    """Say whether events go to one Parquet file; any other name is a folder of parts."""
    return out.suffix == ".parquet"


def check_events_place(out: Path) -> None:
    """Refuse a place that can hold no event table, or where something else is that must not be overwritten.

    Raises
    ------
    EventsError : says what is there and what was expected

    """
    if not out.name or out.suffix.lower() in FOREIGN:
        raise EventsError(f"events cannot be written to {str(out)!r}: expected a .parquet file or a folder.")
    if not out.exists():
        return
    if is_file(out) != out.is_file():
        kind = "file" if out.is_file() else "folder"
        raise EventsError(f"{out} is a {kind} already; expected a .parquet file or a folder of events.")
    foreign = [] if out.is_file() else sorted(each.name for each in out.iterdir() if not each.match("part-*.parquet"))
    if foreign:
        raise EventsError(f"{out} holds {foreign[0]}, which is no part of events; choose another folder.")
