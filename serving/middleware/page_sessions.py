"""Sessions of the pages: a reader signs in once with an API key, and a cookie stands for it until the session ends.

A session is stored as the hash of its token, with the id of its key, so that removing the key ends the session as well.
Cookies count for pages only: the API takes keys alone.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from urllib.parse import quote

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Column, String, Table, delete, insert, select
from starlette.types import ASGIApp, Receive, Scope, Send

from features.utc import now_utc, to_iso_utc
from serving.middleware.problem_details import problem_response
from serving.middleware.request_context import SESSION, is_page
from training.records.database import TABLES, Records, RecordsError

COOKIE = "clout_session"
LIFETIME = timedelta(hours=8)
TOKEN_BYTES = 32

SESSIONS = Table(
    "page_sessions",
    TABLES,
    Column("sha256", String(64), primary_key=True),
    Column("key", String(12), nullable=False),
    Column("purpose", String(200)),
    Column("expires", String(32), nullable=False),
)


@dataclass(frozen=True)
class PageSession:
    """What a session stands for.

    Parameters
    ----------
    token : the secret in the cookie
    key : the id of the API key, empty where none is required
    purpose : of the requests, None where none was chosen

    """

    token: str
    key: str
    purpose: str | None

    @property
    def form_token(self) -> str:
        """What every form of the session sends along: other sites cannot know it."""
        return sha256(f"form:{self.token}".encode()).hexdigest()

    def has_form_token(self, text: str) -> bool:
        """Return whether a text is the form token."""
        return compare_digest(self.form_token.encode(), text.encode(errors="replace"))


class PageSessions:
    """The sessions in the records; every method raises RecordsError if these cannot be used."""

    def __init__(self, records: Records):
        self._records = records

    def begin(self, key: str, purpose: str | None) -> PageSession:
        """Store a new session, and forget those that have ended."""
        session, now = PageSession(secrets.token_urlsafe(TOKEN_BYTES), key, purpose), now_utc()
        expires = to_iso_utc(now + LIFETIME, "seconds")
        row = {"sha256": _hash(session.token), "key": key, "purpose": purpose, "expires": expires}
        with self._records.begin() as connection:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.expires <= to_iso_utc(now, "seconds")))
            connection.execute(insert(SESSIONS).values(row))
        return session

    def find(self, token: str) -> PageSession | None:
        """Return the session of a token; None if it has ended or never began."""
        current = SESSIONS.c.expires > to_iso_utc(now_utc(), "seconds")
        query = select(SESSIONS.c.key, SESSIONS.c.purpose).where(SESSIONS.c.sha256 == _hash(token), current)
        with self._records.begin_if_exists() as connection:
            row = None if connection is None else connection.execute(query).one_or_none()
        return None if row is None else PageSession(token, row.key, row.purpose)

    def end(self, session: PageSession) -> None:
        """Remove a session."""
        with self._records.begin() as connection:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.sha256 == _hash(session.token)))


class PageSessionMiddleware:
    """Add the session of a page's cookie to the ASGI scope, and its purpose to the headers unless they name one."""

    def __init__(self, app: ASGIApp, sessions: PageSessions):
        self.app, self.sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 503 if the sessions cannot be read."""
        token = _cookie(scope["headers"]) if scope["type"] == "http" and is_page(scope["path"]) else None
        if token is None:
            return await self.app(scope, receive, send)
        try:
            session = await run_in_threadpool(self.sessions.find, token)
        except RecordsError as error:
            return await problem_response(scope, 503, str(error), "no-records")(scope, receive, send)
        if session is not None:
            scope[SESSION] = session
            if session.purpose and not any(name == b"clout-purpose" for name, _ in scope["headers"]):
                scope["headers"] = [*scope["headers"], (b"clout-purpose", session.purpose.encode())]
        return await self.app(scope, receive, send)


def set_cookie(session: PageSession, scope: Scope, prefix: str) -> str:
    """Return the header `Set-Cookie` that begins a session in a browser."""
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    path, seconds = quote(prefix or "/"), int(LIFETIME.total_seconds())
    return f"{COOKIE}={session.token}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def clear_cookie(prefix: str) -> str:
    """Return the header `Set-Cookie` that ends it."""
    return f"{COOKIE}=; Path={quote(prefix or '/')}; Max-Age=0; HttpOnly; SameSite=Lax"


def _cookie(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return the token of the session's cookie; of several, the first, which browsers send for the longest path.

    `http.cookies` would stop at the first cookie that it cannot read, and those of other services of the host may hold
    anything.
    """
    text = ";".join(value.decode("latin-1") for name, value in headers if name == b"cookie")
    pairs = (pair.partition("=") for pair in text.split(";"))
    return next((value.strip() for name, _, value in pairs if name.strip() == COOKIE and value.strip()), None)


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
