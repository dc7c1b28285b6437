"""Users of a snapshot that match a filter, in any order: the ranking by score, narrowed and sorted."""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.snapshots import layout
from serving.snapshots.explanation import ScoreRow
from serving.snapshots.query import PageToken, UserFilter
from serving.snapshots.snapshot import Snapshot
from training.explanation.reasons import INSUFFICIENT

NAMES = ("engagers_365d", "credible_engagers_365d")


@dataclass(frozen=True)
class Engagers:
    """Who engaged with users in the last 365 days.

    Parameters
    ----------
    people : how many, NaN where unknown, shape (users,)
    credibility : the share of them whom established people vouch for, in percent; NaN without people, shape (users,)

    """

    people: np.ndarray
    credibility: np.ndarray


def engagers_at(snapshot: Snapshot, rows: np.ndarray) -> Engagers:
    """Return who engaged with the users at some row numbers of a snapshot; unknown in those of older versions.

    Raises
    ------
    SnapshotError : features.arrow is damaged

    """
    if _absent_features(snapshot):
        return _engagers(np.full((2, len(rows)), np.nan))
    order = np.argsort(rows)
    values = np.empty((2, len(rows)))
    with layout.read_errors_as_damage(snapshot.folder / layout.FEATURES_FILE):
        values[:, order] = snapshot.features.rows(rows[order], list(NAMES)).to_numpy().T
    return _engagers(values)


def _everybodys_engagers(snapshot: Snapshot) -> Engagers:
    """Return who engaged with every user, read at the first use."""
    if NAMES not in snapshot.derived:
        with layout.read_errors_as_damage(snapshot.folder / layout.FEATURES_FILE):
            snapshot.derived[NAMES] = _engagers(snapshot.features.columns(list(NAMES)).to_numpy(float).T)
    engagers: Engagers = snapshot.derived[NAMES]
    return engagers


def _lower_ids(snapshot: Snapshot) -> pa.ChunkedArray:
    """Return the ids of all rows in lower case, computed at the first use; the stored ones where they are that."""
    if "lower_ids" not in snapshot.derived:
        users = snapshot.scores.column("user")
        lower = pc.utf8_lower(users)
        snapshot.derived["lower_ids"] = users if lower.equals(users) else lower
    ids: pa.ChunkedArray = snapshot.derived["lower_ids"]
    return ids


def _absent_features(snapshot: Snapshot) -> list[str]:
    return [name for name in NAMES if name not in snapshot.features.features]


def _engagers(values: np.ndarray) -> Engagers:
    people, credible = values
    with np.errstate(divide="ignore", invalid="ignore"):
        return Engagers(people, np.where(people > 0, np.minimum(100 * credible / people, 100.0), np.nan))


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


def rows_after(
    snapshot: Snapshot, rows: np.ndarray, query: UserFilter, last: PageToken, before: Snapshot | None = None
) -> np.ndarray:
    """Return the matching rows after a user, who need not be among them any more; highest values come first."""
    scores, users = snapshot.scores.column("score"), snapshot.scores.column("user")
    values = scores.to_numpy() if query.sort == "score" else _values(snapshot, query, before)

    def position(value: float, score: float, user: str) -> tuple[bool, float, float, str]:
        unknown = bool(np.isnan(value))
        return unknown, 0.0 if unknown else -value, -score, user

    def position_of(row: int) -> tuple[bool, float, float, str]:
        return position(float(values[row]), scores[row].as_py(), users[row].as_py())

    value = last.score if query.sort == "score" else np.nan if last.value is None else last.value
    return rows[bisect_right(rows, position(value, last.score, last.user), key=position_of) :]


def value_of(snapshot: Snapshot, row: int, query: UserFilter, before: Snapshot | None = None) -> float | None:
    """Return the value of a row that a `PageToken` holds: that of the column to sort by, None for the score."""
    if query.sort == "score":
        return None
    value = float(_values(snapshot, query, before)[row])
    return None if np.isnan(value) else value


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
        text = pc.utf8_lower(pa.scalar(query.contains)).as_py()  # half as slow as ignoring the case
        masks.append(pc.match_substring(_lower_ids(snapshot), text).to_numpy(zero_copy_only=False))
    if query.evidence != "any":
        grades = scores.column("evidence").combine_chunks()
        names = grades.dictionary.to_pylist()
        passes = [name == "strong" if query.evidence == "strong" else name != INSUFFICIENT for name in names]
        masks.append(np.array(passes)[grades.indices.to_numpy()])
    if query.min_growth is not None or query.max_growth is not None:
        moves = _moves(snapshot, query, before)
        low = -np.inf if query.min_growth is None else query.min_growth
        high = np.inf if query.max_growth is None else query.max_growth
        masks.append((moves >= low) & (moves <= high))
    if query.min_peer_percentile is not None:
        masks.append(scores.column("peer_percentile").to_numpy() >= query.min_peer_percentile)
    if (query.min_people, query.max_people, query.min_credibility) != (None, None, None):
        masks.append(_engaged(snapshot, query))
    return masks


def _engaged(snapshot: Snapshot, query: UserFilter) -> np.ndarray:
    """Return which rows satisfy the bounds of people and credibility; unknown satisfies none."""
    engagers, keep = _everybodys_engagers(snapshot), np.ones(len(snapshot.scores), dtype=bool)
    for values, least in ((engagers.people, query.min_people), (engagers.credibility, query.min_credibility)):
        if least is not None:
            keep &= values >= least
    if query.max_people is not None:
        keep &= engagers.people <= query.max_people
    return keep


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
