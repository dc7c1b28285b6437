"""The distribution of a scope's scores: how many users have which score, and how large an audience that means."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import ScopeError
from features.utc import to_iso_utc
from serving.snapshots.snapshot import Snapshot
from training.explanation.reasons import INSUFFICIENT

BIN_POINTS = 5.0
EDGES = np.arange(0.0, 100.0 + BIN_POINTS, BIN_POINTS)
COLUMNS = ("score", "low", "high")


@dataclass(frozen=True)
class ScoreBin:
    """The users with a score from `low` to below `high` points; the last bin includes 100.

    `people_low` and `people_high` are the medians of the ends of their intervals, None without users.
    """

    low: float
    high: float
    users: int
    people_low: float | None
    people_high: float | None


@dataclass(frozen=True)
class Distribution:
    """The scores of the visible users of a scope.

    Parameters
    ----------
    scope : the part of the activity
    scored : how many users have enough evidence for a score
    insufficient_evidence : how many have not; all other figures are without them
    median, p95 : quantiles of the scores, in points; None without scored users
    bins : from 0 to 100 points, 5 points wide

    """

    scope: str
    scored: int
    insufficient_evidence: int
    median: float | None
    p95: float | None
    bins: tuple[ScoreBin, ...]


def distribution(snapshot: Snapshot, scope: str = "all") -> Distribution:
    """Return the distribution of the scores of a scope.

    Raises
    ------
    ScopeError : nobody has a score of the scope

    """
    return snapshot.of_visible_users(("distribution", scope), lambda: _distribution(snapshot, scope))


def _distribution(snapshot: Snapshot, scope: str) -> Distribution:
    rows = snapshot.rows_of_scope(scope)
    if not len(rows):
        raise ScopeError(f"nobody has a score of the scope {scope!r} as of {to_iso_utc(snapshot.as_of)}.")
    table = snapshot.scores.select([*COLUMNS, "evidence"]).take(pa.array(rows))
    scored = table.filter(pc.not_equal(table.column("evidence").cast(pa.string()), INSUFFICIENT))
    score, low, high = (scored.column(name).to_numpy().astype(float) for name in COLUMNS)
    order = np.argsort(score)
    starts = np.searchsorted(score[order], EDGES)
    starts[-1] = len(order)
    groups = [order[start:end] for start, end in pairwise(starts)]
    quantiles = np.quantile(score, [0.5, 0.95]).tolist() if len(score) else [None, None]
    return Distribution(
        scope=scope,
        scored=len(score),
        insufficient_evidence=len(rows) - len(score),
        median=quantiles[0],
        p95=quantiles[1],
        bins=tuple(
            ScoreBin(float(start), float(end), len(group), _median(low[group]), _median(high[group]))
            for (start, end), group in zip(pairwise(EDGES), groups, strict=True)
        ),
    )


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None
