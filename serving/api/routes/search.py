"""Search: users by scope, score and percentile, in pages."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from features.utc import to_iso_utc
from serving.api.dependencies import READ, AsOfQuery, ServiceDependency
from serving.api.examples import CURSOR, PAGE, success
from serving.api.fast_routes import TimeoutRoute
from serving.api.problems import problems
from serving.api.schemas import UserPage, UserScore
from serving.middleware.request_context import record_users
from serving.runtime.state import ServiceState
from serving.snapshots.explanation import ScoreRow
from serving.snapshots.search import Cursor, CursorError, PageToken, SearchQuery, decode_cursor, encode_cursor, search
from serving.snapshots.snapshot import Snapshot

router = APIRouter(prefix="/v1", tags=["users"], route_class=TimeoutRoute)
MAX_PER_PAGE = 1_000
DEFAULT_PER_PAGE = 100


def _bound(description: str, example: float) -> object:
    return Query(ge=0, le=100, description=description, examples=[example])


async def _bounds(
    scope: Annotated[
        str | None,
        Query(description="A part of the activity: all, network:NAME or topic:NAME; default all", examples=["all"]),
    ] = None,
    min_score: Annotated[float | None, _bound("The least score, in points, included", 40)] = None,
    max_score: Annotated[float | None, _bound("The largest score, in points, included", 90)] = None,
    min_percentile: Annotated[float | None, _bound("The least percentile in the scope, included", 50)] = None,
    max_percentile: Annotated[float | None, _bound("The largest percentile in the scope, included", 100)] = None,
) -> dict[str, str | float]:
    bounds = {
        "scope": scope,
        "min_score": min_score,
        "max_score": max_score,
        "min_percentile": min_percentile,
        "max_percentile": max_percentile,
    }
    return {name: value for name, value in bounds.items() if value is not None}


BoundsQuery = Annotated[dict[str, Any], Depends(_bounds)]
CursorQuery = Annotated[
    str | None,
    Query(
        description="The `next_cursor` of the previous page; continues in the same snapshot, with the same bounds",
        examples=[CURSOR],
    ),
]
LimitQuery = Annotated[
    int, Query(ge=1, le=MAX_PER_PAGE, description="How many users a page holds at most", examples=[DEFAULT_PER_PAGE])
]


@router.get(
    "/users",
    operation_id="search_users",
    dependencies=[READ],
    responses=success(PAGE) | problems(422, 503, absent_snapshot=404),
)
def users(
    request: Request,
    service: ServiceDependency,
    as_of: AsOfQuery,
    bounds: BoundsQuery,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_PER_PAGE,
) -> UserPage:
    """Return users by score, highest first, then by id, and a cursor to the next page.

    A cursor stays with the snapshot of the first page even if a newer one appears, and returns every user once. Beside
    a cursor, omit the bounds or repeat them; `limit` may change. A cursor whose snapshot was deleted gets a 404.
    """
    snapshot, query, token = _start(service, as_of, bounds, cursor)
    page = search(snapshot, query, limit, token)
    record_users(request.scope, (score["user"] for score in page.scores))
    return UserPage(
        as_of=to_iso_utc(snapshot.as_of),
        model_version=snapshot.model_version,
        scope=query.scope,
        matching=page.matching,
        users=[UserScore.of(score) for score in page.scores],
        next_cursor=_next(snapshot, query, page.scores[-1]) if page.more else None,
    )


def _start(
    service: ServiceState, as_of: datetime | None, bounds: dict[str, Any], cursor: str | None
) -> tuple[Snapshot, SearchQuery, PageToken | None]:
    """Return the snapshot to search, the query, and where the page starts.

    Raises
    ------
    CursorError : the cursor belongs to a search with other bounds

    """
    if cursor is None:
        query = SearchQuery(**bounds)
        return service.snapshot(as_of), query, None
    start = decode_cursor(cursor)
    first = asdict(start.query) | {"as_of": start.as_of}
    repeated = bounds | ({"as_of": as_of} if as_of is not None else {})
    other = [name for name, value in repeated.items() if value != first[name]]
    if other:
        raise CursorError(
            f"the cursor belongs to a search with another {' and '.join(other)}: repeat the parameters of the first "
            "page, or omit them beside a cursor."
        )
    return service.pinned(start.as_of, start.model_version), start.query, start.last


def _next(snapshot: Snapshot, query: SearchQuery, last: ScoreRow) -> str:
    return encode_cursor(Cursor(snapshot.as_of, snapshot.model_version, query, PageToken(last["score"], last["user"])))
