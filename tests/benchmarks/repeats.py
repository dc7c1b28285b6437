"""Repeats: points that honest members lose by posting a text again, and scores of bots that repeat themselves."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from features.catalogue.originality import EXCESS_REPETITIONS
from features.events.encoding import encode_events
from features.events.event_table import SCHEMA
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows
from training.model.bundle import Bundle

RECENT_DAYS = 28
TIMES = (1, 3, 5, 10, 20)


def repeating(
    events: ir.Table,
    bundle: Bundle,
    as_of: datetime | None = None,
    members: int = 100,
    times: Sequence[int] = TIMES,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Score members as if they had posted their last text again, and compare with posting as many new texts.

    Parameters
    ----------
    events : from `open_events`
    bundle : the model
    as_of : the instant; None is just after the last event
    members : maximum number, sampled from users who posted with a content hash in the last 28 days
    times : numbers of repetitions to try
    seed : seed of the sample

    Returns
    -------
    a dict for each of `times`: `times`, `members`, and `lost_median` and `lost_p95` in points; an empty list if no
        event has a content hash

    """
    at = resolve_as_of(events, as_of)
    posts = _last_posts(events, at, members, seed)
    if posts.empty:
        return []
    table = []
    for count in times:
        again = posts.loc[posts.index.repeat(count)].reset_index(drop=True)
        again["object"] = "again" + again.index.astype(str)
        repeated, new = (
            _scores(events, more, bundle, at)[posts["actor"]]
            for more in (again, again.assign(content_hash=again["object"]))
        )
        lost = new - repeated
        row = {"times": count, "members": len(posts), "lost_median": lost.median(), "lost_p95": lost.quantile(0.95)}
        table.append(row)
    return table


def _last_posts(events: ir.Table, as_of: datetime, members: int, seed: int) -> pd.DataFrame:
    recent = events.filter(events.time >= as_of - timedelta(days=RECENT_DAYS), events.time < as_of)
    posts = recent.filter(recent.verb == "post", recent.actor.notnull(), recent.content_hash.notnull())
    last = posts.to_pandas().sort_values(["time", "object"]).groupby("actor").tail(1).sort_values("actor")
    return last.sample(min(members, len(last)), random_state=seed)


def _scores(events: ir.Table, more: pd.DataFrame, bundle: Bundle, as_of: datetime) -> pd.Series:
    both = events.union(ibis.memtable(more, schema=SCHEMA).cast(events.schema()))
    rows = feature_rows(encode_events(both, (ALL,)), as_of, features=list(bundle.features))
    return bundle.predict(rows.set_index("user"))["score"]


def bots_below_median(events: ir.Table, truth: pd.DataFrame, bundle: Bundle, as_of: datetime | None = None) -> float:
    """Return the share of a simulation's self-repeating bots whose score is below the median of active users.

    Active users posted in the last 90 days; `truth` has a row per user.
    """
    rows = feature_rows(encode_events(events, (ALL,)), resolve_as_of(events, as_of)).set_index("user")
    active = rows[rows["created_90d"] > 0]
    score = bundle.predict(active)["score"]
    bots = active.index.isin(truth.loc[truth["kind"] == "bot", "user"]) & (active[EXCESS_REPETITIONS] > 0)
    return float((score[bots] < score.median()).mean())
