"""Problems: which error becomes which problem, in responses and in the OpenAPI document (RFC 9457)."""

import reprlib
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from features.errors import (
    AbsentScopeError,
    AsOfError,
    CatalogueError,
    CloutError,
    RegistryError,
    ScopeError,
    SnapshotError,
    UnknownUserError,
    did_you_mean,
)
from serving.api import descriptions
from serving.middleware.problem_details import MEDIA_TYPE, Problem, full_path, problem_head, problem_response
from serving.middleware.request_context import about_people, path_prefix
from serving.privacy import purposes
from serving.privacy.audit_files import AuditError
from serving.privacy.cases import EXAMPLE_CASE, ResolvedCaseError, TooManyCasesError, UnknownCaseError
from serving.privacy.purposes import PurposeError, PurposeNotAllowedError
from serving.review.what_if import TooLittleKnownError
from serving.selections.select import SelectionError
from serving.snapshots.cursor import CursorError
from serving.snapshots.query import RangeError
from serving.snapshots.repository import AbsentSnapshotError
from training.explanation.feature_constraints import WhatIfError
from training.records.database import RecordsError
from training.records.deletion_receipts import AbsentReceiptError
from training.records.opt_outs import HiddenUserError

MAX_ERRORS = 20
OF_EVERY_ROUTE = (408, 413, 414, 431, 500)
OF_ROUTES_WITH_KEY = (401, 403, 429)
OF_ROUTES_ABOUT_USERS = {400: "unfit-purpose", 403: "prohibited-purpose"}
UNEXPECTED = "Unexpected error in the service; its log has the traceback under the request id."
KINDS: list[tuple[type[CloutError], int, str]] = [
    (HiddenUserError, 410, "hidden-user"),
    (AbsentScopeError, 404, "absent-scope"),
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
    (SelectionError, 422, "impossible-selection"),
    (TooLittleKnownError, 422, "insufficient-evidence"),
    (WhatIfError, 422, "no-such-change"),
    (PurposeError, 400, "unfit-purpose"),
    (PurposeNotAllowedError, 403, "prohibited-purpose"),
    (UnknownCaseError, 404, "unknown-case"),
    (ResolvedCaseError, 409, "resolved-case"),
    (TooManyCasesError, 409, "too-many-cases"),
    (AuditError, 503, "no-audit-log"),
    (CloutError, 422, "refused"),
]


DEFAULT_KINDS = {404: "unknown-user", 422: "invalid-request", 503: "no-snapshot"}
NO_MODEL = "no champion: make one with 'clout train EVENTS'."
DETAILS = {
    "unknown-scope": "nobody has a score of the scope 'topic:birds'; scopes there: all.",
    "absent-scope": "'ann' has no score of the scope 'topic:birds' in the snapshot as of 2017-07-30T00:00:00Z; scopes "
    "there: all.",
    "unknown-user": "'ann' is none of the 73,720 users of the snapshot as of 2017-07-30T00:00:00Z: it holds users who "
    "acted or were engaged with in the 365 days before.",
    "hidden-user": "no score of 'ann' is shown: the user asked not to be scored, or to be forgotten.",
    "absent-receipt": "there is no receipt '7d1f'; 'clout forget' and DELETE give one each.",
    "no-records": "the records in sqlite:///clout-home/records.db cannot be read: file is not a database.",
    "absent-snapshot": "no snapshot as of 2016-01-01T00:00:00Z; there are: 2017-07-30T00:00:00Z.",
    "invalid-request": "query.limit: Input should be less than or equal to 1000; found 1001.",
    "unfit-features": "the model was trained on the catalogue 0f5c1f0c2b3a; the installed one differs.",
    "unfit-purpose": f"no purpose came with the request, and this service demands one. {purposes.HELP}",
    "prohibited-purpose": "the purpose is not allowed, expected one of: community moderation, own score. The refusal "
    "is in the audit log; GET /v1/purposes also lists the prohibited uses, with reasons.",
    "unknown-case": f"case {EXAMPLE_CASE!r} does not exist; 'clout cases' and GET /v1/cases list the cases.",
    "resolved-case": f"the case {EXAMPLE_CASE!r} was already resolved on 2017-08-02, as 'stands'.",
    "too-many-cases": "10 cases of 'ann' are already open: wait until one is resolved.",
    "no-audit-log": "the audit log in clout-home/audit cannot be read: Permission denied.",
    "no-snapshot": "no snapshots: make one with 'clout score EVENTS'.",
    "no-model": NO_MODEL,
    "not-ready": NO_MODEL,
}
MORE_MEMBERS: dict[str | None, dict[str, Any]] = {
    "invalid-request": {
        "errors": [{"where": "query.limit", "detail": "Input should be less than or equal to 1000; found 1001"}],
    },
    "not-ready": {"missing": {"champion": NO_MODEL}},
}


class ServiceNotReadyError(Exception):
    """The service lacks its champion, its snapshot or both."""

    def __init__(self, missing: dict[str, str]):
        super().__init__(" ".join(missing.values()))
        self.missing = missing


def problems(*statuses: int, **named: int) -> dict[int | str, dict[str, Any]]:
    """Document in OpenAPI the problems that a route may return, and those that every route may return.

    Parameters
    ----------
    statuses : HTTP statuses, each with the default example of its kind
    named : statuses by the kind of their example, with `_` for `-`: `not_ready=503`

    """
    kinds = {status: DEFAULT_KINDS.get(status) for status in (*statuses, *OF_EVERY_ROUTE)}
    kinds |= {status: kind.replace("_", "-") for kind, status in named.items()}
    return {status: _documented(status, kind) for status, kind in kinds.items()}


def complete(document: dict[str, Any]) -> None:
    """Complete an OpenAPI document: the schema of problems, and the path in each example.

    Operations that need an API key also get the problems of an absent, insufficient or overused key.
    """
    descriptions.add(document["components"]["schemas"])
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    document["components"]["schemas"] |= schema.pop("$defs") | {"Problem": schema}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete_operation(operation, path)


def _complete_operation(operation: dict[str, Any], path: str) -> None:
    responses = operation["responses"]
    if operation.get("security"):
        responses |= {str(status): _documented(status, None) for status in OF_ROUTES_WITH_KEY}
    if about_people(path):
        purposes.document(operation)
        responses |= {str(status): _documented(status, kind) for status, kind in OF_ROUTES_ABOUT_USERS.items()}
    for response in responses.values():
        content = response.get("content", {}).get(MEDIA_TYPE, {})
        if "example" in content:
            content["example"]["instance"] = path.replace("{user}", "ann").replace("{case}", EXAMPLE_CASE)


def install(app: FastAPI) -> None:
    """Register the handlers that turn every error of an application into a problem."""
    # Coroutines, because a function would wait for a thread of the pool, forever if all of them hang.
    app.exception_handler(CloutError)(_clout)
    app.exception_handler(ServiceNotReadyError)(_not_ready)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(Exception)(_unforeseen)


def _documented(status: int, kind: str | None) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    detail = DETAILS[kind] if kind else UNEXPECTED if status == 500 else HTTPStatus(status).description
    example = problem_head(status, kind) | {"detail": detail} | MORE_MEMBERS.get(kind, {})
    content = {MEDIA_TYPE: {"schema": schema, "example": example}}
    return {"description": HTTPStatus(status).phrase, "content": content}


async def _clout(request: Request, error: CloutError) -> Response:
    status, kind = next((status, kind) for type_, status, kind in KINDS if isinstance(error, type_))
    return problem_response(request.scope, status, str(error), kind)


async def _not_ready(request: Request, error: ServiceNotReadyError) -> Response:
    return problem_response(request.scope, 503, str(error), "not-ready", missing=error.missing)


async def _invalid(request: Request, failure: RequestValidationError) -> Response:
    errors = failure.errors()
    kind = request.headers.get("content-type", "")
    names = _body_fields(request)
    invalid = [_invalid_part(error, kind, names) for error in errors[:MAX_ERRORS]]
    detail = "; ".join(f"{part['where']}: {part['detail']}" for part in invalid[:3])
    rest = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return problem_response(request.scope, 422, f"{detail}{rest}.", "invalid-request", errors=invalid)


def _body_fields(request: Request) -> list[str]:
    """Return the names of the fields in the body that a route expects."""
    body = getattr(request.scope.get("route"), "body_field", None)
    return [] if body is None else list(getattr(body.field_info.annotation, "model_fields", ()))


def _invalid_part(error: dict[str, Any], content_type: str, names: list[str]) -> dict[str, str]:
    """Describe one validation error of a request with this content type, whose body may have these fields."""
    match error:
        case {"type": "extra_forbidden", "loc": ("body", str(name))} if names:
            detail = f"unknown field{did_you_mean(name, names)}; expected {', '.join(names)}"
            return {"where": f"body.{name[:100]}", "detail": detail}
    if error["type"] == "json_invalid":
        return {"where": "body", "detail": f"not valid JSON: {error['ctx']['error']}"}
    if isinstance(error["input"], bytes):  # FastAPI did not parse it
        header = f"Content-Type: {content_type[:100]}" if content_type else "no Content-Type"
        return {"where": "body", "detail": f"sent with {header}; expected Content-Type: application/json"}
    value = error["input"]
    present = f"; found {reprlib.repr(value)}" if isinstance(value, str | int | float) else ""
    return {"where": ".".join(map(str, error["loc"])), "detail": f"{error['msg']}{present}"}


async def _http(request: Request, error: HTTPException) -> Response:
    method, path, docs = request.method, full_path(request.scope), f"{path_prefix(request.scope)}/docs"
    if error.status_code == 400:  # FastAPI raises it if the JSON parser gives up
        detail = "cannot be parsed as JSON; expected UTF-8, nested less deeply than Python's recursion limit"
        errors = [{"where": "body", "detail": detail}]
        return problem_response(request.scope, 422, f"body: {detail}.", "invalid-request", errors=errors)
    headers = dict(error.headers or {})
    if "GET" in headers.get("Allow", ""):
        headers["Allow"] = ", ".join(sorted({*headers["Allow"].split(", "), "HEAD"}))
    details = {
        404: f"there is no route {path}; {docs} lists them.",
        405: f"{path} does not answer {method}, but {headers.get('Allow', 'other methods')}; see {docs}.",
    }
    return problem_response(
        request.scope, error.status_code, details.get(error.status_code, error.detail), headers=headers
    )


async def _unforeseen(request: Request, _: Exception) -> Response:
    """Return the problem; `AccessLogMiddleware` logs the error with its traceback."""
    return problem_response(request.scope, 500, UNEXPECTED)
