"""Problem details (RFC 9457, application/problem+json): the format of every error."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import Response
from pydantic import BaseModel, Field
from starlette.types import Scope

from serving.middleware.request_context import path_prefix

MEDIA_TYPE = "application/problem+json"


class Invalid(BaseModel):
    """One invalid part of a request."""

    where: str = Field(description="The part, as a path", examples=["body.rows.0.engagers_28d"])
    detail: str = Field(description="What is wrong with it", examples=["Input should be a valid number"])


class Problem(BaseModel):
    """Problem details for HTTP APIs, RFC 9457."""

    type: str = Field(
        description="What kind of problem; about:blank where the status says it all",
        examples=["urn:clout:problem:unknown-user"],
    )
    title: str = Field(description="The kind in words", examples=["Unknown user"])
    status: int = Field(description="The HTTP status", examples=[404])
    detail: str = Field(description="What was found, what was expected and what to do")
    instance: str = Field(description="The path that was asked for", examples=["/v1/users/ann/score"])
    request_id: str | None = Field(None, description="As in the header X-Request-ID and the service's log")
    errors: list[Invalid] | None = Field(None, description="Of an invalid request: what does not fit, the first 20")
    missing: dict[str, str] | None = Field(None, description="Of a service that is not ready: what is absent, and why")


def full_path(scope: Scope) -> str:
    """Return the path that a client asked for, with the prefix of a proxy."""
    return path_prefix(scope) + str(scope["path"])


def problem_head(status: int, kind: str | None) -> dict[str, Any]:
    """Return the members that all problems of a kind and status share."""
    return {
        "type": f"urn:clout:problem:{kind}" if kind else "about:blank",
        "title": kind.replace("-", " ").capitalize() if kind else HTTPStatus(status).phrase,
        "status": status,
    }


def problem_response(
    scope: Scope,
    status: int,
    detail: str,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> Response:
    """Return a problem as an HTTP response, with the id of the request if it has one."""
    body = problem_head(status, kind) | {"detail": detail, "instance": quote(full_path(scope), errors="replace")}
    if "request_id" in scope.get("state", {}):
        body["request_id"] = scope["state"]["request_id"]
    return Response(json.dumps(body | more), status, headers, MEDIA_TYPE)
