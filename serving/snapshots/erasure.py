"""Erase users from stored snapshots: rewrite each folder without their rows, and replace it atomically."""

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from shutil import copy, copytree
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from features.events.erasure import count_matching_rows, rows_to_keep
from serving.snapshots import layout
from serving.snapshots.audience_files import PAIRS_FILE, has_audiences, map_audiences, write_audiences
from serving.snapshots.feature_rows import READING, write_row_batches
from serving.snapshots.shared_database import republish
from training.home import Home
from training.model.bundle_files import FACTS_FILE as BUNDLE_FACTS

FORGOTTEN = "(forgotten)"


def count_user_data(folder: Path, users: Collection[str]) -> int:
    """Count what a snapshot holds of some users: their scores, and their ids among the model's seeds.

    Raises
    ------
    SnapshotError : a file is damaged

    """
    with (
        layout.read_errors_as_damage(folder / layout.SCORES_FILE),
        pq.ParquetFile(folder / layout.SCORES_FILE, pre_buffer=False) as file,
    ):
        batches = file.iter_batches(columns=["user"], use_threads=False)
        scores = sum(count_matching_rows(batch, users) for batch in batches)
    return scores + len(set(_seeds(_read_bundle_facts(folder))) & set(users))


def erase_users_from_snapshot(home: Home, folder: Path, users: Collection[str], cleared: int) -> None:
    """Erase users from a snapshot and replace it atomically; memory holds some ten thousand rows at a time.

    The baselines of explanations and the percentiles of the other users stay as published. `cleared` is the last change
    of `OptedOutUsers` that the new snapshot accounts for.

    Raises
    ------
    SnapshotError : a file is damaged
    OutputError, RecordsError : the disk or the database refuses

    """
    with layout.atomic_file(folder) as out:
        out.mkdir()
        _write(folder, out, users, cleared)
        layout.write_checksums(out)
        republish(home, folder, out)


def _write(folder: Path, out: Path, users: Collection[str], cleared: int) -> None:
    with layout.read_errors_as_damage(folder / layout.SCORES_FILE):
        _write_scores(folder / layout.SCORES_FILE, out / layout.SCORES_FILE, users)
    with layout.read_errors_as_damage(folder / layout.FEATURES_FILE):
        _write_features(folder / layout.FEATURES_FILE, out / layout.FEATURES_FILE, users)
    if has_audiences(folder):
        with layout.read_errors_as_damage(folder / PAIRS_FILE):
            write_audiences(map_audiences(folder).of_rows(_rows_to_keep(folder, users)), out)
    if (folder / layout.BASELINES_FILE).exists():
        copy(folder / layout.BASELINES_FILE, out / layout.BASELINES_FILE)
    copytree(folder / layout.BUNDLE_FOLDER, out / layout.BUNDLE_FOLDER)
    _erase_seeds(out, users)
    _write_facts(folder, out, cleared)


def _write_scores(path: Path, out: Path, users: Collection[str]) -> None:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        batches = file.iter_batches(layout.ROWS_PER_GROUP, use_threads=False)
        layout.write_batches((_without(batch, users) for batch in batches), pq.read_schema(path), out)


def _rows_to_keep(folder: Path, users: Collection[str]) -> np.ndarray:
    with pq.ParquetFile(folder / layout.SCORES_FILE, pre_buffer=False) as file:
        batches = file.iter_batches(columns=["user"], use_threads=False)
        keep = [np.ones(0, dtype=bool)]
        return np.concatenate(keep + [np.asarray(rows_to_keep(batch, users), dtype=bool) for batch in batches])


def _write_features(file: Path, out: Path, users: Collection[str]) -> None:
    with pa.OSFile(str(file)) as stream, ipc.open_file(stream, options=READING) as reader:
        batches = (_without(reader.get_batch(k), users) for k in range(reader.num_record_batches))
        write_row_batches(batches, reader.schema, out)


def _without(batch: pa.RecordBatch, users: Collection[str]) -> pa.RecordBatch:
    keep = rows_to_keep(batch, users)
    return batch if pc.all(keep).as_py() else batch.filter(keep)


def _write_facts(folder: Path, out: Path, cleared: int) -> None:
    users = pq.read_table(out / layout.SCORES_FILE, columns=["user"], partitioning=None).column(0)
    facts = layout.read_facts(folder)
    layout.write_facts(replace(facts, users=pc.count_distinct(users).as_py(), rows=len(users), cleared=cleared), out)


def _erase_seeds(folder: Path, users: Collection[str]) -> None:
    """Replace users' ids among the seeds from which credibility flowed; the list stays as long as it was."""
    document = _read_bundle_facts(folder)
    seeds = _seeds(document)
    if set(seeds) & set(users):
        document["facts"]["config"]["credibility"]["seeds"] = [FORGOTTEN if seed in users else seed for seed in seeds]
        (folder / layout.BUNDLE_FOLDER / BUNDLE_FACTS).write_text(json.dumps(document, indent=1) + "\n")


def _read_bundle_facts(folder: Path) -> dict[str, Any]:
    file = folder / layout.BUNDLE_FOLDER / BUNDLE_FACTS
    with layout.read_errors_as_damage(file):
        return cast("dict[str, Any]", json.loads(file.read_text()))


def _seeds(document: dict[str, Any]) -> list[str]:
    return list(document["facts"]["config"].get("credibility", {}).get("seeds", []))
