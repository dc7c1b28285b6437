"""Parts: files of JSON Lines, as many as there are, read one after the other into what is wanted of them."""

from collections.abc import Callable, Collection
from glob import escape
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.errors import EventsError
from features.sources.advance import by_bytes
from features.sources.jsonlines import read_members


def read_parts(
    backend: Backend,
    files: list[Path],
    scratch: Path,
    members: dict[str, str],
    settle: Callable[[ir.Table], ir.Table],
    typical: Collection[str],
    meant: str,
    progress: Callable[[float], None],
) -> ir.Table:
    """Read members of the lines of all files, and settle those of a file before the next one is read.

    Parameters
    ----------
    backend : where the table lives
    files : plain, .gz or .zst
    scratch : folder to write the parts into
    members : as in `read_members`
    settle : makes of what `read_members` returns what is kept; what is large can be left out
    typical : members each of which is in some line of each file that is meant
    meant : what was expected, for the error
    progress : called with the share of the bytes that is read

    Returns
    -------
    the columns that `settle` makes, and `file`, the number of the file from 0

    Raises
    ------
    EventsError : a file cannot be read, or is something else

    """
    advance = by_bytes(files, progress)
    for number, file in enumerate(files):
        held = scratch / f"members{number}.parquet"
        found = read_members(backend, file, held, members)
        _refuse_other(file, found, typical, meant)
        part = settle(found).mutate(file=ibis.literal(number, "int64"))
        backend.to_parquet(part, scratch / f"part{number:06}.parquet")
        held.unlink()
        advance(file.stat().st_size)
    return backend.read_parquet(escape(str(scratch)) + "/part*.parquet")


def _refuse_other(file: Path, found: ir.Table, typical: Collection[str], meant: str) -> None:
    """Refuse a file whose objects have nothing of what is meant; lines that are no object are no sign of it."""
    whole = found.filter(found.reason.isnull())
    counts = whole.aggregate(lines=whole.count(), **{name: whole[name].count() for name in typical})
    held = counts.to_pyarrow().to_pylist()[0]
    lines = held.pop("lines")
    absent = [name for name, count in held.items() if not count]
    if lines and absent:
        raise EventsError(f"{file}: none of its {lines} lines has {' or '.join(absent)}; expected {meant}.")
