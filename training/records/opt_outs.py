"""Opt-outs: who is not to be scored, shown or counted, by own wish or because everything of theirs was deleted.

Each is kept under a keyed hash of the id (BLAKE2b in keyed mode, RFC 7693, under a random secret of the database), and
with the id itself until everything else of them is deleted: from then on a hash alone recognises who is not to come
back. Whoever holds the database can ask it about an id; nobody can read ids out of it.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b

from sqlalchemy import Column, Connection, Integer, String, Table, Text, delete, insert, select, update

from features.errors import CloutError
from training.home import Home
from training.records.database import TABLES, Records

LEFT_OUT = Table(
    "left_out",
    TABLES,
    Column("person", String(64), primary_key=True),  # keyed hash of the id
    Column("id", Text),  # none once everything of theirs is deleted
    Column("since", String(32), nullable=False),
    Column("change", Integer, nullable=False),  # the change by which the id was given up, or the person came in
)
# One row: the secret, and how often anything changed above, which is what a running service asks for.
CHANGES = Table(
    "left_out_changes",
    TABLES,
    Column("one", Integer, primary_key=True),
    Column("secret", String(64), nullable=False),
    Column("change", Integer, nullable=False),
)


class UserIdError(CloutError):
    """An id is none that events can hold."""


@dataclass(frozen=True)
class OptOut:
    """Somebody who is not to be scored, and since when (ISO 8601, UTC)."""

    user: str
    since: str


@dataclass(frozen=True)
class OptedOutUsers:
    """Everybody who is left out, at one moment: `user in left_out` tells of an id, in two microseconds.

    Parameters
    ----------
    change : how often anything changed before
    secret : of the hashes
    people : keyed hash -> the change by which they came in
    named : those whose ids are known, in order; of the others the hash is all there is

    """

    change: int = 0
    secret: bytes = field(default=b"", repr=False)
    people: Mapping[str, int] = field(default_factory=dict, repr=False)
    named: tuple[str, ...] = field(default=(), repr=False)

    def __contains__(self, user: object) -> bool:
        return bool(self.people) and person(self.secret, str(user)) in self.people

    def __len__(self) -> int:
        return len(self.people)

    def unnamed_since(self, change: int) -> bool:
        """Say whether anybody came in after a change of whom only the hash is known."""
        named = {person(self.secret, user) for user in self.named}
        return any(at > change and each not in named for each, at in self.people.items())


NOBODY = OptedOutUsers()


def person(secret: bytes, user: str) -> str:
    """Return the keyed hash of an id, hexadecimal."""
    return blake2b(user.encode(errors="surrogatepass"), key=secret, digest_size=32).hexdigest()


def load_opted_out_users(home: Home) -> OptedOutUsers:
    """Read who is left out now.

    Raises
    ------
    RecordsError : the records cannot be read

    """
    with Records(home).reading() as connection:
        return NOBODY if connection is None else read(connection)


def read(connection: Connection) -> OptedOutUsers:
    """Read who is left out, in an open transaction."""
    held = connection.execute(select(CHANGES)).one_or_none()
    if held is None:
        return NOBODY
    rows = connection.execute(select(LEFT_OUT)).all()
    named = tuple(sorted(row.id for row in rows if row.id is not None))
    return OptedOutUsers(held.change, bytes.fromhex(held.secret), {row.person: row.change for row in rows}, named)


def opt_out(home: Home, user: str) -> OptOut:
    """Leave somebody out from now on; one who is already stays so since then.

    Raises
    ------
    UserIdError : the id is empty, or holds what cannot be written as UTF-8
    RecordsError : the records cannot be written

    """
    with Records(home).writing() as connection:
        return leave_out(connection, [user])[0]


def leave_out(connection: Connection, users: Iterable[str]) -> list[OptOut]:
    """Leave people out, in an open transaction; one whom a hash recognises already stays as known as that."""
    found = []
    for user in users:
        check_id(user)
        secret, change = _next(connection)
        where = LEFT_OUT.c.person == person(secret, user)
        held = connection.execute(select(LEFT_OUT).where(where)).one_or_none()
        since = held.since if held else now()
        if held is None:
            row = {"person": person(secret, user), "id": user, "since": since, "change": change}
            connection.execute(insert(LEFT_OUT).values(row))
        found.append(OptOut(user, since))
    return found


def opt_in(home: Home, user: str) -> bool:
    """Let somebody be scored again from the next run on, also one whose data were deleted; say whether they were out.

    Raises
    ------
    UserIdError : the id is none
    RecordsError : the records cannot be written

    """
    check_id(user)
    with Records(home).reading() as connection:
        if connection is None:
            return False
        secret, _ = _next(connection)
        return connection.execute(delete(LEFT_OUT).where(LEFT_OUT.c.person == person(secret, user))).rowcount > 0


def give_up_ids(connection: Connection, users: Iterable[str]) -> None:
    """Keep of these people the hash alone, in an open transaction."""
    for user in users:
        secret, change = _next(connection)
        where = LEFT_OUT.c.person == person(secret, user)
        connection.execute(update(LEFT_OUT).where(where).values(id=None, change=change))


def opted_out(home: Home) -> list[OptOut]:
    """Return those who are left out and whose ids are known, in order.

    Raises
    ------
    RecordsError : the records cannot be read

    """
    with Records(home).reading() as connection:
        if connection is None:
            return []
        rows = connection.execute(select(LEFT_OUT).where(LEFT_OUT.c.id.is_not(None)).order_by(LEFT_OUT.c.id))
        return [OptOut(row.id, row.since) for row in rows]


def check_id(user: str) -> None:
    """See that events can hold an id.

    Raises
    ------
    UserIdError : they cannot

    """
    if not user:
        raise UserIdError("the id of a user is empty; expected one as in the events.")
    try:
        user.encode()
    except UnicodeEncodeError as error:
        raise UserIdError(f"{user!r} is no id of a user: it cannot be written as UTF-8.") from error


def now() -> str:
    """Return this moment, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _next(connection: Connection) -> tuple[bytes, int]:
    """Count one more change, which keeps other writers waiting until the end of the transaction; make the secret."""
    counted = update(CHANGES).where(CHANGES.c.one == 1).values(change=CHANGES.c.change + 1)
    if connection.execute(counted).rowcount == 0:
        connection.execute(insert(CHANGES).values(one=1, secret=secrets.token_hex(32), change=1))
    held = connection.execute(select(CHANGES)).one()
    return bytes.fromhex(held.secret), held.change
