"""Cases: a reviewer's queue, the stored explanation of a case beside today's, and its resolution."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from serving.api.dependencies import REVIEW, ServiceDependency
from serving.api.routes.cases import CallerName, CaseParameter, CasesDependency
from serving.api.schemas import ListedState
from serving.middleware.request_context import path_prefix, record_users
from serving.pages.forms import FormFields
from serving.pages.rendering import PageRoute, page
from serving.privacy.case_comparison import CaseComparison, check_decision, compare_case
from serving.privacy.cases import DECISIONS, Case, Cases, Decision

router = APIRouter(route_class=PageRoute, include_in_schema=False)
CASES_PER_PAGE = 50
STATES: dict[ListedState, str] = {"open": "Open", "resolved": "Resolved", "any": "All"}
NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Queue:
    """Cases of one state, oldest first.

    Parameters
    ----------
    cases : of this page
    state : the state that they have
    user : whose cases they are; None for everybody's
    after : the number of the last one if more follow

    """

    cases: tuple[Case, ...]
    state: ListedState
    user: str | None
    after: int | None


@dataclass(frozen=True)
class CaseView:
    """A case with the explanation of then and of today.

    Parameters
    ----------
    case : the case
    then : the stored explanation, in the form of its time
    today : the comparison with the newest snapshot
    others : the user's other cases, oldest first

    """

    case: Case
    then: dict[str, Any]
    today: CaseComparison
    others: tuple[Case, ...]


@router.get("/cases", dependencies=[REVIEW])
def queue_page(
    request: Request,
    cases: CasesDependency,
    state: ListedState = "open",
    user: str | None = None,
    after: Annotated[str, Query(description="The number of the last case before this page")] = "0",
) -> Response:
    """Return the queue: open cases, oldest first, unless another state or one user is asked for."""
    queue = queue_view(cases, state, user or None, int(after) if NUMBER.fullmatch(after) else 0)
    record_users(request.scope, [case.user for case in queue.cases] + ([user] if user else []))
    return page(request, "cases", queue=queue, states=STATES)


def queue_view(cases: Cases, state: ListedState, user: str | None, after: int) -> Queue:
    """Return a page of the queue, from the case after a number."""
    matches = cases.page(None if state == "any" else state, user, after, CASES_PER_PAGE + 1)
    listed = tuple(matches[:CASES_PER_PAGE])
    return Queue(listed, state, user, listed[-1].number if len(matches) > CASES_PER_PAGE else None)


@router.get("/cases/{case}", dependencies=[REVIEW])
def case_page(request: Request, case: CaseParameter, service: ServiceDependency, cases: CasesDependency) -> Response:
    """Return a case: what the user says, the stored explanation beside today's, and the form that resolves it."""
    contested = cases.find(case)
    record_users(request.scope, [contested.user])
    view = CaseView(
        case=contested,
        then=contested.explanation,
        today=compare_case(contested, service.snapshot),
        others=tuple(other for other in cases.page(None, contested.user) if other.case != case),
    )
    return page(request, "case", view=view, decisions=DECISIONS)


@router.post("/cases/{case}", dependencies=[REVIEW])
def resolve(
    request: Request,
    case: CaseParameter,
    fields: FormFields,
    service: ServiceDependency,
    cases: CasesDependency,
    by: CallerName,
) -> Response:
    """Resolve an open case in the name of the key, and show it."""
    contested, decision = cases.find(case), cast("Decision", fields.get("decision", ""))
    record_users(request.scope, [contested.user])
    check_decision(contested, decision, service.snapshot)
    cases.resolve(case, decision, fields.get("reasons", ""), by)
    return RedirectResponse(f"{path_prefix(request.scope)}/cases/{case}", 303)
