"""Contesting a score: a case is opened for the person, and resolved by a reviewer."""

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
from serving.middleware.request_context import ANYBODY, CALLER, record_users
from serving.privacy.case_comparison import compare_case
from serving.privacy.cases import CASE, Case, Cases, UnknownCaseError
from serving.snapshots.search import CursorError

T = TypeVar("T", bound=Schema)
router = APIRouter(prefix="/v1", tags=["rights"], route_class=TimeoutRoute)
CURSOR = re.compile(r"after-([1-9][0-9]{0,8})")
NO_CASE = problems(422, unknown_case=404, no_records=503)


async def _cases(request: Request) -> Cases:
    return request.app.state.cases


async def _caller(request: Request) -> str:
    return request.scope.get(CALLER, ANYBODY).name


GivenCases = Annotated[Cases, Depends(_cases)]
GivenCaller = Annotated[str, Depends(_caller)]
GivenCase = Annotated[str, Path(description="The id of the case", examples=[CASE])]
GivenCursor = Annotated[str | None, Query(description="The `next_cursor` of the page before", examples=["after-100"])]
GivenLimit = Annotated[int, Query(ge=1, le=1_000, description="How many cases a page holds at most", examples=[100])]


@router.post(
    "/users/{user:id}/cases",
    status_code=201,
    dependencies=[READ],
    responses=success(OPENED, 201) | problems(404, 422, 503, too_many_cases=409, hidden_user=410),
)
def contest(
    user: User,
    asked: Annotated[Contest, Body(openapi_examples=CONTEST)],
    service: ServiceDependency,
    cases: GivenCases,
    by: GivenCaller,
) -> OpenedCase:
    """Open a case about a score for the person it is of, and keep the explanation of this moment in it.

    A key for reading suffices: the person speaks through a service that shows scores. Ten cases of one person may be
    open at the same time.
    """
    told = service.snapshot(read_instant(asked.as_of)).explain(user, asked.scope)
    return _as(OpenedCase, cases.open(told, asked.said, by))


@router.get("/users/{user:id}/cases/{case}", dependencies=[READ], responses=success(OUTCOME) | NO_CASE)
def outcome(user: User, case: GivenCase, cases: GivenCases) -> CaseOutcome:
    """Return what became of a person's case: the decision and its reasons, once it is resolved."""
    found = cases.find(case)
    if found.user != user:
        raise UnknownCaseError(f"there is no case {case[:100]!r} of {user!r}.")
    return _as(CaseOutcome, found)


@router.get("/cases", dependencies=[REVIEW], responses=success(CASE_PAGE) | problems(422, no_records=503))
def listed(
    request: Request,
    cases: GivenCases,
    state: Annotated[ListedState, Query(description="Which cases", examples=["open"])] = "open",
    user: Annotated[str | None, Query(description="Of this person alone", examples=["ann"])] = None,
    cursor: GivenCursor = None,
    limit: GivenLimit = 100,
) -> CasePage:
    """Return cases, oldest first, and a cursor to the next page: every case once, whatever is opened meanwhile."""
    found = cases.page(None if state == "any" else state, user, _after(cursor), limit + 1)
    page = found[:limit]
    record_users(request.scope, [case.user for case in page] + ([] if user is None else [user]))
    more = f"after-{page[-1].number}" if len(found) > limit else None
    return CasePage(cases=[_as(ListedCase, case) for case in page], next_cursor=more)


@router.get("/cases/{case}", dependencies=[REVIEW], responses=success(CASE_FILE) | NO_CASE)
def case_file(request: Request, case: GivenCase, service: ServiceDependency, cases: GivenCases) -> CaseFile:
    """Return a case, the explanation that is frozen in it, today's beside it, and the person's other cases."""
    found = cases.find(case)
    record_users(request.scope, [found.user])
    return CaseFile(
        case=_as(ListedCase, found),
        explanation=found.explanation,
        today=compare_case(found, service.snapshot),
        others=[other.case for other in cases.page(None, found.user) if other.case != case],
    )


@router.post(
    "/cases/{case}/resolution",
    dependencies=[REVIEW],
    responses=success(LISTED) | problems(422, unknown_case=404, resolved_case=409, no_records=503),
)
def resolve(
    request: Request,
    case: GivenCase,
    asked: Annotated[Resolution, Body(openapi_examples=RESOLUTION)],
    cases: GivenCases,
    by: GivenCaller,
) -> ListedCase:
    """Resolve an open case, by the name of the API key; what is resolved stays so."""
    record_users(request.scope, [cases.find(case).user])
    return _as(ListedCase, cases.resolve(case, asked.decision, asked.reasons, by))


def _as(form: type[T], case: Case) -> T:
    """Fill a form with what it tells of a case."""
    held = asdict(case)
    return form(**{name: held[name] for name in form.model_fields})


def _after(cursor: str | None) -> int:
    if cursor is None:
        return 0
    found = CURSOR.fullmatch(cursor)
    if found is None:
        raise CursorError("the cursor is damaged: expected the next_cursor of an earlier page of cases.")
    return int(found[1])
