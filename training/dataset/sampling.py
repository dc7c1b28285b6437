"""Samples of a panel: which users it holds where all rows would not fit into memory, and what each row weighs.

Users are sampled, not rows: a user has all of their rows, or none. Users with many engagements are all in the sample,
since a few of them hold most of the audience. Of the others a share is drawn by a hash of the id, and their rows weigh
the inverse of the share, so weighted totals are unbiased (Horvitz and Thompson 1952). The same hash on every engine
draws the same users.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.aggregates.windows import LOOKBACK_DAYS
from features.catalogue import CATALOGUE
from features.events.encoding import EncodedEvents, instant_literal
from features.events.engines import sql_function

SAMPLE_FACT = "sample"  # of a bundle
WEIGHT, DRAWN = "sample_weight", "drawn"
HEAVY_SHARE = 0.5
GB = 1e9
BYTES_PER_VALUE, BYTES_PER_ROW, BYTES_AT_LEAST = 32, 400, 400_000_000  # measured, see docs/explained/scale.md
SAFE_SHARE = 0.8
DIGITS = 13
md5 = sql_function("md5", ("string",), "string")


@dataclass(frozen=True)
class RowSample:
    """Which users a panel holds.

    Parameters
    ----------
    rows : how many rows it is expected to hold
    of_rows : how many all users have
    heavy_from : the engagements from which on a user is in it for sure
    share : of the other users, drawn by a hash
    seed : of the hash

    """

    rows: int
    of_rows: int
    heavy_from: int
    share: float
    seed: int

    def __str__(self) -> str:
        return (
            f"{self.rows:,} of {self.of_rows:,} rows: all users with {self.heavy_from:,} engagements or more, and "
            f"{self.share:.1%} of the others, who weigh {1 / self.share:,.1f} times as much (seed {self.seed})"
        )

    @contextmanager
    def users(self, events: EncodedEvents, cutoffs: Sequence[datetime]) -> Iterator[ir.Table]:
        """Yield the users in the sample: (user, WEIGHT, DRAWN).

        DRAWN says whether the hash drew them: those users alone represent all users, with equal weights.
        """
        sizes = user_sizes(events, cutoffs)
        by_hash = md5(ibis.literal(f"{self.seed}:") + sizes.user).substr(0, DIGITS) < _first_digits(self.share)
        heavy = sizes.engagements >= self.heavy_from
        weight = heavy.ifelse(0, 1).cast("float64") * (1 / self.share - 1) + 1  # two literals were decimals on Spark
        with sizes.filter(heavy | by_hash).select("user", **{WEIGHT: weight, DRAWN: by_hash}).cache() as users:
            yield users


def _first_digits(share: float) -> str:
    """Return the hexadecimal digits below which a share of all hashes lies."""
    return f"{min(int(share * 16**DIGITS), 16**DIGITS - 1):0{DIGITS}x}"


def user_sizes(events: EncodedEvents, cutoffs: Sequence[datetime]) -> ir.Table:
    """Return (user, rows, engagements): a user's rows at some cutoffs, at most, and engagements up to the newest one.

    A user has a row at a cutoff if they acted or were engaged with in the 365 days before it. Longer pauses in between
    are not counted, so there may be fewer rows.
    """
    past = events.rows.filter(events.rows.time < instant_literal(max(cutoffs)))
    acted = past.select("time", key="actor", engagements=ibis.literal(0, "int64"))
    engaged = past.select("time", key="target", engagements=ibis.literal(1, "int64"))
    both = acted.union(engaged).filter(lambda events: events.key.notnull())
    spans = both.group_by("key").agg(first=both.time.min(), last=both.time.max(), engagements=both.engagements.sum())
    lookback = timedelta(days=LOOKBACK_DAYS)
    present = [
        ((spans.first < instant_literal(cutoff)) & (spans.last >= instant_literal(cutoff - lookback))).ifelse(1, 0)
        for cutoff in cutoffs
    ]
    sized = events.users.join(spans.mutate(rows=sum(present[1:], present[0])), "key")
    return sized.group_by("user").agg(rows=sized.rows.sum(), engagements=sized.engagements.max())


def count_rows(events: EncodedEvents, cutoffs: Sequence[datetime]) -> pd.DataFrame:
    """Return (engagements, rows): the number of rows at some cutoffs by engagements of their users, most first."""
    sizes = user_sizes(events, cutoffs)
    by_size: pd.DataFrame = sizes.group_by("engagements").agg(rows=sizes.rows.sum()).to_pandas()
    return by_size.astype("int64").sort_values("engagements", ascending=False, ignore_index=True)


def plan_sample(sizes: pd.DataFrame, most: int, seed: int) -> RowSample | None:
    """Plan a sample of about `most` rows, of which users with many engagements have half at most.

    `sizes` is from `count_rows`. None if all rows are at most as many, or `most` is 0.
    """
    total = int(sizes["rows"].sum())
    if not most or total <= most:
        return None
    heavy = np.cumsum(sizes["rows"].to_numpy()) <= most * HEAVY_SHARE
    heavy_rows = int(sizes["rows"][heavy].sum())
    heavy_from = int(sizes["engagements"][heavy].min()) if heavy.any() else int(sizes["engagements"].max()) + 1
    return RowSample(most, total, heavy_from, (most - heavy_rows) / (total - heavy_rows), seed)


def memory_note(rows: int, sample: RowSample | None, features: Sequence[str] | None) -> tuple[str, bool]:
    """Return a sentence on the memory that training on a number of rows needs, and whether it is available."""
    columns = len(CATALOGUE if features is None else features)
    need = rows * (columns * BYTES_PER_VALUE + BYTES_PER_ROW) + BYTES_AT_LEAST
    free = available_memory()
    which = sample or f"{rows:,} rows"
    text = f"Training on {which}: about {need / GB:.1f} GB beside the engine; {free / GB:.1f} GB are free."
    if need <= free:
        return text, True
    fitting = max(int(rows * free / need * SAFE_SHARE) // 1_000 * 1_000, 1_000)
    return f"{text} --sample-rows {fitting} would fit.", False


def available_memory() -> int:
    """Return the memory that processes can still take, bytes."""
    try:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def sample_of(facts: dict[str, Any]) -> RowSample | None:
    """Return the sample that a bundle was trained on, from its facts; None for all rows."""
    return RowSample(**facts[SAMPLE_FACT]) if facts.get(SAMPLE_FACT) else None


def representative(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the panel rows that represent all users with equal weights; all without a sample."""
    return rows[rows[DRAWN]].reset_index(drop=True) if DRAWN in rows else rows
