"""Rate limits: a token bucket per API key, or per client address where no keys are required.

Several workers can share their buckets: a caller has one rate, whichever worker answers.
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
from serving.middleware.problem_details import problem_response
from serving.middleware.request_context import CALLER

RATE_OF_KEY = 200.0
MOST_CALLERS = 10_000
BURST_SECONDS = 2.0
SLOTS = 1 << 14
SLOT = Struct("=Qdd")


class Buckets:
    """Token buckets in memory for the most recent callers; an evicted caller starts again with a full bucket.

    Parameters
    ----------
    rate : tokens a second that each caller gets
    clock : seconds, monotonic

    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic):
        self.rate = rate
        self._size = max(1.0, rate * BURST_SECONDS)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Take a token: return 0 if there was one, else the seconds until there is."""
        now = self._clock()
        tokens, wait = self._take(*self._buckets.pop(caller, (self._size, now)), now)
        self._buckets[caller] = (tokens, now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return wait

    def _take(self, tokens: float, updated: float, now: float) -> tuple[float, float]:
        """Refill a bucket for the time elapsed and take a token; return the rest and the seconds until there is one."""
        tokens = min(self._size, tokens + (now - updated) * self.rate)
        return (tokens - 1, 0.0) if tokens >= 1 else (tokens, (1 - tokens) / self.rate)


class RateLimitMiddleware:
    """Answer 429 to a caller that exceeds the rate. It runs after authentication, which names the caller.

    Open paths are not counted.

    Parameters
    ----------
    app : the application
    rate : as in `Limits`
    buckets : returns the buckets for a rate and a kind of caller, `keys` or `addresses`

    """

    def __init__(self, app: ASGIApp, rate: float | None, buckets: Callable[[float, str], Buckets] | None = None):
        self.app = app
        create = buckets or (lambda rate, _: Buckets(rate))
        of_key, of_address = RATE_OF_KEY if rate is None else rate, rate or 0
        self._keys = create(of_key, "keys") if of_key > 0 else None
        self._addresses = create(of_address, "addresses") if of_address > 0 else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one token per request."""
        caller: Key | None = scope.get(CALLER)
        buckets = self._keys if caller and caller.id else self._addresses
        if caller is None or buckets is None:
            return await self.app(scope, receive, send)
        wait = buckets.take(caller.id or (scope.get("client") or ("",))[0])
        if wait == 0:
            return await self.app(scope, receive, send)
        detail = f"more than {buckets.rate:g} requests a second came from this caller; ask again in {wait:.3g} s."
        retry = {"Retry-After": str(math.ceil(wait))}
        return await problem_response(scope, 429, detail, headers=retry)(scope, receive, send)


class SharedBuckets(Buckets):
    """Buckets in a memory-mapped file, each locked while it is used, which takes two microseconds.

    A 64-bit hash of the caller selects the slot. A caller that replaces another in its slot, which happens among
    thousands of concurrent callers, starts with a full bucket, like an evicted one.

    Parameters
    ----------
    rate : tokens a second that each caller gets
    file : in the shared folder of the workers; created if absent
    clock : seconds, monotonic, the same in all processes

    """

    def __init__(self, rate: float, file: Path, clock: Callable[[], float] = time.monotonic):
        super().__init__(rate, clock)
        self._file = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, SLOTS * SLOT.size)
        self._slots = mmap.mmap(self._file, SLOTS * SLOT.size)

    def take(self, caller: str) -> float:
        """Take a token: return 0 if there was one, else the seconds until there is."""
        name = int.from_bytes(blake2b(caller.encode(errors="surrogatepass"), digest_size=8).digest())
        offset = name % SLOTS * SLOT.size
        fcntl.lockf(self._file, fcntl.LOCK_EX, SLOT.size, offset)
        try:
            now = self._clock()
            owner, tokens, updated = SLOT.unpack_from(self._slots, offset)
            if owner != name:
                tokens, updated = self._size, now
            tokens, wait = self._take(tokens, updated, now)
            SLOT.pack_into(self._slots, offset, name, tokens, now)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, SLOT.size, offset)
        return wait


def create_buckets(shared_folder: Path | None, rate: float, caller_kind: str) -> Buckets:
    """Return the buckets of one process, or those that the workers of a shared folder use together."""
    return Buckets(rate) if shared_folder is None else SharedBuckets(rate, shared_folder / f"{caller_kind}.buckets")
