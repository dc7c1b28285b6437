"""Find influential users: a page of a search, with growth since an earlier snapshot."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from features.utc import begins_day_of
from serving.snapshots.cursor import Cursor, CursorError, decode_cursor, encode_cursor
from serving.snapshots.explanation import ScoreRow
from serving.snapshots.query import PageToken, SearchQuery, UserFilter
from serving.snapshots.snapshot import Snapshot
from serving.snapshots.user_filter import engagers_at, growth_of, matching_rows, rows_after, value_of


@dataclass(frozen=True)
class FoundUser:
    """A user of a page.

    Parameters
    ----------
    score : of the user
    growth : of the score, in points; None without an earlier score, or with too little evidence
    people : how many people engaged with the user in the last 365 days; None where unknown
    credibility : the share of them whom established people vouch for, in percent; None without people

    """

    score: ScoreRow
    growth: float | None
    people: float | None
    credibility: float | None

    @property
    def row(self) -> dict[str, Any]:
        """All of it in one dictionary."""
        return {**self.score, "growth": self.growth, "people": self.people, "credibility": self.credibility}


@dataclass(frozen=True)
class FoundPage:
    """A page of users; `matching` counts those of all pages, `next_cursor` is None on the last."""

    matching: int
    users: list[FoundUser]
    next_cursor: str | None


def find_users(
    snapshot: Snapshot,
    query: UserFilter,
    limit: int,
    last: PageToken | None = None,
    before: Snapshot | None = None,
) -> FoundPage:
    """Return a page of the users that match a query, highest values first.

    Parameters
    ----------
    snapshot : whose scores are searched
    query : the filter and the order
    limit : how many users a page holds
    last : the last user of the page before; None for the first page
    before : the earlier snapshot of the growth; without it nobody has one

    Raises
    ------
    ScopeError : nobody has a score of the scope
    SnapshotError : a snapshot is damaged, or of a version that lacks what the filter reads

    """
    matches = matching_rows(snapshot, query, before)
    rest = matches if last is None else rows_after(snapshot, matches, query, last, before)
    rows = rest[:limit]
    scores = snapshot.scores_at(rows.tolist())
    moves, engagers = growth_of(scores, before, query.bounds.scope), engagers_at(snapshot, rows)
    users = [
        FoundUser(score, moves.get(score["user"]), _none_if_nan(people), _none_if_nan(credibility))
        for score, people, credibility in zip(scores, engagers.people, engagers.credibility, strict=True)
    ]
    if len(rest) == len(rows):
        return FoundPage(len(matches), users, None)
    end = PageToken(scores[-1]["score"], scores[-1]["user"], value_of(snapshot, int(rows[-1]), query, before))
    since = None if before is None else before.as_of
    rest_of_query = None if query == UserFilter(query.bounds) else replace(query, bounds=SearchQuery())
    cursor = Cursor(snapshot.as_of, snapshot.model_version, query.bounds, end, rest_of_query, since)
    return FoundPage(len(matches), users, encode_cursor(cursor))


@dataclass(frozen=True)
class SearchStart:
    """Where a page of a search begins.

    Parameters
    ----------
    user_filter : the filter and the order
    as_of, model_version : of the snapshot to search; None for the one that is served
    since : the instant of the earlier snapshot of the growth; None for the one before, if growth matters
    last : the last user of the page before; None for the first page

    """

    user_filter: UserFilter
    as_of: datetime | None = None
    since: datetime | None = None
    model_version: str | None = None
    last: PageToken | None = None

    @property
    def needs_earlier(self) -> bool:
        """Whether the search reads an earlier snapshot."""
        return self.since is not None or self.user_filter.needs_growth


def start_search(
    parameters: dict[str, Any], as_of: datetime | None, since: datetime | None, cursor: str | None
) -> SearchStart:
    """Begin a search, or continue the one of a cursor.

    Parameters
    ----------
    parameters : those of `UserFilter.of`; beside a cursor, some of the first page's or none
    as_of, since : the instants of the snapshots; beside a cursor, those of the first page or None
    cursor : the `next_cursor` of the page before; None for the first page

    Raises
    ------
    RangeError : a bound lies outside of its limits, or a range begins above its end
    CursorError : the cursor is damaged, or of another search

    """
    if cursor is None:
        return SearchStart(UserFilter.of(parameters), as_of, since)
    page = decode_cursor(cursor)
    first = page.user_filter.parameters | {"as_of": page.as_of, "since": page.since}
    instants = {name: at for name, at in (("as_of", as_of), ("since", since)) if at is not None}
    other = [name for name, value in parameters.items() if value != first[name]]
    other += [name for name, at in instants.items() if not _names(at, first[name])]
    if other:
        raise CursorError(
            f"the cursor belongs to a search with another {' and '.join(other)}: repeat the parameters of the first "
            "page, or omit them beside a cursor."
        )
    return SearchStart(page.user_filter, page.as_of, page.since, page.model_version, page.last)


def _names(at: datetime, of_page: datetime | None) -> bool:
    """Return whether a parameter names the instant of the first page's snapshot: itself, or the day it lies in."""
    return of_page is not None and (at == of_page or begins_day_of(at, of_page))


def _none_if_nan(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value)
