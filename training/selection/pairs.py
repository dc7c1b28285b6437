"""Pairs: who engaged with whom in the 365 days before an instant, how recently and in how many weeks, as arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa

from features.aggregates.credibility import FULL_CREDIBILITY
from features.aggregates.windows import BILLION, DAY
from features.events.encoding import EncodedEvents, cached_users
from features.events.event_table import load_table
from features.feature_table import KEYS, engaging_pairs
from training.dataset.labels import horizon_engagers
from training.selection.file_arrays import PAIRS_AT_ONCE, USERS_AT_ONCE, FileArray, mapped_zeros

ROW = "row"
PAIR = [ROW, "engager"]


@dataclass(frozen=True)
class Pairs:
    """Who engaged with whom, ordered by user, then by engager; both are numbers of rows (a user in a scope).

    Parameters
    ----------
    starts : int64, shape (rows + 1,); the pairs of row `u` are those from `starts[u]` to `starts[u + 1]`
    engagers : int32, shape (pairs,)
    days : int32, shape (pairs,); whole days since the engager's last engagement with the user
    weeks : int32, shape (pairs,); in how many weeks they engaged, at least 1
    weight : float64, shape (rows,); how far established people vouch for each engager, 0 to 1

    """

    starts: np.ndarray
    engagers: np.ndarray
    days: np.ndarray
    weeks: np.ndarray
    weight: np.ndarray

    @property
    def users(self) -> np.ndarray:
        """The row number of the user of each pair, int32, shape (pairs,)."""
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.int32), np.diff(self.starts))

    def users_of(self, numbers: np.ndarray) -> np.ndarray:
        """Return the row numbers of the users of some pairs by their numbers, int64, shape (n,)."""
        users: np.ndarray = np.searchsorted(self.starts, numbers, side="right") - 1
        return users

    @property
    def codes(self) -> np.ndarray:
        """One ascending number per pair, int64: `user * rows + engager`."""
        codes: np.ndarray = self.users * np.int64(len(self.weight)) + self.engagers
        return codes


def read_pairs(events: EncodedEvents, as_of: datetime, rows: pd.DataFrame) -> Pairs:
    """Return the pairs of some rows before an instant; engagers without a row of the same scope are left out.

    Parameters
    ----------
    events : from `load_encoded_events`
    as_of : the instant, UTC; only events before it count
    rows : user and scope, each once

    """
    names = pa.Table.from_pandas(rows[KEYS], preserve_index=False).append_column(ROW, pa.array(np.arange(len(rows))))
    with cached_users(events) as users, engaging_pairs(events, as_of) as table:
        numbered = number_pairs(table, users, load_table(names, users.get_backend()))
        return collect_pairs(numbered.order_by(*PAIR).to_pyarrow_batches(chunk_size=PAIRS_AT_ONCE), len(rows))


def collect_pairs(batches: Iterable[pa.RecordBatch], rows: int) -> Pairs:
    """Collect the pairs of `number_pairs`, ordered by both numbers; `rows` counts the rows. All arrays are files."""
    starts, weight = mapped_zeros(rows + 1, np.int64), mapped_zeros(rows, np.float64)
    engagers, days, weeks = (FileArray(np.int32) for _ in range(3))
    for batch in batches:
        pairs = batch.to_pandas()
        engagers.append(pairs["engager"].to_numpy())
        days.append((pairs["last_age"] // DAY).to_numpy())
        weeks.append(np.bitwise_count(pairs["weeks"].to_numpy()))
        first = int(pairs["row"].iloc[0]) if len(pairs) else 0
        of_batch = np.bincount(pairs["row"] - first)
        starts[first + 1 : first + 1 + len(of_batch)] += of_batch
        weight[pairs["engager"]] = np.clip(pairs["credibility"] / (FULL_CREDIBILITY * BILLION), 0.0, 1.0)
    for first in range(0, rows, USERS_AT_ONCE):
        part = slice(first, first + USERS_AT_ONCE + 1)  # begins with the sum so far
        starts[part] = np.cumsum(starts[part])
    return Pairs(starts, engagers.mapped(), days.mapped(), weeks.mapped(), weight)


def number_pairs(pairs: ir.Table, users: ir.Table, rows: ir.Table) -> ir.Table:
    """Return pairs by row numbers, `row` and `engager`, without those of engagers who have no row.

    Parameters
    ----------
    pairs : from `engaging_pairs`
    users : user, scope and key
    rows : user, scope and `row`, their number

    """
    keys = users.join(rows, KEYS).select("key", ROW)
    of_user = keys.select(user="key", row="row")
    of_other = keys.select(other="key", engager="row")
    numbered = pairs.join(of_user, "user").join(of_other, "other")
    credibility = numbered.credibility.fill_null(0).cast("float64")
    return numbered.select(*PAIR, "last_age", "weeks", credibility=credibility)


@dataclass(frozen=True)
class Engagements:
    """Who engaged with whom within a horizon.

    Parameters
    ----------
    users, engagers : row numbers, int64, shape (pairs,); engagers without a row have numbers from `rows` on
    rows : the number of rows
    keys : of every row and then of every other engager, uint64, shape (rows and others,)

    """

    users: np.ndarray
    engagers: np.ndarray
    rows: int
    keys: np.ndarray

    def returned(self, pairs: Pairs) -> np.ndarray:
        """Return which of earlier pairs engaged again, bool, shape (pairs,)."""
        of_rows = self.engagers < self.rows
        return np.isin(pairs.codes, self.users[of_rows] * np.int64(self.rows) + self.engagers[of_rows])

    @property
    def audiences(self) -> np.ndarray:
        """How many people engaged with each row, int64, shape (rows,)."""
        return np.bincount(self.users, minlength=self.rows)

    def weights(self, weight_by_key: pd.Series) -> np.ndarray:
        """Return what every row and other engager counts by their keys, 0 where absent, float64, shape of `keys`."""
        weights: np.ndarray = weight_by_key.reindex(self.keys, fill_value=0.0).to_numpy(float)
        return weights

    def reach(self, group: Sequence[int], weights: np.ndarray | None = None) -> np.ndarray:
        """Return how many different people engaged with each prefix of a group, float64, shape (len(group),).

        People count as much as their `weights` say, each as one without.
        """
        position = np.full(self.rows, len(group))
        position[list(group)] = np.arange(len(group))
        positions = position[self.users]
        inside = positions < len(group)
        order = np.argsort(positions[inside], kind="stable")
        people, first = np.unique(self.engagers[inside][order], return_index=True)
        counted = np.ones(len(people)) if weights is None else weights[people]
        return np.cumsum(np.bincount(positions[inside][order][first], counted, minlength=len(group)))


def read_engagements(events: EncodedEvents, as_of: datetime, horizon_days: int, rows: pd.DataFrame) -> Engagements:
    """Return who engaged with some rows (user, scope) within a horizon, as the label `audience` counts them."""
    with cached_users(events) as users:
        numbers = _RowNumbers(users, rows)
        frame = horizon_engagers(events, as_of, horizon_days).to_pandas()
    frame = frame[numbers.of(frame["user"]) >= 0]
    other = numbers.of(frame["other"])
    absent = other < 0
    codes, others = pd.factorize(frame["other"][absent])
    other[absent] = codes + len(rows)
    keys = np.concatenate([numbers.keys, np.asarray(others, dtype=np.uint64)])
    return Engagements(numbers.of(frame["user"]), other, len(rows), keys)


def weight_by_key(events: EncodedEvents, rows: pd.DataFrame, pairs: Pairs) -> pd.Series:
    """Return what engagers count, 0 to 1, by the key of each row."""
    with cached_users(events) as users:
        return pd.Series(pairs.weight, _RowNumbers(users, rows).keys)


class _RowNumbers:
    """The key of each row, 0 for none, and the row number of each key."""

    def __init__(self, users: ir.Table, rows: pd.DataFrame):
        keys = users.select("key", *KEYS).to_pandas().set_index(KEYS)["key"]
        self.keys = keys.reindex(pd.MultiIndex.from_frame(rows[KEYS]), fill_value=0).to_numpy(np.uint64)
        self._numbers = pd.Index(self.keys)

    def of(self, keys: pd.Series) -> np.ndarray:
        """Return the row numbers of keys, -1 for those of no row, int64."""
        numbers: np.ndarray = self._numbers.get_indexer(pd.Index(keys))
        return numbers
