"""Packed text: gzip and Zstandard, told by the name; a file that ends early is refused.

Zstandard lets a packer look back further than 128 MiB, as that of the Reddit dumps does (2 GiB). Most readers refuse
such a file. It is repacked on the way where Python can do so: with its own `compression.zstd`, from 3.14, or with the
package `backports.zstd`.
"""

from importlib import import_module
from pathlib import Path
from shutil import copyfileobj
from typing import Any

import pyarrow as pa

from features.errors import EventsError

PACKINGS = {".gz": "gzip", ".zst": "zstd"}
CHUNK_BYTES = 1 << 20
LONGEST_WINDOW = 31
WINDOW_TOO_LONG = "requires too much memory"
READERS = ("compression.zstd", "backports.zstd")


def packing(file: Path) -> str:
    """Name the way a file is packed: gzip, zstd or none."""
    return PACKINGS.get(file.suffix.lower(), "none")


def readable(file: Path, scratch: Path) -> Path:
    """Make sure that a packed file is whole, and that DuckDB can read it.

    Parameters
    ----------
    file : plain, .gz or .zst
    scratch : where a copy may be written

    Returns
    -------
    the file, or a copy where it looks back too far

    Raises
    ------
    EventsError : it ends early, is not packed so, or looks back too far for what is installed

    """
    try:
        if packing(file) != "none":
            _read_through(file)
    except (OSError, ValueError) as error:
        if WINDOW_TOO_LONG not in str(error):
            raise EventsError(f"{file} cannot be read: {error}. Is the download complete?") from error
        return _repacked(file, scratch.with_suffix(".zst"))
    return file


def _read_through(file: Path) -> None:
    """Read a packed file to its end, since DuckDB doesn't notice that the end is missing."""
    with pa.OSFile(str(file)) as held, pa.CompressedInputStream(held, packing(file)) as text:
        while text.read(CHUNK_BYTES):
            pass


def _repacked(file: Path, copy: Path) -> Path:
    zstd = _reader()
    if zstd is None:
        raise EventsError(
            f"{file} is packed with a window longer than 128 MiB, which needs Python 3.14 or backports.zstd. Run pip "
            f"install backports.zstd, or repack the file: zstd -dc --long=31 {file.name} | zstd -o new.zst"
        )
    options = {zstd.DecompressionParameter.window_log_max: LONGEST_WINDOW}
    try:
        with zstd.open(file, options=options) as text, zstd.open(copy, "wb", level=1) as out:
            copyfileobj(text, out, CHUNK_BYTES)
    except (zstd.ZstdError, OSError, EOFError) as error:
        raise EventsError(f"{file} cannot be read: {error}. Is the download complete?") from error
    return copy


def _reader() -> Any:
    for name in READERS:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None
