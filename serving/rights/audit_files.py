"""The files of an audit log: one for each day and process that writes, lines of JSON sealed one with the other."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from serving.rights.audit_secret import AuditError, Secret
from training.home import Home

NAME = re.compile(r"(?P<day>\d{4}-\d\d-\d\d)_(?P<writer>[0-9a-f]{12})\.jsonl")
SEAL = b',"seal":"'
BEGINS = "begins"
ENCODER = json.JSONEncoder(separators=(",", ":"))
TAIL_BYTES = 1 << 16
MOST_SEEN = 50


@dataclass(frozen=True)
class Line:
    """One whole line.

    Parameters
    ----------
    place : counted from 1 in its file
    told : its bytes up to the seal, which the seal is of
    seal : as it stands there

    """

    place: int
    told: bytes
    seal: str

    @property
    def entry(self) -> dict[str, Any]:
        """What it tells; empty where that is no JSON."""
        try:
            found = json.loads(self.told + b"}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Head:
    """How far a file goes: how many lines, and the seal of the last."""

    lines: int
    seal: str


def audit_folder(home: Home) -> Path:
    """Return where the files are."""
    return home.folder / "audit"


def file_name(day: date, writer: str) -> str:
    """Name the file of a day (UTC) and of a process that writes."""
    return f"{day.isoformat()}_{writer}.jsonl"


def audit_files(home: Home) -> list[Path]:
    """Return the files, by day, then by writer.

    Raises
    ------
    AuditError : the folder cannot be read

    """
    try:
        return sorted(file for file in audit_folder(home).iterdir() if NAME.fullmatch(file.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AuditError(f"the audit log in {audit_folder(home)} cannot be read: {error.strerror}.") from error


def written(secret: Secret, before: str, entry: dict[str, Any]) -> tuple[bytes, str]:
    """Write an entry as a line that is sealed with the one before; returns the line and its seal."""
    told = ENCODER.encode(entry).encode()[:-1]
    seal = secret.seal(before, told)
    return told + SEAL + seal.encode() + b'"}\n', seal


def lines(file: Path) -> Iterator[Line]:
    """Yield the whole lines of a file; what follows the last line's end is none."""
    with file.open("rb") as opened:
        for place, line in enumerate(opened, start=1):
            if line.endswith(b"\n"):
                yield _line(place, line)


def cut_short(file: Path) -> bool:
    """Say whether a file ends within a line: it is being written, or the process was killed while it was."""
    tail = _tail(file, 1)
    return bool(tail) and not tail.endswith(b"\n")


def head(file: Path) -> Head | None:
    """Return how far a file goes, None where it holds no whole line that tells its number."""
    size, held = TAIL_BYTES, file.stat().st_size
    while b"\n" not in (ends := _tail(file, size).rpartition(b"\n")[0]) and size < held:
        size *= 4
    line = _line(0, ends.rpartition(b"\n")[2] + b"\n")
    number = line.entry.get("line")
    return Head(number, line.seal) if isinstance(number, int) else None


def heads(home: Home) -> dict[str, Head]:
    """Return how far the files of the newest day go, and those of the day before it: what a new file has to witness.

    At most the 50 last of them, so that a process that is started over and over does not fill the disk.
    """
    files = audit_files(home)
    days = sorted({file.name[:10] for file in files})[-2:]
    found = {}
    for file in (file for file in files[-MOST_SEEN:] if file.name[:10] in days):
        with suppress(OSError):  # removed meanwhile, or another's
            found[file.name] = head(file)
    return {name: each for name, each in found.items() if each is not None}


def _line(place: int, line: bytes) -> Line:
    told, _, rest = line.rpartition(SEAL)
    return Line(place, told, rest.removesuffix(b'"}\n').decode("ascii", errors="replace"))


def _tail(file: Path, size: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(max(opened.seek(0, 2) - size, 0))
        return opened.read()
