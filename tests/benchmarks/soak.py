"""Soak test of the service during updates: python tests/benchmarks/soak.py --home HOME [--requests N].

HOME has a champion and a snapshot of a community, such as the one of `clout demo`; it is only read. In a temporary
home, two versions of that champion are promoted alternately and snapshots of the same users are published. Meanwhile
`clout serve` answers clients in this process: scores, explanations, histories, changes, what-ifs, batches of ids and
rows, searches by cursor, the model, the catalogue, health, readiness and metrics. A request fails if

- no answer comes within 60 seconds, or its connection breaks,
- the status is not 200: all requested users exist and have enough evidence,
- the answer is no JSON, is of an unknown snapshot or version, or is older than an earlier answer to the same client,
- an explanation or a change does not add up, or a batch has other users than those requested.

The growth of the service's memory is measured after the first tenth of the requests; --growth is its limit. Ctrl-C
stops the requests and prints the results so far. The exit code is 1 if a request failed, the service did not switch to
an update within a minute, or memory grew more than allowed.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from callers import MIX, PATIENCE, Caller, Work, version_of

from features.catalogue import SCORED
from features.console import print_message, print_table
from features.feature_table import KEYS
from features.utc import parse_utc, to_iso_utc
from serving.scoring import score_rows
from serving.snapshots.repository import open_snapshot, write_snapshot
from training.explanation.reasons import INSUFFICIENT, evidence
from training.home import Home
from training.model.bundle import Bundle
from training.model.feature_sets import snapshot_features
from training.model.scale import Scale
from training.registry.model_registry import load_champion, promote, register

CLOUT = "import sys; from serving.cli.main import main; sys.argv[0] = 'clout'; main()"


@dataclass(frozen=True)
class Updates:
    """Creates the service's home and publishes updates, each a champion and a snapshot.

    Parameters
    ----------
    home : the home of the service
    rows : feature rows of all users, who all have enough evidence
    first : as_of of the first snapshot; each later one is a day later

    """

    home: Home
    rows: pd.DataFrame
    first: pd.Timestamp

    def begin(self, bundle: Bundle) -> None:
        """Register two versions of a model that differ in their scale, and publish the first two updates."""
        self.home.folder.mkdir(parents=True)
        for moved in (0.0, 1.0):
            scale = Scale(bundle.scale.anchor + moved, bundle.scale.points_per_nat)
            register(self.home, replace(bundle, scale=scale), {}, {}, {}, {})
        for k in range(2):
            self.publish(k)

    def as_of(self, k: int) -> str:
        """Return as_of of an update's snapshot."""
        return to_iso_utc(self.first + timedelta(days=k))

    def publish(self, k: int) -> None:
        """Promote the other version, and publish a snapshot in which users swap features at random."""
        promote(self.home, version_of(k))
        bundle, version = load_champion(self.home)
        order = np.random.default_rng(k).permutation(len(self.rows))
        permuted = self.rows[self.rows.columns[2:]].take(order).set_axis(self.rows.index)
        rows = self.rows[KEYS].join(permuted)
        write_snapshot(self.home, parse_utc(self.as_of(k)), bundle, version, score_rows(bundle, version, rows), rows)


@dataclass
class Watch:
    """Observations of the service, once a second: requests completed, resident memory (MiB), seconds per update."""

    process: subprocess.Popen
    done: list[int] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    update_seconds: list[float] = field(default_factory=list)

    def look(self, done: int) -> None:
        """Record the current resident memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        self.done.append(done)
        self.resident.append(int(text.partition("VmRSS:")[2].split()[0]) / 1024)

    def after(self, share: float) -> int:
        """Return the index of the first observation with the given share of requests completed."""
        return int(np.searchsorted(self.done, share * self.done[-1]))

    def growth(self) -> float:
        """Return how many MiB memory grew after the first tenth of the requests, by a least-squares fit."""
        start = self.after(0.1)
        if len(self.done) - start < 3:
            return 0.0
        slope = np.polyfit(self.done[start:], self.resident[start:], 1)[0]
        return float(slope * (self.done[-1] - self.done[start]))


@contextmanager
def run_service(home: Home, log: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    """Run `clout serve` until the block ends; yield its process and its port."""
    words = ["serve", "--port", "0", "--refresh", "1", "--home", str(home.folder)]
    with log.open("w") as out, subprocess.Popen([sys.executable, "-c", CLOUT, *words], stderr=out) as process:
        try:
            until = time.monotonic() + PATIENCE
            while not (state := re.search(r"Listening on http://127\.0\.0\.1:(\d+),", log.read_text())):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"the service did not start: {log.read_text()[-2000:]}")
                time.sleep(0.1)
            yield process, int(state[1])
        finally:
            process.terminate()


def soak(updates: Updates, work: Work, port: int, watch: Watch, callers: int, changes: int) -> None:
    """Run the callers until no request is left, and publish updates at even intervals meanwhile."""
    total, caller = work.remaining, Caller(work, port, seed=-1)
    threads = [threading.Thread(target=Caller(work, port, seed).work) for seed in range(callers)]
    for thread in threads:
        thread.start()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        update, began, published, shown = None, None, 0, 0
        while any(thread.is_alive() for thread in threads) or update:
            watch.look(work.done)
            if work.done >= (shown + 1) * total // 20:
                shown = 20 * work.done // total
                print_message(f"{work.done:,} requests, {len(work.failed)} failed, {watch.resident[-1]:.0f} MiB")
            if update is None and published < changes and work.done >= (published + 1) * total // (changes + 1):
                published += 1
                work.published.append(updates.as_of(published + 1))
                update, began = pool.submit(updates.publish, published + 1), None
            if update and update.done():
                update.result()
                began = began or time.monotonic()
                if (
                    is_served(caller, work.published[-1], version_of(published + 1))
                    or time.monotonic() > began + PATIENCE
                ):
                    watch.update_seconds.append(time.monotonic() - began)
                    update = None
            time.sleep(min(1.0, 0.1 + total / 100_000))
    for thread in threads:
        thread.join()
    watch.look(work.done)


def is_served(caller: Caller, as_of: str, version: str) -> bool:
    """Return whether the service answers from the given snapshot and champion."""
    state = json.loads(caller.text("GET", "/ready"))
    return (state["as_of"], state["model_version"]) == (as_of, version)


def failures(work: Work, watch: Watch, changes: int, growth: float, errors: int) -> list[str]:
    """Return the failed expectations."""
    late = sum(seconds > PATIENCE for seconds in watch.update_seconds)
    state = {
        f"{len(work.failed)} requests failed: {work.failed[:3]}": bool(work.failed),
        f"{errors} lines of the log are errors": errors > 0,
        f"{len(watch.update_seconds)} updates of {changes} were published": len(watch.update_seconds) < changes,
        f"{late} updates were not served within {PATIENCE:g} s": late > 0,
        f"{work.remaining:,} requests were not made": work.remaining > 0,
        f"memory grew by {watch.growth():.1f} MiB, at most {growth:g} expected": watch.growth() > growth,
    }
    return [text for text, fails in state.items() if fails]


def print_report(work: Work, watch: Watch, seconds: float) -> None:
    """Print the figures."""
    rows = []
    work.took["all"] = [seconds for took in work.took.values() for seconds in took]
    for kind in [*MIX, "all"]:
        took = np.array(work.took.get(kind) or [np.nan]) * 1000
        failed = sum(text.startswith(f"{kind}:") or kind == "all" for text in work.failed)
        text = [f"{np.quantile(took, q):.1f}" for q in (0.5, 0.99)] + [f"{took.max():.0f}"]
        rows.append([kind, f"{len(took):,}", str(failed), *text])
    title = f"{work.done:,} requests in {seconds:.0f} s, {work.done / seconds:.0f} a second"
    print_table(title, ["kind", "requests", "failed", "p50 ms", "p99 ms", "longest"], rows)
    tenth = watch.resident[watch.after(0.1)]
    figures = [watch.resident[0], tenth, watch.resident[-1], max(watch.resident), watch.growth()]
    columns = ["at the start", "at a tenth", "at the end", "peak", "growth by the fit"]
    print_table("Resident memory, MiB", columns, [[f"{figure:.1f}" for figure in figures]], text_columns=0)
    if watch.update_seconds:
        longest = max(watch.update_seconds)
        print(f"{len(watch.update_seconds)} updates, each served within {longest:.1f} s")


def main() -> None:
    """Run the soak test, print figures and failures, and exit with 1 if anything failed."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--home", type=Path, required=True)
    args.add_argument("--requests", type=int, default=100_000)
    args.add_argument("--changes", type=int, default=10, help="number of updates, each a champion and a snapshot")
    args.add_argument("--callers", type=int, default=4, help="number of concurrent clients")
    args.add_argument("--growth", type=float, default=40.0, help="limit of the growth of memory, MiB")
    options = args.parse_args()
    bundle, _ = load_champion(Home(options.home))
    rows = open_snapshot(Home(options.home)).features.columns([*KEYS, *snapshot_features(bundle.features)])
    rows = rows[(rows["scope"] == "all") & (evidence(rows) != INSUFFICIENT)].reset_index(drop=True)
    posted = rows[SCORED.names].astype(object).where(rows[SCORED.names].notna(), None).to_dict("records")
    with TemporaryDirectory() as folder:
        updates = Updates(Home(Path(folder) / "home"), rows, pd.Timestamp("2020-01-01", tz="UTC"))
        print_message(f"A home with two versions, and snapshots of {len(rows):,} users ...")
        updates.begin(bundle)
        work = Work(rows["user"].tolist(), posted, [updates.as_of(0), updates.as_of(1)], options.requests)
        with run_service(updates.home, Path(folder) / "log") as (process, port):
            watch, start = Watch(process), time.perf_counter()
            signal.signal(signal.SIGINT, lambda *_: setattr(work, "ended", True))
            soak(updates, work, port, watch, options.callers, options.changes)
            print_report(work, watch, time.perf_counter() - start)
        errors = (Path(folder) / "log").read_text().count('"level": "error"')
    wrong = failures(work, watch, options.changes, options.growth, errors)
    print("\n".join(["The soak test failed:", *wrong]) if wrong else "Passed: no request failed, and memory is flat.")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
