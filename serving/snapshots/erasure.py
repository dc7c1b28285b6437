"""Forgetting in snapshots: people's rows taken out of the folders that are kept, each put in its place whole."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from shutil import copy, copytree

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from features.events.erasure import count_matching_rows, rows_to_keep
from serving.snapshots import layout
from serving.snapshots.feature_rows import READING, ROWS_PER_BATCH, WRITING
from serving.snapshots.publishing import publish_anew
from training.home import Home
from training.model.bundle_files import FACTS_FILE as BUNDLE_FACTS

BATCHES_AT_ONCE = 16
FORGOTTEN = "(forgotten)"


def folder_holds_users(folder: Path, users: Collection[str]) -> int:
    """Count what a snapshot holds of people: their scores, and the model's seeds that are theirs.

    Raises
    ------
    SnapshotError : a file is damaged

    """
    with (
        layout.read_errors_as_damage(folder / layout.SCORES_FILE),
        pq.ParquetFile(folder / layout.SCORES_FILE) as opened,
    ):
        batches = opened.iter_batches(columns=["user"], use_threads=False)
        scores = sum(count_matching_rows(batch, users) for batch in batches)
    return scores + len(set(_seeds(_told(folder))) & set(users))


def erase_users_from_snapshot(home: Home, folder: Path, users: Collection[str], cleared: int) -> None:
    """Take people out of a snapshot, which is put in its place whole; memory holds some ten thousand rows at a time.

    What is typical among peers, and everybody else's percentiles, stay as they were published.

    Parameters
    ----------
    home : whose snapshot
    folder : where it lies
    users : the ids
    cleared : the last change of `LeftOut` whose people are not in it then

    Raises
    ------
    SnapshotError : a file is damaged
    OutputError, RecordsError : the disk or the database refuses

    """
    with layout.atomic_file(folder) as made:
        made.mkdir()
        _write(folder, made, users, cleared)
        layout.write_checksums(made)
        publish_anew(home, folder, made)


def _write(folder: Path, made: Path, users: Collection[str], cleared: int) -> None:
    _scores(folder, made, users)
    with layout.read_errors_as_damage(folder / layout.FEATURES_FILE):
        _features(folder / layout.FEATURES_FILE, made / layout.FEATURES_FILE, users)
    copy(folder / layout.TYPICAL_FILE, made / layout.TYPICAL_FILE)
    copytree(folder / layout.BUNDLE_FOLDER, made / layout.BUNDLE_FOLDER)
    _forget_seeds(made, users)
    _facts(folder, made, cleared)


def _scores(folder: Path, made: Path, users: Collection[str]) -> None:
    file = folder / layout.SCORES_FILE
    with layout.read_errors_as_damage(file), pq.ParquetFile(file) as opened:
        schema = opened.schema_arrow
        with pq.ParquetWriter(made / layout.SCORES_FILE, schema, compression="zstd") as writer:
            batches = (_kept(batch, users) for batch in opened.iter_batches(layout.ROWS_PER_GROUP, use_threads=False))
            for table in _even(batches, schema, layout.ROWS_PER_GROUP):
                writer.write_table(table, row_group_size=layout.ROWS_PER_GROUP)


def _features(file: Path, made: Path, users: Collection[str]) -> None:
    with pa.OSFile(str(file)) as opened, ipc.open_file(opened, options=READING) as reader:
        batches = (_kept(reader.get_batch(k), users) for k in range(reader.num_record_batches))
        with ipc.new_file(str(made), reader.schema, options=WRITING) as writer:
            for table in _even(batches, reader.schema, ROWS_PER_BATCH):
                writer.write_table(table, max_chunksize=ROWS_PER_BATCH)


def _kept(batch: pa.RecordBatch, users: Collection[str]) -> pa.RecordBatch:
    keep = rows_to_keep(batch, users)
    return batch if pc.all(keep).as_py() else batch.filter(keep)


def _even(batches: Iterator[pa.RecordBatch], schema: pa.Schema, size: int) -> Iterator[pa.Table]:
    """Put batches together to tables of a multiple of `size` rows, but the last, each in one chunk."""
    left = schema.empty_table()
    for batch in batches:
        left = pa.concat_tables([left, pa.Table.from_batches([batch])])
        if len(left) >= size * BATCHES_AT_ONCE:
            whole = len(left) // size * size
            yield left.slice(0, whole).combine_chunks()
            left = left.slice(whole)
    if len(left):
        yield left.combine_chunks()


def _facts(folder: Path, made: Path, cleared: int) -> None:
    table = pq.read_table(made / layout.SCORES_FILE, columns=["user"], partitioning=None)
    held = layout.read_facts(folder)
    facts = held | {"users": pc.count_distinct(table.column(0)).as_py(), "rows": len(table), "cleared": cleared}
    (made / layout.FACTS_FILE).write_text(json.dumps(facts, indent=1) + "\n")


def _forget_seeds(made: Path, users: Collection[str]) -> None:
    """Take people's ids out of the seeds from which credibility flowed; the list stays as long as it was."""
    told = _told(made)
    seeds = _seeds(told)
    if set(seeds) & set(users):
        told["facts"]["config"]["credibility"]["seeds"] = [FORGOTTEN if seed in users else seed for seed in seeds]
        (made / layout.BUNDLE_FOLDER / BUNDLE_FACTS).write_text(json.dumps(told, indent=1) + "\n")


def _told(folder: Path) -> dict:
    file = folder / layout.BUNDLE_FOLDER / BUNDLE_FACTS
    with layout.read_errors_as_damage(file):
        return json.loads(file.read_text())


def _seeds(told: dict) -> list[str]:
    return told["facts"]["config"].get("credibility", {}).get("seeds", [])
