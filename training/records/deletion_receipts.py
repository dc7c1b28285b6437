"""Receipts: what a deletion removed, what it left, and which deletions are not at their end yet.

A receipt names nobody: it holds the keyed hash of the id, as `opt_outs` makes it. While the deletion is under way the
ids and the events it was asked to clear stand beside it, so that whoever looks next can bring it to its end.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Column, Connection, String, Table, Text, insert, select, update

from features.errors import CloutError
from training.home import Home
from training.records.database import TABLES, Records
from training.records.opt_outs import give_up_ids, leave_out, now, person, read

RECEIPTS = Table(
    "receipts",
    TABLES,
    Column("receipt", String(32), primary_key=True),
    Column("person", String(64), nullable=False, index=True),
    Column("told", Text, nullable=False),
    Column("asked", Text),  # none once it is at its end
)
ID_BYTES = 12


class AbsentReceiptError(CloutError):
    """There is no such receipt."""


@dataclass(frozen=True)
class Removed:
    """What one place held of the person: a snapshot, a table of events, a kind of record."""

    place: str
    rows: int


@dataclass(frozen=True)
class Receipt:
    """What a deletion came to.

    `person` is a keyed hash of the id. `removed` says where how much was, `failed` what could not be looked through and
    why, `remains` what is kept and why, a sentence each; `finished` is None while it is under way.
    """

    receipt: str
    person: str
    asked: str
    finished: str | None = None
    removed: tuple[Removed, ...] = ()
    failed: tuple[str, ...] = ()
    remains: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeletionRequest:
    """A deletion under way: its receipt so far, the ids, the first of them the person's, and the events to clear."""

    receipt: Receipt
    ids: tuple[str, ...]
    events: tuple[str, ...]


def begin(home: Home, ids: Sequence[str], events: Sequence[str] = ()) -> DeletionRequest:
    """Write down that everything of a person is to be deleted, who is left out from this moment on.

    One who is being deleted already gets the same receipt, and the events are added.

    Raises
    ------
    UserIdError : an id is none
    RecordsError : the records cannot be written

    """
    with Records(home).writing() as connection:
        leave_out(connection, ids)
        whose = person(read(connection).secret, ids[0])
        under_way = next((held for held in _under_way(connection) if held.receipt.person == whose), None)
        if under_way is None:
            found = DeletionRequest(Receipt(secrets.token_hex(ID_BYTES), whose, now()), tuple(ids), tuple(events))
            row = {"receipt": found.receipt.receipt, "person": whose}
            connection.execute(insert(RECEIPTS).values(**row, told=_told(found.receipt), asked=_asked(found)))
            return found
        both = (*under_way.ids, *ids), (*under_way.events, *events)
        found = DeletionRequest(under_way.receipt, *(tuple(dict.fromkeys(held)) for held in both))
        _write(connection, found.receipt, _asked(found))
        return found


def pending_deletions(home: Home) -> list[DeletionRequest]:
    """Return the deletions that are not at their end.

    Raises
    ------
    RecordsError : the records cannot be read

    """
    with Records(home).reading() as connection:
        return [] if connection is None else _under_way(connection)


def record_removals(home: Home, asked: DeletionRequest, removed: Removed) -> DeletionRequest:
    """Write down what a place holds before it is removed; a place that was written down before stays so."""
    if removed.place in {each.place for each in asked.receipt.removed}:
        return asked
    receipt = replace(asked.receipt, removed=(*asked.receipt.removed, removed))
    with Records(home).writing() as connection:
        _write(connection, receipt, _asked(asked))
    return replace(asked, receipt=receipt)


def finish(home: Home, asked: DeletionRequest, failed: Mapping[str, str], remains: Sequence[str]) -> Receipt:
    """Bring a deletion to its end: no record holds the ids any longer, nor do the files of an embedded database.

    Parameters
    ----------
    home : whose records
    asked : the deletion
    failed : why a place could not be looked through or cleared, by place: nothing was removed there
    remains : what is kept and why

    """
    removed = tuple(each for each in asked.receipt.removed if each.place not in failed)
    told = replace(asked.receipt, failed=tuple(failed.values()), remains=tuple(remains))
    receipt = replace(told, finished=now(), removed=removed)
    records = Records(home)
    with records.writing() as connection:
        leave_out(connection, asked.ids)  # again, where somebody took it back meanwhile
        give_up_ids(connection, asked.ids)
        _write(connection, receipt, None)
    records.scrub()
    return receipt


def read_receipt(home: Home, receipt: str) -> Receipt:
    """Read a receipt.

    Raises
    ------
    AbsentReceiptError : there is no such receipt
    RecordsError : the records cannot be read

    """
    with Records(home).reading() as connection:
        sought = select(RECEIPTS.c.told).where(RECEIPTS.c.receipt == receipt)
        told = None if connection is None else connection.execute(sought).scalar_one_or_none()
    if told is None:
        raise AbsentReceiptError(f"there is no receipt {receipt[:64]!r}; 'clout forget' and DELETE give one each.")
    return _receipt(told)


def _under_way(connection: Connection) -> list[DeletionRequest]:
    rows = connection.execute(select(RECEIPTS).where(RECEIPTS.c.asked.is_not(None))).all()
    found = [(_receipt(row.told), json.loads(row.asked)) for row in rows]
    asked = [DeletionRequest(receipt, tuple(held["ids"]), tuple(held["events"])) for receipt, held in found]
    return sorted(asked, key=lambda each: (each.receipt.asked, each.receipt.receipt))


def _write(connection: Connection, receipt: Receipt, asked: str | None) -> None:
    where = RECEIPTS.c.receipt == receipt.receipt
    connection.execute(update(RECEIPTS).where(where).values(told=_told(receipt), asked=asked))


def _asked(asked: DeletionRequest) -> str:
    return json.dumps({"ids": asked.ids, "events": asked.events})


def _told(receipt: Receipt) -> str:
    return json.dumps(asdict(receipt))


def _receipt(told: str) -> Receipt:
    held: dict[str, Any] = json.loads(told)
    removed = tuple(Removed(**each) for each in held["removed"])
    return Receipt(**held | {"removed": removed, "failed": tuple(held["failed"]), "remains": tuple(held["remains"])})
