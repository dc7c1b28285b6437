"""The change of a whole community's scores between two snapshots: its distribution, its parts, the largest movers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import OutputError, UnknownUserError
from features.utc import to_iso_utc
from serving.review.score_change import changes_of_users, remarks
from serving.snapshots.layout import FEATURES_FILE, atomic_file, read_errors_as_damage
from serving.snapshots.snapshot import Snapshot
from training.explanation.reasons import INSUFFICIENT
from training.explanation.score_change import PARTS, changes, top_movers

ROWS_AT_ONCE = 65_536
MOVED_POINTS = 5.0
EDGES = (-100.0, -20.0, -10.0, -5.0, -1.0, 1.0, 5.0, 10.0, 20.0, 100.0)
GRADES = ["evidence_from", "evidence_to"]
FIGURES = ["score_from", "score_to", *PARTS]


@dataclass(frozen=True)
class Mover:
    """One of the users who moved most: scores, the sums of the parts, and up to three sentences each way."""

    user: str
    before: float
    after: float
    change: float
    parts: dict[str, float]
    reasons_up: tuple[str, ...]
    reasons_down: tuple[str, ...]


@dataclass(frozen=True)
class PartSize:
    """The effect of a part over the users compared: its mean (points, signed), and the mean of its absolute value."""

    mean: float
    size: float


@dataclass(frozen=True)
class Bin:
    """How many users changed by `low` to `high` points: `low` included, `high` excluded, except in the last bin."""

    low: float
    high: float
    users: int


@dataclass(frozen=True)
class CommunityChange:
    """How the scores of a scope changed from one snapshot to a later one.

    `users` counts the users with a score in both snapshots; `only_before` and `only_after` count those with a score in
    one, who have no change. `insufficient_evidence` counts the `users` with too little evidence at either instant, who
    are not compared. All other figures cover the users compared: their number `judged`, the `share` that moved by more
    than `points`, the `median` change, the `parts`, the `histogram` of changes, and the users that have `risen` and
    `fallen` most, the largest moves first.
    """

    scope: str
    before: str
    after: str
    model_versions: tuple[str, str]
    users: int
    only_before: int
    only_after: int
    insufficient_evidence: int
    judged: int
    points: float
    share: float
    median: float
    parts: dict[str, PartSize]
    histogram: tuple[Bin, ...]
    risen: tuple[Mover, ...]
    fallen: tuple[Mover, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Movers:
    """The users whose stored scores differ most between two snapshots.

    `compared` counts the users with a score and enough evidence in both; the `share` of them moved by more than
    `points`, the `median` change is in points. `risen` and `fallen` have the largest moves first.
    """

    before: str
    after: str
    model_versions: tuple[str, str]
    compared: int
    points: float
    share: float
    median: float
    risen: tuple[Mover, ...]
    fallen: tuple[Mover, ...]
    remarks: tuple[str, ...]


def movers(before: Snapshot, after: Snapshot, scope: str = "all", top: int = 5) -> Movers:
    """Find the users that rose and fell most, with their reasons; unlike `community_change`, split no other change.

    Errors as in `community_change`; `top` users each way at most.
    """
    pairs, _ = _pairs(before, after, scope)
    compared = pairs[_is_sufficient(pairs)].reset_index(drop=True)
    moves = (compared["score_to"] - compared["score_from"]).to_numpy(float)
    risen, fallen = _movers(before, after, compared["user"], moves, top, scope)
    return Movers(
        before=to_iso_utc(before.as_of),
        after=to_iso_utc(after.as_of),
        model_versions=(before.model_version, after.model_version),
        compared=len(compared),
        points=MOVED_POINTS,
        share=float((np.abs(moves) > MOVED_POINTS).mean()) if len(moves) else 0.0,
        median=float(np.median(moves)) if len(moves) else 0.0,
        risen=risen,
        fallen=fallen,
        remarks=remarks(before.bundle, after.bundle),
    )


def community_change(
    before: Snapshot, after: Snapshot, scope: str = "all", top: int = 5, out: Path | None = None
) -> CommunityChange:
    """Split every user's change into its parts, find the users that moved most, and optionally write all changes.

    Parameters
    ----------
    before, after : the snapshots, the earlier first
    scope : of the scores
    top : how many of the users that rose most, and as many that fell most
    out : a Parquet file, written atomically: user, scope, score_from, score_to, change, the six of PARTS (which add up
        to `change` within 1e-6), evidence_from, evidence_to, the points of every feature's move under its name, and
        under `model_NAME` the effect of the new model on each

    Raises
    ------
    UnknownUserError : nobody has a score of that scope in both
    CatalogueError, SnapshotError, RegistryError : as for `score_change.change`
    OutputError : the path is a folder, or the disk refuses

    """
    if out is not None and out.is_dir():
        raise OutputError(f"{out} is a folder; expected the name of a Parquet file for the changes.")
    pairs, only = _pairs(before, after, scope)
    tables = _tables(before, after, scope, pairs)
    frames = [table[["user", *FIGURES, "known"]] for table in (tables if out is None else _write(tables, out))]
    everybody = pd.concat(frames, ignore_index=True)
    compared = everybody[everybody["known"]].reset_index(drop=True)
    moves = (compared["score_to"] - compared["score_from"]).to_numpy()
    risen, fallen = _movers(before, after, compared["user"], moves, top, scope)
    return CommunityChange(
        scope=scope,
        before=to_iso_utc(before.as_of),
        after=to_iso_utc(after.as_of),
        model_versions=(before.model_version, after.model_version),
        users=len(everybody),
        only_before=only[0],
        only_after=only[1],
        insufficient_evidence=len(everybody) - len(compared),
        judged=len(compared),
        points=MOVED_POINTS,
        share=float((np.abs(moves) > MOVED_POINTS).mean()) if len(moves) else 0.0,
        median=float(np.median(moves)) if len(moves) else 0.0,
        parts={part: _size(compared[part]) for part in PARTS},
        histogram=_histogram(moves),
        risen=risen,
        fallen=fallen,
        remarks=remarks(before.bundle, after.bundle),
    )


def _pairs(before: Snapshot, after: Snapshot, scope: str) -> tuple[pd.DataFrame, tuple[int, int]]:
    """Return each user's row in both snapshots, and how many users are only in the first and only in the second."""
    rows = [_of_scope(snapshot, scope) for snapshot in (before, after)]
    pairs = rows[0].merge(rows[1], on="user", suffixes=("_from", "_to"))
    if pairs.empty:
        raise UnknownUserError(
            f"nobody has a score of the scope {scope!r} both as of {to_iso_utc(before.as_of)} "
            f"({len(rows[0]):,} users) and as of {to_iso_utc(after.as_of)} ({len(rows[1]):,}); "
            "give a --scope that both snapshots hold."
        )
    return pairs, (len(rows[0]) - len(pairs), len(rows[1]) - len(pairs))


def _of_scope(snapshot: Snapshot, scope: str) -> pd.DataFrame:
    rows = snapshot.rows_of_scope(scope)
    scores = snapshot.scores.select(["user", "score", "evidence"]).take(pa.array(rows))
    return pd.DataFrame({name: scores.column(name).to_pandas() for name in scores.column_names}).assign(row=rows)


def _tables(before: Snapshot, after: Snapshot, scope: str, pairs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield every user's change, a block of users at a time, with `known`: whether there is enough evidence."""
    for start in range(0, len(pairs), ROWS_AT_ONCE):
        users = pairs.iloc[start : start + ROWS_AT_ONCE].reset_index(drop=True)
        old, new = (_rows(snapshot, users[row]) for snapshot, row in ((before, "row_from"), (after, "row_to")))
        split = changes(before.bundle, after.bundle, old, new, (before.baseline(scope), after.baseline(scope)))
        grades = users[GRADES].astype(str)
        change = (split.figures["score_to"] - split.figures["score_from"]).rename("change")
        ends, parts = split.figures[["score_from", "score_to"]], split.figures[list(PARTS)]
        columns = [users[["user"]].assign(scope=scope), ends, change, parts, grades]
        sufficient = _is_sufficient(users).rename("known")
        yield pd.concat([*columns, split.moved, split.model.add_prefix("model_"), sufficient], axis=1)


def _is_sufficient(pairs: pd.DataFrame) -> "pd.Series[bool]":
    return (pairs[GRADES] != INSUFFICIENT).all(axis=1)


def _rows(snapshot: Snapshot, rows: pd.Series) -> pd.DataFrame:
    with read_errors_as_damage(snapshot.folder / FEATURES_FILE):
        return snapshot.features.rows(rows.to_numpy(), list(snapshot.features.features))


def _write(tables: Iterator[pd.DataFrame], out: Path) -> Iterator[pd.DataFrame]:
    """Write each table and pass it on."""
    first = next(tables)
    schema = _table(first).schema
    with atomic_file(out) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in (first, *tables):
            writer.write_table(_table(table))
            yield table


def _table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame.drop(columns="known"), preserve_index=False).replace_schema_metadata(None)


def _size(points: pd.Series) -> PartSize:
    return PartSize(float(points.mean()), float(points.abs().mean())) if len(points) else PartSize(0.0, 0.0)


def _histogram(moves: np.ndarray) -> tuple[Bin, ...]:
    counts, _ = np.histogram(moves, EDGES)
    return tuple(Bin(low, high, int(n)) for low, high, n in zip(EDGES, EDGES[1:], counts, strict=False))


def _movers(
    before: Snapshot, after: Snapshot, users: pd.Series, moves: np.ndarray, top: int, scope: str
) -> tuple[tuple[Mover, ...], tuple[Mover, ...]]:
    """Return those of some users who rose most and who fell most, `top` each at most, with their reasons."""
    largest = [*top_movers(moves.clip(min=0), top), *top_movers(moves.clip(max=0), top)]
    moved = [
        Mover(one.user, one.before.score, one.after.score, one.change, one.parts, one.reasons_up, one.reasons_down)
        for one in changes_of_users(before, after, users.iloc[largest].tolist(), scope)
    ]
    risen, fallen = ([mover for mover in moved if sign * mover.change > 0] for sign in (+1, -1))
    return tuple(risen), tuple(fallen)
