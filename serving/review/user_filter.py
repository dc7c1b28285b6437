"""Users of a snapshot that match a filter, in any order: the ranking by score, narrowed and sorted."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.snapshots.explanation import ScoreRow
from serving.snapshots.search import SearchQuery
from serving.snapshots.snapshot import Snapshot
from training.explanation.reasons import INSUFFICIENT

Sort = Literal["score", "expected_audience", "peer_percentile", "growth", "user"]
EvidenceFilter = Literal["any", "some", "strong"]


@dataclass(frozen=True)
class UserFilter:
    """Which users, and in which order.

    Parameters
    ----------
    bounds : the scope, and the ranges of score and percentile
    contains : a part of the id, in any case; empty for any id
    evidence : the least evidence: any, some (enough for a score) or strong
    min_growth, max_growth : the range of the change since an earlier snapshot, in points; None for no bound
    sort : the column to sort by; users with the same value are ordered by score or by id
    descending : whether the largest value comes first

    """

    bounds: SearchQuery
    contains: str = ""
    evidence: EvidenceFilter = "any"
    min_growth: float | None = None
    max_growth: float | None = None
    sort: Sort = "score"
    descending: bool = True

    @property
    def needs_growth(self) -> bool:
        """Whether the change since an earlier snapshot matters."""
        return self.sort == "growth" or self.min_growth is not None or self.max_growth is not None


def matching_rows(snapshot: Snapshot, query: UserFilter, before: Snapshot | None = None) -> np.ndarray:
    """Return the row numbers, in the snapshot's scores, of the users that match, in order.

    Without an earlier snapshot nobody has a growth: bounds of it match nobody.

    Raises
    ------
    ScopeError : nobody has a score of the scope

    """
    ranking = snapshot.ranking
    rows = ranking.row_array(ranking.matches(query.bounds))
    for keep in _filters(snapshot, query, before):
        rows = rows[keep[rows]]
    if query.sort == "score":
        return rows if query.descending else rows[::-1]
    values = _values(snapshot, query, before)[rows]
    unknown = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(rows), bool)
    order = np.argsort(-values if query.descending else values, kind="stable")
    return rows[order[np.argsort(unknown[order], kind="stable")]]


def growth(snapshot: Snapshot, before: Snapshot, scope: str) -> np.ndarray:
    """Return the change of score since an earlier snapshot of every row of a snapshot, in points.

    NaN for other scopes, for users without a score in the earlier one, and with too little evidence in either. The
    first call joins all users; its result is cached while the same users are hidden.
    """
    return snapshot.of_visible_users(("growth", scope, str(before.folder)), lambda: _growth(snapshot, before, scope))


def growth_of(scores: list[ScoreRow], before: Snapshot | None, scope: str) -> dict[str, float]:
    """Return the change of score since an earlier snapshot of some users, as `growth` does."""
    if before is None:
        return {}
    earlier = before.scores_by_user([score["user"] for score in scores], scope)
    return {
        score["user"]: score["score"] - earlier[score["user"]]["score"]
        for score in scores
        if score["user"] in earlier and "scored" == score["status"] == earlier[score["user"]]["status"]
    }


def _filters(snapshot: Snapshot, query: UserFilter, before: Snapshot | None) -> list[np.ndarray]:
    """Return which rows of the snapshot pass each filter, shape (rows,) each."""
    masks, scores = [], snapshot.scores
    if query.contains:
        matches = pc.match_substring(scores.column("user"), query.contains, ignore_case=True)
        masks.append(matches.to_numpy(zero_copy_only=False))
    if query.evidence != "any":
        grades = scores.column("evidence").cast(pa.string())
        test = pc.equal(grades, "strong") if query.evidence == "strong" else pc.not_equal(grades, INSUFFICIENT)
        masks.append(test.to_numpy(zero_copy_only=False))
    if query.min_growth is not None or query.max_growth is not None:
        moves = _moves(snapshot, query, before)
        low = -np.inf if query.min_growth is None else query.min_growth
        high = np.inf if query.max_growth is None else query.max_growth
        masks.append((moves >= low) & (moves <= high))
    return masks


def _values(snapshot: Snapshot, query: UserFilter, before: Snapshot | None) -> np.ndarray:
    if query.sort == "growth":
        return _moves(snapshot, query, before)
    if query.sort == "user":
        return np.arange(len(snapshot.scores))  # rows are ordered by user
    return np.asarray(snapshot.scores.column(query.sort).to_numpy(), dtype=float)


def _moves(snapshot: Snapshot, query: UserFilter, before: Snapshot | None) -> np.ndarray:
    scope = query.bounds.scope
    return np.full(len(snapshot.scores), np.nan) if before is None else growth(snapshot, before, scope)


def _growth(snapshot: Snapshot, before: Snapshot, scope: str) -> np.ndarray:
    now, then = (_scored(part, scope) for part in (snapshot, before))
    joined = now.join(then, "user", join_type="inner", right_suffix="_then")
    moves = np.full(len(snapshot.scores), np.nan)
    difference = pc.subtract(joined.column("score"), joined.column("score_then"))
    moves[joined.column("row").to_numpy()] = difference.to_numpy()
    return moves


def _scored(snapshot: Snapshot, scope: str) -> pa.Table:
    """Return the users of a scope with enough evidence: user, score and row number."""
    rows = snapshot.rows_of_scope(scope)
    table = snapshot.scores.select(["user", "score", "evidence"]).take(pa.array(rows))
    table = table.append_column("row", pa.array(rows))
    return table.filter(pc.not_equal(table.column("evidence").cast(pa.string()), INSUFFICIENT)).drop_columns("evidence")
