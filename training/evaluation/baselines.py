"""Baselines: the simple signals that a score must beat, computed only from events before the instant."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import scipy.sparse as sp

from features.aggregates.relations import engagements, is_any
from features.aggregates.windows import LOOKBACK_DAYS
from features.events.encoding import EncodedEvents, before, cached
from features.events.event_table import NEGATIVE
from features.events.scopes import ALL
from training.dataset.panel import in_scope, panel_rows
from training.evaluation.metrics import ranking
from training.model.feature_sets import BASELINE_FEATURES

BASELINES = (*BASELINE_FEATURES, "pagerank", "tweepcred")


def baselines(events: EncodedEvents, rows: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Compute every baseline for the users of a feature table, scope `all`.

    Parameters
    ----------
    events : from `load_encoded_events`
    rows : feature rows of `as_of`, with columns `user` and those of BASELINE_FEATURES
    as_of : the instant; events at or after it are ignored

    Returns
    -------
    one float column per name of BASELINES, in the order of `rows`

    """
    users, edges = _users_and_edges(events, as_of)
    follows = edges[edges["follows"] > 0]
    ranks = {"pagerank": pagerank(edges), "tweepcred": tweepcred(follows if len(follows) else edges)}
    positions = users.get_indexer(pd.Index(rows["user"]))
    signals = {name: rows[column].to_numpy(float) for name, column in BASELINE_FEATURES.items()}
    signals |= {name: rank.reindex(positions, fill_value=0.0).to_numpy(float) for name, rank in ranks.items()}
    return pd.DataFrame(signals, index=rows.index)


def best_baseline(events: EncodedEvents, as_of: datetime, horizon_days: int) -> str:
    """Return the baseline that ranked users best in the newest horizon complete at an instant.

    Best is the highest mean of AUC (who has an audience) and NDCG@100 (who has the largest); of equals, the first.
    """
    start = as_of - timedelta(days=horizon_days)
    with cached(events) as shared:
        rows = in_scope(panel_rows(shared, start, horizon_days, features=list(BASELINE_FEATURES.values())), ALL)
        signals = baselines(shared, rows, start)
    audience = rows["audience"].to_numpy(float)
    figures = {name: ranking(audience, signals[name].to_numpy(), signals[name].to_numpy()) for name in BASELINES}
    return max(BASELINES, key=lambda name: figures[name]["auc"] + figures[name]["ndcg_100"])


def _users_and_edges(events: EncodedEvents, as_of: datetime) -> tuple[pd.Index, pd.DataFrame]:
    """Return the users of scope `all` by name, and who engaged with whom in the 365 days before the instant.

    Edges are (actor, target, acts, follows), without negative events, ordered by actor and target; an actor and a
    target are positions among the users.
    """
    year = engagements(before(events.rows, as_of, LOOKBACK_DAYS))
    past = year.filter(~is_any(year.verb, *NEGATIVE), year.other.notnull())
    follows = is_any(past.verb, "follow").cast("int64").sum()
    pairs = past.group_by("user", "other").agg(acts=past.count(), follows=follows).to_pandas()
    users = events.users.filter(events.users.scope == ALL).order_by("user").select("user", "key").to_pandas()
    keys = pd.Index(users["key"])
    actor, target = (keys.get_indexer(pd.Index(pairs[role])) for role in ("other", "user"))
    edges = pairs[["acts", "follows"]].assign(actor=actor, target=target)
    edges = edges[(actor >= 0) & (target >= 0)]
    return pd.Index(users["user"]), edges.sort_values(["actor", "target"], ignore_index=True)


def pagerank(edges: pd.DataFrame, damping: float = 0.85, rounds: int = 50) -> pd.Series:
    """Rank users by who engages with them, weighted by events; the average user has 1.

    Source: Page, Brin, Motwani and Winograd 1999; users who engage with nobody spread their rank over all.
    """
    codes, users = pd.factorize(pd.concat([edges["actor"], edges["target"]], ignore_index=True))
    n = len(users)
    if n == 0:
        return pd.Series(dtype=float)
    source, target = codes[: len(edges)], codes[len(edges) :]
    flow = sp.csr_matrix((edges["acts"].to_numpy(float), (target, source)), (n, n))
    outgoing = np.asarray(flow.sum(axis=0)).ravel()
    rank = np.full(n, 1.0 / n)
    for _ in range(rounds):
        rank = damping * (flow @ (rank / np.maximum(outgoing, 1.0)) + rank[outgoing == 0].sum() / n) + (1 - damping) / n
    return pd.Series(rank * n, index=users)


def tweepcred(edges: pd.DataFrame) -> pd.Series:
    """Score users as Twitter's open-sourced Tweepcred did, 0 to 100.

    Source: PageRank on follows, jump 0.1, 20 rounds; following over 500 users, and more than 0.6 times as many as
    follow, divides the mass by `exp(5 (ratio - 0.6))`; `130 + 5.21 ln(mass)`, clipped to 0..100, mass adding up to 1.
    """
    plain = edges.assign(acts=1)
    rank = pagerank(plain, damping=0.9, rounds=20)
    mass = rank / max(rank.sum(), 1.0)
    following = plain["actor"].value_counts().reindex(rank.index).fillna(0.0)
    followers = plain["target"].value_counts().reindex(rank.index).fillna(0.0)
    excess = np.maximum(following / np.maximum(followers, 1.0) - 0.6, 0.0)
    penalty = np.where(following > 500, np.exp(np.minimum(5 * excess, 500.0)), 1.0)
    scores: pd.Series = 130 + 5.21 * np.log(np.maximum(mass / penalty, 1e-300))
    return scores.clip(0.0, 100.0)
