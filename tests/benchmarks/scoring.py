"""Cost of `clout score` after the features: python tests/benchmarks/scoring.py --users 1000000 [--engine ENGINE].

Random feature rows and pairs of users are scored and written as a snapshot, as `clout score` does. Each part runs in
its own process, so its peak memory is its own. On Spark that is the memory of the driver's Python; the memory of Java,
which holds the executors of a local master, is printed too. The peak of anonymous memory excludes mapped files, which
the system can drop. `--only snapshot` omits the other part. `--engine files` measures only the driver of Spark: it
begins with files of scored rows and pairs, as executors write them.

From a million users on, Spark needs more than its default heap of 1 GB on one machine:
PYSPARK_SUBMIT_ARGS='--driver-memory 3g pyspark-shell', or spark.driver.memory in spark-defaults.conf.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter, process_time
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from explaining import AS_OF, random_bundle, random_rows

from features.events.engines import open_engine
from features.feature_table import KEYS, ROWS_AT_ONCE, FeatureTables, ordered_batches
from serving.scoring import collect_scored_pairs, score_audiences, store_scores
from serving.snapshots.repository import publish_snapshot
from serving.snapshots.scored_rows import SCORES, ScoredRows
from serving.spark_scoring import _read as read_files
from serving.spark_scoring import collect_spark_pairs, score_partitions, store_ranked
from training.home import Home
from training.model.bundle_files import read_bundle, save_bundle
from training.model.feature_sets import snapshot_features
from training.selection.pairs import PAIR, collect_pairs
from training.selection.return_model import ReturnModel
from training.selection.selection_model import SelectionModel, with_selection

MIB = 2**20
TABLES = ("rows", "pairs", "users")
PARTS = ("score", "snapshot")
PAIRS_EACH = 4
FILES, TEXTS = "files", ("evidence", "model_version")


def run_part(name: str, engine: str, file: Path) -> None:
    """Read the rows, score them, write a snapshot if that is the part, and print time and memory."""
    bundle = read_bundle(file.parent / "bundle")
    backend = cast("Any", open_engine("duckdb" if engine == FILES else engine))
    rows, pairs, users = (backend.read_parquet(str(file.parent / f"{name}.parquet")) for name in TABLES)
    before, features = reset_peak_mib(), snapshot_features(bundle.features)
    start, processor = perf_counter(), process_time()
    with TemporaryDirectory(dir=file.parent) as scratch, anonymous_peak() as anonymous:
        folder = Path(scratch)
        if engine == FILES:
            scored = scored_files(file, features, folder)
        elif engine == "spark":
            scored = store_ranked(
                score_partitions(rows, bundle, "1", features, folder / "scores"), features, folder / "ranked"
            )
            scored = replace(scored, pairs=collect_spark_pairs(pairs, users, scored, folder))
        else:
            scored = store_scores(bundle, "1", features, ordered_batches(rows), folder)
            scored = replace(scored, pairs=collect_scored_pairs(FeatureTables(rows, pairs, users), scored, folder))
        if name == "snapshot":
            publish_snapshot(Home(folder / "home"), AS_OF, bundle, "1", scored, score_audiences(bundle, scored))
        times = {"seconds": perf_counter() - start, "processor": process_time() - processor}
        java = java_usage(backend) if engine == "spark" else {}
    memory = {"before": before, "peak": memory_mib("VmHWM"), "anonymous": max(anonymous)}
    print(json.dumps(times | memory | java))


def scored_files(file: Path, features: list[str], folder: Path) -> ScoredRows:
    """Return scored rows and pairs from files, numbered and collected as the driver does."""
    scored = ScoredRows(pq.read_metadata(file).num_rows, features, partial(read_files, [file]))
    scored.number(folder / "numbers.parquet")
    names = ["user", "other", "last_age", "weeks", "credibility"]
    batches = (
        batch.rename_columns([*PAIR, *names[2:]]) for batch in read_files([file.parent / "pairs.parquet"], names)
    )
    return replace(scored, pairs=collect_pairs(batches, scored.rows))


def java_usage(backend: Any) -> dict[str, float]:
    """Return the peak memory (MiB) and the processor time (seconds) of the Java process of a local master."""
    process = backend._session.sparkContext._gateway.proc.pid
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    processor = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return {"java": memory_mib("VmHWM", process), "java_processor": processor}


@contextmanager
def anonymous_peak() -> Iterator[list[float]]:
    """Measure the anonymous memory of this process every 20 ms, MiB."""
    values, ended = [memory_mib("RssAnon")], Event()

    def measure() -> None:
        while not ended.wait(0.02):
            values.append(memory_mib("RssAnon"))

    thread = Thread(target=measure)
    thread.start()
    try:
        yield values
    finally:
        ended.set()
        thread.join()


def write_random_pairs(users: int, folder: Path) -> None:
    """Write the users with keys, and a few random engagers of each."""
    rng, numbers = np.random.default_rng(1), np.arange(users)
    names = pa.array([f"u{k:09}" for k in numbers])
    scopes = pa.DictionaryArray.from_arrays(pa.array(np.zeros(users, np.int32)), ["all"]).cast(pa.string())
    pq.write_table(pa.table({"user": names, "scope": scopes, "key": numbers}), folder / "users.parquet")
    count = users * PAIRS_EACH
    pairs = {
        "user": np.repeat(numbers, PAIRS_EACH),
        "other": rng.integers(0, users, count),
        "last_age": rng.integers(1, 365 * 86_400_000_000, count),
        "weeks": 1 << rng.integers(10, 62, count),
        "credibility": rng.integers(0, 2_000_000, count),
    }
    pq.write_table(pa.table(pairs), folder / "pairs.parquet")


def write_random_rows(users: int, features: list[str], file: Path) -> None:
    """Write random feature rows and scores, ordered by user and scope."""
    writer = None
    for start in range(0, users, ROWS_AT_ONCE):
        rows = random_rows(min(ROWS_AT_ONCE, users - start), start)[[*KEYS, *features]]
        rows["user"] = [f"u{start + k:09}" for k in range(len(rows))]
        scores = np.floor(np.random.default_rng(start).lognormal(1.0, 1.0, len(rows)))
        random = {name: scores for name in SCORES if name not in (*KEYS, *TEXTS)} | dict.fromkeys(TEXTS, "3")
        table = pa.Table.from_pandas(rows.assign(**random), preserve_index=False)
        writer = writer or pq.ParquetWriter(file, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def memory_mib(name: str, process: int | str = "self") -> float:
    """Return a memory figure of a process (VmRSS now, VmHWM peak, RssAnon anonymous), MiB."""
    return int(Path(f"/proc/{process}/status").read_text().partition(f"{name}:")[2].split()[0]) / 1024


def reset_peak_mib() -> float:
    """Release unused memory and reset the peak to the memory in use; return that, MiB."""
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory_mib("VmRSS")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="only these parts")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--engine", choices=("duckdb", "spark", FILES), default="duckdb")
    options = parser.parse_args()
    if options.part:
        run_part(options.part, options.engine, options.rows)
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        bundle = with_selection(random_bundle(150, 4), SelectionModel(ReturnModel((0.0,) * 8, 28), 1.0, {}))
        save_bundle(bundle, Path(folder) / "bundle")
        features = snapshot_features(bundle.features)
        write_random_rows(options.users, features, file)
        write_random_pairs(options.users, Path(folder))
        print(f"{options.users:,} rows of {len(features)} features, {options.users * len(features) * 8 / MIB:,.0f} MiB")
        for part in options.only:
            command = [sys.executable, __file__, "--engine", options.engine, "--part", part, "--rows", str(file)]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if run.returncode:
                raise SystemExit(f"{part} failed: {run.stderr[-2000:]}")
            took = json.loads(run.stdout)
            memory = f"{took['before']:,.0f} MiB before, peak {took['peak']:,.0f} ({took['anonymous']:,.0f} anonymous)"
            if "java" in took:
                memory += f"; Java {took['java']:,.0f}, {took['java_processor']:.1f} s of processor time"
            print(f"{part}: {took['seconds']:.1f} s, {took['processor']:.1f} s of processor time, {memory}")


if __name__ == "__main__":
    main()
