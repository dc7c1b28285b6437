"""Find influential users: a page of a search, with growth since an earlier snapshot."""

from dataclasses import dataclass
from datetime import datetime

from features.errors import ScopeError
from features.utc import to_iso_utc
from serving.snapshots.explanation import Evidence
from serving.snapshots.repository import open_earlier
from serving.snapshots.search import Cursor, CursorError, PageToken, SearchQuery, decode_cursor, encode_cursor, search
from serving.snapshots.snapshot import Snapshot
from training.home import Home


@dataclass(frozen=True)
class FoundUser:
    """A user of a page; `growth` in points, None where the user has no earlier score or none was requested."""

    user: str
    score: float
    percentile: float
    peer_percentile: float
    expected_audience: float
    low: int
    high: int
    evidence: Evidence
    growth: float | None = None


@dataclass(frozen=True)
class UserPage:
    """A page of users, highest score first; `matching` counts those of all pages."""

    as_of: str
    model_version: str
    scope: str
    since: str | None
    matching: int
    users: list[FoundUser]
    next_cursor: str | None


def find_users(
    home: Home,
    snapshot: Snapshot,
    query: SearchQuery,
    limit: int,
    cursor: str | None = None,
    since: datetime | None = None,
) -> UserPage:
    """Return a page of users that match a query.

    Parameters
    ----------
    home : where earlier snapshots are
    snapshot : whose scores are searched
    query : scope and bounds
    limit : how many users a page holds
    cursor : the `next_cursor` of the page before, of the same snapshot and query
    since : the instant of an earlier snapshot, for the growth

    Raises
    ------
    ScopeError : nobody has a score of the scope; says what to do
    CursorError : the cursor is damaged, or of another search
    SnapshotError, AsOfError : there is no earlier snapshot of that instant

    """
    last = None if cursor is None else _last(snapshot, query, cursor)
    earlier = None if since is None else open_earlier(home, snapshot, since)
    try:
        page = search(snapshot, query, limit, last)
    except ScopeError as error:
        raise ScopeError(f"{error} Score it first: clout score EVENTS --scope all --scope {query.scope}.") from error
    names = [row["user"] for row in page.scores]
    before = {} if earlier is None else earlier.scores_by_user(names, query.scope)
    columns = ("user", "score", "percentile", "peer_percentile", "expected_audience", "low", "high", "evidence")
    users = [
        FoundUser(
            **{name: row[name] for name in columns},  # type: ignore[literal-required]
            growth=row["score"] - before[row["user"]]["score"] if row["user"] in before else None,
        )
        for row in page.scores
    ]
    token = PageToken(users[-1].score, users[-1].user) if page.more else None
    return UserPage(
        as_of=to_iso_utc(snapshot.as_of),
        model_version=snapshot.model_version,
        scope=query.scope,
        since=None if earlier is None else to_iso_utc(earlier.as_of),
        matching=page.matching,
        users=users,
        next_cursor=None
        if token is None
        else encode_cursor(Cursor(snapshot.as_of, snapshot.model_version, query, token)),
    )


def _last(snapshot: Snapshot, query: SearchQuery, cursor: str) -> PageToken:
    start = decode_cursor(cursor)
    if (start.as_of, start.model_version, start.query) != (snapshot.as_of, snapshot.model_version, query):
        raise CursorError(
            "the cursor belongs to another search: repeat the options of the first page, and --as-of if there is a "
            "newer snapshot."
        )
    return start.last
