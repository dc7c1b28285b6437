"""The guard: who may ask for what. Every path needs an API key but those that are open; routes say which scope."""

import ipaddress
import socket

from fastapi import HTTPException, Request
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Asked

from features.errors import CloutError
from serving.middleware.api_keys import Key, KeyCache, KeysError, Scope, read_keys
from serving.middleware.problem_details import refusal
from serving.middleware.request_context import ANYBODY, CALLER
from training.home import Home
from training.records.database import RecordsError

# What keeps a service running asks these, and is given no secret; they say nothing about anybody.
OPEN = frozenset({"/health", "/ready"})
ABOUT = "An API key, as `clout keys add` makes it. On a loopback address none is needed while there are none."
HINT = "Send 'Authorization: Bearer KEY'; 'clout keys add NAME --scope read' makes a key."


class ApiKeyMiddleware:
    """Let a request through that has a key or needs none, and note the caller in its ASGI scope under `CALLER`.

    It stands before routing, so that what is absent from the routes is as closed as what is there.
    """

    def __init__(self, app: ASGIApp, ring: KeyCache):
        self.app = app
        self.ring = ring

    async def __call__(self, scope: Asked, receive: Receive, send: Send) -> None:
        """Answer 401 where the key is absent or wrong."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            return await self.app(scope, receive, send)
        try:
            scope[CALLER] = self._caller(scope["headers"])
        except RecordsError as error:
            return await refusal(scope, 503, str(error), kind="no-records")(scope, receive, send)
        if scope[CALLER] is None:
            absent = _given(scope["headers"]) is None
            said = "no API key came with the request" if absent else "the API key is wrong or was removed"
            demand = {"WWW-Authenticate": 'Bearer realm="clout"' + ("" if absent else ', error="invalid_token"')}
            return await refusal(scope, 401, f"{said}. {HINT}", demand)(scope, receive, send)
        return await self.app(scope, receive, send)

    def _caller(self, headers: list[tuple[bytes, bytes]]) -> Key | None:
        if not self.ring.required():
            return ANYBODY
        given = _given(headers)
        return None if given is None else self.ring.find(given)


class RequireScope(SecurityBase):
    """The dependency by which a route names the scope it needs, and the scheme that OpenAPI tells of."""

    scheme_name = "key"
    model = HTTPBase(scheme="bearer", description=ABOUT)

    def __init__(self, scope: Scope):
        self.scope = scope

    async def __call__(self, request: Request) -> None:
        """Refuse a caller whose key does not suffice (403), or who came past the guard without one (401)."""
        caller: Key | None = request.scope.get(CALLER)
        if caller is None:
            raise HTTPException(401, f"no API key came with the request. {HINT}", {"WWW-Authenticate": "Bearer"})
        if not caller.allows(self.scope):
            demand = {"WWW-Authenticate": f'Bearer realm="clout", error="insufficient_scope", scope="{self.scope}"'}
            raise HTTPException(
                403, f"the key {caller.name!r} has scope {caller.scope}, expected {self.scope}.", demand
            )


def require_keys_off_loopback(home: Home, host: str) -> bool:
    """Say whether keys are demanded on an address: on any but a loopback one, and there have to be some.

    Raises
    ------
    KeysError : it is no loopback address, and there are no keys
    CloutError : the host has no address

    """
    if _is_loopback(host):
        return False
    try:
        keys = read_keys(home)
    except RecordsError:
        if home.database is None:
            raise
        return True  # a shared database that is away is waited for; until then no request is let through
    if not keys:
        raise KeysError(
            f"{host or 'an empty host'} is no loopback address, so that others can reach the service, and there are no "
            "API keys: make one with 'clout keys add NAME --scope read', or listen on 127.0.0.1."
        )
    return True


def _is_loopback(host: str) -> bool:
    """Say whether every address that a host stands for is this machine's alone."""
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CloutError(f"cannot listen on {host}: {error}. Choose another host.") from error
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def _given(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return what came as `Authorization: Bearer`; None where nothing did, or more than one thing."""
    found = [value for name, value in headers if name == b"authorization"]
    if len(found) != 1:
        return None
    scheme, _, key = found[0].decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None
