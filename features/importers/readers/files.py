"""The files of a source: one file, or those of a folder that can be read.

Advance: how far the reading of files has come, told as a share of their bytes.
Packed text: gzip and Zstandard, told by the name; a file that ends early is refused.

Zstandard lets a packer look back further than 128 MiB, as that of the Reddit dumps does (2 GiB). Most readers refuse
such a file. It is repacked on the way where Python can do so: with its own `compression.zstd`, from 3.14, or with the
package `backports.zstd`.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from shutil import copyfileobj
from typing import Any

import pyarrow as pa

from features.errors import EventsError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".car")
SHOWN = 8


def list_files(path: Path, endings: tuple[str, ...], meant: str) -> tuple[list[Path], tuple[str, ...]]:
    """List what is to be read, in the order of the names.

    Parameters
    ----------
    path : a file, or a folder whose own files are taken, not those of folders in it
    endings : how the names end that can be read, in lower case
    meant : what was expected, for the error

    Returns
    -------
    the files, and a note that names what else is in the folder, if anything is

    Raises
    ------
    EventsError : nothing is there that can be read

    """
    if not path.exists():
        raise EventsError(f"{path} is not there; expected {meant}.")
    if not path.is_dir():
        _refuse_unreadable(path, endings, meant)
        return [path], ()
    held = sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith((".", "_")))
    files = [each for each in held if each.name.lower().endswith(endings)]
    if not files:
        found = _named([each for each in sorted(path.iterdir()) if not each.name.startswith(".")])
        raise EventsError(
            f"{path} holds {found}; expected {meant}, in files with names that end in {', '.join(endings)}."
        )
    others = [each for each in held if each not in files]
    return files, (f"passed over {_named(others)} in {path}",) if others else ()


def _refuse_unreadable(path: Path, endings: tuple[str, ...], meant: str) -> None:
    name = path.name.lower()
    if name.endswith(ARCHIVES):
        raise EventsError(f"{path} is an archive; unpack it first (unzip, tar xf) and import the folder.")
    if not name.endswith(endings):
        raise EventsError(
            f"{path} is of an unknown kind; expected {meant}, with a name that ends in {', '.join(endings)}."
        )


def _named(paths: list[Path]) -> str:
    shown = ", ".join(each.name for each in paths[:SHOWN])
    return f"{shown} and {len(paths) - SHOWN} more" if len(paths) > SHOWN else shown or "nothing"


def by_bytes(files: Iterable[Path], progress: Callable[[float], None]) -> Callable[[int], None]:
    """Return what takes the number of bytes read since the last call, and tells the share of all that is read."""
    total = sum(file.stat().st_size for file in files) or 1
    done = 0

    def advance(read: int) -> None:
        nonlocal done
        done += read
        progress(done / total)

    return advance


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
