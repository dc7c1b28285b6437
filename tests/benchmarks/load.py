"""Load generator: requests over persistent HTTP/1.1 connections, as fast as they are answered or at a fixed rate.

A minimal client, because it shares two cores with the server: processor time of the client is lost to the server.
"""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter

import numpy as np

STATUS = slice(9, 12)
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass
class Load:
    """Result of a load: seconds per request, answers by status, and total seconds."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter = field(default_factory=Counter)
    took: float = 0.0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.seconds) / self.took

    def quantile(self, share: float) -> float:
        """Return a quantile of the time of a request, milliseconds."""
        return float(np.quantile(self.seconds, share)) * 1e3


class Connection(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    def __init__(self) -> None:
        self._buffer, self._answered = b"", None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end >= 0 and len(self._buffer) >= end + 4 + int(LENGTH.search(self._buffer, 0, end)[1]):
            status, self._buffer = int(self._buffer[STATUS]), b""
            self._answered.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error or ConnectionError("closed before the answer"))

    async def ask(self, request: bytes) -> int:
        """Send a request and return the status of its answer."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        self._transport.close()


def get(path: str) -> bytes:
    """Write a request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """Write a request with a JSON body."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def as_fast_as_answered(port: int, requests: list[bytes], seconds: float, connections: int = 8) -> Load:
    """Send the next request on each connection as soon as the last one is answered."""

    async def send_requests(load: Load, options: cycle, until: float) -> None:
        connection = await _connected(port)
        while (began := perf_counter()) < until:
            load.statuses[await connection.ask(next(options))] += 1
            load.seconds.append(perf_counter() - began)
        connection.close()

    async def run() -> Load:
        load, options, began = Load(), cycle(requests), perf_counter()
        await asyncio.gather(*(send_requests(load, options, began + seconds) for _ in range(connections)))
        load.took = perf_counter() - began
        return load

    return asyncio.run(run())


def at_rate(port: int, requests: list[bytes], rate: float, seconds: float, connections: int = 32) -> Load:
    """Send requests at even intervals, whether or not earlier ones are answered.

    A request's time counts from when it was due, so that requests delayed by a stalled server count in full.
    """

    async def send_requests(load: Load, due: asyncio.Queue) -> None:
        connection = await _connected(port)
        while (item := await due.get()) is not None:
            at, request = item
            load.statuses[await connection.ask(request)] += 1
            load.seconds.append(perf_counter() - at)
        connection.close()

    async def run() -> Load:
        load, due, options = Load(), asyncio.Queue(), cycle(requests)
        workers = [asyncio.create_task(send_requests(load, due)) for _ in range(connections)]
        began = perf_counter()
        for k in range(int(rate * seconds)):
            at = began + k / rate
            await asyncio.sleep(max(at - perf_counter(), 0))
            due.put_nowait((at, next(options)))
        for _ in workers:
            due.put_nowait(None)
        await asyncio.gather(*workers)
        load.took = perf_counter() - began
        return load

    return asyncio.run(run())


async def _connected(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection
