"""How many requests a caller may make: a token bucket for each API key, or for each address where none are demanded.

Token buckets that several processes share: a caller has one rate, whichever of them answers.
"""

import fcntl
import math
import mmap
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from struct import Struct

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.middleware.api_keys import Key
from serving.middleware.problem_details import refusal
from serving.middleware.request_context import CALLER

RATE_OF_KEY = 200.0
MOST_CALLERS = 10_000
BURST_SECONDS = 2.0


class Buckets:
    """Token buckets, kept in memory for the callers last seen; a caller that was forgotten starts with a full one.

    Parameters
    ----------
    rate : tokens a second that each caller gets
    clock : seconds that never go back

    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic):
        self.rate = rate
        self._size = max(1.0, rate * BURST_SECONDS)
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Take a token: 0 where there was one, else the seconds until there is."""
        now = self._clock()
        tokens, wait = self._taken(*self._held.pop(caller, (self._size, now)), now)
        self._held[caller] = (tokens, now)
        if len(self._held) > MOST_CALLERS:
            self._held.popitem(last=False)
        return wait

    def _taken(self, tokens: float, seen: float, now: float) -> tuple[float, float]:
        """Fill a bucket up for the time gone by and take a token: what is left, and the seconds until there is one."""
        tokens = min(self._size, tokens + (now - seen) * self.rate)
        return (tokens - 1, 0.0) if tokens >= 1 else (tokens, (1 - tokens) / self.rate)


class RateLimitMiddleware:
    """Answer 429 to a caller that asks faster than the rate; it stands behind the guard, which says who asks.

    Paths that are open to all are not counted.

    Parameters
    ----------
    app : what answers
    rate : as `Limits` has it
    buckets : makes those of a rate, called as given: for keys, for addresses

    """

    def __init__(self, app: ASGIApp, rate: float | None, buckets: Callable[[float, str], Buckets] | None = None):
        self.app = app
        made = buckets or (lambda rate, _: Buckets(rate))
        of_key, of_address = RATE_OF_KEY if rate is None else rate, rate or 0
        self._keys = made(of_key, "keys") if of_key > 0 else None
        self._addresses = made(of_address, "addresses") if of_address > 0 else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one token for a request."""
        caller: Key | None = scope.get(CALLER)
        buckets = self._keys if caller and caller.id else self._addresses
        if caller is None or buckets is None:
            return await self.app(scope, receive, send)
        wait = buckets.take(caller.id or (scope.get("client") or ("",))[0])
        if wait == 0:
            return await self.app(scope, receive, send)
        detail = f"more than {buckets.rate:g} requests a second came from this caller; ask again in {wait:.3g} s."
        return await refusal(scope, 429, detail, {"Retry-After": str(math.ceil(wait))})(scope, receive, send)


SLOTS = 1 << 14
SLOT = Struct("=Qdd")


class SharedBuckets(Buckets):
    """Buckets in a file that is mapped into memory, each locked while it is used, which takes two microseconds.

    A caller's place is chosen by a hash of 64 bits. Who takes the place of another, which happens among thousands of
    callers at a time, finds a full bucket, as whoever was forgotten does.

    Parameters
    ----------
    rate : tokens a second that each caller gets
    file : in a folder of the processes that share it; made where it is absent
    clock : seconds that never go back, the same in all of them

    """

    def __init__(self, rate: float, file: Path, clock: Callable[[], float] = time.monotonic):
        super().__init__(rate, clock)
        self._file = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, SLOTS * SLOT.size)
        self._slots = mmap.mmap(self._file, SLOTS * SLOT.size)

    def take(self, caller: str) -> float:
        """Take a token: 0 where there was one, else the seconds until there is."""
        name = int.from_bytes(blake2b(caller.encode(errors="surrogatepass"), digest_size=8).digest())
        place = name % SLOTS * SLOT.size
        fcntl.lockf(self._file, fcntl.LOCK_EX, SLOT.size, place)
        try:
            now = self._clock()
            whose, tokens, seen = SLOT.unpack_from(self._slots, place)
            if whose != name:
                tokens, seen = self._size, now
            tokens, wait = self._taken(tokens, seen, now)
            SLOT.pack_into(self._slots, place, name, tokens, now)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, SLOT.size, place)
        return wait


def create_buckets(shared_folder: Path | None, rate: float, caller_kind: str) -> Buckets:
    """Return the buckets of one process, or those that the workers of a shared folder use together."""
    return Buckets(rate) if shared_folder is None else SharedBuckets(rate, shared_folder / f"{caller_kind}.buckets")
