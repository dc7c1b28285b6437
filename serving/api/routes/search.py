"""Search: users by scope, score, growth, evidence and credibility, in pages."""

from datetime import datetime
from math import isinf
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request

from features.utc import to_iso_utc
from serving.api.dependencies import READ, AsOfQuery, ServiceDependency, instant_query
from serving.api.examples import CURSOR, PAGE, success
from serving.api.fast_routes import TimeoutRoute
from serving.api.problems import problems
from serving.api.schemas import FoundUser, Text, UserPage, UserScore
from serving.middleware.request_context import record_users
from serving.selections.candidates import scope_of
from serving.selections.find import find_users, start_search
from serving.snapshots.query import LIMITS

router = APIRouter(prefix="/v1", tags=["users"], route_class=TimeoutRoute)
MAX_PER_PAGE = 1_000
DEFAULT_PER_PAGE = 100


def _bound(name: str, description: str, example: float) -> Any:
    """Return the parameter of a bound; `name` is one of `LIMITS`."""
    low, high = (None if isinf(limit) else limit for limit in LIMITS[name])
    return Query(ge=low, le=high, allow_inf_nan=False, description=description, examples=[example])


async def _parameters(
    scope: Annotated[
        str | None,
        Query(description="A part of the activity: all, network:NAME or topic:NAME; default all", examples=["all"]),
    ] = None,
    topic: Annotated[Text | None, Query(description="Short for scope=topic:NAME", examples=["birds"])] = None,
    network: Annotated[Text | None, Query(description="Short for scope=network:NAME", examples=["forum"])] = None,
    contains: Annotated[Text | None, Query(description="A part of the id, in any case", examples=["ann"])] = None,
    evidence: Annotated[
        Literal["some", "strong"] | None,
        Query(description="The lowest evidence: some is enough for a score", examples=["some"]),
    ] = None,
    min_score: Annotated[float | None, _bound("score", "The lowest score, in points, inclusive", 40)] = None,
    max_score: Annotated[float | None, _bound("score", "The highest score, in points, inclusive", 90)] = None,
    min_percentile: Annotated[
        float | None, _bound("percentile", "The lowest percentile in the scope, inclusive", 50)
    ] = None,
    max_percentile: Annotated[
        float | None, _bound("percentile", "The highest percentile in the scope, inclusive", 100)
    ] = None,
    min_peer_percentile: Annotated[
        float | None, _bound("peer_percentile", "The lowest percentile among peers, inclusive", 50)
    ] = None,
    min_growth: Annotated[
        float | None, _bound("growth", "The lowest growth since the earlier snapshot, in points", 2)
    ] = None,
    max_growth: Annotated[float | None, _bound("growth", "The highest growth, in points", 20)] = None,
    min_people: Annotated[
        float | None,
        _bound("people", "The lowest number of people who engaged in the last 365 days; peers have about as many", 31),
    ] = None,
    max_people: Annotated[
        float | None, _bound("people", "The highest number of people who engaged in these days", 62)
    ] = None,
    min_credibility: Annotated[
        float | None,
        _bound("credibility", "The lowest share of these people whom established ones vouch for, in percent", 80),
    ] = None,
    sort: Annotated[
        Literal["score", "growth", "expected_audience", "peer_percentile"] | None,
        Query(description="What comes first: the highest of this; default score", examples=["score"]),
    ] = None,
) -> dict[str, Any]:
    of_scope = topic is not None or network is not None
    values = {
        "scope": scope_of(topic, network, scope or "all") if of_scope else scope,
        "contains": contains,
        "evidence": evidence,
        "min_score": min_score,
        "max_score": max_score,
        "min_percentile": min_percentile,
        "max_percentile": max_percentile,
        "min_peer_percentile": min_peer_percentile,
        "min_growth": min_growth,
        "max_growth": max_growth,
        "min_people": min_people,
        "max_people": max_people,
        "min_credibility": min_credibility,
        "sort": sort,
    }
    return {name: value for name, value in values.items() if value is not None}


ParametersQuery = Annotated[dict[str, Any], Depends(_parameters)]
EarlierQuery = Annotated[
    datetime | None,
    Depends(
        instant_query(
            "since",
            "Also the growth since the snapshot of this instant, ISO 8601; default for growth the one before",
            "2017-07-02T00:00:00Z",
        )
    ),
]
CursorQuery = Annotated[
    str | None,
    Query(
        description="The `next_cursor` of the previous page; continues in the same snapshot, with the same parameters",
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
    since: EarlierQuery,
    parameters: ParametersQuery,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_PER_PAGE,
) -> UserPage:
    """Return users by score or another value, highest first, then by id, and a cursor to the next page.

    A cursor stays with the snapshot of the first page even if a newer one appears, and returns every user once. Beside
    a cursor, omit the other parameters or repeat them; `limit` may change. A cursor whose snapshot was deleted gets a
    404.
    """
    start = start_search(parameters, as_of, since, cursor)
    snapshot = service.snapshot(start.as_of, start.model_version)
    before = service.pair(start.since, snapshot.as_of)[0] if start.needs_earlier else None
    page = find_users(snapshot, start.user_filter, limit, start.last, before)
    record_users(request.scope, (user.score["user"] for user in page.users))
    return UserPage(
        as_of=to_iso_utc(snapshot.as_of),
        model_version=snapshot.model_version,
        scope=start.user_filter.bounds.scope,
        since=None if before is None else to_iso_utc(before.as_of),
        matching=page.matching,
        users=[
            FoundUser(
                **dict(UserScore.of(user.score)),
                growth=user.growth,
                people=user.people,
                credibility=user.credibility,
            )
            for user in page.users
        ],
        next_cursor=page.next_cursor,
    )
