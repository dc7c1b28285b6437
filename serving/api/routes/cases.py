"""Routes for contesting a score: open, read, list and resolve cases."""

import re
from dataclasses import asdict
from typing import Annotated, TypeVar

from fastapi import APIRouter, Body, Depends, Path, Query, Request

from serving.api.dependencies import READ, REVIEW, ServiceDependency, read_instant
from serving.api.examples import CASE_FILE, CASE_PAGE, CONTEST, LISTED, OPENED, OUTCOME, RESOLUTION, success
from serving.api.fast_routes import TimeoutRoute
from serving.api.problems import problems
from serving.api.routes.users import User
from serving.api.schemas import (
    CaseFile,
    CaseOutcome,
    CasePage,
    Contest,
    ListedCase,
    ListedState,
    OpenedCase,
    Resolution,
    Schema,
)
from serving.middleware.api_keys import Key
from serving.middleware.request_context import ANYBODY, CALLER, record_users
from serving.privacy.case_comparison import check_decision, compare_case
from serving.privacy.cases import EXAMPLE_CASE, Case, Cases, UnknownCaseError
from serving.snapshots.cursor import CursorError

T = TypeVar("T", bound=Schema)
router = APIRouter(prefix="/v1", tags=["rights"], route_class=TimeoutRoute)
CURSOR = re.compile(r"after-([1-9][0-9]{0,8})")
NO_CASE = problems(422, unknown_case=404, no_records=503)


async def _cases(request: Request) -> Cases:
    cases: Cases = request.app.state.cases
    return cases


async def _caller(request: Request) -> str:
    caller: Key = request.scope.get(CALLER, ANYBODY)
    return caller.name


CasesDependency = Annotated[Cases, Depends(_cases)]
CallerName = Annotated[str, Depends(_caller)]
CaseParameter = Annotated[str, Path(description="Id of the case", examples=[EXAMPLE_CASE])]
CursorQuery = Annotated[str | None, Query(description="The `next_cursor` of the previous page", examples=["after-100"])]
LimitQuery = Annotated[int, Query(ge=1, le=1_000, description="Maximum number of cases per page", examples=[100])]


@router.post(
    "/users/{user:id}/cases",
    operation_id="open_case",
    status_code=201,
    dependencies=[READ],
    responses=success(OPENED, 201) | problems(404, 422, 503, too_many_cases=409, hidden_user=410),
)
def contest(
    user: User,
    request: Annotated[Contest, Body(openapi_examples=CONTEST)],
    service: ServiceDependency,
    cases: CasesDependency,
    by: CallerName,
) -> OpenedCase:
    """Open a case about a user's score, and store its present explanation in it.

    A key with scope `read` suffices, because users contest through a service that shows scores. Ten cases of one user
    may be open at the same time.
    """
    explanation = service.snapshot(read_instant(request.as_of)).explain(user, request.scope)
    return _as(OpenedCase, cases.open(explanation, request.message, by))


@router.get(
    "/users/{user:id}/cases/{case}",
    operation_id="get_case_outcome",
    dependencies=[READ],
    responses=success(OUTCOME) | NO_CASE,
)
def outcome(user: User, case: CaseParameter, cases: CasesDependency) -> CaseOutcome:
    """Return a user's case; with the decision and its reasons once it is resolved."""
    contested = cases.find(case)
    if contested.user != user:
        raise UnknownCaseError(f"case {case[:100]!r} of {user!r} does not exist.")
    return _as(CaseOutcome, contested)


@router.get(
    "/cases",
    operation_id="list_cases",
    dependencies=[REVIEW],
    responses=success(CASE_PAGE) | problems(422, no_records=503),
)
def listed(
    request: Request,
    cases: CasesDependency,
    state: Annotated[ListedState, Query(description="State of the cases", examples=["open"])] = "open",
    user: Annotated[str | None, Query(description="Only cases of this user", examples=["ann"])] = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = 100,
) -> CasePage:
    """Return cases, oldest first, and a cursor to the next page; new cases do not shift the pages."""
    matches = cases.page(None if state == "any" else state, user, _after(cursor), limit + 1)
    page = matches[:limit]
    record_users(request.scope, [case.user for case in page] + ([] if user is None else [user]))
    next_cursor = f"after-{page[-1].number}" if len(matches) > limit else None
    return CasePage(cases=[_as(ListedCase, case) for case in page], next_cursor=next_cursor)


@router.get("/cases/{case}", operation_id="get_case", dependencies=[REVIEW], responses=success(CASE_FILE) | NO_CASE)
def case_file(request: Request, case: CaseParameter, service: ServiceDependency, cases: CasesDependency) -> CaseFile:
    """Return a case, its stored explanation beside today's, and the user's other cases."""
    contested = cases.find(case)
    record_users(request.scope, [contested.user])
    return CaseFile(
        case=_as(ListedCase, contested),
        explanation=contested.explanation,
        today=compare_case(contested, service.snapshot),
        others=[other.case for other in cases.page(None, contested.user) if other.case != case],
    )


@router.post(
    "/cases/{case}/resolution",
    operation_id="resolve_case",
    dependencies=[REVIEW],
    responses=success(LISTED) | problems(422, unknown_case=404, resolved_case=409, no_records=503),
)
def resolve(
    request: Request,
    case: CaseParameter,
    resolution: Annotated[Resolution, Body(openapi_examples=RESOLUTION)],
    service: ServiceDependency,
    cases: CasesDependency,
    by: CallerName,
) -> ListedCase:
    """Resolve an open case, in the name of the API key; a resolved case cannot be reopened.

    `corrected` is refused as long as the served score is the contested one: score again first.
    """
    contested = cases.find(case)
    record_users(request.scope, [contested.user])
    check_decision(contested, resolution.decision, service.snapshot)
    return _as(ListedCase, cases.resolve(case, resolution.decision, resolution.reasons, by))


def _as(schema: type[T], case: Case) -> T:
    """Convert a case to a schema that has a subset of its fields."""
    values = asdict(case)
    return schema(**{name: values[name] for name in schema.model_fields})


def _after(cursor: str | None) -> int:
    if cursor is None:
        return 0
    match = CURSOR.fullmatch(cursor)
    if match is None:
        raise CursorError("the cursor is damaged: expected the next_cursor of an earlier page of cases.")
    return int(match[1])
