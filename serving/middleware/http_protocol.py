"""How requests arrive over the wire: a connection on which none arrives in time is closed, one that is none is told."""

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from serving.middleware.headers import HEADERS
from serving.middleware.problem_details import MEDIA_TYPE

HEAD_SECONDS = 15.0
LAST_SECONDS = 0.3
NO_REQUEST = "what arrived is no HTTP/1.1 request, or its first lines hold more than the service reads."


class Arrivals(H11Protocol):
    """uvicorn's protocol of HTTP/1.1, which by itself waits for the headers of a request for ever.

    However slowly its bytes drop in, a request has `HEAD_SECONDS` from the connection, or from its own first byte on
    one that is kept alive, until its headers are whole. The body has its own time (`request_limits`).
    A service that is stopped answers what was sent to it before.
    """

    _deadline: asyncio.TimerHandle | None = None
    _ending = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a first request."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Stop the clock where a request is whole up to its body; start it where one has only begun."""
        super().data_received(data)
        if self._ending and self.cycle is not None:
            self.cycle.keep_alive = False
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._deadline is None:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._forget()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End after the request under way; where none is, one that is on its way already has a moment to arrive."""
        self._ending = True
        under_way = self.cycle is not None and not self.cycle.response_complete
        if under_way:
            super().shutdown()
        else:
            self.loop.call_later(LAST_SECONDS, self._end)

    def _end(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words, which say less
        """Answer a problem to what is no request, and close."""
        body = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": NO_REQUEST, "instance": ""}
        headers = list((HEADERS | {"content-type": MEDIA_TYPE, "connection": "close"}).items())
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=json.dumps(body).encode()),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _expect(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
