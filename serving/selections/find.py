"""Find influential users: a page of a search, with growth since an earlier snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

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


def cursor_of(text: str, repeated: Mapping[str, Any]) -> Cursor:
    """Decode a cursor, and check that repeated parameters of its search are those of the first page.

    Parameters
    ----------
    text : the `next_cursor` of the page before
    repeated : parameters of `UserFilter.of`, as_of and since

    Raises
    ------
    CursorError : the cursor is damaged, or of another search

    """
    cursor = decode_cursor(text)
    first = cursor.user_filter.parameters | {"as_of": cursor.as_of, "since": cursor.since}
    other = [name for name, value in repeated.items() if value != first[name]]
    if other:
        raise CursorError(
            f"the cursor belongs to a search with another {' and '.join(other)}: repeat the parameters of the first "
            "page, or omit them beside a cursor."
        )
    return cursor


def _none_if_nan(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value)
