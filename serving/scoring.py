"""Batch scoring: from feature rows to one score per user and scope, and every user's points per feature."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import OutputError
from features.events.encoding import EncodedEvents
from features.events.loading import resolve_as_of
from features.feature_table import KEYS, feature_rows, require_users
from features.progress import StepProgress, ignore_progress, of_step
from serving.snapshots.audience_files import StoredAudiences
from serving.snapshots.layout import atomic_file, sort_rows
from serving.snapshots.peers import audience_band
from training.explanation.ledger import base_points, contributions
from training.explanation.reasons import evidence
from training.model.bundle import Bundle
from training.model.feature_sets import snapshot_features
from training.selection.pairs import read_pairs
from training.selection.selection_model import selection_model

RANKS = ["percentile", "peer_percentile", "evidence", "model_version"]
SCORES = [*KEYS, "score", "expected_audience", "low", "high", *RANKS]


def score_users(
    events: EncodedEvents, as_of: datetime, bundle: Bundle, version: str, progress: StepProgress = ignore_progress
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every user that acted or was engaged with in the 365 days before an instant.

    Parameters
    ----------
    events : from `load_encoded_events`
    as_of : the instant, UTC; only events before it count
    bundle, version : the model, and its version in the registry
    progress : called with a step's name and its completed share (0 to 1)

    Returns
    -------
    (scores, rows) : the scores as `score_rows` returns them, and the feature rows behind them, in the same order: the
    features of the model and those that its explanations read

    Raises
    ------
    AsOfError : nothing happened before the instant, or nothing in the 365 days before it, or it lies in the future

    """
    resolve_as_of(events.rows, as_of)
    progress("features", 0.0)
    features, on_feature = snapshot_features(bundle.features), of_step(progress, "features")
    rows = sort_rows(feature_rows(events.with_seeds(bundle.seeds), as_of, on_feature, features))
    progress("features", 1.0)
    require_users(rows, events, as_of)
    progress("score", 0.0)
    scores = score_rows(bundle, version, rows)
    progress("score", 1.0)
    return scores, rows


def score_rows(bundle: Bundle, version: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Score feature rows, and rank each among all users of its scope and among its peers.

    Parameters
    ----------
    bundle, version : the model, and its version in the registry
    rows : user, scope and one column per feature, as `feature_rows` returns them

    Returns
    -------
    the columns of SCORES, one row per user and scope, ordered by both: score (points), expected_audience (people),
    low and high (whole people), percentile and peer_percentile (0-100, see `percentiles`), evidence, model_version

    Raises
    ------
    CatalogueError : a feature is missing or not a number

    """
    rows = sort_rows(rows)
    predicted = bundle.predict(rows)
    interval = predicted[["low", "high"]].astype("int64")
    scope, score = rows["scope"], predicted["score"]
    ranks = {
        "percentile": percentiles(score, [scope]),
        "peer_percentile": percentiles(score, [scope, audience_band(rows)]),
        "evidence": pd.Series(evidence(rows), index=rows.index, dtype="str"),
        "model_version": pd.Series(version, index=rows.index, dtype="str"),
    }
    return rows[KEYS].assign(score=score, expected_audience=predicted["expected_audience"], **interval, **ranks)[SCORES]


def score_audiences(
    events: EncodedEvents, as_of: datetime, bundle: Bundle, scores: pd.DataFrame, rows: pd.DataFrame
) -> StoredAudiences | None:
    """Compute whom every user is expected to reach, so that groups can be selected.

    Parameters
    ----------
    events, as_of, bundle : as for `score_users`
    scores, rows : as it returns them

    Returns
    -------
    audiences in the order of the scores; None if the bundle holds no selection model

    """
    model = selection_model(bundle)
    if model is None:
        return None
    pairs = read_pairs(events.with_seeds(bundle.seeds), as_of, scores[KEYS])
    audiences = model.audiences(pairs, scores["expected_audience"].to_numpy(float))
    active = np.zeros(len(scores), dtype=bool)
    active[pairs.engagers[pairs.days < bundle.horizon_days]] = True
    pools = model.pool_share * pd.Series(active).groupby(scores["scope"].to_numpy()).sum()
    return StoredAudiences(
        pairs=np.diff(pairs.starts).astype(np.int32),
        engagers=pairs.engagers,
        probability=audiences.probability,
        strangers=audiences.strangers,
        weight=pairs.weight,
        followers=rows["followers"].fillna(0).to_numpy(np.int32),
        pools={str(scope): max(float(pool), 1.0) for scope, pool in pools.items()},
    )


def percentiles(score: pd.Series, groups: list[pd.Series | np.ndarray]) -> pd.Series:
    """Return the share (0-100) of a group whose score is not higher, with ties at their middle rank.

    `100 * (lower + (equal + 1) / 2) / users`, where `lower` counts the users of the group with a lower score and
    `equal` those with the same one, the user included: a single top user has 100.
    """
    return score.groupby(groups).rank(method="average", pct=True) * 100


ROWS_AT_ONCE = 65_536


def write_points(bundle: Bundle, rows: pd.DataFrame, out: Path) -> None:
    """Write the points of every feature for every row as one Parquet file, atomically.

    From user, scope and one column per feature, at least one row; the file has user, scope, base, one column per
    feature, unclipped and score, with `base + sum(features) = unclipped` within 1e-6 and `clip(unclipped, 0, 100) =
    score`.

    Raises
    ------
    OutputError : the path is a folder, or the disk refuses
    CatalogueError : a feature is missing or not a number

    """
    if out.is_dir():
        raise OutputError(f"{out} is a folder; expected the name of a Parquet file for the points.")
    tables = (_table(bundle, rows.iloc[start : start + ROWS_AT_ONCE]) for start in range(0, len(rows), ROWS_AT_ONCE))
    first = next(tables)
    with atomic_file(out) as file, pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _table(bundle: Bundle, rows: pd.DataFrame) -> pa.Table:
    margin = bundle.margin(bundle.matrix(rows))
    base = pd.Series(np.full(len(rows), base_points(bundle)), index=rows.index, name="base")
    totals = {"unclipped": bundle.scale.unclipped(margin), "score": bundle.scale.points(margin)}
    frame = pd.concat([rows[KEYS], base, contributions(bundle, rows)], axis=1).assign(**totals)
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
