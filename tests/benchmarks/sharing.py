"""Cost of sharing a snapshot: python tests/benchmarks/sharing.py --users 1000000 --database postgresql://HOST/NAME.

A snapshot of random users is published into the database, and fetched from it into an empty home. Each runs in its own
process; time and peak memory are printed, and the time to copy the files for comparison.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from serving.runtime.replica import Replica
from serving.snapshots.shared_database import SnapshotDatabase
from training.home import Home

MiB = 1 << 20


def peak() -> float:
    """Return the peak memory of this process so far, MiB; getrusage would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def part(name: str, folder: str, database: str) -> None:
    """Publish or fetch in this process, and print time and memory."""
    before, start = peak(), perf_counter()
    if name == "publish":
        SnapshotDatabase(Home(Path("nowhere"), database=database)).publish(Path(folder))
    else:
        Replica(Home(Path(folder), database=database), lambda: None).follow()
    print(json.dumps({"seconds": perf_counter() - start, "imports_mib": before, "peak_mib": peak()}))


def measure(name: str, folder: Path, database: str) -> dict:
    """Run a part in its own process, and return its figures."""
    command = [sys.executable, __file__, "--part", name, "--place", str(folder), "--database", database]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--database", required=True)
    parser.add_argument("--part")
    parser.add_argument("--place")
    options = parser.parse_args()
    if options.part:
        part(options.part, options.place, options.database)
        return
    from explaining import AS_OF, random_bundle, random_rows  # not needed by the parts, whose memory is measured

    from serving.scoring import score_rows
    from serving.snapshots.repository import write_snapshot

    with TemporaryDirectory() as folder:
        bundle, rows = random_bundle(200, 4), random_rows(options.users, 1)
        scores = score_rows(bundle, "1", rows)
        snapshot = write_snapshot(Home(Path(folder) / "made"), AS_OF, bundle, "1", scores, rows)
        size = sum(file.stat().st_size for file in snapshot.rglob("*") if file.is_file())
        start = perf_counter()
        shutil.copytree(snapshot, Path(folder) / "copied")
        print(f"{options.users:,} users, {size / MiB:,.0f} MiB; copied in {perf_counter() - start:.1f} s")
        for name, target in (("publish", snapshot), ("fetch", Path(folder) / "replica")):
            took = measure(name, target, options.database)
            rate = size / MiB / took["seconds"]
            print(f"{name}: {took['seconds']:.1f} s, {rate:,.0f} MiB/s")
            print(f"    peak {took['peak_mib']:.0f} MiB, {took['imports_mib']:.0f} of it by imports")


if __name__ == "__main__":
    main()
