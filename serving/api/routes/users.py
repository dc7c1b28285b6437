"""One user's score, its explanation, its history and its change; an id is opaque and percent-encoded in the path.

What would change a user's score.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import TypeAdapter

from serving.api.dependencies import (
    READ,
    REVIEW,
    AsOfQuery,
    EndQuery,
    ScopeQuery,
    ServiceDependency,
    SinceQuery,
    SnapshotDependency,
    StartQuery,
    UntilQuery,
)
from serving.api.examples import CHANGE, EXPLANATION, HISTORY, SCORE, WHAT_IF, answered
from serving.api.fast_routes import ByIdRoute, TimeoutRoute, json_response
from serving.api.problems import problems
from serving.api.schemas import Text, UserScore
from serving.review.history import History
from serving.review.history import history as history_of
from serving.review.score_change import Change
from serving.review.score_change import change as change_of
from serving.review.what_if import WhatIf, changed, proposed, settings
from serving.snapshots.explanation import Explanation

PLACE: dict[str, Any] = {
    "prefix": "/v1/users",
    "tags": ["users"],
    "responses": problems(404, 422, 503, hidden_user=410),
}
by_id = APIRouter(**PLACE, route_class=ByIdRoute)
router = APIRouter(**PLACE, route_class=TimeoutRoute)
EXPLAINED = TypeAdapter(Explanation)
User = Annotated[str, Path(description="The id, percent-encoded, slashes included", examples=["ann"])]


# Computed here: threads that compute take turns, and a turn costs more than such an answer.
@by_id.get("/{user:id}/score", response_model=UserScore, dependencies=[READ], responses=answered(SCORE))
async def score(user: User, snapshot: SnapshotDependency, scope: ScopeQuery = "all") -> Response:
    """Return a user's score with its interval, its place among all users and among peers, and how much is known."""
    return json_response(UserScore.model_validate(snapshot.score(user, scope)).model_dump_json().encode())


@by_id.get(
    "/{user:id}/explanation",
    response_model=Explanation,
    dependencies=[REVIEW],
    responses=answered(EXPLANATION),
)
async def explanation(user: User, snapshot: SnapshotDependency, scope: ScopeQuery = "all") -> Response:
    """Return the ledger of a user's score: `base + sum(points) = unclipped`, with a sentence for each line."""
    return json_response(EXPLAINED.dump_json(snapshot.explain(user, scope)))


@router.get("/{user:id}/history", dependencies=[READ], responses=answered(HISTORY))
def history(
    user: User, service: ServiceDependency, start: SinceQuery, end: UntilQuery, scope: ScopeQuery = "all"
) -> History:
    """Return a user's scores over the snapshots that are kept, oldest first, each with the model version it is by.

    Of an instant with snapshots by several versions, the newest version's counts. One answer reads the newest 100
    instants within the bounds; `earlier` says where to go on.
    """
    return history_of(service.home, user, scope, start, end)


@router.get("/{user:id}/change", dependencies=[REVIEW], responses=answered(CHANGE))
def change(
    user: User, service: ServiceDependency, start: StartQuery, end: EndQuery, scope: ScopeQuery = "all"
) -> Change:
    """Return the ledger of a change: `before.score + sum(points) = after.score`, with a sentence for each line."""
    before, after = service.pair(start, end)
    return change_of(before, after, user, scope)


what_if_router = APIRouter(
    prefix="/v1/users",
    tags=["users"],
    responses=problems(404, 422, 503, hidden_user=410),
    route_class=TimeoutRoute,
)
MOST_SET = 50
Set = Annotated[
    list[Text] | None,
    Query(
        alias="set", max_length=MOST_SET, description="feature=value, may be given again", examples=[["days_absent=0"]]
    ),
]
AwayDays = Annotated[
    int | None, Query(description="Days of doing nothing from the snapshot on, 1 to 365", examples=[14])
]


@what_if_router.get("/{user:id}/what-if", dependencies=[REVIEW], responses=answered(WHAT_IF))
def what_if(
    user: User,
    service: ServiceDependency,
    as_of: AsOfQuery,
    scope: ScopeQuery = "all",
    given: Set = None,
    away_days: AwayDays = None,
) -> WhatIf:
    """Return where people stand who differ: an association found among people, no promise.

    Without `set` and `away_days`: what is in the person's own hands and raises the score by half a point or more,
    within what peers show, the smallest change first, and the least that would do so in others' hands. With them: that
    change.
    """
    snapshot = service.snapshot(as_of)
    if not given and away_days is None:
        return proposed(snapshot, user, scope)
    return changed(snapshot, user, scope, settings(given or []), away_days)
