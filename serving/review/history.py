"""A user's scores over the snapshots that are kept."""

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import AsOfError, SnapshotError, UnknownUserError
from features.utc import to_iso_utc
from serving.snapshots import layout
from serving.snapshots.explanation import status
from serving.snapshots.opt_out_filter import check_shown, hidden
from serving.snapshots.repository import AbsentSnapshotError, some_snapshots
from training.home import Home

log = logging.getLogger("clout")
MOST_SNAPSHOTS = 100
KEPT = ("model_version", "score", "expected_audience", "low", "high", "percentile", "peer_percentile", "evidence")


@dataclass(frozen=True)
class Point:
    """A score at one instant, by the model that `model_version` names: a new one moves scores that nobody earned.

    `expected_audience` is what the score tells before it ends at 0 and at 100.
    """

    as_of: str
    model_version: str
    horizon_days: int
    score: float
    expected_audience: float
    low: int
    high: int
    percentile: float
    peer_percentile: float
    evidence: str
    status: str


@dataclass(frozen=True)
class History:
    """A user's scores, oldest first: one for each instant of which a snapshot is kept, by its newest model version.

    `absent` are instants whose snapshot has no score of the user in the scope, and `damaged` those whose snapshot
    cannot be read. `earlier` is the newest instant before all of these that was left out, as one history reads 100
    snapshots at most: ask again with it as `to`; None where nothing was.
    """

    user: str
    scope: str
    points: tuple[Point, ...]
    absent: tuple[str, ...]
    damaged: tuple[str, ...]
    earlier: str | None


def history(
    home: Home, user: str, scope: str = "all", start: datetime | None = None, end: datetime | None = None
) -> History:
    """Collect a user's scores over the snapshots that are kept, oldest first.

    Of each snapshot only the row groups of scores.parquet are read in which the user would stand, 8,192 rows each, and
    nothing of it is kept; of the newest 100 instants within the bounds at most.

    Parameters
    ----------
    home : where the snapshots are
    user, scope : whose scores, and of which scope
    start, end : the first and the last instant that counts, both included; unbounded unless given

    Raises
    ------
    AsOfError : the start is later than the end
    HiddenUserError : the user's scores are not shown
    AbsentSnapshotError : there are snapshots, but none within the bounds
    UnknownUserError : none of those read has a score of the user in that scope
    SnapshotError : there are no snapshots, or none of those read has the user and one of them is damaged

    """
    check_shown(user, hidden(home)())
    folders = _within(home, start, end)
    read, left = folders[:MOST_SNAPSHOTS], folders[MOST_SNAPSHOTS:]
    points: list[Point] = []
    absent: list[str] = []
    damaged: dict[str, SnapshotError] = {}
    scopes: set[str] = set()
    for folder in reversed(read):
        try:
            rows = _rows(folder, user)
            found = [_point(folder, row) for row in rows if row["scope"] == scope]
        except SnapshotError as error:
            if folder.exists():  # else it was cleared away meanwhile
                damaged[_told(folder)] = error
                log.warning("a history leaves out %s: %s", _told(folder), error)
            continue
        scopes |= {row["scope"] for row in rows}
        points += found
        absent += [] if found else [_told(folder)]
    if not points:
        raise next(iter(damaged.values()), UnknownUserError(_unknown(user, scope, scopes, read)))
    earlier = _told(left[0]) if left else None
    return History(user, scope, tuple(points), tuple(absent), tuple(damaged), earlier)


def _within(home: Home, start: datetime | None, end: datetime | None) -> list[Path]:
    """Return one folder for each instant within bounds, that of the newest model version, newest first."""
    if start is not None and end is not None and start > end:
        raise AsOfError(f"a history goes from the earlier instant to the later: {_span(start, end)} runs backwards.")
    folders: dict[datetime, Path] = {}
    for folder in some_snapshots(home):
        folders.setdefault(layout.age_order(folder)[0], folder)
    within = [
        folder
        for as_of, folder in folders.items()
        if (start is None or as_of >= start) and (end is None or as_of <= end)
    ]
    if not within:
        raise AbsentSnapshotError(
            f"no snapshot {_span(start, end)}; {len(folders)} there are, {_span(min(folders), max(folders))}."
        )
    return within


def _rows(folder: Path, user: str) -> list[dict]:
    """Read a user's rows of all scopes; what cannot be written as UTF-8 is nobody's id."""
    sought = user.encode(errors="replace").decode()
    file = folder / layout.SCORES_FILE
    with layout.read_errors_as_damage(file), pq.ParquetFile(file) as opened:
        table = opened.read_row_groups(_groups(opened, user), use_threads=False)
        found = table.filter(pc.equal(table.column("user"), sought))
        return [row for row in found.to_pylist() if row["user"] == user]


def _groups(opened: pq.ParquetFile, user: str) -> list[int]:
    """Return the row groups in which a user may stand, by the first and last id of each where those are kept."""
    place = opened.schema_arrow.names.index("user")
    kept = [opened.metadata.row_group(k).column(place).statistics for k in range(opened.num_row_groups)]
    return [k for k, ends in enumerate(kept) if ends is None or not ends.has_min_max or ends.min <= user <= ends.max]


def _point(folder: Path, row: dict) -> Point:
    facts = layout.read_facts(folder)
    with layout.read_errors_as_damage(folder / layout.FACTS_FILE):
        horizon_days = int(facts["horizon_days"])
    with layout.read_errors_as_damage(folder / layout.SCORES_FILE):
        kept = {name: row[name] for name in KEPT}
    return Point(as_of=_told(folder), horizon_days=horizon_days, status=status(kept["evidence"]), **kept)


def _told(folder: Path) -> str:
    return to_iso_utc(layout.age_order(folder)[0])


def _span(start: datetime | None, end: datetime | None) -> str:
    ends = [f"{word} {to_iso_utc(at)}" for word, at in (("from", start), ("to", end)) if at is not None]
    return " ".join(ends)


def _unknown(user: str, scope: str, scopes: set[str], read: list[Path]) -> str:
    snapshots = f"the {len(read)} snapshots" if len(read) > 1 else "the one snapshot"
    seen = f"{snapshots} from {_told(read[-1])} to {_told(read[0])}"
    if scopes:
        return f"{user!r} has no score of the scope {scope!r} in {seen}; scopes there: {', '.join(sorted(scopes))}."
    return f"{user!r} has no score in {seen}: a user is there who acted or was engaged with in the 365 days before."
