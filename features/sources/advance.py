"""Advance: how far the reading of files has come, told as a share of their bytes."""

from collections.abc import Callable, Iterable
from pathlib import Path


def by_bytes(files: Iterable[Path], progress: Callable[[float], None]) -> Callable[[int], None]:
    """Return what takes the number of bytes read since the last call, and tells the share of all that is read."""
    total = sum(file.stat().st_size for file in files) or 1
    done = 0

    def advance(read: int) -> None:
        nonlocal done
        done += read
        progress(done / total)

    return advance
