"""The files of a source: list them, report progress by bytes, and check and prepare compressed ones.

The ending of a name tells the compression, gzip or Zstandard. Truncated files are refused. Zstandard allows windows
longer than 128 MiB, and the Reddit dumps use 2 GiB, which most readers refuse. Such a file is recompressed where Python
can read it: with its own `compression.zstd`, from 3.14, or with the package `backports.zstd`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from shutil import copyfileobj
from typing import Any, BinaryIO

import pyarrow as pa

from features.errors import EventsError
from features.progress import Progress

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".car")
TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
MAX_NAMES = 8
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
CHUNK_BYTES = 1 << 20
MAX_WINDOW_LOG = 31
WINDOW_TOO_LONG = "requires too much memory"
ZSTD_MODULES = ("compression.zstd", "backports.zstd")
UTF_16 = "It is in UTF-16; convert it with iconv -f UTF-16 -t UTF-8."
CONTENTS = {
    b"\xff\xfe": UTF_16,
    b"\xfe\xff": UTF_16,
    b"\x1f\x8b": "It is compressed with gzip; let its name end in .gz.",
    b"\x28\xb5\x2f\xfd": "It is compressed with Zstandard; let its name end in .zst.",
    b"PK\x03\x04": "It is a zip archive; unpack it first.",
    b"7z\xbc\xaf\x27\x1c": "It is a 7z archive; unpack it first.",
}
MAGICS = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
HEAD_BYTES = 64


def list_files(path: Path, endings: tuple[str, ...], expected: str) -> tuple[list[Path], tuple[str, ...]]:
    """List the files to read, sorted by name.

    Parameters
    ----------
    path : a file, or a folder, whose subfolders are not searched
    endings : endings of the names of readable files, in lower case
    expected : description of what was expected, for the error

    Returns
    -------
    the files, and notes that name the skipped files of the folder and subfolders with more of them, if any

    Raises
    ------
    EventsError : the path does not exist, or holds no readable file

    """
    if not path.exists():
        raise EventsError(f"{path} does not exist; expected {expected}.")
    if not path.is_dir():
        require_utf8_name(path)
        _require_readable_name(path, endings, expected)
        return [path], ()
    candidates = visible_files(path)
    files = [file for file in candidates if file.name.lower().endswith(endings)]
    if not files:
        names = _join_names([entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")])
        raise EventsError(
            f"{path} holds {names}; expected {expected}, in files with names that end in {', '.join(endings)}."
        )
    others = [file for file in candidates if file not in files]
    skipped = (f"skipped {_join_names(others)} in {path}",) if others else ()
    return files, (*skipped, *note_subfolders(path, endings))


def note_subfolders(folder: Path, endings: tuple[str, ...]) -> tuple[str, ...]:
    """Return a note that names the subfolders of a folder with readable files, by the endings of names, if any."""
    subfolders = [
        entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith((".", "_"))
    ]
    unread = [entry for entry in subfolders if any(_has_ending(file, endings) for file in entry.rglob("*"))]
    if not unread:
        return ()
    return (f"files in subfolders are not read: {_join_names(unread)} in {folder}; import each folder by itself",)


def _has_ending(file: Path, endings: tuple[str, ...]) -> bool:
    return file.name.lower().endswith(endings) and file.is_file()


def visible_files(folder: Path) -> list[Path]:
    """List the files of a folder by name, except those whose name starts with `.` or `_`.

    Raises
    ------
    EventsError : a path is not in UTF-8

    """
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith((".", "_")))
    for file in files:
        require_utf8_name(file)
    return files


def require_utf8_name(path: Path) -> None:
    """Refuse a path that is not in UTF-8, which SQL cannot name.

    Raises
    ------
    EventsError : the path is not in UTF-8

    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        name = str(path).encode(errors="replace").decode()
        raise EventsError(f"the name of {name} is not in UTF-8; rename the file, or its folder.") from error


def refuse_archive(path: Path) -> None:
    """Refuse an archive, by its name.

    Raises
    ------
    EventsError : the file is an archive

    """
    if path.name.lower().endswith(ARCHIVES):
        raise EventsError(f"{path} is an archive; unpack it first (unzip, tar xf) and import the folder.")


def _require_readable_name(path: Path, endings: tuple[str, ...], expected: str) -> None:
    refuse_archive(path)
    if not path.name.lower().endswith(endings):
        hint = " Import a table with 'clout import table'." if path.name.lower().endswith(TABLES) else ""
        raise EventsError(
            f"{path} is of an unknown kind; expected {expected}, with a name that ends in {', '.join(endings)}.{hint}"
        )


def _join_names(paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:MAX_NAMES])
    return f"{names} and {len(paths) - MAX_NAMES} more" if len(paths) > MAX_NAMES else names or "nothing"


def byte_progress(files: Iterable[Path], progress: Progress) -> Callable[[int], None]:
    """Return a function that adds a number of bytes read and reports the share of all bytes."""
    total = sum(file.stat().st_size for file in files) or 1
    done = 0

    def advance(read: int) -> None:
        nonlocal done
        done += read
        progress(done / total)

    return advance


def hint_about_content(file: Path, default: str = "Is the download complete?") -> str:
    """Say what a file is that cannot be read as its name says, by its first bytes; or the default."""
    try:
        with open_decompressed(file) as text:
            head = text.read(HEAD_BYTES)
    except (OSError, ValueError):
        return default if _is_compressed(file) else f"It is not compressed, although its name ends in {file.suffix}."
    hints = (hint for start, hint in CONTENTS.items() if head.startswith(start))
    return next(hints, UTF_16 if b"\0" in (head[:1], head[1:2]) else default)


def _is_compressed(file: Path) -> bool:
    """Return whether a file begins as a compressed one does, or cannot be opened."""
    try:
        with file.open("rb") as packed:
            return packed.read(HEAD_BYTES).startswith(MAGICS)
    except OSError:
        return True


def compression(file: Path) -> str:
    """Return the compression of a file by its name: gzip, zstd or none."""
    return COMPRESSIONS.get(file.suffix.lower(), "none")


def ensure_readable(file: Path, scratch: Path) -> Path:
    """Check that a compressed file is complete; return it, or a copy that DuckDB can read if its window is too long.

    The copy is `scratch` with the suffix .zst.

    Raises
    ------
    EventsError : it is truncated, not compressed as its name says, or has a window too long for what is installed

    """
    try:
        if compression(file) != "none":
            _read_to_end(file)
    except (OSError, ValueError) as error:
        if WINDOW_TOO_LONG not in str(error):
            raise EventsError(f"{file} cannot be read: {error}. {hint_about_content(file)}") from error
        return _recompress(file, scratch.with_suffix(".zst"))
    return file


def _read_to_end(file: Path) -> None:
    """Read a compressed file to its end, because DuckDB does not detect truncation."""
    with open_decompressed(file) as text:
        while text.read(CHUNK_BYTES):
            pass


@contextmanager
def open_decompressed(file: Path) -> Iterator[BinaryIO]:
    """Open a file, plain, .gz or .zst, for reading its decompressed bytes.

    Raises
    ------
    OSError, ValueError : it is truncated, not compressed as its name says, or has a window longer than 128 MiB

    """
    if compression(file) == "none":
        with file.open("rb") as plain:
            yield plain
        return
    with pa.OSFile(str(file)) as source, pa.CompressedInputStream(source, compression(file)) as stream:
        yield BufferedReader(stream, CHUNK_BYTES)


def _recompress(file: Path, copy: Path) -> Path:
    zstd = _zstd_module()
    if zstd is None:
        raise EventsError(
            f"{file} is compressed with a window longer than 128 MiB, which needs Python 3.14 or backports.zstd. Run "
            f"pip install backports.zstd, or recompress the file: zstd -dc --long=31 {file.name} | zstd -o new.zst"
        )
    options = {zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}
    try:
        with zstd.open(file, options=options) as text, zstd.open(copy, "wb", level=1) as out:
            copyfileobj(text, out, CHUNK_BYTES)
    except (zstd.ZstdError, OSError, EOFError) as error:
        raise EventsError(f"{file} cannot be read: {error}. Is the download complete?") from error
    return copy


def _zstd_module() -> Any:
    for name in ZSTD_MODULES:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None
