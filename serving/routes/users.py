"""One user's score, its explanation, its history and its change; an id is opaque and percent-encoded in the path."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import TypeAdapter

from serving.access.guard import READ, REVIEW
from serving.problems import problems
from serving.reviewing.changes import Change
from serving.reviewing.changes import change as change_of
from serving.reviewing.history import History
from serving.reviewing.history import history as history_of
from serving.routes.by_id import ByIdRoute
from serving.routes.examples import CHANGE, EXPLANATION, HISTORY, SCORE, answered
from serving.routes.forms import UserScore
from serving.routes.in_time import InTimeRoute
from serving.routes.quick_json import as_it_is
from serving.routes.state import GivenEnd, GivenScope, GivenService, GivenSince, GivenSnapshot, GivenStart, GivenUntil
from serving.snapshots.explanations import Explanation

PLACE: dict[str, Any] = {
    "prefix": "/v1/users",
    "tags": ["users"],
    "responses": problems(404, 422, 503, hidden_user=410),
}
by_id = APIRouter(**PLACE, route_class=ByIdRoute)
router = APIRouter(**PLACE, route_class=InTimeRoute)
EXPLAINED = TypeAdapter(Explanation)
User = Annotated[str, Path(description="The id, percent-encoded, slashes included", examples=["ann"])]


# Computed here: threads that compute take turns, and a turn costs more than such an answer.
@by_id.get("/{user:id}/score", response_model=UserScore, dependencies=[READ], responses=answered(SCORE))
async def score(user: User, snapshot: GivenSnapshot, scope: GivenScope = "all") -> Response:
    """Return a user's score with its interval, its place among all users and among peers, and how much is known."""
    return as_it_is(UserScore.model_validate(snapshot.score(user, scope)).model_dump_json().encode())


@by_id.get(
    "/{user:id}/explanation",
    response_model=Explanation,
    dependencies=[REVIEW],
    responses=answered(EXPLANATION),
)
async def explanation(user: User, snapshot: GivenSnapshot, scope: GivenScope = "all") -> Response:
    """Return the ledger of a user's score: `base + sum(points) = unclipped`, with a sentence for each line."""
    return as_it_is(EXPLAINED.dump_json(snapshot.explain(user, scope)))


@router.get("/{user:id}/history", dependencies=[READ], responses=answered(HISTORY))
def history(
    user: User, service: GivenService, start: GivenSince, end: GivenUntil, scope: GivenScope = "all"
) -> History:
    """Return a user's scores over the snapshots that are kept, oldest first, each with the model version it is by.

    Of an instant with snapshots by several versions, the newest version's counts. One answer reads the newest 100
    instants within the bounds; `earlier` says where to go on.
    """
    return history_of(service.home, user, scope, start, end)


@router.get("/{user:id}/change", dependencies=[REVIEW], responses=answered(CHANGE))
def change(user: User, service: GivenService, start: GivenStart, end: GivenEnd, scope: GivenScope = "all") -> Change:
    """Return the ledger of a change: `before.score + sum(points) = after.score`, with a sentence for each line."""
    before, after = service.pair(start, end)
    return change_of(before, after, user, scope)
