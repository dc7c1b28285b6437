"""Whether the service holds out while it is renewed: python tests/benchmarks/soak.py --home HOME [--requests N].

HOME has a champion and a snapshot of a community, such as the one of `clout demo`; it is only read. In a home of its
own, two versions of that champion take turns and snapshots of those people are published, while `clout serve` answers
callers from this process: scores, explanations, histories, changes, what-ifs, batches of ids and of rows, searches by
cursor, the model, the catalogue, health, readiness and metrics. A request has failed where

- no answer came within 60 seconds, or its connection broke,
- the status is not 200: everybody who is asked for is there, with enough evidence,
- the answer is no JSON, names a snapshot or a version that never was, or goes back behind what its caller has seen,
- an explanation or a change does not add up, or a batch or page holds other people than were asked for.

The memory of the service is held against its requests from a tenth of them on; what it may still grow by is --growth.
Ctrl-C ends the asking and tells what there is. The exit code is 1 where a request failed, a renewal was not taken up
within a minute, or memory grew further.
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

from features.catalogue import CATALOGUE, SCORED
from features.console import print_message, print_table
from features.feature_table import KEYS
from features.utc import parse_utc, to_iso_utc
from serving.scoring import score_rows
from serving.snapshots.repository import open_snapshot, write_snapshot
from training.explanation.reasons import INSUFFICIENT, evidence
from training.home import Home
from training.model.bundle import Bundle
from training.model.scale import Scale
from training.registry.model_registry import load_champion, promote, register

CLOUT = "import sys; from serving.cli.main import main; sys.argv[0] = 'clout'; main()"


@dataclass(frozen=True)
class Renewals:
    """Makes the service's home and renews what is in it, a champion and a snapshot at a time.

    Parameters
    ----------
    home : of the service
    rows : everybody's features, of people of whom enough is known
    first : the instant of the first snapshot; each later one is a day later

    """

    home: Home
    rows: pd.DataFrame
    first: pd.Timestamp

    def begin(self, bundle: Bundle) -> None:
        """Register two versions of a model that differ in their scale, and make the first two renewals."""
        self.home.folder.mkdir(parents=True)
        for moved in (0.0, 1.0):
            scale = Scale(bundle.scale.anchor + moved, bundle.scale.points_per_nat)
            register(self.home, replace(bundle, scale=scale), {}, {}, {}, {})
        for k in range(2):
            self.make(k)

    def as_of(self, k: int) -> str:
        """Return the instant of a renewal's snapshot."""
        return to_iso_utc(self.first + timedelta(days=k))

    def make(self, k: int) -> None:
        """Promote the other version and publish a snapshot by it, in which everybody has somebody else's features."""
        promote(self.home, version_of(k))
        bundle, version = load_champion(self.home)
        order = np.random.default_rng(k).permutation(len(self.rows))
        dealt = self.rows[self.rows.columns[2:]].take(order).set_axis(self.rows.index)
        rows = self.rows[KEYS].join(dealt)
        write_snapshot(self.home, parse_utc(self.as_of(k)), bundle, version, score_rows(bundle, version, rows), rows)


@dataclass
class Watch:
    """What is seen of the service from outside, once a second: requests done, and memory resident in MiB."""

    process: subprocess.Popen
    done: list[int] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    taken_up: list[float] = field(default_factory=list)

    def look(self, done: int) -> None:
        """Note the memory that is resident now."""
        told_of = Path(f"/proc/{self.process.pid}/status").read_text()
        self.done.append(done)
        self.resident.append(int(told_of.partition("VmRSS:")[2].split()[0]) / 1024)

    def after(self, share: float) -> int:
        """Return the first look at which so many of all requests were done."""
        return int(np.searchsorted(self.done, share * self.done[-1]))

    def growth(self) -> float:
        """Return by how many MiB memory grew from a tenth of the requests to the end, by least squares."""
        start = self.after(0.1)
        if len(self.done) - start < 3:
            return 0.0
        slope = np.polyfit(self.done[start:], self.resident[start:], 1)[0]
        return float(slope * (self.done[-1] - self.done[start]))


@contextmanager
def served(home: Home, log: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    """Run `clout serve` until the end; yields its process and its port."""
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


def soak(renewals: Renewals, work: Work, port: int, watch: Watch, callers: int, changes: int) -> None:
    """Ask until nothing is left to ask, and renew what is in the home meanwhile, at even distances."""
    total, caller = work.remaining, Caller(work, port, seed=-1)
    threads = [threading.Thread(target=Caller(work, port, seed).work) for seed in range(callers)]
    for thread in threads:
        thread.start()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        renewed, began, published, shown = None, None, 0, 0
        while any(thread.is_alive() for thread in threads) or renewed:
            watch.look(work.done)
            if work.done >= (shown + 1) * total // 20:
                shown = 20 * work.done // total
                print_message(f"{work.done:,} requests, {len(work.failed)} failed, {watch.resident[-1]:.0f} MiB")
            if renewed is None and published < changes and work.done >= (published + 1) * total // (changes + 1):
                published += 1
                work.published.append(renewals.as_of(published + 1))
                renewed, began = pool.submit(renewals.make, published + 1), None
            if renewed and renewed.done():
                renewed.result()
                began = began or time.monotonic()
                if (
                    taken_up(caller, work.published[-1], version_of(published + 1))
                    or time.monotonic() > began + PATIENCE
                ):
                    watch.taken_up.append(time.monotonic() - began)
                    renewed = None
            time.sleep(min(1.0, 0.1 + total / 100_000))
    for thread in threads:
        thread.join()
    watch.look(work.done)


def taken_up(caller: Caller, as_of: str, version: str) -> bool:
    """Tell whether the service answers from a snapshot and by a champion."""
    state = json.loads(caller.text("GET", "/ready"))
    return (state["as_of"], state["model_version"]) == (as_of, version)


def verdict(work: Work, watch: Watch, changes: int, growth: float, errors: int) -> list[str]:
    """Return what did not hold."""
    late = sum(seconds > PATIENCE for seconds in watch.taken_up)
    state = {
        f"{len(work.failed)} requests failed: {work.failed[:3]}": bool(work.failed),
        f"{errors} lines of the log are errors": errors > 0,
        f"{len(watch.taken_up)} renewals of {changes} were made": len(watch.taken_up) < changes,
        f"{late} renewals were not taken up within {PATIENCE:g} s": late > 0,
        f"{work.remaining:,} requests were left": work.remaining > 0,
        f"memory grew by {watch.growth():.1f} MiB, at most {growth:g} expected": watch.growth() > growth,
    }
    return [told_of for told_of, fails in state.items() if fails]


def tell(work: Work, watch: Watch, seconds: float) -> None:
    """Print the figures."""
    rows = []
    work.took["all"] = [seconds for took in work.took.values() for seconds in took]
    for kind in [*MIX, "all"]:
        took = np.array(work.took.get(kind) or [np.nan]) * 1000
        failed = sum(told_of.startswith(f"{kind}:") or kind == "all" for told_of in work.failed)
        told_of = [f"{np.quantile(took, q):.1f}" for q in (0.5, 0.99)] + [f"{took.max():.0f}"]
        rows.append([kind, f"{len(took):,}", str(failed), *told_of])
    title = f"{work.done:,} requests in {seconds:.0f} s, {work.done / seconds:.0f} a second"
    print_table(title, ["kind", "requests", "failed", "p50 ms", "p99 ms", "longest"], rows)
    tenth = watch.resident[watch.after(0.1)]
    figures = [watch.resident[0], tenth, watch.resident[-1], max(watch.resident), watch.growth()]
    columns = ["at the start", "at a tenth", "at the end", "peak", "growth by the fit"]
    print_table("Resident memory, MiB", columns, [[f"{figure:.1f}" for figure in figures]], text_columns=0)
    if watch.taken_up:
        longest = max(watch.taken_up)
        print(f"{len(watch.taken_up)} renewals, each taken up within {longest:.1f} s")


def main() -> None:
    """Soak a service, print the figures and the verdict, and end with 1 where it does not hold."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--home", type=Path, required=True)
    args.add_argument("--requests", type=int, default=100_000)
    args.add_argument("--changes", type=int, default=10, help="of the champion, each with a snapshot")
    args.add_argument("--callers", type=int, default=4, help="who ask at once")
    args.add_argument("--growth", type=float, default=40.0, help="MiB that memory may grow by")
    options = args.parse_args()
    bundle, _ = load_champion(Home(options.home))
    rows = open_snapshot(Home(options.home)).features.columns([*KEYS, *CATALOGUE.names])
    rows = rows[(rows["scope"] == "all") & (evidence(rows) != INSUFFICIENT)].reset_index(drop=True)
    posted = rows[SCORED.names].astype(object).where(rows[SCORED.names].notna(), None).to_dict("records")
    with TemporaryDirectory() as folder:
        renewals = Renewals(Home(Path(folder) / "home"), rows, pd.Timestamp("2020-01-01", tz="UTC"))
        print_message(f"A home with two versions, and snapshots of {len(rows):,} people ...")
        renewals.begin(bundle)
        work = Work(rows["user"].tolist(), posted, [renewals.as_of(0), renewals.as_of(1)], options.requests)
        with served(renewals.home, Path(folder) / "log") as (process, port):
            watch, start = Watch(process), time.perf_counter()
            signal.signal(signal.SIGINT, lambda *_: setattr(work, "ended", True))
            soak(renewals, work, port, watch, options.callers, options.changes)
            tell(work, watch, time.perf_counter() - start)
        errors = (Path(folder) / "log").read_text().count('"level": "error"')
    wrong = verdict(work, watch, options.changes, options.growth, errors)
    print("\n".join(["It does not hold:", *wrong]) if wrong else "It holds: no request failed, and memory is flat.")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
