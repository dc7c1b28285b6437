"""Sums: a snapshot's files are held against what they were when it was written, as `sha256sum -c SHA256SUMS` does."""

from hashlib import file_digest
from pathlib import Path

SUMS_FILE = "SHA256SUMS"


def seal(folder: Path) -> None:
    """Write the SHA-256 of every file of a folder beside them, in the form of sha256sum(1)."""
    files = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    told = "".join(f"{_sum(folder / file)}  {file.as_posix()}\n" for file in files if file.name != SUMS_FILE)
    (folder / SUMS_FILE).write_text(told)


def unlike(folder: Path) -> Path | None:
    """Return the first file that is not as it was when the folder was sealed, None where all are.

    A folder that was never sealed, as older versions of Clout wrote them, has nothing to be held against.

    Raises
    ------
    OSError : a file cannot be read
    ValueError : the sums themselves are none

    """
    if not (folder / SUMS_FILE).exists():
        return None
    for line in (folder / SUMS_FILE).read_text().splitlines() or [""]:
        told, _, name = line.partition("  ")
        if len(told) != 64 or not name:
            raise ValueError(f"{line[:80]!r} is no line of sums")
        if not (folder / name).is_file() or _sum(folder / name) != told:
            return folder / name
    return None


def _sum(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()
