"""Numbers written as names of one length, a whole column at a time."""

import numpy as np
import pyarrow as pa

FOUR_DIGITS = np.array([f"{number:04d}" for number in range(10_000)], dtype="S4").view(np.uint32)


def named(prefix: str, numbers: np.ndarray, width: int) -> pa.StringArray:
    """Write numbers as strings, such as u0001234.

    Parameters
    ----------
    prefix : one ASCII letter before each number
    numbers : whole numbers below `10 ** width`; negative ones become null
    width : digits of each name, filled with zeros

    """
    given = numbers >= 0
    text = _digits(prefix, numbers[given] if not given.all() else numbers, width)
    offsets = np.zeros(len(numbers) + 1, dtype=np.int32)
    np.cumsum(given, out=offsets[1:])
    offsets *= width + 1
    known = None if given.all() else pa.py_buffer(np.packbits(given, bitorder="little"))
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(text), known)


def _digits(prefix: str, numbers: np.ndarray, width: int) -> np.ndarray:
    """Return the bytes of the names, uint8 of shape (numbers, 1 + width)."""
    groups = -(-width // 4)
    fours = np.empty((len(numbers), groups), dtype=np.uint32)
    rest = numbers
    for group in range(groups - 1, -1, -1):
        rest, last = np.divmod(rest, 10_000)
        fours[:, group] = FOUR_DIGITS[last]
    text = np.empty((len(numbers), width + 1), dtype=np.uint8)
    text[:, 0] = ord(prefix)
    text[:, 1:] = fours.view(np.uint8)[:, 4 * groups - width :]
    return text
