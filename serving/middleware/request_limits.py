"""Limits of a request: length of its address and headers, size of its body, time until the body is there."""

import asyncio
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.middleware.problem_details import problem_response

MiB = 1 << 20
LONGEST_ADDRESS = 8 << 10
LONGEST_HEADERS = 16 << 10


@dataclass(frozen=True)
class Limits:
    """The limits of a request.

    Parameters
    ----------
    rate : requests a second of one API key, or of one client address where no keys are required; 0 for any number,
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
    """Refuse requests that are too long (414, 431), too large (413) or too slow (408).

    The body is counted as it arrives, whatever its Content-Length says.
    """

    def __init__(self, app: ASGIApp, limits: Limits):
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a problem where a limit is exceeded."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if excess := self._excess(scope):
            shortened, close = {**scope, "path": scope["path"][:200]}, {"Connection": "close"}
            return await problem_response(shortened, *excess, headers=close)(scope, receive, send)
        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        return await self.app(scope, self._limited(receive) if has_body else receive, send)

    def _excess(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and message for the limit that the address or the headers exceed, if any."""
        if (size := len(scope.get("raw_path") or b"") + len(scope["query_string"])) > LONGEST_ADDRESS:
            return 414, f"the path and query hold {size:,} bytes, expected {LONGEST_ADDRESS:,} at most."
        if (size := sum(len(name) + len(value) for name, value in scope["headers"])) > LONGEST_HEADERS:
            return 431, f"the headers hold {size:,} bytes, expected {LONGEST_HEADERS:,} at most."
        if (size := _content_length(scope["headers"])) > self.limits.body_bytes:
            return 413, self._too_large(f"{size:,} bytes")
        return None

    def _too_large(self, size: str) -> str:
        return f"the body holds {size}, expected {self.limits.body_bytes:,} at most; send it in several requests."

    def _limited(self, receive: Receive) -> Receive:
        """Count a body as it arrives; an excess raises an HTTPException, which becomes a problem."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.limits.body_seconds
        received, complete = 0, False

        async def receive_within_limits() -> Message:
            nonlocal received, complete
            if complete:  # only the end of the connection can follow
                return await receive()
            message = await self._receive_before(receive, deadline)
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self.limits.body_bytes:
                raise HTTPException(413, self._too_large("more"), {"Connection": "close"})
            return message

        return receive_within_limits

    async def _receive_before(self, receive: Receive, deadline: float) -> Message:
        try:
            async with asyncio.timeout_at(deadline):
                return await receive()
        except TimeoutError as error:
            message = f"the body did not arrive within {self.limits.body_seconds:g} seconds."
            raise HTTPException(408, message, {"Connection": "close"}) from error


def _content_length(headers: list[tuple[bytes, bytes]]) -> int:
    """Return the Content-Length; 0 where it is absent or not a valid number."""
    lengths = [value for name, value in headers if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() and len(lengths[0]) < 20 else 0


class HeaderLimitProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with a limit on unfinished headers.

    The middleware sees headers once they are complete; httptools buffers unfinished ones without a limit. How long
    headers may take to arrive is left to the proxy in front of the service.
    """

    _unfinished_bytes: int | None = None  # None while no headers are being received

    def on_message_begin(self) -> None:
        """Start to count."""
        super().on_message_begin()
        self._unfinished_bytes = 0

    def on_headers_complete(self) -> None:
        """Stop counting."""
        super().on_headers_complete()
        self._unfinished_bytes = None

    def data_received(self, data: bytes) -> None:
        """Answer 400 and close the connection where the headers exceed twice the limit and are still unfinished."""
        super().data_received(data)
        if self._unfinished_bytes is None or self.transport.is_closing():
            return
        self._unfinished_bytes += len(data)
        if self._unfinished_bytes > 2 * LONGEST_HEADERS:
            self.send_400_response(f"The headers are longer than {LONGEST_HEADERS:,} bytes.")
