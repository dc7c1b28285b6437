"""Selections: the users who together are expected to reach the most people."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.concurrency import run_in_threadpool

from serving.api.dependencies import READ, snapshot_at
from serving.api.examples import SELECTION, SELECTION_REQUESTS, success
from serving.api.fast_routes import TimeoutRoute
from serving.api.problems import problems
from serving.api.selection_schemas import GroupSelection, SelectionBody
from serving.middleware.request_context import record_users
from serving.selections.candidates import snapshot_candidates
from serving.selections.select import Selection, SelectionRequest, select
from serving.snapshots.snapshot import Snapshot

router = APIRouter(prefix="/v1", tags=["users"], route_class=TimeoutRoute)


@router.post(
    "/selections",
    operation_id="select_users",
    dependencies=[READ],
    responses=success(SELECTION) | problems(422, 503, unknown_scope=404),
)
async def selections(
    body: Annotated[SelectionBody, Body(openapi_examples=SELECTION_REQUESTS)],
    request: Request,
) -> GroupSelection:
    """Select the k users who together are expected to reach the most different people in the next horizon.

    Who is reached by two of them counts once. The answer says how close the group is to the best possible one, what
    simpler groups would reach, and who is left out by which constraint. The same request gives the same group.
    """
    record_users(request.scope, [*body.include, *body.exclude, *(body.cost or {})])
    snapshot = await snapshot_at(request, body.as_of)
    selection = await run_in_threadpool(_select, snapshot, body)
    record_users(request.scope, selection.users)
    return GroupSelection.model_validate(asdict(selection))


def _select(snapshot: Snapshot, body: SelectionBody) -> Selection:
    request = SelectionRequest(
        k=body.k,
        count=body.count,
        include=tuple(body.include),
        exclude=tuple(body.exclude),
        cost=body.cost,
        budget=body.budget,
        max_per_network=body.max_per_network,
    )
    return select(snapshot_candidates(snapshot, body.scope), request)
