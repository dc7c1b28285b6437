"""Security headers on every response, including errors."""

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
    """Add the headers that a response lacks: it is not cached, framed or executed by a browser.

    `policies` are Content-Security-Policies by path, of pages that need to load something.
    """

    def __init__(self, app: ASGIApp, policies: dict[str, str]):
        self.app = app
        self._usual = _encoded(HEADERS)
        self._of_pages = {
            path: _encoded(HEADERS | {"content-security-policy": policy}) for path, policy in policies.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its response."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = self._of_pages.get(scope["path"], self._usual)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                existing = list(message.get("headers", ()))
                names = {name.lower() for name, _ in existing}
                message["headers"] = existing + [header for header in headers if header[0] not in names]
            await send(message)

        return await self.app(scope, receive, send_with_headers)


def docs_policy(app: FastAPI) -> str:
    """Return the policy of the documentation page: its own script, by hash, and Swagger UI from FastAPI's CDN."""
    page = bytes(get_swagger_ui_html(openapi_url=str(app.openapi_url), title=f"{app.title} - Swagger UI").body).decode()
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    cdn = "https://cdn.jsdelivr.net"
    return (
        f"{NOTHING}; script-src {cdn} {hashes}; style-src {cdn} 'unsafe-inline'; "
        "img-src 'self' data: https://fastapi.tiangolo.com; connect-src 'self'"
    )


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
