"""Cost of a daily update: python tests/benchmarks/daily.py EVENTS --as-of T.

`clout store` stores all events but those of the last day before T, then those of the last day. `clout score` scores all
users of the store with a model of random trees that also selects groups. Each command is a separate process; its time
includes the start of Python. Then the SQL statements of the feature table are timed in this process, grouped by what
they read: the events of the year, those of the last 90 days, or users and pairs of users.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from explaining import random_bundle
from timed import step_name, timed_statements

from features.events.event_table import open_events
from features.events.loading import load_encoded_events
from features.feature_table import feature_table_and_pairs
from features.progress import ignore_progress
from features.utc import parse_utc
from training.home import Home
from training.model.feature_sets import snapshot_features
from training.registry.model_registry import promote, register
from training.selection.return_model import ReturnModel
from training.selection.selection_model import SelectionModel, with_selection

YEAR = ("events", "features_over_own_events", "follows", "pairs")
RECENT = ("recent_events", "features_over_recent_events", "created", "features_over_pieces", "features_over_contents")


def run(*words: object) -> None:
    """Run a clout command and print its time and memory."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [Path(sys.executable).with_name("clout"), *words]
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(process.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds, peak = time.perf_counter() - began, after.ru_maxrss / 2**20
    print(f"clout {words[0]}: {seconds:.1f} s, {processor:.1f} s of processor time, {peak:.2f} GiB at most so far")
    print(f"  {process.stderr.strip().splitlines()[0]}", flush=True)


def print_groups(store: Path, as_of: datetime, features: list[str]) -> None:
    """Print the processor time of the feature table's SQL statements, grouped by what they read."""
    events = load_encoded_events(store)
    groups: Counter[str] = Counter()

    def add(statement: str, _: float, processor: float) -> None:
        name = step_name(statement)
        groups["the year" if name in YEAR else "90 days" if name in RECENT else "pairs and users"] += processor

    with timed_statements(events, add), feature_table_and_pairs(events, as_of, ignore_progress, features):
        pass
    for name, processor in groups.items():
        print(f"features, statements that read {name}: {processor:.1f} s of processor time")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("events", type=Path)
    parser.add_argument("--as-of", required=True, type=parse_utc)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        home, store = Home(folder / "home"), folder / "store"
        home.folder.mkdir()
        bundle = with_selection(random_bundle(150, 4), SelectionModel(ReturnModel((0.0,) * 8, 28), 1.0, {}))
        promote(home, register(home, bundle, {}, {}, {}, {}, tags={"gate": "passed"}))
        events, last_day = open_events(options.events), options.as_of - timedelta(days=1)
        day, before = folder / "day.parquet", folder / "before.parquet"
        events.filter(events.time < last_day).to_parquet(before)
        events.filter(events.time >= last_day, events.time < options.as_of).to_parquet(day)
        run("store", before, "--into", store)
        run("store", day, "--into", store)
        run("score", store, "--as-of", options.as_of.isoformat(), "--home", home.folder)
        print_groups(store, options.as_of, snapshot_features(bundle.features))


if __name__ == "__main__":
    main()
