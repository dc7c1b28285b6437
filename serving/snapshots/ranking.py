"""Ranking: the order of the users of one snapshot, and of those of them who are shown."""

from bisect import bisect_left, bisect_right
from copy import copy
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.errors import CloutError, ScopeError
from training.records.opt_outs import NO_USERS, OptedOutUsers

MOST_SCOPES = 20


class RangeError(CloutError):
    """A range begins above its end."""


@dataclass(frozen=True)
class SearchQuery:
    """Whom to look for: those of a scope whose score (points) and percentile (0-100) lie within bounds, both included.

    Raises
    ------
    RangeError : a range begins above its end

    """

    scope: str = "all"
    min_score: float | None = None
    max_score: float | None = None
    min_percentile: float | None = None
    max_percentile: float | None = None

    def __post_init__(self) -> None:
        for name in ("score", "percentile"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low is not None and high is not None and low > high:
                raise RangeError(f"min_{name} is {low:g} and max_{name} {high:g}: give the smaller one as min_{name}.")


@dataclass(frozen=True)
class PageToken:
    """The last one of a page: the next page begins after this score and user."""

    score: float
    user: str


class Ranking:
    """The order of everybody of one snapshot: by scope, then score, highest first, then user.

    The order is made once, in about a fifth of a second for a million rows, and takes 4 bytes a row beside the
    scores. A page is then found by bisection, whatever the bounds: percentiles fall with the score within a scope, so
    that both ranges are stretches of the one order.

    Parameters
    ----------
    scores : of a snapshot: user, scope (as dictionary), score and percentile, ordered by user

    """

    def __init__(self, scores: pa.Table):
        self._users = scores.column("user").combine_chunks()
        self._score = scores.column("score").to_numpy()
        self._percentile = scores.column("percentile").to_numpy()
        scopes = scores.column("scope").combine_chunks()
        codes = scopes.indices.to_numpy()
        self._codes, self._scopes = codes, scopes.dictionary.to_pylist()
        self._put(np.lexsort((-self._score, codes)).astype(np.uint32))

    def without(self, places: np.ndarray) -> "Ranking":
        """Return the order of all but some, who stand at these places in the snapshot."""
        kept = np.ones(len(self._score), dtype=bool)
        kept[places] = False
        less = copy(self)
        less._put(self._order[kept[self._order]])
        return less

    def _put(self, order: np.ndarray) -> None:
        """Take an order, and where each scope's part of it begins and ends."""
        self._order = order
        ends = np.cumsum(np.bincount(self._codes[order], minlength=len(self._scopes))).tolist()
        self._stretches = dict(zip(self._scopes, zip([0, *ends], ends, strict=False), strict=True))

    def stretch(self, wanted: SearchQuery) -> range:
        """Return which places of the order are wanted.

        Raises
        ------
        ScopeError : nobody has a score of the scope; says which scopes there are

        """
        first, end = self._stretches.get(wanted.scope, (0, 0))
        if first == end:
            raise ScopeError(self._no_scope(wanted.scope))
        for values, low, high in (
            (self._score, wanted.min_score, wanted.max_score),
            (self._percentile, wanted.min_percentile, wanted.max_percentile),
        ):
            if high is not None:
                first = self._bisect(values, first, end, high, above=True)
            if low is not None:
                end = self._bisect(values, first, end, low, above=False)
        return range(first, end)

    def after(self, last: PageToken, stretch: range) -> range:
        """Return what is left of a stretch after one of its people, who need not be in it."""
        low = self._bisect(self._score, stretch.start, stretch.stop, last.score, above=True)
        high = self._bisect(self._score, low, stretch.stop, last.score, above=False)
        ties = range(low, high)
        passed = bisect_right(ties, last.user, key=lambda place: self._users[int(self._order[place])].as_py())
        return range(low + passed, stretch.stop)

    def places(self, stretch: range) -> list[int]:
        """Return where the people of a stretch stand in the snapshot."""
        return self._order[stretch.start : stretch.stop].tolist()

    def _bisect(self, values: np.ndarray, first: int, end: int, bound: float, above: bool) -> int:
        """Return where, in a stretch that falls, those above a bound end (`above`) or those below it begin."""
        side = bisect_left if above else bisect_right
        return side(range(end), -bound, first, end, key=lambda place: -values[self._order[place]])

    def _no_scope(self, scope: str) -> str:
        there = sorted(name for name, (first, end) in self._stretches.items() if end > first)
        more = f" and {len(there) - MOST_SCOPES} more" if len(there) > MOST_SCOPES else ""
        return f"nobody has a score of the scope {scope!r}; scopes there: {', '.join(there[:MOST_SCOPES])}{more}."


class VisibleRanking:
    """The ranking of a snapshot's people who are shown, made anew when others are hidden than before.

    Those whose ids are known are found by bisection. Where there are some of whom only a hash is known who came in
    after the snapshot was written, everybody is held against it once, which takes a second for a million people.

    Parameters
    ----------
    scores : of a snapshot, ordered by user
    cleared : the last change of `OptedOutUsers` before the snapshot was written: it holds nobody who was out by then

    """

    def __init__(self, scores: pa.Table, cleared: int):
        self._users = scores.column("user").combine_chunks()
        self._everybody = Ranking(scores)
        self._cleared = cleared
        self._held: tuple[OptedOutUsers, Ranking] = NO_USERS, self._everybody

    def ranking(self, hidden: OptedOutUsers) -> Ranking:
        """Return the order of those who are not hidden."""
        known, ranking = self._held
        if known is not hidden:
            ranking = self._everybody.without(places(self._users, hidden, self._cleared))
            self._held = hidden, ranking
        return ranking


def places(users: pa.Array, hidden: OptedOutUsers, cleared: int = 0) -> np.ndarray:
    """Return where hidden people stand among users in order, who may stand there several times."""
    if hidden.has_unknown_ids_since(cleared):
        return np.flatnonzero([user in hidden for user in users.to_pylist()])
    found = [place for user in hidden.known_ids for place in _of(users, user)]
    return np.array(found, dtype=np.int64)


def _of(users: pa.Array, user: str) -> range:
    first = bisect_left(users, user, key=lambda found: found.as_py())
    end = first
    while end < len(users) and users[end].as_py() == user:
        end += 1
    return range(first, end)
