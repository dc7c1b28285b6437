"""The fingerprint of events: how many, their span, and a digest that rows in any order, files and engines share."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.util import hash_array

from features.errors import AsOfError
from features.events.encoding import EncodedEvents, cached_users, instant_literal, microseconds
from features.events.event_table import EPOCH, VERBS
from features.events.scopes import ALL
from features.utc import to_iso_utc

ROWS_AT_ONCE = 1 << 20
FACTOR = np.uint64(1_000_003)


@dataclass(frozen=True)
class Fingerprint:
    """What identifies the events before an instant.

    Parameters
    ----------
    events : how many, of the scope `all` where it is among the scopes
    first, last : the instants of the first and the last
    digest : of the time, actor, verb and target of each, 16 hexadecimal digits

    """

    events: int
    first: str
    last: str
    digest: str


def fingerprint(events: EncodedEvents, as_of: datetime) -> Fingerprint:
    """Compute the fingerprint of the events before an instant.

    The digest is the sum of a 64-bit hash of each event, modulo 2^64: the same for the same events in any order, in any
    files, on any engine, and from a store. Pieces are not part of it, as a store holds no names of them. It finds
    changes; it does not resist a search for two sets of events with the same digest.

    Raises
    ------
    AsOfError : no events before the instant

    """
    rows = events.rows.filter(events.rows.time < instant_literal(as_of))
    columns = rows.select("actor", "verb", "target", time=microseconds(rows.time))
    verbs = hash_array(np.array(VERBS, object))
    with cached_users(events) as users:
        people = _hashes_by_key(users.to_pandas())
    count, digest, spans = 0, 0, []
    for batch in columns.to_pyarrow_batches(chunk_size=ROWS_AT_ONCE):
        (actor, of_actor), (target, of_target) = (_hashes(batch.column(role), people) for role in ("actor", "target"))
        counted = of_actor & of_target
        if not counted.any():
            continue
        time, verb = (batch.column(name).to_numpy(zero_copy_only=False)[counted] for name in ("time", "verb"))
        hashes = _combine(time.astype("uint64"), verbs[verb], actor[counted], target[counted])
        digest = (digest + int(hashes.sum(dtype="uint64"))) % 2**64
        count += len(time)
        spans += [time.min(), time.max()]
    if not spans:
        raise AsOfError(f"there are no events before {to_iso_utc(as_of)}.")
    first, last = (to_iso_utc(EPOCH + timedelta(microseconds=int(end))) for end in (min(spans), max(spans)))
    return Fingerprint(count, first, last, f"{digest:016x}")


def _hashes_by_key(users: pd.DataFrame) -> pd.Series:
    """Return the hashes of the ids of users by their key, of the scope `all` where there is one."""
    of_all = users[users["scope"] == ALL]
    chosen = of_all if len(of_all) else users
    ids = chosen["scope"].astype(object) + "\n" + chosen["user"].astype(object)
    return pd.Series(hash_array(ids.to_numpy(object)), index=pd.Index(chosen["key"]))


def _hashes(keys: pa.Array, people: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the hash of each user, 0 where unknown, and whether each is among the people or unknown."""
    unknown = keys.is_null().to_numpy(zero_copy_only=False)
    filled = keys.fill_null("" if pa.types.is_string(keys.type) else 0).to_numpy(zero_copy_only=False)
    positions = people.index.get_indexer(filled)
    return np.where(unknown, np.uint64(0), people.to_numpy()[positions]), unknown | (positions >= 0)


def _combine(first: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Combine arrays of 64-bit numbers to one hash per row."""
    combined = hash_array(first)
    for other in others:
        combined = hash_array(combined * FACTOR + other)
    return combined
