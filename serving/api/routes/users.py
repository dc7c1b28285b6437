"""One user: score, explanation, history, change and what-if; ids are opaque and percent-encoded in the path."""

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
from serving.api.examples import CHANGE, EXPLANATION, HISTORY, SCORE, WHAT_IF, success
from serving.api.fast_routes import ByIdRoute, TimeoutRoute, json_response
from serving.api.problems import problems
from serving.api.schemas import Text, UserScore
from serving.review.history import History
from serving.review.history import history as history_of
from serving.review.score_change import ScoreChange
from serving.review.score_change import change as change_of
from serving.review.what_if import WhatIf, parse_changes, simulate_change, suggest_changes
from serving.snapshots.explanation import Explanation

USERS: dict[str, Any] = {
    "prefix": "/v1/users",
    "tags": ["users"],
    "responses": problems(404, 422, 503, hidden_user=410),
}
by_id = APIRouter(**USERS, route_class=ByIdRoute)
router = APIRouter(**USERS, route_class=TimeoutRoute)
EXPLANATION_JSON = TypeAdapter(Explanation)
MAX_SET = 50
SetQuery = Annotated[
    list[Text] | None,
    Query(alias="set", max_length=MAX_SET, description="feature=value; repeatable", examples=[["days_of_absence=0"]]),
]
AwayDaysQuery = Annotated[
    int | None, Query(description="Days without any event of the user after the snapshot, 1 to 365", examples=[14])
]
User = Annotated[str, Path(description="The id, percent-encoded, slashes included", examples=["ann"])]


# Computed on the event loop: a switch to another thread costs more than the answer.
@by_id.get(
    "/{user:id}/score",
    operation_id="get_score",
    response_model=UserScore,
    dependencies=[READ],
    responses=success(SCORE),
)
async def score(user: User, snapshot: SnapshotDependency, scope: ScopeQuery = "all") -> Response:
    """Return a user's score with its interval, its percentile among all users and among peers, and its evidence."""
    return json_response(UserScore.of(snapshot.score(user, scope)).model_dump_json().encode())


@by_id.get(
    "/{user:id}/explanation",
    operation_id="get_explanation",
    response_model=Explanation,
    dependencies=[REVIEW],
    responses=success(EXPLANATION),
)
async def explanation(user: User, snapshot: SnapshotDependency, scope: ScopeQuery = "all") -> Response:
    """Return the ledger of a user's score: `base + sum(points) = unclipped`, with a sentence for each line."""
    return json_response(EXPLANATION_JSON.dump_json(snapshot.explain(user, scope)))


@router.get("/{user:id}/history", operation_id="get_history", dependencies=[READ], responses=success(HISTORY))
def history(
    user: User, service: ServiceDependency, start: SinceQuery, end: UntilQuery, scope: ScopeQuery = "all"
) -> History:
    """Return a user's scores in all stored snapshots, oldest first, each with its model version.

    Of several snapshots at one instant, the champion's counts, else that of the newest version. One response covers the
    newest 100 instants within the bounds; `earlier` says where to continue.
    """
    return history_of(service.home, user, scope, start, end, service.champion_version)


@router.get("/{user:id}/change", operation_id="get_change", dependencies=[REVIEW], responses=success(CHANGE))
def change(
    user: User, service: ServiceDependency, start: StartQuery, end: EndQuery, scope: ScopeQuery = "all"
) -> ScoreChange:
    """Return the ledger of a change: `before.score + sum(points) = after.score`, with a sentence for each line."""
    before, after = service.pair(start, end)
    return change_of(before, after, user, scope)


@router.get("/{user:id}/what-if", operation_id="get_what_if", dependencies=[REVIEW], responses=success(WHAT_IF))
def what_if(
    user: User,
    service: ServiceDependency,
    as_of: AsOfQuery,
    scope: ScopeQuery = "all",
    changes: SetQuery = None,
    away_days: AwayDaysQuery = None,
) -> WhatIf:
    """Return the score of a user whose features differ: an association, not a promise.

    Without `set` and `away_days`: the changes in the user's own hands that raise the score by half a point or more,
    within the range of peers, smallest first, and the least change in others' hands that does. With them: that change.
    """
    snapshot = service.snapshot(as_of)
    if not changes and away_days is None:
        return suggest_changes(snapshot, user, scope)
    return simulate_change(snapshot, user, scope, parse_changes(changes or []), away_days)
