"""Twelve features of engagers, computed by Clout and independently in Polars."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import polars as pl

TWELVE = (
    "engagers_7d",
    "engagers_28d",
    "engagers_90d",
    "engagers_365d",
    "engagers_ever",
    "engagers_decayed_28d",
    "new_engagers_28d",
    "returning_engagers_28d",
    "engagements_365d",
    "days_since_last_engagement",
    "days_since_first_engagement",
    "steady_engagers_168d",
)
DAY = 86_400_000_000


def clout_twelve(events: Path, as_of: datetime) -> pd.DataFrame:
    """Compute the features with Clout's expressions, for all users with any engager."""
    from features.aggregates import relations
    from features.catalogue import CATALOGUE
    from features.events.encoding import before, check_keys
    from features.events.loading import load_encoded_events

    acts = load_encoded_events(events)
    narrow = acts.rows.select("time", "actor", "verb", "target")
    with acts.users.cache() as people, relations.pairs(relations.engagements(before(narrow, as_of))).cache() as pairs:
        check_keys(people)
        rows = pairs.group_by("user").agg(**{name: CATALOGUE[name].value(pairs) for name in TWELVE})
        named = rows.join(people, rows.user == people.key).select(*TWELVE, user="user_right")
        return named.to_pandas()


def polars_twelve(events: Path, as_of: datetime) -> pd.DataFrame:
    """Compute the same features in Polars, reading and grouping in batches."""
    try:
        import polars as pl
    except ImportError as error:
        raise SystemExit("Polars is not there: pip install polars") from error
    acts = pl.scan_parquet(events / "**/*.parquet" if events.is_dir() else events)
    pairs = _pairs(acts, as_of)
    return _by_user(pairs).collect(engine="streaming").to_pandas()


def _pairs(acts: "pl.LazyFrame", as_of: datetime) -> "pl.LazyFrame":
    import polars as pl

    from features.events.event_table import ENGAGEMENTS

    actor, target = pl.col("actor"), pl.col("target")
    engaging = pl.col("verb").is_in(ENGAGEMENTS) & target.is_not_null() & (actor.is_null() | (actor != target))
    age = (pl.lit(as_of).dt.epoch("us") - pl.col("time").dt.epoch("us")).alias("age")
    period = (pl.col("age") - 1) // (28 * DAY)
    return (
        acts.filter((pl.col("time") < as_of) & engaging)
        .select(user=target, other=actor, age=age)
        .with_columns(bit=pl.when(period < 6).then(pl.lit(2).pow(period)).otherwise(0).cast(pl.UInt8))
        .group_by("user", "other")
        .agg(
            last=pl.col("age").min(),
            first=pl.col("age").max(),
            acts=(pl.col("age") <= 365 * DAY).sum(),
            periods=pl.col("bit").bitwise_or(),
        )
    )


def _by_user(pairs: "pl.LazyFrame") -> "pl.LazyFrame":
    import polars as pl

    named, last, first = pl.col("other").is_not_null(), pl.col("last"), pl.col("first")
    windows = {f"engagers_{days}d": (named & (last <= days * DAY)).sum() for days in (7, 28, 90, 365)}
    weight = (-last / (28 * DAY) * pl.lit(2.0).log()).exp().round(9)
    return pairs.group_by("user").agg(
        **windows,
        engagers_ever=named.sum(),
        engagers_decayed_28d=weight.filter(named).sum(),
        new_engagers_28d=(named & (first <= 28 * DAY)).sum(),
        returning_engagers_28d=(named & (last <= 28 * DAY) & (first > 28 * DAY)).sum(),
        engagements_365d=pl.col("acts").sum(),
        days_since_last_engagement=last.min() / DAY,
        days_since_first_engagement=first.max() / DAY,
        steady_engagers_168d=(named & (pl.col("periods").bitwise_count_ones() >= 3)).sum(),
    )
