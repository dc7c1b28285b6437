"""Users by scope, score and percentile, page by page."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from features.utc import to_iso_utc
from serving.api.dependencies import READ, AsOfQuery, ServiceDependency
from serving.api.examples import CURSOR, PAGE, answered
from serving.api.fast_routes import TimeoutRoute
from serving.api.problems import problems
from serving.api.schemas import UserPage, UserScore
from serving.middleware.request_context import record_users
from serving.runtime.state import ServiceState
from serving.snapshots.ranking import PageToken, SearchQuery
from serving.snapshots.search import Cursor, CursorError, decode_cursor, encode_cursor, search
from serving.snapshots.snapshot import Snapshot

router = APIRouter(prefix="/v1", tags=["users"], route_class=TimeoutRoute)
MOST_PER_PAGE = 1_000
PER_PAGE = 100


def _bound(which: str, example: float) -> object:
    return Query(ge=0, le=100, description=which, examples=[example])


async def _given(
    scope: Annotated[
        str | None,
        Query(
            description="A part of the activity: all, network:NAME or topic:NAME; all unless given", examples=["all"]
        ),
    ] = None,
    min_score: Annotated[float | None, _bound("The least score, in points, included", 40)] = None,
    max_score: Annotated[float | None, _bound("The largest score, in points, included", 90)] = None,
    min_percentile: Annotated[float | None, _bound("The least percentile in the scope, included", 50)] = None,
    max_percentile: Annotated[float | None, _bound("The largest percentile in the scope, included", 100)] = None,
) -> dict[str, str | float]:
    given = {
        "scope": scope,
        "min_score": min_score,
        "max_score": max_score,
        "min_percentile": min_percentile,
        "max_percentile": max_percentile,
    }
    return {name: value for name, value in given.items() if value is not None}


GivenWanted = Annotated[dict[str, str | float], Depends(_given)]
GivenCursor = Annotated[
    str | None,
    Query(
        description="The `next_cursor` of the page before: it goes on in the same snapshot, with the same bounds",
        examples=[CURSOR],
    ),
]
GivenLimit = Annotated[
    int, Query(ge=1, le=MOST_PER_PAGE, description="How many users a page holds at most", examples=[PER_PAGE])
]


@router.get("/users", dependencies=[READ], responses=answered(PAGE) | problems(422, 503, absent_snapshot=404))
def users(
    request: Request,
    service: ServiceDependency,
    as_of: AsOfQuery,
    given: GivenWanted,
    cursor: GivenCursor = None,
    limit: GivenLimit = PER_PAGE,
) -> UserPage:
    """Return users by score, highest first, then by id, and a cursor to the next page.

    A cursor keeps to the snapshot of the first page, whatever is scored meanwhile, and gives every user once. With one,
    leave the bounds out or repeat them; `limit` may change. Once its snapshot is no longer kept it is answered by 404.
    """
    snapshot, wanted, last = _place(service, as_of, given, cursor)
    found = search(snapshot, wanted, limit, last)
    record_users(request.scope, (each["user"] for each in found.scores))
    return UserPage(
        as_of=to_iso_utc(snapshot.as_of),
        model_version=snapshot.model_version,
        scope=wanted.scope,
        matching=found.matching,
        users=[UserScore(**each) for each in found.scores],
        next_cursor=_next(snapshot, wanted, found.scores[-1]) if found.more else None,
    )


def _place(
    service: ServiceState, as_of: datetime | None, given: dict, cursor: str | None
) -> tuple[Snapshot, SearchQuery, PageToken | None]:
    """Return the snapshot to search, whom to look for, and who was told last."""
    if cursor is None:
        wanted = SearchQuery(**given)
        return service.snapshot(as_of), wanted, None
    place = decode_cursor(cursor)
    held = asdict(place.wanted) | {"as_of": place.as_of}
    asked = given | ({"as_of": as_of} if as_of is not None else {})
    other = [name for name, value in asked.items() if value != held[name]]
    if other:
        raise CursorError(
            f"the cursor is of a search with another {' and '.join(other)}: repeat what the first page was asked, or "
            "leave it out beside a cursor."
        )
    return service.pinned(place.as_of, place.model_version), place.wanted, place.last


def _next(snapshot: Snapshot, wanted: SearchQuery, last: dict) -> str:
    return encode_cursor(Cursor(snapshot.as_of, snapshot.model_version, wanted, PageToken(last["score"], last["user"])))
