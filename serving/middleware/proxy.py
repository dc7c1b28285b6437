"""Requests through a proxy: its prefix of the path, and the address and scheme of the client."""

import re
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from features.errors import CloutError
from serving.middleware.request_context import PAGES, PREFIX

LOOPBACK = "127.0.0.1,::1"
# The first segments of the service's own paths: as a prefix, they could not be told from these.
OWN_SEGMENTS = frozenset({"v1", "docs", "openapi.json", "health", "ready", "metrics"})
RESERVED = OWN_SEGMENTS | PAGES | {"static"}
VALID_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")


@dataclass(frozen=True)
class Proxy:
    """The proxy in front of the service.

    Parameters
    ----------
    root_path : the prefix under which it serves, such as /clout; empty for none
    trusted : addresses and networks, separated by commas, whose X-Forwarded-* headers count; * for any

    Raises
    ------
    CloutError : the prefix is not a path, or starts like a path of the service

    """

    root_path: str = ""
    trusted: str = LOOPBACK

    def __post_init__(self) -> None:
        object.__setattr__(self, "root_path", self.root_path.rstrip("/"))
        if self.root_path and not _is_prefix(self.root_path):
            raise CloutError(
                f"the root path {self.root_path!r} is not usable; expected a path such as /clout, whose first part is "
                f"none of {', '.join(sorted(filter(None, RESERVED)))}."
            )


class ProxyMiddleware:
    """Give a request the path, client and scheme that it would have without the proxy.

    The prefix of the path is removed, whether or not the proxy removed it. Where none is configured,
    a trusted proxy names it in X-Forwarded-Prefix. uvicorn reads X-Forwarded-For and X-Forwarded-Proto.
    """

    def __init__(self, app: ASGIApp, proxy: Proxy):
        self._proxy = proxy
        forwarded: Any = ProxyHeadersMiddleware
        self.app = forwarded(app, proxy.trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on without the prefix."""
        if scope["type"] == "http":
            prefix = self._proxy.root_path or self._forwarded_prefix(scope)
            if prefix:
                _remove_prefix(scope, prefix)
        await self.app(scope, receive, send)

    def _forwarded_prefix(self, scope: Scope) -> str:
        """Return the prefix that a trusted proxy names; empty without a valid one."""
        value = next((value for name, value in scope["headers"] if name == b"x-forwarded-prefix"), None)
        if value is None or (scope.get("client") or ("",))[0] not in self.app.trusted_hosts:
            return ""
        prefix: str = value.decode("latin-1").strip().rstrip("/")
        return prefix if _is_prefix(prefix) else ""


def _is_prefix(path: str) -> bool:
    return VALID_PREFIX.fullmatch(path) is not None and path.split("/")[1] not in RESERVED


def _remove_prefix(scope: Scope, prefix: str) -> None:
    scope[PREFIX] = prefix
    if not f"{scope['path']}/".startswith(f"{prefix}/"):
        return
    scope["path"] = scope["path"][len(prefix) :] or "/"
    raw: bytes = scope.get("raw_path") or b""
    scope["raw_path"] = raw.removeprefix(prefix.encode())
