"""One snapshot: every user's score and features at one instant, with the model that made the scores."""

import re
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.aggregates.windows import LOOKBACK_DAYS
from features.errors import AbsentScopeError, SnapshotError, UnknownUserError
from features.utc import to_iso_utc
from serving.snapshots import layout
from serving.snapshots.audience_files import StoredAudiences
from serving.snapshots.baselines import baseline_of
from serving.snapshots.explanation import Explanation, ScoreRow, explanation, status
from serving.snapshots.feature_rows import FeatureRowFile
from serving.snapshots.peers import PeerRanges, peer_columns
from serving.snapshots.ranking import Ranking, VisibleRanking, hidden_rows, rows_of_user
from training.model.baseline import Baseline
from training.model.bundle import Bundle
from training.model.bundle_files import load_bundle
from training.records.opt_outs import OptedOutUsers, check_visible

T = TypeVar("T")
NEIGHBOURS = 500
LONGEST_ID = 200
MOST_CLOSE = 3
MOST_ZEROS = 12


class NoAudiencesError(SnapshotError):
    """A snapshot does not hold who engaged with whom."""


class StoredFeatures(dict[str, float]):
    """A user's features in a snapshot; one that it does not have raises a SnapshotError."""

    def __missing__(self, name: str) -> float:
        """Say that the snapshot was made before explanations read the feature."""
        raise layout.lacking(name)


@dataclass(frozen=True)
class Snapshot:
    """Scores at one instant.

    The scores stay in memory as Arrow columns, ordered by user and scope: bisection finds a user without a dictionary,
    which would take more memory than the scores. Features stay on disk; each explanation reads one batch of 128 rows.

    No lookup and no ranking returns a hidden user; asking for one by id raises a HiddenUserError.

    Parameters
    ----------
    folder : where it lies
    as_of : the instant, UTC
    model_version, horizon_days, level, catalogue : of the model that made it; the level of its intervals, the
        catalogue's fingerprint
    users : how many different users it holds
    scores : one row per user and scope, ordered by both
    features : of the same users in the same order, on disk
    mapped_audiences : of the same users in the same order, on disk; None if the snapshot was written without them
    baselines : whom explanations of a scope are relative to; absent for scopes with few active users
    hidden : returns the users who are hidden now
    cleared : the last change of `OptedOutUsers` that was applied when it was written
    released : whether the model is the champion, or was when it was written or before

    """

    folder: Path
    as_of: datetime
    model_version: str
    horizon_days: int
    level: float
    catalogue: str
    users: int
    scores: pa.Table
    features: FeatureRowFile
    mapped_audiences: StoredAudiences | None
    baselines: Mapping[str, Baseline]
    hidden: Callable[[], OptedOutUsers]
    cleared: int
    released: bool

    @cached_property
    def bundle(self) -> Bundle:
        """The model that made the scores, read from the snapshot's folder.

        Raises
        ------
        SnapshotError : its files are damaged
        CatalogueError : the installed catalogue differs from the one it was trained on

        """
        with layout.read_errors_as_damage(self.folder / layout.BUNDLE_FOLDER):
            return load_bundle(self.folder / layout.BUNDLE_FOLDER)

    @cached_property
    def derived(self) -> dict[Hashable, Any]:
        """What others compute from the snapshot once and keep as long as it is open, by name."""
        return {}

    @property
    def audiences(self) -> StoredAudiences:
        """Whom every user is expected to reach.

        Raises
        ------
        NoAudiencesError : the snapshot was written without them

        """
        if self.mapped_audiences is None:
            raise NoAudiencesError(
                f"the snapshot as of {to_iso_utc(self.as_of)} does not hold who engaged with whom, so no group can be "
                "selected: its model was trained by an earlier version of Clout, or with a label that weighs people. "
                "Train a model with 'clout train', then make the snapshot anew with 'clout score'."
            )
        return self.mapped_audiences

    @cached_property
    def peer_ranges(self) -> PeerRanges:
        """The ranges of features among peers, read from all users' features at the first use.

        Raises
        ------
        SnapshotError : features.arrow is damaged

        """
        with layout.read_errors_as_damage(self.folder / layout.FEATURES_FILE):
            return PeerRanges(self.features.columns(peer_columns(self.bundle.features)))

    def warm(self) -> None:
        """Compute what the first lookup and the first search would otherwise wait for.

        Raises
        ------
        RecordsError : the hidden users cannot be read

        """
        self.scores_at(self.ranking.rows(range(1)))

    @property
    def ranking(self) -> Ranking:
        """The visible users by score, computed at the first search; 4 bytes a row."""
        return self._visible.ranking(self.hidden())

    @cached_property
    def _visible(self) -> VisibleRanking:
        return VisibleRanking(self.scores, self.cleared)

    def rows_of_scope(self, scope: str) -> np.ndarray:
        """Return the row numbers in `scores` of the visible users with a score of a scope."""
        matches = pc.equal(self.scores.column("scope"), scope).to_numpy(zero_copy_only=False)
        matches[hidden_rows(self._columns["user"], self.hidden(), self.cleared)] = False
        return np.flatnonzero(matches)

    def of_visible_users(self, name: Hashable, compute: Callable[[], T]) -> T:
        """Return a figure of the visible users, computed at its first use and again when the hidden users change.

        Several threads that need it wait for the one that computes it.
        """
        hidden = self.hidden()
        with self._figure_locks.setdefault(name, Lock()):
            computed_for, figure = self._figures.get(name, (None, None))
            if computed_for is not hidden:
                figure = compute()
                self._figures[name] = hidden, figure
        return cast("T", figure)

    @cached_property
    def _figure_locks(self) -> dict[Hashable, Lock]:
        return {}

    @cached_property
    def _figures(self) -> dict[Hashable, tuple[OptedOutUsers, Any]]:
        return {}

    def score(self, user: str, scope: str = "all") -> ScoreRow:
        """Return a user's score.

        Raises
        ------
        HiddenUserError : the user is hidden
        UnknownUserError : the user has no score of that scope

        """
        return self._score(self._row_of(user, scope))

    def scores_by_user(self, users: Sequence[str], scope: str = "all") -> dict[str, ScoreRow]:
        """Return the scores of those users that are in the snapshot, have that scope and are visible."""
        hidden = self.hidden()
        rows = {user: self._find(user, scope) for user in dict.fromkeys(users) if user not in hidden}
        return {user: self._score(row) for user, row in rows.items() if row is not None}

    def scores_by_scope(self, user: str) -> dict[str, ScoreRow]:
        """Return a user's scores by scope, `all` first; empty for a user who is hidden or not in the snapshot."""
        row, users = self._first_row(user), self._columns["user"]
        scores: dict[str, ScoreRow] = {}
        while user not in self.hidden() and row < len(self.scores) and users[row].as_py() == user:
            scores[self._columns["scope"][row].as_py()] = self._score(row)
            row += 1
        return scores

    def scores_at(self, rows: Sequence[int]) -> list[ScoreRow]:
        """Return the scores at some row numbers of `scores`, in that order."""
        return [self._score(row) for row in rows]

    def feature_row(self, user: str, scope: str = "all") -> dict[str, float]:
        """Return a user's features, NaN where unknown.

        Raises
        ------
        HiddenUserError : the user is hidden
        UnknownUserError : the user has no score of that scope
        SnapshotError : features.arrow is damaged

        """
        return self._features(self._row_of(user, scope))

    def explain(self, user: str, scope: str = "all") -> Explanation:
        """Explain a user's score; errors as in `feature_row` and `bundle`."""
        row = self._row_of(user, scope)
        features, score = self._features(row), self._score(row)
        return explanation(self.bundle, features, score, self.baseline(scope), self._share_below(scope, score["score"]))

    def baseline(self, scope: str) -> Baseline:
        """Return whom explanations of a scope are relative to: its active users, else those of the community.

        Errors as in `bundle`.
        """
        return baseline_of(scope, self.baselines, self.bundle)

    def ranks_among_active(self, scope: str) -> bool:
        """Return whether `users_below` of a scope's explanations is of its active users; else it is of all."""
        return scope in self.baselines and self.baselines[scope].scores is not None

    def _share_below(self, scope: str, score: float) -> float:
        """Return the share of a scope's active users with a lower score, 0 to 1; of all where the active ones are few.

        That of all is found in the sorted scores, which the first call sorts.
        """
        of_active = self.baselines[scope].share_below(score) if scope in self.baselines else None
        if of_active is not None:
            return of_active
        if scope not in self._sorted_scores:
            of_scope = pc.equal(self._columns["scope"], scope).to_numpy(zero_copy_only=False)
            self._sorted_scores[scope] = np.sort(self._columns["score"].to_numpy()[of_scope])
        ordered = self._sorted_scores[scope]
        return float(ordered.searchsorted(score) / len(ordered))

    @cached_property
    def _sorted_scores(self) -> dict[str, np.ndarray]:
        return {}

    def _features(self, row: int) -> dict[str, float]:
        with layout.read_errors_as_damage(self.folder / layout.FEATURES_FILE):
            return StoredFeatures(self.features.row(row))

    def _score(self, row: int) -> ScoreRow:
        """Read one row cell by cell: taking it from the table costs twenty times as much."""
        cells = {name: column[row].as_py() for name, column in self._columns.items()}
        return cast("ScoreRow", cells | self._constants | {"status": status(cells["evidence"])})

    @cached_property
    def _columns(self) -> dict[str, pa.Array]:
        return {name: self.scores.column(name).combine_chunks() for name in self.scores.column_names}

    @cached_property
    def _constants(self) -> dict[str, Any]:
        names = ("horizon_days", "level", "released")
        return {"as_of": to_iso_utc(self.as_of), **{name: getattr(self, name) for name in names}}

    def _row_of(self, user: str, scope: str) -> int:
        check_visible(user, self.hidden())
        row = self._find(user, scope)
        if row is None:
            raise self._unknown_user(user, scope)
        return row

    def _find(self, user: str, scope: str) -> int | None:
        row, users, scopes = self._first_row(user), self._columns["user"], self._columns["scope"]
        while row < len(self.scores) and users[row].as_py() == user:
            if scopes[row].as_py() == scope:
                return row
            row += 1
        return None

    def _first_row(self, user: str) -> int:
        """Return where a user's rows begin, or would begin."""
        return bisect_left(self._columns["user"], user, key=lambda cell: cell.as_py())

    def _unknown_user(self, user: str, scope: str) -> UnknownUserError:
        snapshot = f"the snapshot as of {to_iso_utc(self.as_of)}"
        neighbours = self._neighbours(user)
        scopes = [other for name, other in neighbours if name == user]
        if scopes:
            return AbsentScopeError(
                f"{user!r} has no score of the scope {scope!r} in {snapshot}; scopes there: {', '.join(scopes)}."
            )
        padded = [name for name in _with_other_zeros(user) if rows_of_user(self._columns["user"], name)]
        names = dict.fromkeys([*padded, *(name for name, _ in neighbours)])
        hidden = self.hidden()
        near = _close(user, padded, [name for name in names if name not in hidden])
        close = f" Close ids: {', '.join(map(repr, near))}." if near else ""
        return UnknownUserError(
            f"{user!r} is none of the {self.users:,} users of {snapshot}: it holds users who acted or were engaged "
            f"with in the {LOOKBACK_DAYS} days before.{close}"
        )

    def _neighbours(self, user: str) -> list[tuple[str, str]]:
        """Return up to a thousand (user, scope) around a user's position: ids that begin alike."""
        row = self._first_row(user)
        part = slice(max(row - NEIGHBOURS, 0), row + NEIGHBOURS)
        users, scopes = (self._columns[name][part].to_pylist() for name in ("user", "scope"))
        return list(zip(users, scopes, strict=True))


def _with_other_zeros(user: str) -> Iterator[str]:
    """Yield the ids that differ from an id in how many zeros one of its numbers begins with."""
    for number in re.finditer("[0-9]+", user[:LONGEST_ID]):
        digits = number[0].lstrip("0") or "0"
        for zeros in range(MOST_ZEROS + 1):
            yield f"{user[: number.start()]}{'0' * zeros}{digits}{user[number.end() :]}"


def _close(user: str, padded: Sequence[str], names: list[str]) -> list[str]:
    """Return up to three ids: those that differ in zeros, then those that begin with an id, or else resemble it."""
    in_zeros = [name for name in names if name in padded]
    prefixed = [name for name in names if user and name.startswith(user)]
    alike = prefixed or get_close_matches(user[:LONGEST_ID], names, n=MOST_CLOSE)
    return list(dict.fromkeys([*in_zeros, *alike]))[:MOST_CLOSE]
