"""Search: pages of the users of a snapshot within bounds, by score."""

from dataclasses import dataclass

from serving.snapshots.explanation import ScoreRow
from serving.snapshots.query import PageToken, SearchQuery
from serving.snapshots.snapshot import Snapshot


@dataclass(frozen=True)
class SearchPage:
    """One page: its scores, how many users match on all pages, and whether another page follows."""

    matching: int
    scores: list[ScoreRow]
    more: bool


def search(snapshot: Snapshot, query: SearchQuery, limit: int, last: PageToken | None = None) -> SearchPage:
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
