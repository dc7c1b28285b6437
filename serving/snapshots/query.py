"""Queries: which users of a snapshot, in which order, and after whom the next page begins."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import inf, isfinite
from typing import Any, Literal

from features.errors import CloutError

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
