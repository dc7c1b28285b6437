"""Files of the audit log: JSON lines with keyed user ids, each sealed together with the line before it.

Each process writes one file a day (UTC) into `CLOUT_HOME/audit/`. Each file is a chain of its own: its first line names
the key, and each seal covers the previous seal. The key is a separate file, so that the lines can be shared without it.
"""

import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from features.errors import CloutError
from training.home import Home

KEY_BYTES = 32
KEYED_ID_BYTES = 16
BEGINS = "begins"
FILE_NAME = re.compile(r"\d{4}-\d\d-\d\d_[0-9a-f]{12}\.jsonl")
SEAL = b',"seal":"'
ENCODER = json.JSONEncoder(separators=(",", ":"))


class AuditError(CloutError):
    """The audit log cannot be written or read: says where it is, and why."""


@dataclass(frozen=True)
class AuditKey:
    """256 random bits of a home; without them nobody can compute the keyed id of a user or the seal of a line."""

    value: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Identify the key without revealing it."""
        return self._digest(b"name\0")[:16]

    def keyed_id(self, user: str) -> str:
        """Return HMAC-SHA-256 of a user's id, its first 128 bits in hexadecimal."""
        return self._digest(b"user\0" + user.encode(errors="surrogatepass"))[: 2 * KEYED_ID_BYTES]

    def seal(self, previous: str, body: bytes) -> str:
        """Return HMAC-SHA-256 of the previous line's seal and a line's body, in hexadecimal."""
        return self._digest(b"line\0" + previous.encode() + b"\0" + body)

    def _digest(self, data: bytes) -> str:
        digest = self._keyed.copy()
        digest.update(data)
        return digest.hexdigest()

    @cached_property
    def _keyed(self) -> hmac.HMAC:
        return hmac.new(self.value, digestmod="sha256")


def key_file(home: Home) -> Path:
    """Return the path of the key."""
    return home.folder / "audit.key"


def read_key(home: Home) -> AuditKey:
    """Read the key.

    Raises
    ------
    AuditError : it is missing or damaged

    """
    file = key_file(home)
    try:
        text = file.read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise AuditError(
            f"no audit log in {home.folder}: {file.name} does not exist. '{home.command('serve')}' creates it when it "
            "starts."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise AuditError(f"{file} cannot be read: {error}.") from error
    if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}\n", text):
        raise AuditError(
            f"{file} is damaged; restore it from a copy. Without it no user can be found in the audit log."
        )
    return AuditKey(bytes.fromhex(text))


def read_or_create_key(home: Home) -> AuditKey:
    """Read the key, or create it; processes that do so at the same time all get the same.

    Raises
    ------
    AuditError : it is damaged, or cannot be written

    """
    file = key_file(home)
    if not file.exists():
        draft = file.with_name(f".{file.name}-{secrets.token_hex(6)}")
        try:
            home.folder.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(secrets.token_hex(KEY_BYTES) + "\n")
                out.flush()
                os.fsync(out.fileno())
            with suppress(FileExistsError):
                os.link(draft, file)
        except OSError as error:
            raise AuditError(f"{file} cannot be written: {error.strerror}.") from error
        finally:
            draft.unlink(missing_ok=True)
    return read_key(home)


@dataclass(frozen=True)
class Line:
    """One complete line.

    Parameters
    ----------
    position : in its file, from 1
    body : its bytes up to the seal, which covers them
    seal : as stored

    """

    position: int
    body: bytes
    seal: str

    @cached_property
    def entry(self) -> dict[str, Any]:
        """The JSON object without its seal; empty if it is not one."""
        try:
            entry = json.loads(self.body + b"}")
        except (ValueError, RecursionError):
            return {}
        return entry if isinstance(entry, dict) else {}


def audit_folder(home: Home) -> Path:
    """Return the folder of the files."""
    return home.folder / "audit"


def audit_files(home: Home) -> list[Path]:
    """Return the files, by day, then by writer.

    Raises
    ------
    AuditError : the folder cannot be read

    """
    try:
        return sorted(file for file in audit_folder(home).iterdir() if FILE_NAME.fullmatch(file.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AuditError(f"the audit log in {audit_folder(home)} cannot be read: {error.strerror}.") from error


def sealed_line(key: AuditKey, previous: str, entry: dict[str, Any]) -> tuple[bytes, str]:
    """Encode an entry as a line that is sealed with the previous seal; returns the line and its seal."""
    body = ENCODER.encode(entry).encode()[:-1]
    seal = key.seal(previous, body)
    return body + SEAL + seal.encode() + b'"}\n', seal


def read_lines(file: Path) -> Iterator[Line]:
    """Yield the complete lines of a file, without one that lacks its line end."""
    with file.open("rb") as lines:
        for position, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                body, _, end = line.rpartition(SEAL)
                yield Line(position, body, end.removesuffix(b'"}\n').decode("ascii", errors="replace"))
