"""Search: the users of a snapshot by score, pages of those that match a query, and the cursor of the next page."""

from base64 import b64decode, urlsafe_b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from copy import copy
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from math import inf, isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zlib import crc32

import numpy as np
import pyarrow as pa
from pydantic import Field, TypeAdapter

from features.errors import CloutError, ScopeError
from features.utc import parse_utc
from serving.snapshots.explanation import ScoreRow
from training.records.opt_outs import NO_USERS, OptedOutUsers

if TYPE_CHECKING:
    from serving.snapshots.snapshot import Snapshot

Sort = Literal["score", "expected_audience", "peer_percentile", "growth", "user"]
EvidenceFilter = Literal["any", "some", "strong"]
LIMITS: dict[str, tuple[float, float]] = {
    "score": (0, 100),
    "percentile": (0, 100),
    "peer_percentile": (0, 100),
    "growth": (-inf, inf),
    "people": (0, inf),
    "credibility": (0, 100),
}
CHECKSUM_BYTES = 4
MOST_SCOPES = 20


class RangeError(CloutError):
    """A bound lies outside of what it bounds, or a range begins above its end."""


@dataclass(frozen=True)
class SearchQuery:
    """A scope and bounds of score (points) and percentile (0-100), both ends included.

    Raises
    ------
    RangeError : a bound lies outside of `LIMITS`, or a range begins above its end

    """

    scope: str = "all"
    min_score: float | None = None
    max_score: float | None = None
    min_percentile: float | None = None
    max_percentile: float | None = None

    def __post_init__(self) -> None:
        _check_ranges(self, "score", "percentile")


@dataclass(frozen=True)
class UserFilter:
    """Which users, and in which order.

    Parameters
    ----------
    bounds : the scope, and the ranges of score and percentile
    contains : a part of the id, in any case; empty for any id
    evidence : the least evidence: any, some (enough for a score) or strong
    min_growth, max_growth : the range of the change since an earlier snapshot, in points; None for no bound
    min_peer_percentile : the least percentile among peers, 0 to 100
    min_people, max_people : the range of the people who engaged in the last 365 days; peers have about as many
    min_credibility : the least share of these people whom established ones vouch for, in percent
    sort : the column to sort by; users with the same value are ordered by score, then by id
    descending : whether the largest value comes first

    Raises
    ------
    RangeError : a bound lies outside of `LIMITS`, or a range begins above its end

    """

    bounds: SearchQuery = field(default_factory=SearchQuery)
    contains: str = ""
    evidence: EvidenceFilter = "any"
    min_growth: float | None = None
    max_growth: float | None = None
    sort: Sort = "score"
    descending: bool = True
    min_peer_percentile: float | None = None
    min_people: float | None = None
    max_people: float | None = None
    min_credibility: float | None = None

    def __post_init__(self) -> None:
        _check_ranges(self, "peer_percentile", "growth", "people", "credibility")

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "UserFilter":
        """Return a filter from its parameters and those of its bounds, by name."""
        names = {one.name for one in fields(SearchQuery)}
        bounds = SearchQuery(**{name: value for name, value in parameters.items() if name in names})
        return cls(bounds, **{name: value for name, value in parameters.items() if name not in names})

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that `of` takes."""
        values = asdict(self)
        return {**values.pop("bounds"), **values}

    @property
    def needs_growth(self) -> bool:
        """Whether the change since an earlier snapshot matters."""
        return self.sort == "growth" or self.min_growth is not None or self.max_growth is not None


def _check_ranges(query: object, *names: str) -> None:
    for name in names:
        bounds = {bound: getattr(query, bound, None) for bound in (f"min_{name}", f"max_{name}")}
        for bound, value in bounds.items():
            if value is not None:
                _check_limits(bound, value, *LIMITS[name])
        low, high = bounds.values()
        if low is not None and high is not None and low > high:
            raise RangeError(f"min_{name} is {low:g} and max_{name} {high:g}: give the smaller one as min_{name}.")


def _check_limits(bound: str, value: float, low: float, high: float) -> None:
    if isfinite(value) and low <= value <= high:
        return
    expected = f" from {low:g} to {high:g}" if isfinite(high) else f" of {low:g} or more" if isfinite(low) else ""
    raise RangeError(f"{bound} is {value:g}; expected a number{expected}.")


@dataclass(frozen=True)
class PageToken:
    """The last user of a page: the next page begins after this value, score and user.

    The value is that of the column to sort by; None where that is the score, or where it is unknown.
    """

    score: float
    user: str
    value: float | None = None


class Ranking:
    """The users of one snapshot ordered by scope, then score, highest first, then user.

    The order is computed once, in about a fifth of a second for a million rows, and takes 4 bytes a row beside the
    scores. Bisection then finds a page for any bounds: within a scope percentiles fall with the score, so that both
    ranges are contiguous in the one order.

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
        self._set_order(np.lexsort((-self._score, codes)).astype(np.uint32))

    def without(self, rows: np.ndarray) -> "Ranking":
        """Return the ranking without some users, given by their row numbers in the snapshot."""
        keep = np.ones(len(self._score), dtype=bool)
        keep[rows] = False
        ranking = copy(self)
        ranking._set_order(self._order[keep[self._order]])
        return ranking

    def _set_order(self, order: np.ndarray) -> None:
        """Set the order, and where the range of each scope begins and ends in it."""
        self._order = order
        ends = np.cumsum(np.bincount(self._codes[order], minlength=len(self._scopes))).tolist()
        self._ranges = dict(zip(self._scopes, zip([0, *ends], ends, strict=False), strict=True))

    def matches(self, query: SearchQuery) -> range:
        """Return the ranks that a query matches.

        Raises
        ------
        ScopeError : nobody has a score of the scope; says which scopes there are

        """
        first, end = self._ranges.get(query.scope, (0, 0))
        if first == end:
            raise ScopeError(self._unknown_scope(query.scope))
        for values, low, high in (
            (self._score, query.min_score, query.max_score),
            (self._percentile, query.min_percentile, query.max_percentile),
        ):
            if high is not None:
                first = self._bisect(values, first, end, high, above=True)
            if low is not None:
                end = self._bisect(values, first, end, low, above=False)
        return range(first, end)

    def after(self, last: PageToken, ranks: range) -> range:
        """Return the part of some ranks after a user, who need not be among them."""
        low = self._bisect(self._score, ranks.start, ranks.stop, last.score, above=True)
        high = self._bisect(self._score, low, ranks.stop, last.score, above=False)
        ties = range(low, high)
        passed = bisect_right(ties, last.user, key=lambda rank: self._users[int(self._order[rank])].as_py())
        return range(low + passed, ranks.stop)

    @property
    def scopes(self) -> list[str]:
        """The scopes with at least one user, `all` first."""
        names = [name for name, (first, end) in self._ranges.items() if end > first]
        return sorted(names, key=lambda name: (name != "all", name))

    def row_array(self, ranks: range) -> np.ndarray:
        """Return the row numbers in the snapshot of the users at some ranks, shape (ranks,)."""
        return self._order[ranks.start : ranks.stop]

    def rows(self, ranks: range) -> list[int]:
        """Return the row numbers in the snapshot of the users at some ranks."""
        return list(map(int, self.row_array(ranks)))

    def _bisect(self, values: np.ndarray, first: int, end: int, bound: float, above: bool) -> int:
        """Return where, in a falling range, the values above a bound end (`above`), or those below it begin."""
        side = bisect_left if above else bisect_right
        return side(range(end), -bound, first, end, key=lambda rank: -values[self._order[rank]])

    def _unknown_scope(self, scope: str) -> str:
        scopes = sorted(self.scopes)
        more = f" and {len(scopes) - MOST_SCOPES} more" if len(scopes) > MOST_SCOPES else ""
        return f"nobody has a score of the scope {scope!r}; scopes there: {', '.join(scopes[:MOST_SCOPES])}{more}."


class VisibleRanking:
    """The ranking of the visible users of a snapshot, computed again when the hidden users change.

    Bisection finds the hidden users whose ids are known. If some are known only by a hash and were hidden after the
    snapshot was written (after the change `cleared` of `OptedOutUsers`), every user is compared with them once, which
    takes a second for a million users.
    """

    def __init__(self, scores: pa.Table, cleared: int):
        self._users = scores.column("user").combine_chunks()
        self._everybody = Ranking(scores)
        self._cleared = cleared
        self._cached: tuple[OptedOutUsers, Ranking] = NO_USERS, self._everybody

    def ranking(self, hidden: OptedOutUsers) -> Ranking:
        """Return the ranking of the users who are not hidden."""
        cached_for, ranking = self._cached
        if cached_for is not hidden:
            ranking = self._everybody.without(hidden_rows(self._users, hidden, self._cleared))
            self._cached = hidden, ranking
        return ranking


def hidden_rows(users: pa.Array, hidden: OptedOutUsers, cleared: int = 0) -> np.ndarray:
    """Return the row numbers of hidden users among ordered users, who may have several rows each."""
    if hidden.has_unknown_ids_since(cleared):
        return np.flatnonzero([user in hidden for user in users.to_pylist()])
    rows = [row for user in hidden.known_ids for row in rows_of_user(users, user)]
    return np.array(rows, dtype=np.int64)


def rows_of_user(users: pa.Array, user: str) -> range:
    """Return the row numbers of a user among ordered users; an empty range where the user is none of them."""
    first, end = (bisect(users, user, key=lambda cell: cell.as_py()) for bisect in (bisect_left, bisect_right))
    return range(first, end)


@dataclass(frozen=True)
class SearchPage:
    """One page: its scores, how many users match on all pages, and whether another page follows."""

    matching: int
    scores: list[ScoreRow]
    more: bool


def search(snapshot: "Snapshot", query: SearchQuery, limit: int, last: PageToken | None = None) -> SearchPage:
    """Return a page of up to `limit` users that match, by score, highest first, then by user, code point by code point.

    The page begins after the user `last`; None for the first page.

    Raises
    ------
    ScopeError : nobody has a score of the scope

    """
    ranking = snapshot.ranking
    matches = ranking.matches(query)
    rest = matches if last is None else ranking.after(last, matches)
    page = rest[:limit]
    return SearchPage(len(matches), snapshot.scores_at(ranking.rows(page)), len(rest) > len(page))


class CursorError(CloutError):
    """A cursor is damaged, or belongs to another search."""


@dataclass(frozen=True)
class Cursor:
    """The snapshot and the query of a search, and the last user it returned; valid while the snapshot exists.

    `filter` is what the query holds beside its bounds, and `since` the instant of the earlier snapshot; None without.
    A cursor holds no secret and grants no right: a forged one can ask only for what a search answers anyway.
    """

    as_of: datetime
    model_version: str
    query: Annotated[SearchQuery, Field(alias="wanted")]  # the name in cursors that clients hold
    last: PageToken
    filter: UserFilter | None = None
    since: datetime | None = None

    @property
    def user_filter(self) -> UserFilter:
        """The whole query."""
        return replace(self.filter or UserFilter(), bounds=self.query)


ADAPTER = TypeAdapter(Cursor)


def encode_cursor(cursor: Cursor) -> str:
    """Encode a cursor: JSON without what has its default, and its checksum, in URL-safe base64."""
    document = ADAPTER.dump_json(cursor, by_alias=True, exclude_defaults=True)
    return urlsafe_b64encode(_checksum(document) + document).decode().rstrip("=")


def decode_cursor(text: str) -> Cursor:
    """Decode a cursor.

    Raises
    ------
    CursorError : the text is not a cursor, or one that was cut off or altered

    """
    try:
        raw = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if raw[:CHECKSUM_BYTES] != _checksum(raw[CHECKSUM_BYTES:]):
            raise ValueError("its checksum differs")
        cursor = ADAPTER.validate_json(raw[CHECKSUM_BYTES:], strict=True)
        if not all(isfinite(number) for number in (cursor.last.score, cursor.last.value) if number is not None):
            raise ValueError("it holds a number that is not finite")
        since = None if cursor.since is None else parse_utc(cursor.since)
        return replace(cursor, as_of=parse_utc(cursor.as_of), since=since)
    except (ValueError, RangeError) as error:
        raise CursorError(
            "the cursor is damaged: expected the next_cursor of an earlier page, complete and unchanged. Begin again "
            "without one."
        ) from error


def _checksum(document: bytes) -> bytes:
    return crc32(document).to_bytes(CHECKSUM_BYTES, "big")
