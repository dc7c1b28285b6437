"""Deletion receipts: what a deletion removed and what remains, and which deletions are not finished.

A receipt contains no user id, only the keyed hash from `opt_outs`. While a deletion is pending, the ids and the events
to clear are stored next to it, so that any process can finish it.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Column, Connection, String, Table, Text, insert, select, update

from features.errors import CloutError
from features.utc import UtcText, now_iso_utc
from training.home import Home
from training.records.database import TABLES, Records
from training.records.opt_outs import add_opt_outs, hash_user_id, read_opted_out_users, remove_ids

RECEIPTS = Table(
    "receipts",
    TABLES,
    Column("receipt", String(32), primary_key=True),
    Column("person", String(64), nullable=False, index=True),
    Column("told", Text, key="document", nullable=False),  # the receipt, as JSON
    Column("asked", Text, key="request"),  # ids and events of a pending deletion, as JSON; null once it is finished
)
ID_BYTES = 12


class AbsentReceiptError(CloutError):
    """No receipt has this id."""


@dataclass(frozen=True)
class Removed:
    """The number of rows about the user in one place.

    Parameters
    ----------
    place : a snapshot, a table of events, or a kind of record
    rows : how many rows were removed there

    """

    place: str
    rows: int


@dataclass(frozen=True)
class Receipt:
    """The result of a deletion.

    Parameters
    ----------
    receipt : its id
    person : a keyed hash of the user id
    asked : when the deletion was requested
    finished : when it was complete, None while it is pending
    removed : how many rows were removed from which place
    failed : which places could not be searched or cleared, and why, one sentence each
    remains : what is kept and why, one sentence each

    """

    receipt: str
    person: str
    asked: UtcText
    finished: UtcText | None = None
    removed: tuple[Removed, ...] = ()
    failed: tuple[str, ...] = ()
    remains: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeletionRequest:
    """A pending deletion: its receipt so far, the ids (the user's own first), and the events to clear."""

    receipt: Receipt
    ids: tuple[str, ...]
    events: tuple[str, ...]


def begin_deletion(home: Home, ids: Sequence[str], events: Sequence[str] = ()) -> DeletionRequest:
    """Record that all data of a user must be deleted, and opt the user out from now on.

    If a deletion of the user is pending already, its receipt is returned and the ids and events are added to it.

    Raises
    ------
    UserIdError : an id is not valid
    RecordsError : the records cannot be written

    """
    with Records(home).begin() as connection:
        add_opt_outs(connection, ids)
        digest = hash_user_id(read_opted_out_users(connection).secret, ids[0])
        pending = next((item for item in _pending(connection) if item.receipt.person == digest), None)
        if pending is None:
            receipt = Receipt(secrets.token_hex(ID_BYTES), digest, now_iso_utc())
            request = DeletionRequest(receipt, tuple(ids), tuple(events))
            row = {"receipt": receipt.receipt, "person": digest, **_documents(receipt, request)}
            connection.execute(insert(RECEIPTS).values(row))
            return request
        both = (*pending.ids, *ids), (*pending.events, *events)
        request = DeletionRequest(pending.receipt, *(tuple(dict.fromkeys(items)) for items in both))
        _update(connection, request.receipt, request)
        return request


def pending_deletions(home: Home) -> list[DeletionRequest]:
    """Return the deletions that are not finished.

    Raises
    ------
    RecordsError : the records cannot be read

    """
    with Records(home).begin_if_exists() as connection:
        return [] if connection is None else _pending(connection)


def record_removals(home: Home, request: DeletionRequest, removed: Removed) -> DeletionRequest:
    """Record how many rows a place has before they are removed; a place that is recorded already stays as it is."""
    if removed.place in {item.place for item in request.receipt.removed}:
        return request
    receipt = replace(request.receipt, removed=(*request.receipt.removed, removed))
    with Records(home).begin() as connection:
        _update(connection, receipt, request)
    return replace(request, receipt=receipt)


def finish_deletion(home: Home, request: DeletionRequest, failed: Mapping[str, str], remains: Sequence[str]) -> Receipt:
    """Finish a deletion: the ids are removed from all records, and from the files of an embedded database.

    `failed` says by place why it could not be searched or cleared (nothing was removed there), `remains` what is kept
    and why.
    """
    receipt = replace(
        request.receipt,
        finished=now_iso_utc(),
        removed=tuple(item for item in request.receipt.removed if item.place not in failed),
        failed=tuple(failed.values()),
        remains=tuple(remains),
    )
    records = Records(home)
    with records.begin() as connection:
        add_opt_outs(connection, request.ids)  # again, in case a user was opted in meanwhile
        remove_ids(connection, request.ids)
        _update(connection, receipt, None)
    records.scrub()
    return receipt


def read_receipt(home: Home, receipt: str) -> Receipt:
    """Read a receipt.

    Raises
    ------
    AbsentReceiptError : no receipt has this id
    RecordsError : the records cannot be read

    """
    with Records(home).begin_if_exists() as connection:
        query = select(RECEIPTS.c.document).where(RECEIPTS.c.receipt == receipt)
        text = None if connection is None else connection.execute(query).scalar_one_or_none()
    if text is None:
        raise AbsentReceiptError(f"there is no receipt {receipt[:64]!r}; 'clout forget' and DELETE give one each.")
    return _receipt_from_json(text)


def _pending(connection: Connection) -> list[DeletionRequest]:
    rows = connection.execute(select(RECEIPTS).where(RECEIPTS.c.request.is_not(None))).all()
    documents = [(_receipt_from_json(row.document), json.loads(row.request)) for row in rows]
    requests = [DeletionRequest(receipt, tuple(item["ids"]), tuple(item["events"])) for receipt, item in documents]
    return sorted(requests, key=lambda request: (request.receipt.asked, request.receipt.receipt))


def _update(connection: Connection, receipt: Receipt, request: DeletionRequest | None) -> None:
    where = RECEIPTS.c.receipt == receipt.receipt
    connection.execute(update(RECEIPTS).where(where).values(_documents(receipt, request)))


def _documents(receipt: Receipt, request: DeletionRequest | None) -> dict[str, str | None]:
    pending = None if request is None else json.dumps({"ids": request.ids, "events": request.events})
    return {"document": json.dumps(asdict(receipt)), "request": pending}


def _receipt_from_json(text: str) -> Receipt:
    fields: dict[str, Any] = json.loads(text)
    removed = tuple(Removed(**item) for item in fields["removed"])
    failed, remains = tuple(fields["failed"]), tuple(fields["remains"])
    return Receipt(**fields | {"removed": removed, "failed": failed, "remains": remains})
