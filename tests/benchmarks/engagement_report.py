"""Cost of an engagement report: python tests/benchmarks/engagement_report.py EVENTS --as-of T [--home HOME].

The users are the one with the most engagements in the 90 days before T and 19 others sampled from those with any.
Measured is the whole call, from the path of the events to the report; each call opens the events again. The first call,
which also imports what Ibis needs, is reported separately. With a home that holds a snapshot as of T, `clout explain`
is measured too, with and without --events, including the start of Python.
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from features.engagement_report import engagement_report
from features.events.encoding import instant_literal
from features.events.event_table import open_events
from features.utc import parse_utc

SCRIPT = "import sys; from serving.cli.main import main; sys.argv[0] = 'clout'; main()"


def most_engaged(path: Path, as_of: datetime, users: int, seed: int) -> list[str]:
    """Sample users who were engaged with in the last 90 days; the one with the most engagements comes first."""
    events = open_events(path)
    lately = events.filter(events.time < instant_literal(as_of), events.target.notnull())
    lately = lately.filter(lately.time >= instant_literal(as_of - timedelta(days=90)))
    counts = lately.group_by("target").agg(n=lately.count())
    users_by_count = counts.order_by(counts.n.desc(), "target").to_pandas()["target"]
    return [users_by_count[0], *users_by_count[1:].sample(min(users - 1, len(users_by_count) - 1), random_state=seed)]


def timed(tasks: list[Callable[[], object]], repeats: int) -> np.ndarray:
    """Return wall-clock and processor seconds of each task, the medians of interleaved repetitions."""
    spent = np.zeros((repeats, len(tasks), 2))
    for repeat in range(repeats):
        for k, task in enumerate(tasks):
            began = np.array([perf_counter(), process_time()])
            task()
            spent[repeat, k] = np.array([perf_counter(), process_time()]) - began
    return np.median(spent, axis=0)


def print_times(what: str, spent: np.ndarray) -> None:
    """Print the median, the 95th percentile and the first user's time; processor time for calls only."""
    clock, processor = np.median(spent, axis=0)
    slow = np.quantile(spent[:, 0], 0.95)
    print(f"{what}: median {clock:.2f} s, 95th percentile {slow:.2f} s, the most engaged {spent[0, 0]:.2f} s", end="")
    print(f"; of processors {processor:.2f} s and {spent[0, 1]:.2f} s" if what == "call" else "")


def main() -> None:
    """Measure the call and, with a home, the command."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("events", type=Path)
    args.add_argument("--as-of", type=parse_utc, required=True)
    args.add_argument("--home", type=Path)
    args.add_argument("--users", type=int, default=20)
    args.add_argument("--repeats", type=int, default=3)
    args.add_argument("--seed", type=int, default=0)
    options = args.parse_args()
    users = most_engaged(options.events, options.as_of, options.users, options.seed)
    print(f"{open_events(options.events).count().to_pyarrow().as_py():,} events, {len(users)} users")
    began = perf_counter()
    most = engagement_report(options.events, users[0], options.as_of, top=10)
    print(f"the first call {perf_counter() - began:.2f} s; {most.engagements:,} engagements by {most.people:,} people")
    calls = [lambda user=user: engagement_report(options.events, user, options.as_of, top=10) for user in users]
    print_times("call", timed(calls, options.repeats))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    if options.home:
        words = ["--home", options.home, "--as-of", options.as_of.isoformat()]
        for what, more in (("command without --events", []), ("command", ["--events", options.events])):
            print_times(what, timed([lambda user=user, more=more: _command(user, *words, *more) for user in users], 1))


def _command(user: str, *words: object) -> None:
    line = [sys.executable, "-c", SCRIPT, "explain", user, *map(str, words)]
    subprocess.run(line, check=True, capture_output=True)


if __name__ == "__main__":
    main()
