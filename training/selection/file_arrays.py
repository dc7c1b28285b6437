"""Arrays of pairs in files: they are written in parts, mapped into memory, and read user by user."""

from collections.abc import Iterator
from tempfile import TemporaryFile

import numpy as np

PAIRS_AT_ONCE = 1 << 20


class FileArray:
    """An array that grows in an unnamed file, which the system removes when nobody uses it any more.

    `dtype` is of its values; it lies in the folder for temporary files, `TMPDIR`.
    """

    def __init__(self, dtype: type):
        self._dtype, self._length = dtype, 0
        self._file = TemporaryFile()  # noqa: SIM115 - the map outlives it

    def append(self, values: np.ndarray) -> None:
        """Write more values, shape (n,)."""
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self._length += len(values)

    def mapped(self) -> np.ndarray:
        """Return all values, mapped into memory; no more can be appended."""
        with self._file:
            return np.memmap(self._file, self._dtype, "r") if self._length else np.zeros(0, self._dtype)


def user_parts(starts: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Yield ranges of users and of their pairs, about a million pairs each; `starts` is as in `Pairs`."""
    first, users = 0, len(starts) - 1
    while first < users:
        last = int(np.searchsorted(starts, starts[first] + PAIRS_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), users)
        yield slice(first, last), slice(int(starts[first]), int(starts[last]))
        first = last
