"""Error pages: a problem that a browser gets at the address of a page is shown as a page."""

import json
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.middleware.problem_details import MEDIA_TYPE
from serving.middleware.proxy import OWN_SEGMENTS
from serving.middleware.request_context import path_prefix
from serving.pages.rendering import page

NO_PURPOSE = "urn:clout:problem:unfit-purpose"
TITLES = {
    400: "This request cannot be answered",
    401: "Sign in first",
    403: "Your key does not allow this",
    404: "Nothing here",
    409: "This was done already",
    410: "This user is not shown",
    422: "Something in this address does not fit",
    429: "Too many requests",
    500: "Something went wrong",
    503: "Not ready yet",
}
TITLES_OF_TYPES = {"urn:clout:problem:unfit-features": "This score needs a new model"}


class ErrorPageMiddleware:
    """Replace problem details by a page where a browser asked for one; the API keeps its problem details."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and render the problem of its response, if it is one."""
        if scope["type"] != "http" or not _is_for_reader(scope):
            return await self.app(scope, receive, send)
        start: Message | None = None
        body = b""

        async def send_page(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                await _error_page(Request(scope), start, json.loads(body))(scope, receive, send)

        return await self.app(scope, receive, send_page)


def _to_sign_in(request: Request) -> Response:
    """Lead to the form that asks for a key and a purpose, and from there back."""
    path = quote(request.scope["path"])
    query = request.scope["query_string"].decode("latin-1")
    back = urlencode({"next": f"{path}?{query}" if query else path})
    target = f"{path_prefix(request.scope)}/sign-in?{back}"
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": target})
    return RedirectResponse(target, 303)


def _is_for_reader(scope: Scope) -> bool:
    """Return whether a browser asks for something that is not part of the API."""
    accepted = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    own = scope["path"].split("/")[1] if scope["path"].startswith("/") else ""
    is_partial = any(name == b"hx-request" for name, _ in scope["headers"])
    return (b"text/html" in accepted or is_partial) and scope["method"] != "HEAD" and own not in OWN_SEGMENTS


def _is_problem(message: Message) -> bool:
    return any(name.lower() == b"content-type" and value == MEDIA_TYPE.encode() for name, value in message["headers"])


def _error_page(request: Request, start: Message, problem: dict[str, Any]) -> Response:
    status = problem["status"]
    if status == 404 and "endpoint" not in request.scope:
        problem["detail"] = "there is no page at this address."
    if request.method == "GET" and (status == 401 or problem["type"] == NO_PURPOSE):
        return _to_sign_in(request)
    title = TITLES_OF_TYPES.get(problem["type"]) or TITLES.get(status, problem["title"])
    response = page(request, "error", status, title=title, problem=problem)
    lost = {b"content-type", b"content-length"}
    response.raw_headers += [header for header in start["headers"] if header[0].lower() not in lost]
    return response
