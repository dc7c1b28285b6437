"""Authentication and authorisation: every path but the open ones needs an API key; each route names its scope."""

import ipaddress
import socket
from collections.abc import Collection

from fastapi import HTTPException, Request
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as RequestScope

from features.errors import CloutError
from serving.middleware.api_keys import Key, KeyCache, KeysError, Scope, read_keys
from serving.middleware.problem_details import problem_response
from serving.middleware.request_context import ANYBODY, CALLER, SESSION
from training.home import Home
from training.records.database import RecordsError

# Orchestrators probe these without a secret; the answers hold no data about users.
PROBES = frozenset({"/health", "/ready"})
ABOUT = "An API key, as `clout keys add` makes it. On a loopback address no key is needed while none exist."
HINT = "Send 'Authorization: Bearer KEY'; 'clout keys add NAME --scope read' makes a key."


class ApiKeyMiddleware:
    """Pass requests that have a key or need none, and store the caller in the ASGI scope under `CALLER`.

    It runs before routing: unknown paths are refused like known ones. `open_paths` need no key, and neither do probes.
    """

    def __init__(self, app: ASGIApp, keys: KeyCache, open_paths: Collection[str] = ()):
        self.app = app
        self.keys = keys
        self._open = PROBES.union(open_paths)

    async def __call__(self, scope: RequestScope, receive: Receive, send: Send) -> None:
        """Answer 401 if the key is absent or wrong, 503 if the keys cannot be read."""
        if scope["type"] != "http" or scope["path"] in self._open:
            return await self.app(scope, receive, send)
        try:
            scope[CALLER] = self._caller(scope)
        except RecordsError as error:
            return await problem_response(scope, 503, str(error), "no-records")(scope, receive, send)
        if scope[CALLER] is None:
            absent = _bearer_token(scope["headers"]) is None
            message = "no API key came with the request" if absent else "the API key is wrong or was removed"
            demand = {"WWW-Authenticate": 'Bearer realm="clout"' + ("" if absent else ', error="invalid_token"')}
            return await problem_response(scope, 401, f"{message}. {HINT}", headers=demand)(scope, receive, send)
        return await self.app(scope, receive, send)

    def _caller(self, scope: RequestScope) -> Key | None:
        """Return the key of the header, else that of a page's session."""
        if not self.keys.required():
            return ANYBODY
        token = _bearer_token(scope["headers"])
        if token is not None:
            return self.keys.find(token)
        return self.keys.with_id(scope[SESSION].key) if SESSION in scope else None


class RequireScope(SecurityBase):
    """The dependency by which a route names the scope it needs; OpenAPI documents it as a security scheme."""

    scheme_name = "key"
    model = HTTPBase(scheme="bearer", description=ABOUT)

    def __init__(self, scope: Scope):
        self.scope = scope

    async def __call__(self, request: Request) -> None:
        """Refuse a caller whose key has too small a scope (403), or that bypassed the middleware (401)."""
        caller: Key | None = request.scope.get(CALLER)
        if caller is None:
            raise HTTPException(401, f"no API key came with the request. {HINT}", {"WWW-Authenticate": "Bearer"})
        if not caller.allows(self.scope):
            demand = {"WWW-Authenticate": f'Bearer realm="clout", error="insufficient_scope", scope="{self.scope}"'}
            raise HTTPException(
                403, f"the key {caller.name!r} has scope {caller.scope}, expected {self.scope}.", demand
            )


def require_keys_off_loopback(home: Home, host: str) -> bool:
    """Return whether an address requires keys: all but loopback addresses do, and at least one key must then exist.

    Raises
    ------
    KeysError : the address is not a loopback address, and there are no keys
    CloutError : the host has no address

    """
    if _is_loopback(host):
        return False
    if not _may_have_keys(home):
        raise KeysError(
            f"{host or 'an empty host'} is not a loopback address, so other machines can reach the service, "
            f"and there are no API keys: make one with '{home.command('keys add NAME --scope read')}', or listen on "
            "127.0.0.1."
        )
    return True


def _may_have_keys(home: Home) -> bool:
    """Return whether there are keys; True while a shared database is down, and no request passes until it is up."""
    try:
        return bool(read_keys(home))
    except RecordsError:
        if home.database is None:
            raise
    return True


def _is_loopback(host: str) -> bool:
    """Return whether every address of a host is a loopback address."""
    try:
        addresses = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CloutError(f"cannot listen on {host}: {error}. Choose another host.") from error
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in addresses)


def _bearer_token(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return the token of `Authorization: Bearer`; None if the header is absent or repeated."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, key = values[0].decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None
