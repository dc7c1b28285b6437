"""Problems: every error the service answers with, in one shape (RFC 9457, application/problem+json)."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from features.errors import (
    AsOfError,
    CatalogueError,
    CloutError,
    RegistryError,
    ScopeError,
    SnapshotError,
    UnknownUserError,
)
from serving.middleware.problem_details import MEDIA_TYPE, Problem, problem_head, problem_response
from serving.middleware.request_context import about_people
from serving.privacy import purposes
from serving.privacy.audit_segments import AuditError
from serving.privacy.cases import CASE, ResolvedCaseError, TooManyCasesError, UnknownCaseError
from serving.privacy.purposes import ProhibitedPurposeError, PurposeError
from serving.review.what_if import TooLittleKnownError
from serving.snapshots.opt_out_filter import HiddenUserError
from serving.snapshots.ranking import RangeError
from serving.snapshots.repository import AbsentSnapshotError
from serving.snapshots.search import CursorError
from training.explanation.feature_constraints import WhatIfError
from training.records.database import RecordsError
from training.records.deletion_receipts import AbsentReceiptError

MOST_ERRORS = 20
OF_ANY = (408, 413, 414, 431, 500)
OF_KEYED = (401, 403, 429)
OF_PEOPLE = {400: "unfit-purpose", 403: "prohibited-purpose"}
UNFORESEEN = "Something went wrong in the service; its log says what, under the request's id."
KINDS: list[tuple[type[CloutError], int, str]] = [
    (HiddenUserError, 410, "hidden-user"),
    (UnknownUserError, 404, "unknown-user"),
    (AbsentReceiptError, 404, "absent-receipt"),
    (AbsentSnapshotError, 404, "absent-snapshot"),
    (ScopeError, 404, "unknown-scope"),
    (SnapshotError, 503, "no-snapshot"),
    (RegistryError, 503, "no-model"),
    (RecordsError, 503, "no-records"),
    (CatalogueError, 422, "unfit-features"),
    (AsOfError, 422, "no-instant"),
    (CursorError, 422, "unfit-cursor"),
    (RangeError, 422, "empty-range"),
    (TooLittleKnownError, 422, "insufficient-evidence"),
    (WhatIfError, 422, "no-such-change"),
    (PurposeError, 400, "unfit-purpose"),
    (ProhibitedPurposeError, 403, "prohibited-purpose"),
    (UnknownCaseError, 404, "unknown-case"),
    (ResolvedCaseError, 409, "resolved-case"),
    (TooManyCasesError, 409, "too-many-cases"),
    (AuditError, 503, "no-audit-log"),
    (CloutError, 422, "refused"),
]


USUAL = {404: "unknown-user", 422: "invalid-request", 503: "no-snapshot"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "unknown-user": {"detail": "'ann' is none of the 73,720 users of the snapshot as of 2017-07-30T00:00:00Z."},
    "hidden-user": {
        "detail": "no score of 'ann' is shown: the person asked not to be scored, or to be forgotten.",
    },
    "absent-receipt": {
        "detail": "there is no receipt '7d1f'; 'clout forget' and DELETE give one each.",
    },
    "no-records": {
        "detail": "the records in sqlite:///clout-home/records.db cannot be used: file is not a database.",
    },
    "absent-snapshot": {"detail": "no snapshot as of 2016-01-01T00:00:00Z; there are: 2017-07-30T00:00:00Z."},
    "invalid-request": {
        "detail": "query.limit: Input should be less than or equal to 1000.",
        "errors": [{"where": "query.limit", "detail": "Input should be less than or equal to 1000"}],
    },
    "unfit-features": {"detail": "the model was trained on the catalogue 0f5c1f0c2b3a; the installed one differs."},
    "unfit-purpose": {"detail": f"no purpose came with the request, and this service demands one. {purposes.HOW}"},
    "prohibited-purpose": {
        "detail": "the purpose was understood as hiring, and scores are not to be read for that. A score foretells how "
        "many people will respond to somebody's posts, and nothing about how they work."
    },
    "unknown-case": {"detail": f"there is no case {CASE!r}."},
    "resolved-case": {"detail": f"the case {CASE!r} was resolved already, on 2017-08-02, as 'stands'."},
    "too-many-cases": {"detail": "10 cases of 'ann' are open already: wait until one is resolved."},
    "no-audit-log": {"detail": "the audit log in clout-home/audit cannot be read: Permission denied."},
    "no-snapshot": {"detail": "no snapshots: make one with 'clout score EVENTS --as-of T --out SCORES'."},
    "no-model": {"detail": "no champion: make one with 'clout train EVENTS'."},
    "not-ready": {
        "detail": "no champion: make one with 'clout train EVENTS'.",
        "missing": {"champion": "no champion: make one with 'clout train EVENTS'."},
    },
}


class ServiceNotReadyError(Exception):
    """The service lacks its champion, its snapshot or both."""

    def __init__(self, missing: dict[str, str]):
        super().__init__(" ".join(missing.values()))
        self.missing = missing


def problems(*statuses: int, **named: int) -> dict[int | str, dict[str, Any]]:
    """Document for OpenAPI that a route may answer with problems of these statuses, or with what any may.

    Parameters
    ----------
    statuses : each is shown with the usual problem of its kind, where there is one
    named : by kind, in words joined by `_`, those whose example is another: `not_ready=503`

    """
    kinds = {status: USUAL.get(status) for status in (*statuses, *OF_ANY)}
    kinds |= {status: kind.replace("_", "-") for kind, status in named.items()}
    return {status: _documented(status, kind) for status, kind in kinds.items()}


def complete(document: dict[str, Any]) -> None:
    """Give an OpenAPI document the schemas that `problems` refers to, and each example the place where it is met.

    An operation that needs an API key gets what may be answered where it is absent, too weak or used too often.
    """
    found = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    document["components"]["schemas"] |= found.pop("$defs") | {"Problem": found}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if operation.get("security"):
                operation["responses"] |= {str(status): _documented(status, None) for status in OF_KEYED}
            if about_people(path):
                purposes.document(operation)
                operation["responses"] |= {str(status): _documented(status, kind) for status, kind in OF_PEOPLE.items()}
            for response in operation["responses"].values():
                held = response.get("content", {}).get(MEDIA_TYPE, {})
                if "example" in held:
                    held["example"]["instance"] = path.replace("{user}", "ann").replace("{case}", CASE)


def install(app: FastAPI) -> None:
    """Make every error of an application a problem."""
    # Coroutines: a function would wait for another thread, of which those that hang leave none.
    app.exception_handler(CloutError)(_clout)
    app.exception_handler(ServiceNotReadyError)(_not_ready)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(Exception)(_unforeseen)


def _documented(status: int, kind: str | None) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    told = EXAMPLES[kind] if kind else {"detail": UNFORESEEN if status == 500 else HTTPStatus(status).description}
    example = problem_head(status, kind) | told
    content = {MEDIA_TYPE: {"schema": schema, "example": example}}
    return {"description": HTTPStatus(status).phrase, "content": content}


async def _clout(request: Request, error: CloutError) -> Response:
    status, kind = next((status, kind) for type_, status, kind in KINDS if isinstance(error, type_))
    return problem_response(request, status, str(error), kind)


async def _not_ready(request: Request, error: ServiceNotReadyError) -> Response:
    return problem_response(request, 503, str(error), "not-ready", missing=error.missing)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    errors = error.errors()
    kind = request.headers.get("content-type", "")
    found = [_told(e, kind) for e in errors[:MOST_ERRORS]]
    detail = "; ".join(f"{e['where']}: {e['detail']}" for e in found[:3])
    rest = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return problem_response(request, 422, f"{detail}{rest}.", "invalid-request", errors=found)


def _told(error: dict, kind: str) -> dict[str, str]:
    """Tell an error of a request whose body is said to be of some kind."""
    if error["type"] == "json_invalid":
        return {"where": "body", "detail": f"it is no JSON: {error['ctx']['error']}"}
    if isinstance(error["input"], bytes):  # FastAPI left it as it came
        told = f"it came as {kind[:100]!r}" if kind else "it came without Content-Type"
        return {"where": "body", "detail": f"{told}; expected Content-Type: application/json"}
    return {"where": ".".join(map(str, error["loc"])), "detail": error["msg"]}


async def _http(request: Request, error: HTTPException) -> Response:
    method, path = request.method, request.scope["path"]
    if error.status_code == 400:  # how FastAPI tells of a body on which the parser of JSON gave up
        told_of_body = "cannot be read as JSON; expected UTF-8, nested no deeper than Python reads"
        found = [{"where": "body", "detail": told_of_body}]
        return problem_response(request, 422, f"body: {told_of_body}.", "invalid-request", errors=found)
    told = {404: f"nothing is at {path}; /docs lists what is.", 405: f"{method} is not answered at {path}; see /docs."}
    return problem_response(
        request, error.status_code, told.get(error.status_code, error.detail), headers=error.headers
    )


async def _unforeseen(request: Request, _: Exception) -> Response:
    """Answer; `requests_seen` logs the error with its traceback."""
    return problem_response(request, 500, UNFORESEEN)
