"""API keys: added, listed and removed; shown once and stored as hashes in the records, which replicas share."""

import hmac
import json
import logging
import re
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

from sqlalchemy import Column, Connection, Integer, String, Table, delete, insert, select

from features.atomic_files import publish, scratch_dir
from features.errors import CloutError
from features.utc import now_iso_utc
from training.home import Home
from training.records.database import TABLES, CachedRecords, Records, RecordsError, count_change

Scope = Literal["read", "review", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
ID_BYTES, SECRET_BYTES = 6, 32
SHAPE = re.compile(rf"clout_(?P<id>[0-9a-f]{{{2 * ID_BYTES}}})_[0-9a-f]{{{2 * SECRET_BYTES}}}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
HASH = re.compile(r"[0-9a-f]{64}")
log = logging.getLogger("clout")

API_KEYS = Table(
    "api_keys",
    TABLES,
    Column("id", String(2 * ID_BYTES), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("scope", String(8), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("made", String(32), nullable=False),
)
# One row: the change counter of the table above, which a running service polls.
KEY_CHANGES = Table(
    "api_key_changes",
    TABLES,
    Column("one", Integer, primary_key=True),
    Column("change", Integer, nullable=False),
)


class KeysError(CloutError):
    """API keys are missing, damaged, or not valid."""


@dataclass(frozen=True)
class Key:
    """What is stored of an API key.

    Parameters
    ----------
    id : public, part of the key; it finds the hash to compare with
    name : of its owner
    scope : read (scores, model, catalogue), review (explanations, changes and what-ifs as well) or admin (everything)
    sha256 : of the complete key, hexadecimal. A slow hash protects passwords that people invent; 256 random bits cannot
        be guessed, so one fast round is enough and costs a request a microsecond.
    made : when, ISO 8601, UTC

    """

    id: str
    name: str
    scope: Scope
    sha256: str
    made: str

    def allows(self, needed: Scope) -> bool:
        """Return whether the key's scope includes another."""
        return SCOPES.index(self.scope) >= SCOPES.index(needed)


def read_keys(home: Home) -> dict[str, Key]:
    """Return the keys by id; empty if no key was ever added.

    Raises
    ------
    KeysError : the file of an earlier version is damaged
    RecordsError : the records cannot be read

    """
    _import_keys_file(home)
    return _stored_keys(home)


def _stored_keys(home: Home) -> dict[str, Key]:
    with Records(home).begin_if_exists() as connection:
        return {} if connection is None else _read(connection)


def add_key(home: Home, name: str, scope: Scope) -> str:
    """Make a key and store its hash.

    Returns
    -------
    the key, `clout_ID_SECRET`, of which the secret is 256 random bits; it is not stored anywhere

    Raises
    ------
    KeysError : the name is in use or not valid, or the scope is not valid
    RecordsError : the records cannot be written

    """
    if not NAME.fullmatch(name):
        raise KeysError(f"{name!r} cannot name a key; expected up to 64 letters, digits, dots, dashes, underscores.")
    if scope not in SCOPES:
        raise KeysError(f"{scope!r} is not a valid scope; expected one of {', '.join(SCOPES)}.")
    key_id = secrets.token_hex(ID_BYTES)
    key = f"clout_{key_id}_{secrets.token_hex(SECRET_BYTES)}"
    _import_keys_file(home)
    with Records(home).begin() as connection:
        count_change(connection, KEY_CHANGES)
        if name in _names(connection):
            raise KeysError(f"there is a key named {name!r} already; choose another name, or remove that one first.")
        connection.execute(insert(API_KEYS).values(asdict(Key(key_id, name, scope, _hash(key), now_iso_utc()))))
    return key


def remove_key(home: Home, name: str) -> None:
    """Remove a key: a running service refuses it from the next request on, with PostgreSQL within half a second.

    Raises
    ------
    KeysError : there is none of that name
    RecordsError : the records cannot be written

    """
    _import_keys_file(home)
    with Records(home).begin() as connection:
        count_change(connection, KEY_CHANGES)
        if not connection.execute(delete(API_KEYS).where(API_KEYS.c.name == name)).rowcount:
            names = ", ".join(_names(connection)) or "none"
            raise KeysError(f"no key is named {name!r}; there are: {names}.")


def find_key(keys: dict[str, Key], text: str) -> Key | None:
    """Return the key that a caller sent, if it is one of these."""
    shape = SHAPE.fullmatch(text)
    key = keys.get(shape["id"]) if shape else None
    return key if key and hmac.compare_digest(key.sha256, _hash(text)) else None


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _read(connection: Connection) -> dict[str, Key]:
    return {row.id: Key(**row._mapping) for row in connection.execute(select(API_KEYS))}


def _names(connection: Connection) -> list[str]:
    return sorted(connection.execute(select(API_KEYS.c.name)).scalars())


def keys_file(home: Home) -> Path:
    """Return where earlier versions stored the hashes."""
    return home.folder / "keys.json"


def _import_keys_file(home: Home) -> None:
    """Take over the keys of an earlier version, once; its file is then named `keys.json.imported`."""
    file = keys_file(home)
    if not file.exists():
        return
    with Records(home).begin() as connection:
        count_change(connection, KEY_CHANGES)
        if not file.exists():  # another process was first
            return
        keys, stored = _parse_keys_file(file), _read(connection)
        names = {key.name for key in stored.values() if key.id not in keys}
        if duplicates := ", ".join(sorted(names & {key.name for key in keys.values()})):
            raise KeysError(
                f"{file} and the records hold different keys of the same name ({duplicates}); rename those in the file."
            )
        for key in keys.values():
            if key.id not in stored:
                connection.execute(insert(API_KEYS).values(asdict(key)))
        file.rename(file.with_name("keys.json.imported"))


def _parse_keys_file(file: Path) -> dict[str, Key]:
    try:
        document = json.loads(file.read_bytes())
        keys = {key.id: key for key in (Key(**item) for item in document["keys"])}
        listed = document["format"] == 1 and isinstance(document["keys"], list)
        valid = listed and all(map(_is_valid, keys.values()))
    except (ValueError, KeyError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise KeysError(f"{file} is damaged; restore it from a copy, or remove it and add new keys.")
    return keys


def _is_valid(key: Key) -> bool:
    well_formed = NAME.fullmatch(key.name) and HASH.fullmatch(key.sha256) and isinstance(key.id, str)
    return bool(well_formed) and key.scope in SCOPES


class KeyCache:
    """The current keys of a home or of a shared database.

    If they cannot be read, the keys last read stay valid, and the log says so. A home caches the keys of a shared
    database, so that a service can start while the database is down.

    Parameters
    ----------
    home : its records hold the keys
    guarded : require keys even while none exist; otherwise they are required once there is one. A service that has
        required keys does so until it ends: removing the last key does not open it.

    Raises
    ------
    KeysError : the file of an earlier version is damaged

    """

    def __init__(self, home: Home, guarded: bool):
        self._cached = CachedRecords(home, KEY_CHANGES, self._load, _stale_message, self._read_copy)
        self._keys: dict[str, Key] | None = None
        self._required = guarded
        with suppress(RecordsError):  # requests are refused until they can be read
            _import_keys_file(home)
            self._cached()

    def required(self) -> bool:
        """Return whether requests need a key.

        Raises
        ------
        RecordsError : the records cannot be read, and were never read before

        """
        self._cached()
        return self._required

    def find(self, text: str) -> Key | None:
        """Return the key that a caller sent, if it is one of the home's."""
        return find_key(self._keys or {}, text)

    def with_id(self, key_id: str) -> Key | None:
        """Return the key with a public id, if it is one of the home's."""
        return (self._keys or {}).get(key_id)

    def _load(self, home: Home) -> dict[str, Key]:
        if self._keys and home.database is None and not home.records.exists():
            raise RecordsError(f"{home.records} is gone.")
        keys = _stored_keys(home)
        if self._keys is not None:
            log.info("API keys are now: %s.", ", ".join(sorted(key.name for key in keys.values())) or "none")
        self._use(keys)
        if home.database is not None:
            _write_copy(home, keys)
        return keys

    def _read_copy(self, home: Home) -> dict[str, Key] | None:
        """Return the keys last read from the shared database, by any service of this home; None if never."""
        if home.database is None or not copy_file(home).exists():
            return None
        return self._use(_parse_keys_file(copy_file(home)))

    def _use(self, keys: dict[str, Key]) -> dict[str, Key]:
        self._keys, self._required = keys, self._required or bool(keys)
        return keys


def copy_file(home: Home) -> Path:
    """Return where a home stores the hashes that it last read from a shared database."""
    return home.folder / "keys-copy.json"


def _write_copy(home: Home, keys: dict[str, Key]) -> None:
    """Cache the keys for a start while the database is down; if the disk is full, only the cache is missing."""
    file = copy_file(home)
    with suppress(OSError, CloutError):
        home.folder.mkdir(parents=True, exist_ok=True)
        with scratch_dir(file) as scratch:
            draft = scratch / file.name
            draft.touch(mode=0o600)
            draft.write_text(json.dumps({"format": 1, "keys": [asdict(key) for key in keys.values()]}))
            publish(draft, file, scratch)


def _stale_message(keys: dict[str, Key] | None) -> str:
    return f"The service keeps the {len(keys or {})} API keys it has."
