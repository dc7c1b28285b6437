"""Security headers on every response, including errors."""

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


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
