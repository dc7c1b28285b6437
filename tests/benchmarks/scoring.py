"""What `clout score` takes after the features: python tests/benchmarks/scoring.py --users 1000000.

Random feature rows are scored and written as a snapshot. Each part runs in a process of its own, so its peak memory is
its own, and counts from when it has the rows.
"""

import argparse
import ctypes
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import pyarrow as pa
import pyarrow.parquet as pq
from explaining import AS_OF, random_bundle, random_rows

from features.feature_table import KEYS
from serving.scoring import score_rows
from serving.snapshots.layout import sort_rows
from serving.snapshots.repository import write_snapshot
from training.home import Home
from training.model.bundle_files import read_bundle, save_bundle
from training.model.feature_sets import snapshot_features

MIB = 2**20


def run_part(name: str, file: Path, folder: Path) -> None:
    """Read the rows, score them, write them too if the part is the snapshot, and print what it took."""
    bundle = read_bundle(file.parent / "bundle")
    table = pq.read_table(file)
    rows = table.to_pandas(self_destruct=True)
    del table
    before = reset_peak_mib()
    start = perf_counter()
    scores = score_rows(bundle, "1", rows)
    if name == "snapshot":
        write_snapshot(Home(folder), AS_OF, bundle, "1", scores, rows)
    print(json.dumps({"seconds": perf_counter() - start, "before": before, "peak": memory_mib("VmHWM")}))


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
    parser.add_argument("--part", choices=("score", "snapshot"))
    parser.add_argument("--rows", type=Path)
    options = parser.parse_args()
    if options.part:
        run_part(options.part, options.rows, options.rows.parent / "home")
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        bundle = random_bundle(150, 4)
        save_bundle(bundle, Path(folder) / "bundle")
        rows = sort_rows(random_rows(options.users, 1))[[*KEYS, *snapshot_features(bundle.features)]]
        rows.to_parquet(file, index=False)
        size = rows.memory_usage().sum() / MIB
        print(f"{options.users:,} rows of {rows.shape[1] - len(KEYS)} features, {size:,.0f} MiB")
        for part in ("score", "snapshot"):
            command = [sys.executable, __file__, "--part", part, "--rows", str(file)]
            took = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(f"{part}: {took['seconds']:.1f} s, {took['before']:,.0f} MiB before, peak {took['peak']:,.0f} MiB")


if __name__ == "__main__":
    main()
