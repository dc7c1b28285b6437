"""Arrays of pairs and users in files: they are written in parts, mapped into memory, and read user by user."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

import numpy as np

from features.errors import OutputError, write_error

PAIRS_AT_ONCE = 1 << 20
USERS_AT_ONCE = 1 << 16


class FileArray:
    """An array that grows in an unnamed file, which the system removes when nobody uses it any more.

    `dtype` is of its values; it lies in the folder for temporary files, `TMPDIR`.
    """

    def __init__(self, dtype: type):
        self._dtype, self._length = dtype, 0
        self._file = TemporaryFile()  # noqa: SIM115 - the map outlives it

    def append(self, values: np.ndarray) -> None:
        """Write more values, shape (n,).

        Raises
        ------
        OutputError : the disk of that folder is full

        """
        with self._errors():
            self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self._length += len(values)

    def mapped(self) -> np.ndarray:
        """Return all values, mapped into memory and writable; no more can be appended."""
        with self._errors(), self._file:
            self._file.flush()
            return np.memmap(self._file, self._dtype, "r+") if self._length else np.zeros(0, self._dtype)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Name the folder where its disk is full; the file is closed, since what it buffers cannot be written."""
        try:
            yield
        except OSError as error:
            with suppress(OSError):
                self._file.close()
            raise OutputError(f"{write_error(Path(gettempdir()), error)} Or set TMPDIR to a larger disk.") from error


class GroupedFileArray:
    """Values of groups in an unnamed file: appended in any order of the groups, read group by group."""

    def __init__(self, dtype: type):
        self._dtype, self._array, self._parts = dtype, FileArray(dtype), dict[str, list[slice]]()
        self._length = 0

    def append(self, group: str, values: np.ndarray) -> None:
        """Write more values of a group, shape (n,)."""
        self._parts.setdefault(group, []).append(slice(self._length, self._length + len(values)))
        self._array.append(values)
        self._length += len(values)

    def by_group(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each group, in order, with its values, mapped into memory and writable; no more can be appended."""
        values = self._array.mapped()
        for group, parts in sorted(self._parts.items()):
            of_group = FileArray(self._dtype)
            for part in parts:
                of_group.append(values[part])
            yield group, of_group.mapped()


def mapped_zeros(length: int, dtype: type) -> np.ndarray:
    """Return writable zeros, shape (length,), in an unnamed file that is mapped into memory.

    They are written, since a full disk ends a process that changes a mapped hole of a file.
    """
    zeros = FileArray(dtype)
    for start in range(0, length, PAIRS_AT_ONCE):
        zeros.append(np.zeros(min(PAIRS_AT_ONCE, length - start), dtype))
    return zeros.mapped()


def user_parts(starts: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Yield ranges of at most 65,536 users, and of their pairs, about a million each; `starts` is as in `Pairs`."""
    first, users = 0, len(starts) - 1
    while first < users:
        last = int(np.searchsorted(starts, starts[first] + PAIRS_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), first + USERS_AT_ONCE, users)
        yield slice(first, last), slice(int(starts[first]), int(starts[last]))
        first = last
