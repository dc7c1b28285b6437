"""Cost of computing the feature table.

python tests/benchmarks/feature_table.py EVENTS --as-of T [--peers] [--panel] [--store] [--only scan scored ...]

Each part runs in its own process, so its peak memory is its own. The start of Python is not measured. Compare parts
within one run only: ratios carry over to other machines, seconds do not. On a busy machine, the processor time of all
threads is the most reliable figure. `--statements` prints the time of each SQL statement of the scored features.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

# Parts are imported as tests.benchmarks, from the checkout.
sys.path[0] = str(Path(__file__).parents[2])

READ = ("time", "actor", "verb", "target", "object", "result", "content_hash", "links", "topics")
CUTOFFS, APART = 12, timedelta(days=28)


@dataclass
class Bench:
    """What every part gets: the events, the instant and a folder shared by all parts."""

    events: Path
    as_of: datetime
    folder: Path
    seconds: float = 0.0
    processor: float = 0.0

    @property
    def last_day(self) -> datetime:
        return self.as_of - timedelta(days=1)

    @contextmanager
    def measured(self) -> Iterator[None]:
        begin, spent = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - begin
        self.processor += time.process_time() - spent


def scan(bench: Bench) -> dict:
    import duckdb
    from pyarrow import parquet

    files = f"{bench.events}/**/*.parquet" if bench.events.is_dir() else str(bench.events)
    first = next(iter(sorted(bench.events.rglob("*.parquet"))), bench.events)
    columns = [name for name in READ if name in parquet.read_schema(first).names]
    hashes = ", ".join(f'bit_xor(hash("{name}"))' for name in columns)
    connection = duckdb.connect()
    query = f"SELECT count(*), {hashes} FROM read_parquet(?, union_by_name = true)"
    connection.execute(query, [files]).fetchone()
    with bench.measured():
        results = connection.execute(query, [files]).fetchone()
    return {"events": results[0]}


def distinct_pairs(bench: Bench) -> dict:
    """Count distinct pairs of hashed actors and targets in DuckDB: a lower limit for features over pairs."""
    import duckdb

    files = f"{bench.events}/**/*.parquet" if bench.events.is_dir() else str(bench.events)
    query = (
        "SELECT count(*) FROM (SELECT DISTINCT hash(actor), hash(target) FROM read_parquet(?) WHERE target IS NOT NULL)"
    )
    with bench.measured():
        (pairs,) = duckdb.connect().execute(query, [files]).fetchone()
    return {"note": f"{pairs:,} pairs"}


def catalogue(bench: Bench) -> dict:
    from features.events.loading import load_encoded_events
    from features.feature_table import feature_rows

    with bench.measured():
        rows = feature_rows(load_encoded_events(bench.events), bench.as_of)
    return _store_and_compare(rows, bench, "catalogue")


def scored(bench: Bench) -> dict:
    from features.catalogue import SCORED
    from features.events.loading import load_encoded_events
    from features.feature_table import feature_rows

    with bench.measured():
        rows = feature_rows(load_encoded_events(bench.events), bench.as_of, features=SCORED.names)
    return {"note": f"{len(rows):,} users, {len(SCORED)} features"}


def plain(bench: Bench) -> dict:
    import pandas as pd

    from tests.features.independent_features import plain_features

    with bench.measured():
        rows = plain_features(pd.read_parquet(bench.events), bench.as_of)
    return _store_and_compare(rows.reset_index(), bench, "plain", "catalogue")


def twelve(bench: Bench) -> dict:
    from tests.benchmarks.instants import clout_twelve

    with bench.measured():
        rows = clout_twelve(bench.events, bench.as_of)
    return _store_and_compare(rows, bench, "twelve")


def polars(bench: Bench) -> dict:
    from tests.benchmarks.instants import polars_twelve

    with bench.measured():
        rows = polars_twelve(bench.events, bench.as_of)
    return _store_and_compare(rows, bench, "polars", "twelve")


def panel(bench: Bench) -> dict:
    return _store_and_compare(_instants(bench, None), bench, "panel", "catalogue")


def scored_panel(bench: Bench) -> dict:
    from features.catalogue import SCORED

    return {"note": f"{len(_instants(bench, SCORED.names)):,} users at the newest"}


def _instants(bench: Bench, features: list[str] | None) -> "pd.DataFrame":
    """Compute the features at twelve instants from events that are read once; return the rows of the newest."""
    from features.events.encoding import cached
    from features.events.loading import load_encoded_events
    from features.feature_table import feature_rows

    with bench.measured(), cached(load_encoded_events(bench.events)) as acts:
        rows = [feature_rows(acts, bench.as_of - back * APART, features=features) for back in range(CUTOFFS)]
    return rows[0]


def print_statements(bench: Bench) -> None:
    """Print the SQL statements of the scored features that take more than 0.01 s."""
    from features.catalogue import SCORED
    from features.events.loading import load_encoded_events
    from features.feature_table import feature_rows
    from tests.benchmarks.timed import step_name, timed_statements

    def show(statement: str, seconds: float, processor: float) -> None:
        if processor > 0.01:
            print(f"{seconds:7.2f} s {processor:7.2f} of processor time  {step_name(statement)}")

    events = load_encoded_events(bench.events)
    with timed_statements(events, show):
        feature_rows(events, bench.as_of, features=SCORED.names)


def rebuild(bench: Bench) -> dict:
    from features.events.store import add_to_store

    events = _events(bench)
    with bench.measured():
        add_to_store(events.filter(events.time < bench.last_day), bench.folder / "store")
    return {}


def last_day(bench: Bench) -> dict:
    """Add the last day's events, a separate file, to the store."""
    from features.events.store import add_to_store

    events, day = _events(bench), bench.folder / "day.parquet"
    events.filter(events.time >= bench.last_day).to_parquet(day)
    with bench.measured():
        part = add_to_store(day, bench.folder / "store")
    return {"events": part.acts, "note": f"{part.acts:,} acts"}


def from_store(bench: Bench) -> dict:
    from features.events.loading import load_encoded_events
    from features.feature_table import feature_rows

    with bench.measured():
        rows = feature_rows(load_encoded_events(bench.folder / "store"), bench.as_of)
    return _store_and_compare(rows, bench, "from_store", "catalogue")


def _events(bench: Bench) -> "ir.Table":
    from features.events.event_table import open_events

    return open_events(bench.events)


def _store_and_compare(rows: "pd.DataFrame", bench: Bench, name: str, like: str | None = None) -> dict:
    """Store feature rows by user, and compare them with those of another part."""
    import numpy as np
    import pandas as pd

    features = sorted(set(rows.columns) - {"user", "scope"})
    table = rows.set_index("user")[features].astype("float64").sort_index()
    table.to_parquet(bench.folder / f"{name}.parquet")
    if like is None:
        return {"note": f"{len(table):,} users"}
    reference = bench.folder / f"{like}.parquet"
    if not reference.exists():
        return {"note": f"nothing to compare with: {like} failed"}
    other = pd.read_parquet(reference)
    if not table.index.equals(other.index) or list(table) != list(other):
        return {"note": f"OTHER USERS OR FEATURES than {like}"}
    same = np.isclose(table, other, rtol=1e-9, atol=1e-9, equal_nan=True).all(axis=0)
    exactly = "to the last bit" if table.equals(other) else "to 1e-9"
    differing = ", ".join(table.columns[~same])
    return {"note": f"DIFFERS from {like}: {differing}" if differing else f"the same as {like}, {exactly}"}


@dataclass(frozen=True)
class Part:
    """One part to measure, and the part whose time its own is divided by."""

    title: str
    run: Callable[[Bench], dict]
    base: str = "catalogue"


PARTS = {
    "scan": Part("DuckDB reads and hashes the columns", scan),
    "distinct_pairs": Part("DuckDB counts the pairs of users", distinct_pairs, "scan"),
    "catalogue": Part("Clout, all features", catalogue),
    "scored": Part("Clout, the features of the model", scored),
    "plain": Part("pandas, all features", plain),
    "twelve": Part("Clout, twelve features", twelve),
    "polars": Part("Polars, twelve features", polars, "twelve"),
    "panel": Part(f"Clout, {CUTOFFS} instants, read once", panel),
    "scored_panel": Part(f"the features of the model, {CUTOFFS} instants", scored_panel, "scored"),
    "rebuild": Part("a store of all but the last day", rebuild),
    "last_day": Part("the last day added to it", last_day, "rebuild"),
    "from_store": Part("Clout, all features, from the store", from_store),
}


def run_here(name: str, bench: Bench) -> None:
    result = PARTS[name].run(bench)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(result | {"seconds": bench.seconds, "processor": bench.processor, "peak": peak}))


def run_in_process(name: str, options: argparse.Namespace, folder: Path) -> dict:
    """Run one part in its own process; if it fails, its note says so."""
    command = [sys.executable, __file__, options.events, "--as-of", options.as_of.isoformat(), "--part", name]
    run = subprocess.run([*map(str, command), "--folder", str(folder)], capture_output=True, text=True, check=False)
    if run.returncode == 0:
        return json.loads(run.stdout.splitlines()[-1])
    if run.returncode < 0:
        return {"note": f"FAILED: killed by signal {-run.returncode}, most likely out of memory"}
    return {"note": f"FAILED: {(run.stderr.strip().splitlines() or ['no error message'])[-1]}"}


def run_all(options: argparse.Namespace, folder: Path) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB of memory, load {os.getloadavg()[0]:.1f}")
    print(f"{'':36}{'seconds':>9}{'processor':>11}{'/ scan':>8}{'events/s':>12}{'GiB':>7}")
    results: dict[str, dict] = {}
    for name in selected_parts(options):
        results[name] = run_in_process(name, options, folder)
        print(line(name, results), flush=True)


def selected_parts(options: argparse.Namespace) -> list[str]:
    if options.only:
        return options.only
    peers = ["plain", "twelve", "polars"] if options.peers else []
    panel = ["panel", "scored_panel"] if options.panel else []
    store = ["rebuild", "last_day", "from_store"] if options.store else []
    return ["scan", "distinct_pairs", "catalogue", "scored", *peers, *panel, *store]


def line(name: str, results: dict[str, dict]) -> str:
    part, result = PARTS[name], results[name]
    if "seconds" not in result:
        return f"{part.title:36}{result['note']}"
    seconds, processor = result["seconds"], result["processor"]
    events = result.get("events", results["scan"].get("events", 0) if "scan" in results else 0)
    scan, base = (results[other].get("processor") if other in results else None for other in ("scan", part.base))
    ratio = f"{processor / scan:8.2f}" if scan else f"{'':8}"
    notes = [f"{processor / base:.2f} x {part.base}"] if base and part.base != name else []
    notes += [result["note"]] if "note" in result else []
    figures = f"{seconds:9.2f}{processor:11.2f}{ratio}{events / seconds:12,.0f}{result['peak']:7.2f}"
    return f"{part.title:36}{figures}  {'; '.join(notes)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("events", type=Path, help="a Parquet file or a folder of them")
    parser.add_argument("--as-of", required=True, type=datetime.fromisoformat, help="the instant, UTC")
    parser.add_argument("--peers", action="store_true", help="also measure pandas and Polars")
    parser.add_argument("--panel", action="store_true", help=f"also measure {CUTOFFS} instants from one reading")
    parser.add_argument("--store", action="store_true", help="also measure a store, and adding one day to it")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="only these parts")
    parser.add_argument("--statements", action="store_true", help="print the time of each SQL statement")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="folder for scratch files; default: the system's temporary folder")
    options = parser.parse_args()
    if options.as_of.tzinfo is None:
        options.as_of = options.as_of.replace(tzinfo=UTC)
    if options.part:
        run_here(options.part, Bench(options.events, options.as_of, options.folder))
        return
    if options.statements:
        print_statements(Bench(options.events, options.as_of, Path()))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        run_all(options, Path(folder))


if __name__ == "__main__":
    main()
