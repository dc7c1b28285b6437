"""Batch scoring on Spark: the executors score partitions with the model, and write them; the driver reads files.

Features, scores and ranks are computed by the executors. What passes through the driver are the files of the
snapshot, some ten thousand rows at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.util import gen_name

from features.errors import EngineError
from features.events.encoding import EncodedEvents
from features.events.loading import resolve_as_of
from features.feature_table import KEYS, ROWS_AT_ONCE, feature_table_and_pairs, require_users
from features.progress import StepProgress, ignore_progress, of_step
from serving.scoring import NUMBERS_FILE, STORED, predict_rows
from serving.snapshots.layout import output_errors
from serving.snapshots.peers import GROUP, audience_band
from serving.snapshots.scored_rows import RANKS, ScoredRows, schema
from training.model.bundle import Bundle
from training.model.feature_sets import snapshot_features
from training.selection.pairs import PAIR, Pairs, collect_pairs, number_pairs
from training.selection.selection_model import selection_model

SPARK_TYPES = {pa.large_string(): "string", pa.int64(): "bigint", pa.float64(): "double", pa.int32(): "int"}
SCOPE, BAND = GROUP
PACKAGE = "clout-score"
EXECUTORS_ASKED = 1_000  # rows: some for each core of a cluster
BUCKETS_PER_POINT = 100  # ranks are computed in so many parts at once
BYTES_READ_AT_ONCE = 1 << 24  # of the driver, from the files that it copies


def score_on_spark(
    events: EncodedEvents,
    as_of: datetime,
    bundle: Bundle,
    version: str,
    folder: Path,
    progress: StepProgress = ignore_progress,
    allow_future: bool = False,
) -> ScoredRows:
    """Score as `score_users` does, by the executors of Spark.

    Parameters
    ----------
    events : on Spark
    as_of, bundle, version, progress : as for `score_users`
    folder : where the executors write and the driver reads: on a disk that all of them share. It has to stay as long as
        the rows are read
    allow_future : as for `score_to_disk`

    Raises
    ------
    AsOfError : as `score_users`
    EngineError : the executors do not share the folder, or lack this version of Clout
    OutputError : the disk refuses

    """
    features = snapshot_features(bundle.features)
    with output_errors(folder):
        resolve_as_of(events.rows, as_of, allow_future)
        check_executors(events.rows.get_backend())
        on_feature = of_step(progress, "features")
        with feature_table_and_pairs(events.with_seeds(bundle.seeds), as_of, on_feature, features) as tables:
            scored = score_partitions(tables.rows, bundle, version, features, folder / "scores")
            progress("features", 1.0)
            require_users(scored.count().execute(), events, as_of)
            progress("score", 0.0)
            ranked = store_ranked(scored, features, folder / "rows")
            if selection_model(bundle) is not None:
                ranked = replace(ranked, pairs=collect_spark_pairs(tables.pairs, tables.users, ranked, folder))
        progress("score", 1.0)
    return ranked


def check_executors(backend: Any) -> None:
    """Check that the Python of the executors has this version of Clout, before features are computed for an hour.

    Raises
    ------
    EngineError : an executor has another version

    """
    expected = metadata.version(PACKAGE)
    rows = backend._session.range(EXECUTORS_ASKED).mapInArrow(_version_batches, "version string").distinct().collect()
    if others := sorted({row["version"] for row in rows} - {expected}):
        raise EngineError(
            f"the executors of Spark have {PACKAGE} {others[0]}, and this process has {expected}: install the same "
            "version into the Python of every worker, which PYSPARK_PYTHON names."
        )


def _version_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Return the version of Clout of the executor that runs this."""
    for _ in batches:
        yield pa.record_batch([pa.array([metadata.version(PACKAGE)])], names=["version"])


def collect_spark_pairs(pairs: ir.Table, users: ir.Table, ranked: ScoredRows, folder: Path) -> Pairs:
    """Let the executors number pairs by ordered rows and write them; collect them from the files."""
    ranked.number(folder / NUMBERS_FILE)
    backend: Any = users.get_backend()
    numbers = backend.read_parquet(_url(folder / NUMBERS_FILE), table_name=gen_name("numbers"))
    files = _write_ordered(number_pairs(pairs, users, numbers), PAIR, folder / "pairs")
    return collect_pairs(_read(files, [*PAIR, "last_age", "weeks", "credibility"]), ranked.rows)


def store_ranked(scored: ir.Table, features: list[str], folder: Path) -> ScoredRows:
    """Let the executors rank scores and write them with their features, ordered by user and scope.

    Raises
    ------
    EngineError : the executors do not share the folder

    """
    columns = [*KEYS, *RANKS, *(name for name in [*STORED, *features] if name not in KEYS)]
    files = _write_ordered(with_ranks(scored).select(columns), KEYS, folder)
    return ScoredRows(_count_rows(files), features, partial(_read, files))


def with_ranks(scored: ir.Table) -> ir.Table:
    """Add the columns RANKS to scores with `scope`, `band` and `score`, as `percentiles` does."""
    for name, groups in zip(RANKS, ([SCOPE], [SCOPE, BAND]), strict=True):
        scored = _with_rank(scored, name, groups)
    return scored


def _with_rank(scored: ir.Table, name: str, groups: list[str]) -> ir.Table:
    """Add the middle rank in a group as a share.

    A group may be everybody, whom no single task should sort. So users are counted by score, and scores are put in
    buckets, which are ordered by separate tasks.
    """
    bucket = (scored.score * BUCKETS_PER_POINT).floor().cast("int32")
    equal = scored.group_by(*groups, "score", bucket=bucket).agg(equal=scored.count())
    buckets = equal.group_by(*groups, "bucket").agg(users=equal.equal.sum())
    group, up_to = ibis.window(group_by=groups), ibis.cumulative_window(group_by=groups, order_by="bucket")
    starts = buckets.select(
        *groups, "bucket", start=buckets.users.sum().over(up_to) - buckets.users, total=buckets.users.sum().over(group)
    )
    located = equal.join(starts, [*groups, "bucket"])
    within = ibis.cumulative_window(group_by=[*groups, "bucket"], order_by="score")
    lower = (located.start + located.equal.sum().over(within) - located.equal).cast("float64")
    middle = lower + (located.equal.cast("float64") + 1) / 2
    ranks = located.select(*groups, "score", **{name: middle / located.total.cast("float64") * 100})
    return scored.join(ranks, [*groups, "score"])


def score_partitions(table: ir.Table, bundle: Bundle, version: str, features: list[str], folder: Path) -> ir.Table:
    """Let the executors score a table of features and write it; return what they wrote, with the band of peers.

    Raises
    ------
    EngineError : the executors do not share the folder

    """
    columns = [*schema([*STORED, *features]), pa.field(BAND, pa.int32())]
    types = ", ".join(f"`{column.name}` {SPARK_TYPES[column.type]}" for column in columns)
    score = partial(_score_batches, bundle, version, features)
    _write(_frame(table).mapInArrow(score, types), folder)
    backend: Any = table.get_backend()
    scored: ir.Table = backend.read_parquet(_url(folder), table_name=gen_name("scores"))
    return scored


def _score_batches(
    bundle: Bundle, version: str, features: list[str], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Score feature rows in an executor."""
    for batch in batches:
        rows = batch.to_pandas().reset_index(drop=True)
        scores = predict_rows(bundle, version, rows)
        yield _spark_batch(pd.concat([scores, rows[features]], axis=1).assign(**{BAND: audience_band(rows)}))


def _spark_batch(frame: pd.DataFrame) -> pa.RecordBatch:
    """Return a frame in the types of Spark, which has no large strings."""
    batch = pa.RecordBatch.from_pandas(frame, preserve_index=False)
    types = [pa.string() if pa.types.is_large_string(field.type) else field.type for field in batch.schema]
    return batch.cast(pa.schema(zip(batch.schema.names, types, strict=True)))


def _write_ordered(table: ir.Table, keys: list[str], folder: Path) -> list[Path]:
    """Let the executors write a table, ordered by some columns; return its files in that order."""
    return _write(_frame(table).repartitionByRange(*keys).sortWithinPartitions(*keys), folder)


def _write(frame: Any, folder: Path) -> list[Path]:
    """Let the executors write a data frame; return its files, which this process can read, in order."""
    from pyspark.sql import Observation, functions

    observed = Observation()
    counted = frame.observe(observed, functions.count(functions.lit(1)).alias("rows"))
    counted.write.option("parquet.block.size", BYTES_READ_AT_ONCE).parquet(_url(folder))
    files = sorted(folder.glob("part-*.parquet"))
    written, present = observed.get["rows"], _count_rows(files)
    if present != written:
        raise EngineError(
            f"the executors of Spark wrote {written:,} rows to {folder}, and this process finds {present:,} there: "
            "they write to other disks. Put --home on a disk that all of them share."
        )
    return files


def _count_rows(files: Sequence[Path]) -> int:
    return sum(pq.read_metadata(file).num_rows for file in files)


def _frame(table: ir.Table) -> Any:
    """Return a table as a data frame of Spark."""
    backend: Any = table.get_backend()
    return backend.raw_sql(backend.compile(table))


def _url(folder: Path) -> str:
    return folder.absolute().as_uri()


def _read(files: list[Path], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for file in files:
        with pq.ParquetFile(file, pre_buffer=False) as part:
            yield from part.iter_batches(ROWS_AT_ONCE, columns=list(names))
