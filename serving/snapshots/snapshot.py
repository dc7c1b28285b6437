"""One snapshot: everybody's scores and features at one instant, with the model that made them."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import RegistryError, UnknownUserError
from features.feature_table import LOOKBACK_DAYS
from features.utc import to_iso_utc
from serving.snapshots import layout
from serving.snapshots.explanation import Explanation, explanation, status
from serving.snapshots.feature_rows import FeatureRowFile
from serving.snapshots.opt_out_filter import check_shown
from serving.snapshots.peers import SHOWN, PeerMedians, PeerRanges
from serving.snapshots.ranking import Ranking, VisibleRanking, places
from training.model.bundle import Bundle
from training.model.bundle_files import load_bundle
from training.records.opt_outs import OptedOutUsers

NEIGHBOURS = 500
LONGEST_ID = 200
MOST_CLOSE = 3


@dataclass(frozen=True)
class Snapshot:
    """Scores at one instant.

    The scores stay in memory as Arrow columns, ordered by user and scope, so that a user is found by bisection, without
    a dictionary that would weigh more than the scores; features stay on disk, and each explanation reads one batch
    of 256 rows.

    Whoever is hidden is found by nothing that looks for a user, and is in no order: what is asked for by id raises a
    HiddenUserError.

    Parameters
    ----------
    folder : where it lies
    as_of : the instant, UTC
    model_version, horizon_days, catalogue : of the model that made it; the catalogue's fingerprint
    users : how many different users it holds
    scores : one row per user and scope, ordered by both
    features : of the same users in the same order, on disk
    typical : the median of each feature among a user's peers
    hidden : tells who is hidden now
    cleared : the last change of `OptedOutUsers` that it was written after

    """

    folder: Path
    as_of: datetime
    model_version: str
    horizon_days: int
    catalogue: str
    users: int
    scores: pa.Table
    features: FeatureRowFile
    typical: PeerMedians
    hidden: Callable[[], OptedOutUsers]
    cleared: int

    @cached_property
    def bundle(self) -> Bundle:
        """The model that made the scores, kept with them.

        Raises
        ------
        SnapshotError : its files are damaged
        CatalogueError : the installed catalogue differs from the one it was trained on

        """
        try:
            return load_bundle(self.folder / layout.BUNDLE_FOLDER)
        except RegistryError as error:
            raise layout.damaged(self.folder / layout.BUNDLE_FOLDER, error) from error

    @cached_property
    def shown(self) -> PeerRanges:
        """What a user's peers show, read from everybody's features when it is first asked for.

        Raises
        ------
        SnapshotError : features.arrow is damaged

        """
        with layout.read_errors_as_damage(self.folder / layout.FEATURES_FILE):
            return PeerRanges(self.features.columns(SHOWN))

    @property
    def ranking(self) -> Ranking:
        """The order by score of everybody who is shown, made when it is first searched; 4 bytes a row."""
        return self._visible.ranking(self.hidden())

    @cached_property
    def _visible(self) -> VisibleRanking:
        return VisibleRanking(self.scores, self.cleared)

    def of_scope(self, scope: str) -> np.ndarray:
        """Return where those who are shown and have a score of a scope stand in `scores`."""
        held = pc.equal(self.scores.column("scope"), scope).to_numpy(zero_copy_only=False)
        held[places(self._columns["user"], self.hidden(), self.cleared)] = False
        return np.flatnonzero(held)

    def score(self, user: str, scope: str = "all") -> dict:
        """Return a user's score: the columns of SCORES, as_of, horizon_days and status.

        Raises
        ------
        HiddenUserError : the user's score is not shown
        UnknownUserError : the user has no score of that scope

        """
        return self.scores_at([self._found(user, scope)])[0]

    def known_scores(self, users: list[str], scope: str = "all") -> dict[str, dict]:
        """Return the scores of those users whom the snapshot knows and shows in that scope, by user."""
        hidden = self.hidden()
        found = {user: self._place(user, scope) for user in dict.fromkeys(users) if user not in hidden}
        known = {user: place for user, place in found.items() if place is not None}
        return dict(zip(known, self.scores_at(list(known.values())), strict=True))

    def scores_at(self, places: list[int]) -> list[dict]:
        """Return the scores that stand at some places of `scores`, in that order, as `score` gives them."""
        return [self._score(place) for place in places]

    def person(self, user: str, scope: str = "all") -> dict[str, float]:
        """Return a user's features, NaN where unknown.

        Raises
        ------
        HiddenUserError : the user's score is not shown
        UnknownUserError : the user has no score of that scope
        SnapshotError : features.arrow is damaged

        """
        return self._person(self._found(user, scope))

    def explain(self, user: str, scope: str = "all") -> Explanation:
        """Explain a user's score; what can go wrong is what `person` and `bundle` say."""
        place = self._found(user, scope)
        person = self._person(place)
        return explanation(self.bundle, person, self.scores_at([place])[0], self.typical.of(scope, person))

    def _person(self, place: int) -> dict[str, float]:
        with layout.read_errors_as_damage(self.folder / layout.FEATURES_FILE):
            return self.features.person(place)

    def _score(self, place: int) -> dict:
        """Read one row cell by cell: taking it from the table costs twenty times as much."""
        row = {name: column[place].as_py() for name, column in self._columns.items()}
        return row | self._same_for_all | {"status": status(row["evidence"])}

    @cached_property
    def _columns(self) -> dict[str, pa.Array]:
        return {name: self.scores.column(name).combine_chunks() for name in self.scores.column_names}

    @cached_property
    def _same_for_all(self) -> dict:
        return {"as_of": to_iso_utc(self.as_of), "horizon_days": self.horizon_days}

    def _found(self, user: str, scope: str) -> int:
        check_shown(user, self.hidden())
        place = self._place(user, scope)
        if place is None:
            raise UnknownUserError(self._unknown(user, scope))
        return place

    def _place(self, user: str, scope: str) -> int | None:
        place, users, scopes = self._first(user), self._columns["user"], self._columns["scope"]
        while place < len(self.scores) and users[place].as_py() == user:
            if scopes[place].as_py() == scope:
                return place
            place += 1
        return None

    def _first(self, user: str) -> int:
        """Return where a user's rows begin, or would begin."""
        return bisect_left(self._columns["user"], user, key=lambda found: found.as_py())

    def _key(self, place: int) -> tuple[str, str]:
        return self._columns["user"][place].as_py(), self._columns["scope"][place].as_py()

    def _unknown(self, user: str, scope: str) -> str:
        seen = f"the snapshot as of {to_iso_utc(self.as_of)}"
        around = self._around(user)
        scopes = [held for name, held in around if name == user]
        if scopes:
            return f"{user!r} has no score of the scope {scope!r} in {seen}; scopes there: {', '.join(scopes)}."
        hidden = self.hidden()
        near = _close(user, [name for name in dict.fromkeys(name for name, _ in around) if name not in hidden])
        return (
            f"{user!r} is none of the {self.users:,} users of {seen}: a user is there who acted or was engaged with in "
            f"the {LOOKBACK_DAYS} days before it.{' Close ids: ' + ', '.join(map(repr, near)) + '.' if near else ''}"
        )

    def _around(self, user: str) -> list[tuple[str, str]]:
        """Return up to a thousand (user, scope) next to where a user would stand: ids that begin alike."""
        place = self._first(user)
        return [self._key(k) for k in range(max(place - NEIGHBOURS, 0), min(place + NEIGHBOURS, len(self.scores)))]


def _close(user: str, names: list[str]) -> list[str]:
    """Return up to three ids that begin with the one asked for or else resemble it."""
    begin = [name for name in names if user and name.startswith(user)]
    return begin[:MOST_CLOSE] or get_close_matches(user[:LONGEST_ID], names, n=MOST_CLOSE)
