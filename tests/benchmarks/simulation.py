"""Speed and memory of simulating a community: python tests/benchmarks/simulation.py --users 120000."""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from features.simulation import Community, simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=420)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file or folder to write; default: a temporary folder")
    options = parser.parse_args()
    community = Community(users=options.users, days=options.days, seed=options.seed)
    with tempfile.TemporaryDirectory() as folder:
        begin, spent = time.perf_counter(), time.process_time()
        summary = simulate(community, options.out or Path(folder) / "events")
        seconds, spent = time.perf_counter() - begin, time.process_time() - spent
        size = sum(file.stat().st_size for file in summary.files)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{summary.events:,} events in {seconds:.1f} s: {summary.events / seconds:,.0f} events/s")
    print(f"{size / summary.events:.1f} bytes per event, {spent:.1f} s of processor, peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()
