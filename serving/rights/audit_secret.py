"""The secret of a home's audit log: it turns ids into marks that nobody else can make, and seals every line."""

import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

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
