"""Security headers on every answer, failures included."""

import base64
import re
from hashlib import sha256

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": NOTHING,
}


class SecurityHeadersMiddleware:
    """Give an answer the headers it does not have itself; nobody but the caller keeps it, and no browser runs it.

    Parameters
    ----------
    app : what answers
    policies : of pages that need more than nothing: their Content-Security-Policy by path

    """

    def __init__(self, app: ASGIApp, policies: dict[str, str]):
        self.app = app
        self._usual = _encoded(HEADERS)
        self._of_pages = {
            path: _encoded(HEADERS | {"content-security-policy": policy}) for path, policy in policies.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, with the headers added."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = self._of_pages.get(scope["path"], self._usual)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                named = {name.lower() for name, _ in given}
                message["headers"] = given + [header for header in headers if header[0] not in named]
            await send(message)

        return await self.app(scope, receive, send_with_headers)


def docs_policy(app: FastAPI) -> str:
    """Let the page of documentation run its own script, named by its hash, and Swagger UI from where FastAPI has it."""
    page = bytes(get_swagger_ui_html(openapi_url=str(app.openapi_url), title=f"{app.title} - Swagger UI").body).decode()
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    place = "https://cdn.jsdelivr.net"
    return (
        f"{NOTHING}; script-src {place} {hashes}; style-src {place} 'unsafe-inline'; "
        "img-src 'self' data: https://fastapi.tiangolo.com; connect-src 'self'"
    )


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
