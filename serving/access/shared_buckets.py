"""Token buckets that several processes share: a caller has one rate, whichever of them answers."""

import fcntl
import mmap
import os
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from struct import Struct

from serving.access.rates import Buckets

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
