"""What `clout score` takes after the features: python tests/benchmarks/scoring.py --users 1000000.

Random feature rows are scored and written as a snapshot, in parts as `clout score` does. Each part of the benchmark
runs in a process of its own, so its peak memory is its own; that of Spark is of the driver's Python.
"""

import argparse
import ctypes
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from explaining import AS_OF, random_bundle, random_rows

from features.events.engines import open_engine
from features.feature_table import KEYS, ROWS_AT_ONCE
from serving.scoring import store_scores
from serving.snapshots.repository import publish_snapshot
from serving.spark_scoring import score_partitions, store_ranked
from training.home import Home
from training.model.bundle_files import read_bundle, save_bundle
from training.model.feature_sets import snapshot_features

MIB = 2**20
PARTS = ("score", "snapshot", "spark")


def run_part(name: str, file: Path, folder: Path) -> None:
    """Read the rows, score them, write them too if the part is the snapshot, and print what it took."""
    bundle = read_bundle(file.parent / "bundle")
    parts = (batch.to_pandas() for batch in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE))
    before = reset_peak_mib()
    start, processor = perf_counter(), process_time()
    features = snapshot_features(bundle.features)
    if name == "spark":
        table = cast("Any", open_engine("spark")).read_parquet(str(file))
        scored = store_ranked(
            score_partitions(table, bundle, "1", features, file.parent / "scores"), features, file.parent / "ranked"
        )
    else:
        scored = store_scores(bundle, "1", features, parts, file.parent)
    if name != "score":
        publish_snapshot(Home(folder), AS_OF, bundle, "1", scored)
    times = {"seconds": perf_counter() - start, "processor": process_time() - processor}
    print(json.dumps(times | {"before": before, "peak": memory_mib("VmHWM")}))


def write_random_rows(users: int, features: list[str], file: Path) -> None:
    """Write random feature rows, ordered by user and scope."""
    writer = None
    for start in range(0, users, ROWS_AT_ONCE):
        rows = random_rows(min(ROWS_AT_ONCE, users - start), start)[[*KEYS, *features]]
        names = [f"u{start + k:09}" for k in range(len(rows))]
        table = pa.Table.from_pandas(rows.assign(user=names), preserve_index=False)
        writer = writer or pq.ParquetWriter(file, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def memory_mib(name: str) -> float:
    """Return the memory of this process now (VmRSS) or at its peak (VmHWM), MiB."""
    return int(Path("/proc/self/status").read_text().partition(f"{name}:")[2].split()[0]) / 1024


def reset_peak_mib() -> float:
    """Give unused memory back and let the peak begin at the present memory; return that, MiB."""
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory_mib("VmRSS")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--spark", action="store_true", help="also score by Spark on this machine")
    options = parser.parse_args()
    if options.part:
        run_part(options.part, options.rows, options.rows.parent / "home")
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / "features.parquet"
        bundle = random_bundle(150, 4)
        save_bundle(bundle, Path(folder) / "bundle")
        features = snapshot_features(bundle.features)
        write_random_rows(options.users, features, file)
        print(f"{options.users:,} rows of {len(features)} features, {options.users * len(features) * 8 / MIB:,.0f} MiB")
        for part in PARTS if options.spark else PARTS[:2]:
            command = [sys.executable, __file__, "--part", part, "--rows", str(file)]
            took = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            memory = f"{took['before']:,.0f} MiB before, peak {took['peak']:,.0f} MiB"
            print(f"{part}: {took['seconds']:.1f} s, {took['processor']:.1f} s of processor time, {memory}")


if __name__ == "__main__":
    main()
