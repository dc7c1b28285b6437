"""Signing in with a key and a purpose, and signing out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from serving.api.dependencies import READ
from serving.middleware.api_keys import KeyCache
from serving.middleware.page_sessions import PageSession, PageSessions, clear_cookie, set_cookie
from serving.middleware.request_context import SESSION, path_prefix
from serving.pages.forms import FormFields
from serving.pages.rendering import PageRoute, page
from serving.privacy.purposes import PurposePolicy

router = APIRouter(route_class=PageRoute, include_in_schema=False)
WRONG_KEY = (
    "This is not a key of this service, or it was removed. Keys look like clout_… and are shown once, when made."
)
NO_PURPOSE = "Choose what you look at the pages for: this service asks for it."
NextPath = Annotated[str, Query(alias="next")]


@router.get("/sign-in")
def sign_in_page(request: Request, next_path: NextPath = "/") -> Response:
    """Return the form that asks for a key, where keys are in force, and a purpose."""
    return _form_page(request, next_path)


@router.post("/sign-in")
def sign_in(request: Request, fields: FormFields) -> Response:
    """Begin a session and lead on to the page that was asked for."""
    next_path, purpose = fields.get("next", "/"), fields.get("purpose", "").strip()
    policy, keys = _policy(request), _keys(request)
    key = keys.find(fields.get("key", "").strip()) if keys.required() else None
    if key is None and keys.required():
        return _form_page(request, next_path, WRONG_KEY, 401)
    if not policy.allows(purpose) if purpose else policy.demanded:
        return _form_page(request, next_path, NO_PURPOSE, 422)
    sessions: PageSessions = request.app.state.page_sessions
    session = sessions.begin(key.id if key else "", purpose or None)
    prefix = path_prefix(request.scope)
    cookie = set_cookie(session, request.scope, prefix)
    return RedirectResponse(prefix + _local(next_path), 303, {"Set-Cookie": cookie})


@router.post("/sign-out", dependencies=[READ])
def sign_out(request: Request, fields: FormFields) -> Response:  # noqa: ARG001 - reading the form checks its origin
    """End the session."""
    session: PageSession | None = request.scope.get(SESSION)
    if session is not None:
        request.app.state.page_sessions.end(session)
    prefix = path_prefix(request.scope)
    return RedirectResponse(f"{prefix}/sign-in", 303, {"Set-Cookie": clear_cookie(prefix)})


def _form_page(request: Request, next_path: str, error: str | None = None, status: int = 200) -> Response:
    return page(
        request,
        "sign_in",
        status,
        next_path=_local(next_path),
        needs_key=_keys(request).required(),
        purposes=_policy(request).allowed,
        demanded=_policy(request).demanded,
        error=error,
    )


def _local(path: str) -> str:
    """Return a path of this service; the start page for anything that could lead elsewhere."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"


def _keys(request: Request) -> KeyCache:
    keys: KeyCache = request.app.state.keys
    return keys


def _policy(request: Request) -> PurposePolicy:
    policy: PurposePolicy = request.app.state.purposes
    return policy
