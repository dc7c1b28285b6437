"""Batch scoring: from feature rows to one score per user and scope, and every user's points per feature."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import OutputError
from features.events.encoding import EncodedEvents
from features.events.event_table import load_table
from features.events.loading import resolve_as_of
from features.feature_table import (
    KEYS,
    ROWS_AT_ONCE,
    FeatureTables,
    feature_rows,
    feature_table_and_pairs,
    ordered_batches,
    require_users,
)
from features.progress import StepProgress, ignore_progress, of_step
from serving.snapshots.audience_files import StoredAudiences
from serving.snapshots.baselines import baseline_of
from serving.snapshots.layout import atomic_file, output_errors, sort_rows
from serving.snapshots.peers import AUDIENCE_SIZE, audience_band
from serving.snapshots.scored_rows import RANKS, SCORES, ScoredRows, schema
from training.explanation.ledger import base_points, contributions
from training.explanation.reasons import evidence
from training.model.baseline import Baseline
from training.model.bundle import Bundle
from training.model.feature_sets import snapshot_features
from training.selection.file_arrays import PAIRS_AT_ONCE, USERS_AT_ONCE, FileArray
from training.selection.pairs import PAIR, Pairs, collect_pairs, number_pairs
from training.selection.selection_model import engages, selection_model

STORED = [name for name in SCORES if name not in RANKS]
ROWS_FILE = "rows.parquet"
NUMBERS_FILE = "numbers.parquet"


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
    AsOfError : nothing happened before the instant, or nothing in the 365 days before it
    FutureAsOfError : it lies in the future

    """
    resolve_as_of(events.rows, as_of)
    progress("features", 0.0)
    features, on_feature = snapshot_features(bundle.features), of_step(progress, "features")
    rows = sort_rows(feature_rows(events.with_seeds(bundle.seeds), as_of, on_feature, features))
    progress("features", 1.0)
    require_users(len(rows), events, as_of)
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
    scores = predict_rows(bundle, version, rows)
    return pd.concat([scores, _ranks(scores.assign(**{AUDIENCE_SIZE: rows[AUDIENCE_SIZE]}))], axis=1)[SCORES]


def predict_rows(bundle: Bundle, version: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of SCORES that do not depend on other rows."""
    predicted = bundle.predict(rows)
    return rows[KEYS].assign(
        score=predicted["score"],
        expected_audience=predicted["expected_audience"],
        **predicted[["low", "high"]].astype("int64"),
        evidence=pd.Series(evidence(rows), index=rows.index, dtype="str"),
        model_version=pd.Series(version, index=rows.index, dtype="str"),
    )


def _ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the columns RANKS, from scope, score and AUDIENCE_SIZE of all rows."""
    scope, score = scores["scope"], scores["score"]
    return pd.DataFrame(
        {
            "percentile": percentiles(score, [scope]),
            "peer_percentile": percentiles(score, [scope, audience_band(scores)]),
        }
    )


def score_to_disk(
    events: EncodedEvents,
    as_of: datetime,
    bundle: Bundle,
    version: str,
    folder: Path,
    progress: StepProgress = ignore_progress,
    allow_future: bool = False,
) -> ScoredRows:
    """Score as `score_users` does, with some ten thousand rows in memory and all of them in a file.

    Parameters
    ----------
    events, as_of, bundle, version, progress : as for `score_users`
    folder : where the file goes; it has to stay as long as the rows are read
    allow_future : whether the instant may lie in the future; nothing that happens until then counts

    Raises
    ------
    AsOfError : as `score_users`
    OutputError : the disk refuses

    """
    resolve_as_of(events.rows, as_of, allow_future)
    progress("features", 0.0)
    features, on_feature = snapshot_features(bundle.features), of_step(progress, "features")
    with feature_table_and_pairs(events.with_seeds(bundle.seeds), as_of, on_feature, features) as tables:
        scored = store_scores(bundle, version, features, ordered_batches(tables.rows), folder)
        tables.drop_rows()
        if selection_model(bundle) is not None:
            scored = replace(scored, pairs=collect_scored_pairs(tables, scored, folder))
    for step in ("features", "score"):
        progress(step, 1.0)
    require_users(scored.rows, events, as_of)
    return scored


def collect_scored_pairs(tables: FeatureTables, scored: ScoredRows, folder: Path) -> Pairs:
    """Collect who engaged with whom among scored rows; a folder takes the numbers of the rows."""
    with output_errors(folder):
        scored.number(folder / NUMBERS_FILE)
        numbers = load_table(pq.read_table(folder / NUMBERS_FILE, memory_map=True), tables.users.get_backend())
        numbered = number_pairs(tables.pairs, tables.users, numbers).order_by(*PAIR)
        return collect_pairs(numbered.to_pyarrow_batches(chunk_size=PAIRS_AT_ONCE), scored.rows)


def store_scores(
    bundle: Bundle, version: str, features: list[str], parts: Iterable[pd.DataFrame], folder: Path
) -> ScoredRows:
    """Score feature rows that come in parts, ordered by user and scope, and store them in a folder.

    Only the ranks of all rows are in memory, 16 bytes for each.

    Raises
    ------
    OutputError : the disk refuses

    """
    file = folder / ROWS_FILE
    columns = schema([*STORED, *features])
    with output_errors(file), pq.ParquetWriter(file, columns, compression="lz4") as writer:
        for rows in parts:
            scores = predict_rows(bundle, version, rows)
            frame = pd.concat([scores, rows[features]], axis=1)
            writer.write_table(pa.Table.from_pandas(frame, columns, preserve_index=False))
    return _read_scores(file, features)


def _read_scores(file: Path, features: list[str]) -> ScoredRows:
    with pq.ParquetFile(file, read_dictionary=["scope"]) as stored:
        ranks = _ranks(stored.read(["scope", "score", AUDIENCE_SIZE]).to_pandas())

    def read(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        start = 0
        with pq.ParquetFile(file, pre_buffer=False) as stored:
            for batch in stored.iter_batches(ROWS_AT_ONCE, columns=[name for name in names if name not in RANKS]):
                part = ranks.iloc[start : start + len(batch)]
                start += len(batch)
                values = [pa.array(part[name]) if name in RANKS else batch.column(name) for name in names]
                yield pa.record_batch(values, names=list(names))

    return ScoredRows(len(ranks), features, read)


def score_audiences(bundle: Bundle, scored: ScoredRows) -> StoredAudiences | None:
    """Compute whom every user is expected to reach, so that groups can be selected.

    Returns
    -------
    audiences in the order of the scores, whose arrays lie in files; None if the bundle holds no selection model

    """
    model, pairs = selection_model(bundle), scored.pairs
    if model is None or pairs is None:
        return None
    expected, followers, counts = FileArray(np.float64), FileArray(np.int32), FileArray(np.int32)
    active, people, start = engages(pairs, bundle.horizon_days), Counter[str](), 0
    for batch in scored.batches(["scope", "expected_audience", "followers"]):
        rows = batch.to_pandas()
        expected.append(rows["expected_audience"].to_numpy(float))
        followers.append(rows["followers"].fillna(0).to_numpy())
        of_scope = rows.assign(active=active[start : start + len(rows)]).groupby("scope")["active"].sum()
        people.update({str(scope): int(count) for scope, count in of_scope.items()})
        start += len(rows)
    for first in range(0, scored.rows, USERS_AT_ONCE):
        counts.append(np.diff(pairs.starts[first : first + USERS_AT_ONCE + 1]))
    audiences = model.audiences(pairs, expected.mapped())
    return StoredAudiences(
        pairs=counts.mapped(),
        engagers=pairs.engagers,
        probability=audiences.probability,
        strangers=audiences.strangers,
        weight=pairs.weight,
        followers=followers.mapped(),
        pools={scope: max(model.pool_share * count, 1.0) for scope, count in sorted(people.items())},
    )


def percentiles(score: pd.Series, groups: list[pd.Series | np.ndarray]) -> pd.Series:
    """Return the share (0-100) of a group whose score is not higher, with ties at their middle rank.

    `100 * (lower + (equal + 1) / 2) / users`, where `lower` counts the users of the group with a lower score and
    `equal` those with the same one, the user included: a single top user has 100.
    """
    return score.groupby(groups).rank(method="average", pct=True) * 100


def write_points(
    bundle: Bundle, parts: Iterable[pd.DataFrame], out: Path, baselines: Mapping[str, Baseline] = MappingProxyType({})
) -> None:
    """Write the points of every feature for every row as one Parquet file, atomically.

    From user, scope and one column per feature, at least one row, in parts; the file has user, scope, base, one column
    per feature, unclipped and score, with `base + sum(features) = unclipped` within 1e-6 and `clip(unclipped, 0, 100) =
    score`. Base and points are relative to the baseline of the scope (`baseline_of`).

    Raises
    ------
    OutputError : the path is a folder, or the disk refuses
    CatalogueError : a feature is missing or not a number

    """
    if out.is_dir():
        raise OutputError(f"{out} is a folder; expected the name of a Parquet file for the points.")
    tables = (_table(bundle, rows, baselines) for rows in parts)
    first = next(tables)
    with atomic_file(out) as file, pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _table(bundle: Bundle, rows: pd.DataFrame, baselines: Mapping[str, Baseline]) -> pa.Table:
    margin = bundle.margin(bundle.matrix(rows))
    totals = {"unclipped": bundle.scale.unclipped(margin), "score": bundle.scale.points(margin)}
    points = pd.concat(
        _points(bundle, of_scope, baseline_of(str(scope), baselines, bundle))
        for scope, of_scope in rows.groupby("scope")
    )
    frame = pd.concat([rows[KEYS], points.loc[rows.index]], axis=1).assign(**totals)
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _points(bundle: Bundle, rows: pd.DataFrame, baseline: Baseline) -> pd.DataFrame:
    points = contributions(bundle, rows, baseline)
    points.insert(0, "base", base_points(bundle, baseline))
    return points
