"""Parts: a snapshot's files as they travel between a home and a database, and the hash by which they are known."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from serving.snapshots import files

PART_BYTES = 4 << 20


def parts(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Read the files of a snapshot in the order of their paths, a part at a time; an empty file has an empty one."""
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        path = file.relative_to(folder).as_posix()
        if path == files.PUBLISHED_FILE:
            continue
        with file.open("rb") as held:
            yield path, held.read(PART_BYTES)
            while more := held.read(PART_BYTES):
                yield path, more


class Digest:
    """How many bytes the parts added so far hold, and the SHA-256 of them, each after its path and length."""

    def __init__(self) -> None:
        self.bytes, self._told = 0, sha256()

    def add(self, path: str, held: bytes) -> None:
        """Add the next part."""
        self.bytes += len(held)
        self._told.update(f"{path}\0{len(held)}\0".encode())
        self._told.update(held)

    @property
    def sha256(self) -> str:
        """Of all that was added, hexadecimal."""
        return self._told.hexdigest()


def digest(folder: Path) -> Digest:
    """Read a snapshot's files through."""
    found = Digest()
    for path, held in parts(folder):
        found.add(path, held)
    return found


def mark(folder: Path, told: str) -> None:
    """Note in a folder as which publication it is known."""
    (folder / files.PUBLISHED_FILE).write_text(json.dumps({"sha256": told}) + "\n")


def marked(folder: Path) -> str | None:
    """Return the SHA-256 of the publication that a folder is; None where it is none."""
    try:
        return json.loads((folder / files.PUBLISHED_FILE).read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
