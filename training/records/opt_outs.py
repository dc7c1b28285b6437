"""Opt-outs: users that must not be scored, shown or counted, by their own request or because their data were deleted.

A user is stored as a keyed hash of the id (BLAKE2b in keyed mode, RFC 7693, with a random secret of the database),
together with the id until all other data of the user are deleted: from then on, only the hash recognises a user that
must not come back. The database answers whether a given id is opted out; ids cannot be read out of it.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from sqlalchemy import Column, Connection, Integer, String, Table, Text, delete, insert, select, update

from features.errors import CloutError
from features.ids import parse_id
from features.utc import now_iso_utc
from training.home import Home
from training.records.database import TABLES, CachedRecords, Records, count_change

OPT_OUTS = Table(
    "left_out",
    TABLES,
    Column("person", String(64), primary_key=True),  # keyed hash of the id
    Column("id", Text),  # null once all other data of the user are deleted
    Column("since", String(32), nullable=False),
    Column("change", Integer, nullable=False),  # the change that opted the user out or removed the id
)
# One row: the secret and the number of changes of the table above, which a running service polls.
CHANGES = Table(
    "left_out_changes",
    TABLES,
    Column("one", Integer, primary_key=True),
    Column("secret", String(64), nullable=False),
    Column("change", Integer, nullable=False),
)


class UserIdError(CloutError):
    """An id cannot be a user id in events."""


class HiddenUserError(CloutError):
    """A user's score is hidden: the user opted out, or their data was deleted."""


@dataclass(frozen=True)
class OptOut:
    """A user that is opted out, and since when (ISO 8601, UTC)."""

    user: str
    since: str


@dataclass(frozen=True)
class OptedOutUsers:
    """All users that are opted out at one moment; `user in opted_out_users` takes about two microseconds.

    An id is compared as it is written and as all inputs read it, because events that were not imported may hold ids
    such as `12.0`.

    Parameters
    ----------
    change : number of changes so far
    secret : key of the hashes
    hashes : keyed hash -> the change that opted the user out
    known_ids : sorted ids of the users whose id is still stored; of the others, only the hash is

    """

    change: int = 0
    secret: bytes = field(default=b"", repr=False)
    hashes: Mapping[str, int] = field(default_factory=dict, repr=False)
    known_ids: tuple[str, ...] = field(default=(), repr=False)

    def __contains__(self, user: object) -> bool:
        return bool(self.hashes) and any(hash_user_id(self.secret, id_) in self.hashes for id_ in _forms(str(user)))

    def __len__(self) -> int:
        return len(self.hashes)

    def has_unknown_ids_since(self, change: int) -> bool:
        """Return whether a user opted out after a change is known only by hash."""
        with_id = {hash_user_id(self.secret, user) for user in self.known_ids}
        return any(at > change and digest not in with_id for digest, at in self.hashes.items())


NO_USERS = OptedOutUsers()


def hash_user_id(secret: bytes, user: str) -> str:
    """Return the keyed hash of an id, hexadecimal."""
    return blake2b(user.encode(errors="surrogatepass"), key=secret, digest_size=32).hexdigest()


def read_user_id(user: str) -> str:
    """Read the id of a user as all inputs do, such as `12` for `12.0`.

    Raises
    ------
    UserIdError : the id is empty, cannot be an id, or cannot be encoded as UTF-8

    """
    try:
        user.encode()
        id_ = parse_id(user)
    except UnicodeEncodeError as error:
        raise UserIdError(f"{user!r} is not a valid user id: it cannot be encoded as UTF-8.") from error
    except ValueError as error:
        raise UserIdError(f"the user id {user!r} {error}.") from error
    if not id_:
        raise UserIdError("the id of a user is empty; expected one as in the events.")
    return id_


def _forms(user: str) -> set[str]:
    """Return an id as it is written, and as all inputs read it."""
    try:
        return {user, parse_id(user)}
    except ValueError:
        return {user}


def load_opted_out_users(home: Home) -> OptedOutUsers:
    """Read which users are opted out now.

    Raises
    ------
    RecordsError : the records cannot be read

    """
    with Records(home).begin_if_exists() as connection:
        return NO_USERS if connection is None else read_opted_out_users(connection)


def read_opted_out_users(connection: Connection) -> OptedOutUsers:
    """Read which users are opted out, in an open transaction."""
    current = connection.execute(select(CHANGES)).one_or_none()
    if current is None:
        return NO_USERS
    rows = connection.execute(select(OPT_OUTS)).all()
    known_ids = tuple(sorted(row.id for row in rows if row.id is not None))
    hashes = {row.person: row.change for row in rows}
    return OptedOutUsers(current.change, bytes.fromhex(current.secret), hashes, known_ids)


@lru_cache(maxsize=16)
def hidden_users(home: Home) -> CachedRecords[OptedOutUsers]:
    """Return the users of a home that are hidden now, shared by the whole process; opt-outs apply without a restart."""
    return CachedRecords(home, CHANGES, load_opted_out_users, _stale_message)


def _stale_message(users: OptedOutUsers | None) -> str:
    return f"The {len(users or ())} users last known to be hidden stay hidden."


def check_visible(user: str, hidden: OptedOutUsers) -> None:
    """Check that a user is not hidden.

    Raises
    ------
    HiddenUserError : the user is; the message reveals neither which of the two reasons applies nor whether a score ever
        existed

    """
    if user in hidden:
        raise HiddenUserError(f"no score of {user!r} is shown: the user asked not to be scored, or to be forgotten.")


def opt_out(home: Home, user: str) -> OptOut:
    """Opt a user out from now on; a user that is opted out already keeps the earlier time.

    Raises
    ------
    UserIdError : the id is not valid
    RecordsError : the records cannot be written

    """
    with Records(home).begin() as connection:
        return add_opt_outs(connection, [user])[0]


def add_opt_outs(connection: Connection, users: Iterable[str]) -> list[OptOut]:
    """Opt users out, in an open transaction; users that are stored already, even by hash alone, stay as they are."""
    opt_outs = []
    for user in dict.fromkeys(map(read_user_id, users)):
        secret, change = _next_change(connection)
        digest = hash_user_id(secret, user)
        existing = connection.execute(select(OPT_OUTS).where(OPT_OUTS.c.person == digest)).one_or_none()
        since = existing.since if existing else now_iso_utc()
        if existing is None:
            row = {"person": digest, "id": user, "since": since, "change": change}
            connection.execute(insert(OPT_OUTS).values(row))
        opt_outs.append(OptOut(user, since))
    return opt_outs


def opt_in(home: Home, user: str) -> bool:
    """Let a user be scored again from the next run on, even after a deletion; return whether the user was opted out.

    Raises
    ------
    UserIdError : the id is not valid
    RecordsError : the records cannot be written

    """
    read_user_id(user)
    with Records(home).begin_if_exists() as connection:
        if connection is None:
            return False
        secret, _ = _next_change(connection)
        where = OPT_OUTS.c.person.in_([hash_user_id(secret, id_) for id_ in _forms(user)])
        return connection.execute(delete(OPT_OUTS).where(where)).rowcount > 0


def remove_ids(connection: Connection, users: Iterable[str]) -> None:
    """Remove the ids of opted-out users, keeping only their hashes, in an open transaction."""
    for user in users:
        secret, change = _next_change(connection)
        where = OPT_OUTS.c.person == hash_user_id(secret, user)
        connection.execute(update(OPT_OUTS).where(where).values(id=None, change=change))


def list_opt_outs(home: Home) -> list[OptOut]:
    """Return the opt-outs of users whose ids are still stored, sorted by id.

    Raises
    ------
    RecordsError : the records cannot be read

    """
    with Records(home).begin_if_exists() as connection:
        if connection is None:
            return []
        rows = connection.execute(select(OPT_OUTS).where(OPT_OUTS.c.id.is_not(None)).order_by(OPT_OUTS.c.id))
        return [OptOut(row.id, row.since) for row in rows]


def _next_change(connection: Connection) -> tuple[bytes, int]:
    """Increment the change counter and return the secret and the counter, creating both if missing."""
    count_change(connection, CHANGES, secret=secrets.token_hex(32))
    current = connection.execute(select(CHANGES)).one()
    return bytes.fromhex(current.secret), current.change
