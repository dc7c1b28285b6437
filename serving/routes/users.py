"""One user's score, its explanation, its history and its change; an id is opaque and percent-encoded in the path."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool

from serving.access.guard import READ, REVIEW
from serving.problems import problems
from serving.reviewing.changes import Change
from serving.reviewing.changes import change as change_of
from serving.reviewing.history import History
from serving.reviewing.history import history as history_of
from serving.routes.examples import CHANGE, EXPLANATION, HISTORY, SCORE, answered
from serving.routes.forms import UserScore
from serving.routes.state import GivenAsOf, GivenEnd, GivenScope, GivenService, GivenSince, GivenStart, GivenUntil
from serving.snapshots.explanations import Explanation

router = APIRouter(prefix="/v1/users", tags=["users"], responses=problems(404, 422, 503))
User = Annotated[str, Path(description="The id, percent-encoded, slashes included", examples=["ann"])]


@router.get("/{user:path}/score", response_model=UserScore, dependencies=[READ], responses=answered(SCORE))
async def score(user: User, service: GivenService, as_of: GivenAsOf, scope: GivenScope = "all") -> dict:
    """Return a user's score with its interval, its place among all users and among peers, and how much is known."""
    # What is in memory takes less time than to hand it to another thread; an older snapshot has to be opened first.
    snapshot = service.snapshot() if as_of is None else await run_in_threadpool(service.snapshot, as_of)
    return snapshot.score(user, scope)


@router.get("/{user:path}/explanation", dependencies=[REVIEW], responses=answered(EXPLANATION))
def explanation(user: User, service: GivenService, as_of: GivenAsOf, scope: GivenScope = "all") -> Explanation:
    """Return the ledger of a user's score: `base + sum(points) = unclipped`, with a sentence for each line."""
    return service.snapshot(as_of).explain(user, scope)


@router.get("/{user:path}/history", dependencies=[READ], responses=answered(HISTORY))
def history(
    user: User, service: GivenService, start: GivenSince, end: GivenUntil, scope: GivenScope = "all"
) -> History:
    """Return a user's scores over the snapshots that are kept, oldest first, each with the model version it is by.

    Of an instant with snapshots by several versions, the newest version's counts. One answer reads the newest 100
    instants within the bounds; `earlier` says where to go on.
    """
    return history_of(service.home, user, scope, start, end)


@router.get("/{user:path}/change", dependencies=[REVIEW], responses=answered(CHANGE))
def change(user: User, service: GivenService, start: GivenStart, end: GivenEnd, scope: GivenScope = "all") -> Change:
    """Return the ledger of a change: `before.score + sum(points) = after.score`, with a sentence for each line."""
    before, after = service.pair(start, end)
    return change_of(before, after, user, scope)
