"""Limits of a request: how long its address and headers are, how large its body, how slowly it may come."""

import asyncio
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.middleware.problem_details import refusal

MiB = 1 << 20
LONGEST_ADDRESS = 8 << 10
LONGEST_HEADERS = 16 << 10


@dataclass(frozen=True)
class Limits:
    """What a request may take.

    Parameters
    ----------
    rate : requests a second of one API key, or of one client address where no keys are demanded; 0 for any number,
        None for 200 of a key and any number of an address
    body_bytes : the largest body
    body_seconds : how long a body may take to arrive
    answer_seconds : how long an answer may take that waits for a disk or a database

    """

    rate: float | None = None
    body_bytes: int = 8 * MiB
    body_seconds: float = 30.0
    answer_seconds: float = 30.0


USUAL = Limits()


class RequestLimitMiddleware:
    """Refuse what is too long (414, 431), too large (413) or too slow (408).

    The body is counted as it comes, whatever its length is said to be.
    """

    def __init__(self, app: ASGIApp, limits: Limits):
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a problem where a limit is passed."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if over := self._over(scope):
            return await refusal(_named_shortly(scope), *over, {"Connection": "close"})(scope, receive, send)
        comes = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        return await self.app(scope, self._counted(receive) if comes else receive, send)

    def _over(self, scope: Scope) -> tuple[int, str] | None:
        if (found := len(scope.get("raw_path") or b"") + len(scope["query_string"])) > LONGEST_ADDRESS:
            return 414, f"the path and query hold {found:,} bytes, expected {LONGEST_ADDRESS:,} at most."
        if (found := sum(len(name) + len(value) for name, value in scope["headers"])) > LONGEST_HEADERS:
            return 431, f"the headers hold {found:,} bytes, expected {LONGEST_HEADERS:,} at most."
        if (found := _told_length(scope["headers"])) > self.limits.body_bytes:
            return 413, self._too_large(f"{found:,} bytes")
        return None

    def _too_large(self, found: str) -> str:
        return f"the body holds {found}, expected {self.limits.body_bytes:,} at most; send it in several requests."

    def _counted(self, receive: Receive) -> Receive:
        """Count a body as it arrives; what goes over raises an HTTPException, which becomes a problem."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.limits.body_seconds
        held, whole = 0, False

        async def counted() -> Message:
            nonlocal held, whole
            if whole:  # then only the end of the connection is waited for
                return await receive()
            message = await self._in_time(receive, deadline)
            held += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if held > self.limits.body_bytes:
                raise HTTPException(413, self._too_large("more"), {"Connection": "close"})
            return message

        return counted

    async def _in_time(self, receive: Receive, deadline: float) -> Message:
        try:
            async with asyncio.timeout_at(deadline):
                return await receive()
        except TimeoutError as error:
            told = f"the body did not arrive within {self.limits.body_seconds:g} seconds."
            raise HTTPException(408, told, {"Connection": "close"}) from error


def _told_length(headers: list[tuple[bytes, bytes]]) -> int:
    """Return the length that the headers tell; 0 where they tell none."""
    told = [value for name, value in headers if name == b"content-length"]
    return int(told[0]) if told and told[0].isdigit() and len(told[0]) < 20 else 0


def _named_shortly(scope: Scope) -> Scope:
    """Cut the path that a problem names."""
    return {**scope, "path": scope["path"][:200]}
