"""API keys: made, listed, removed; shown once and kept as hashes in `keys.json` of the home.

The key ring of a running service: it sees added and removed keys without a restart.
"""

import fcntl
import hmac
import json
import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from features.atomic_files import publish, scratch_dir
from features.errors import CloutError
from training.home import Home

Scope = Literal["read", "review", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
FORMAT = 1
ID_BYTES, SECRET_BYTES = 6, 32
SHAPE = re.compile(rf"clout_(?P<id>[0-9a-f]{{{2 * ID_BYTES}}})_[0-9a-f]{{{2 * SECRET_BYTES}}}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
HASH = re.compile(r"[0-9a-f]{64}")


class KeysError(CloutError):
    """API keys are missing, damaged, or not as asked for."""


@dataclass(frozen=True)
class Key:
    """What is kept of an API key.

    Parameters
    ----------
    id : public, part of the key; it finds the hash to compare with
    name : whose it is
    scope : read (scores, model, catalogue), review (explanations, changes and what-ifs as well) or admin (everything)
    sha256 : of the whole key, hexadecimal. A slow hash guards what people think up; nobody guesses 256 random bits,
        so that one fast round gives nothing away and costs a request a microsecond.
    made : when, ISO 8601, UTC

    """

    id: str
    name: str
    scope: Scope
    sha256: str
    made: str

    def allows(self, needed: Scope) -> bool:
        """Say whether the key's scope holds another."""
        return SCOPES.index(self.scope) >= SCOPES.index(needed)


def keys_file(home: Home) -> Path:
    """Return where the hashes are kept."""
    return home.folder / "keys.json"


def read_keys(home: Home) -> dict[str, Key]:
    """Return the keys by id; none where there is no file.

    Raises
    ------
    KeysError : the file cannot be read, or is damaged

    """
    file = keys_file(home)
    try:
        keys = [_checked(held) for held in _held(json.loads(file.read_bytes()))]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KeysError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise KeysError(f"{file} is damaged; put a copy back, or remove it and make keys anew.") from error
    return {key.id: key for key in keys}


def add_key(home: Home, name: str, scope: Scope) -> str:
    """Make a key and keep its hash.

    Returns
    -------
    the key, `clout_ID_SECRET`, of which the secret is 256 random bits; nothing holds it afterwards

    Raises
    ------
    KeysError : the name is taken or none, the scope is none, the file is damaged, or the disk refuses

    """
    if not NAME.fullmatch(name):
        raise KeysError(f"{name!r} cannot name a key; expected up to 64 letters, digits, dots, dashes, underscores.")
    if scope not in SCOPES:
        raise KeysError(f"there is no scope {scope!r}; expected one of {', '.join(SCOPES)}.")
    key_id = secrets.token_hex(ID_BYTES)
    key = f"clout_{key_id}_{secrets.token_hex(SECRET_BYTES)}"
    made = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    with _alone(home):
        keys = read_keys(home)
        if name in {held.name for held in keys.values()}:
            raise KeysError(f"there is a key named {name!r} already; choose another name, or remove that one first.")
        _write(home, keys | {key_id: Key(key_id, name, scope, _hash(key), made)})
    return key


def remove_key(home: Home, name: str) -> None:
    """Forget a key: a service that runs refuses it from the next request on.

    Raises
    ------
    KeysError : there is none of that name, the file is damaged, or the disk refuses

    """
    with _alone(home):
        keys = read_keys(home)
        kept = {key_id: key for key_id, key in keys.items() if key.name != name}
        if len(kept) == len(keys):
            there = ", ".join(sorted(key.name for key in keys.values())) or "none"
            raise KeysError(f"there is no key named {name!r}; there are: {there}.")
        _write(home, kept)


def find_key(keys: dict[str, Key], given: str) -> Key | None:
    """Return the key that was given, if it is one of these."""
    shape = SHAPE.fullmatch(given)
    key = keys.get(shape["id"]) if shape else None
    return key if key and hmac.compare_digest(key.sha256, _hash(given)) else None


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _held(document: Any) -> list[Any]:
    held = document.get("keys") if isinstance(document, dict) and document.get("format") == FORMAT else None
    if not isinstance(held, list):
        raise ValueError
    return held


def _checked(held: dict[str, Any]) -> Key:
    key = Key(**held)
    fits = NAME.fullmatch(key.name) and HASH.fullmatch(key.sha256) and key.scope in SCOPES and isinstance(key.id, str)
    if not fits:
        raise ValueError
    return key


def _write(home: Home, keys: dict[str, Key]) -> None:
    """Put the file in its place whole, to be read by its owner alone."""
    file = keys_file(home)
    text = json.dumps({"format": FORMAT, "keys": [asdict(key) for key in keys.values()]}, indent=1) + "\n"
    with _refused(home), scratch_dir(file) as scratch:
        made = scratch / file.name
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
        publish(made, file, scratch)


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Wait for other commands that change the keys."""
    with _refused(home):
        home.folder.mkdir(parents=True, exist_ok=True)
        lock = (home.folder / ".keys.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _refused(home: Home) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeysError(f"{keys_file(home)} cannot be written: {error.strerror}.") from error


log = logging.getLogger("clout")


class KeyCache:
    """The keys of a home, as they are now.

    The file is looked at on every request, which costs two microseconds, and read when it was replaced. Where it is
    damaged or gone, the last good keys stay, and the log says so.

    Parameters
    ----------
    home : where the keys are kept
    guarded : whether keys are demanded even while there are none; else they are from the first key on. A service that
        demanded keys once does so until it ends: taking the last key away opens nothing.

    Raises
    ------
    KeysError : the file is damaged

    """

    def __init__(self, home: Home, guarded: bool):
        self._home = home
        self._file = keys_file(home)
        self._seen = self._look()
        self._keys = read_keys(home)
        self._demanded = guarded or bool(self._keys)

    def demanded(self) -> bool:
        """Say whether requests need a key."""
        self._renew()
        return self._demanded

    def find(self, given: str) -> Key | None:
        """Return the key that was given, if it is on the ring."""
        return find_key(self._keys, given)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._file)  # noqa: PTH116 - a third faster than Path.stat, on every request
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _renew(self) -> None:
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            if seen is None:
                raise KeysError(f"{self._file} is gone.")
            self._keys = read_keys(self._home)
        except KeysError as error:
            log.error("%s The service keeps the %d API keys it has.", error, len(self._keys))
            return
        self._demanded = self._demanded or bool(self._keys)
        names = ", ".join(sorted(key.name for key in self._keys.values()))
        log.info("API keys are now: %s.", names or "none")
