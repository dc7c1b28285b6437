"""History: a user's scores over the stored snapshots."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import AbsentScopeError, AsOfError, SnapshotError, UnknownUserError
from features.utc import UtcText, to_iso_utc
from serving.snapshots import layout
from serving.snapshots.explanation import Evidence, Status, status
from serving.snapshots.repository import AbsentSnapshotError, require_snapshots, served_folder
from training.home import Home
from training.model.intervals import Interval
from training.records.opt_outs import check_visible, hidden_users

log = logging.getLogger("clout")
MOST_SNAPSHOTS = 100
COLUMNS = ("model_version", "score", "expected_audience", "percentile", "peer_percentile", "evidence")


@dataclass(frozen=True)
class PastScore:
    """A score at one instant; a new model moves scores without any activity.

    Parameters
    ----------
    as_of : the instant of the snapshot
    model_version : version of the model in the registry
    released : whether the model was ever the champion
    horizon_days : how far ahead the audience is counted
    score : in points, 0 to 100
    expected_audience : distinct people expected to engage within the horizon; not clipped, as the score is
    interval : of the audience
    percentile, peer_percentile : among all users of the scope and among peers, 0 to 100
    evidence : how much is known about the user
    status : insufficient_evidence where too little is known, else scored

    """

    as_of: UtcText
    model_version: str
    released: bool
    horizon_days: int
    score: float
    expected_audience: float
    interval: Interval
    percentile: float
    peer_percentile: float
    evidence: Evidence
    status: Status


@dataclass(frozen=True)
class History:
    """A user's scores: one per instant with a snapshot.

    Parameters
    ----------
    user : id of the user
    scope : the part of the activity: all, network:NAME or topic:NAME
    scores : oldest first
    absent : instants whose snapshot has no score of the user in the scope
    damaged : instants whose snapshot cannot be read
    earlier : the newest instant beyond those that one history reads, to continue from as `to`; None if it read all

    """

    user: str
    scope: str
    scores: tuple[PastScore, ...]
    absent: tuple[UtcText, ...]
    damaged: tuple[UtcText, ...]
    earlier: UtcText | None


def history(
    home: Home,
    user: str,
    scope: str = "all",
    start: datetime | None = None,
    end: datetime | None = None,
    champion: str | None = None,
    most: int | None = None,
    gap: timedelta = timedelta(0),
) -> History:
    """Collect a user's scores over the stored snapshots, oldest first.

    Of several models that scored at one instant, `served_folder` chooses by the version of the `champion`.

    Reads the newest `most` instants (100 by default) from `start` to `end`, both included (None: no bound); where there
    are more, only those that lie `gap` or more before the next one. Of each scores.parquet it reads the row groups that
    may hold the user, 8,192 rows each; nothing is cached.

    Raises
    ------
    AsOfError : the start is later than the end
    HiddenUserError : the user is hidden
    AbsentSnapshotError : there are snapshots, but none within the bounds
    UnknownUserError : no snapshot read has a score of the user in that scope
    SnapshotError : the home has no snapshots, or none of those read has the user and one of them is damaged

    """
    check_visible(user, hidden_users(home)())
    folders, most = _within(home, start, end, champion), most or MOST_SNAPSHOTS
    if len(folders) > most:
        folders = _spaced(folders, gap)
    read, unread = folders[:most], folders[most:]
    scores: list[PastScore] = []
    absent: list[str] = []
    damaged: dict[str, SnapshotError] = {}
    scopes: set[str] = set()
    for folder in reversed(read):
        try:
            by_scope = _past_scores(folder, user, champion)
        except SnapshotError as error:
            if folder.exists():  # otherwise it was removed meanwhile
                damaged[_instant(folder)] = error
                log.warning("a history skips %s: %s", _instant(folder), error)
            continue
        scopes |= {*by_scope}
        if scope in by_scope:
            scores.append(by_scope[scope])
        else:
            absent.append(_instant(folder))
    if not scores:
        raise next(iter(damaged.values()), _unknown_user(user, scope, scopes, read))
    earlier = _instant(unread[0]) if unread else None
    return History(user, scope, tuple(scores), tuple(absent), tuple(damaged), earlier)


def _within(home: Home, start: datetime | None, end: datetime | None, champion: str | None) -> list[Path]:
    """Return the served folder of each instant within bounds, newest first."""
    if start is not None and end is not None and start > end:
        raise AsOfError(f"a history goes from the earlier instant to the later: {_span(start, end)} runs backwards.")
    by_instant = groupby(require_snapshots(home), key=lambda folder: layout.age_order(folder)[0])
    folders = {as_of: served_folder(list(group), champion) for as_of, group in by_instant}
    first, last = start or min(folders), end or max(folders)
    within = [folder for as_of, folder in folders.items() if first <= as_of <= last]
    if not within:
        there = f"{len(folders)} there are, {_span(min(folders), max(folders))}"
        raise AbsentSnapshotError(f"no snapshot {_span(start, end)}; {there}.")
    return within


def _spaced(folders: list[Path], gap: timedelta) -> list[Path]:
    """Return those of some folders, newest first, that lie a gap or more before the one returned before them."""
    spaced = folders[:1]
    for folder in folders[1:]:
        if layout.age_order(spaced[-1])[0] - layout.age_order(folder)[0] >= gap:
            spaced.append(folder)
    return spaced


def _rows(folder: Path, user: str) -> list[dict[str, Any]]:
    """Read a user's rows of all scopes; an id that cannot be written as UTF-8 has none."""
    valid = user.encode(errors="replace").decode()
    path = folder / layout.SCORES_FILE
    with layout.read_errors_as_damage(path), pq.ParquetFile(path) as file:
        table = file.read_row_groups(row_groups(file, user), use_threads=False)
        rows = table.filter(pc.equal(table.column("user"), valid)).to_pylist()
        return [row for row in rows if row["user"] == user]


def row_groups(file: pq.ParquetFile, user: str) -> list[int]:
    """Return the row groups that may hold a user, by the first and last id in their statistics, where present."""
    column = file.schema_arrow.names.index("user")
    statistics = [file.metadata.row_group(k).column(column).statistics for k in range(file.num_row_groups)]
    return [k for k, ids in enumerate(statistics) if ids is None or not ids.has_min_max or ids.min <= user <= ids.max]


def _past_scores(folder: Path, user: str, champion: str | None) -> dict[str, PastScore]:
    """Return a user's score of each scope in a snapshot."""
    return {row["scope"]: _past_score(folder, row, champion) for row in _rows(folder, user)}


def _past_score(folder: Path, row: dict[str, Any], champion: str | None) -> PastScore:
    facts = layout.read_facts(folder)
    with layout.read_errors_as_damage(folder / layout.SCORES_FILE):
        score = {name: row[name] for name in COLUMNS}
        interval = Interval(row["low"], row["high"], facts.level)
    return PastScore(
        as_of=_instant(folder),
        released=facts.released or facts.model_version == champion,
        horizon_days=facts.horizon_days,
        interval=interval,
        status=status(score["evidence"]),
        **score,
    )


def _instant(folder: Path) -> str:
    return to_iso_utc(layout.age_order(folder)[0])


def _span(start: datetime | None, end: datetime | None) -> str:
    return " ".join(f"{word} {to_iso_utc(at)}" for word, at in (("from", start), ("to", end)) if at is not None)


def _unknown_user(user: str, scope: str, scopes: set[str], read: list[Path]) -> UnknownUserError:
    count = f"the {len(read)} snapshots" if len(read) > 1 else "the one snapshot"
    snapshots = f"{count} from {_instant(read[-1])} to {_instant(read[0])}"
    if scopes:
        there = ", ".join(sorted(scopes))
        return AbsentScopeError(f"{user!r} has no score of the scope {scope!r} in {snapshots}; scopes there: {there}.")
    users = "users who acted or were engaged with in the 365 days before"
    return UnknownUserError(f"{user!r} has no score in {snapshots}: they hold {users}.")
