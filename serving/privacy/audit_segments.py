"""The files of an audit log: one for each day and process that writes, lines of JSON sealed one with the other.

The secret of a home's audit log: it turns ids into marks that nobody else can make, and seals every line.
"""

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from features.errors import CloutError
from training.home import Home

SECRET_BYTES = 32
MARK_BYTES = 16
BLOCK_BYTES = 64  # of SHA-256
SHAPE = re.compile(rf"[0-9a-f]{{{2 * SECRET_BYTES}}}\n")


class AuditError(CloutError):
    """The audit log cannot be written or read: says where it is, and why."""


@dataclass(frozen=True)
class Secret:
    """256 random bits; those who do not have them can neither tell whom a line is about nor write one that fits.

    Parameters
    ----------
    value : the bits

    """

    value: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """What tells this secret from others and gives nothing of it away."""
        return self._keyed(b"name\0")[:16]

    def mark(self, user: str) -> str:
        """Return whom a line is about: HMAC-SHA-256 of the id, its first 128 bits."""
        return self._keyed(b"user\0" + user.encode(errors="surrogatepass"))[: 2 * MARK_BYTES]

    def seal(self, before: str, told: bytes) -> str:
        """Return the seal of a line: HMAC-SHA-256 of the seal of the line before it and of what it tells.

        The plain SHA-256 of a line could be made anew, by whoever alters it, for it and all that follow.
        """
        return self._keyed(b"line\0" + before.encode() + b"\0" + told)

    def _keyed(self, told: bytes) -> str:
        """Return the HMAC-SHA-256 of some bytes, hexadecimal (RFC 2104), from hashes that have the key in them already.

        `hmac.digest` takes the key in anew each time, and three times as long.
        """
        inner, outer = self._padded
        inner, outer = inner.copy(), outer.copy()
        inner.update(told)
        outer.update(inner.digest())
        return outer.hexdigest()

    @cached_property
    def _padded(self) -> tuple:
        key = self.value.ljust(BLOCK_BYTES, b"\0")
        return tuple(sha256(bytes(byte ^ pad for byte in key)) for pad in (0x36, 0x5C))


def secret_file(home: Home) -> Path:
    """Return where the secret is kept: not among the lines, so that these can be handed out without it."""
    return home.folder / "audit.key"


def read_secret(home: Home) -> Secret:
    """Read the secret.

    Raises
    ------
    AuditError : there is none, or it is damaged

    """
    file = secret_file(home)
    try:
        text = file.read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise AuditError(f"there is no audit log in {home.folder}: {file.name} is not there.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise AuditError(f"{file} cannot be read: {error}.") from error
    if not SHAPE.fullmatch(text):
        raise AuditError(f"{file} is damaged; put a copy back. Without it nobody can be found in the audit log.")
    return Secret(bytes.fromhex(text))


def made_secret(home: Home) -> Secret:
    """Read the secret, or make it where there is none; of several processes that do so, all get the same.

    Raises
    ------
    AuditError : it is damaged, or the disk refuses

    """
    file = secret_file(home)
    if not file.exists():
        aside = file.with_name(f".{file.name}-{secrets.token_hex(6)}")
        try:
            home.folder.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(secrets.token_hex(SECRET_BYTES) + "\n")
                out.flush()
                os.fsync(out.fileno())
            with suppress(FileExistsError):
                os.link(aside, file)
        except OSError as error:
            raise AuditError(f"{file} cannot be written: {error.strerror}.") from error
        finally:
            with suppress(OSError):
                aside.unlink()
    return read_secret(home)


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
