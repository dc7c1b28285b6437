"""How fast the pages load: python tests/benchmarks/pages.py --users 1000000.

`clout serve` serves a home with snapshots of random users. The time to the first byte is measured without a browser,
one request after another, after the service has finished its preparation. The largest contentful paint is measured in
Chromium, if it is installed, each time in a new context.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

import numpy as np
import psutil
from explaining import AS_OF, random_rows
from service import CLOUT, free_port, publish_random_snapshot, resident, running, seconds_until_idle

from serving.scoring import score_rows
from serving.snapshots.layout import sort_rows
from serving.snapshots.repository import open_snapshot, write_snapshot
from training.home import Home

FIRST_BYTE_MS, LARGEST_PAINT_MS = 50.0, 1000.0
PAGES = (
    "/",
    "/u/u00000001",
    "/u/u00000001?part=outcome&away_days=14",
    "/compare?a=u00000001&b=u00000002",
    "/find",
    "/find?contains=0042&evidence=strong",
    "/cases",
    "/sign-in",
    "/community",
)
PARTS = ("movers", "effects", "drift")
LARGEST_PAINT = """() => new Promise((resolve) => {
  new PerformanceObserver((list) => resolve(list.getEntries().at(-1).startTime))
    .observe({ type: "largest-contentful-paint", buffered: true });
})"""


def several_snapshots(home: Home, users: int, snapshots: int) -> None:
    """Register a champion and write snapshots of random users, one horizon apart."""
    publish_random_snapshot(home, users, trees=200, depth=4)
    newest, rows = open_snapshot(home), sort_rows(random_rows(users, 10))
    scores = score_rows(newest.bundle, newest.model_version, rows)
    for k in range(1, snapshots):
        write_snapshot(home, AS_OF - k * timedelta(days=28), newest.bundle, newest.model_version, scores, rows)


def seconds_until_prepared(process: int) -> float:
    """Wait until a service has finished background work (it uses no more processor time); return the seconds."""
    began, used = perf_counter(), 0.0
    while (now := processor_seconds(process)) > used + 0.05:
        used = now
        sleep(1.0)
    return perf_counter() - began


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has used; unlike wall time, it does not depend on the load."""
    return float(sum(psutil.Process(process).cpu_times()[:2]))


def first_byte(port: int, path: str) -> float:
    """Return the milliseconds from a request on a new connection to the first byte of its answer."""
    connection = HTTPConnection("127.0.0.1", port)
    began = perf_counter()
    connection.request("GET", path, headers={"Accept": "text/html"})
    response = connection.getresponse()
    took = 1e3 * (perf_counter() - began)
    response.read()
    connection.close()
    if response.status != 200:
        raise SystemExit(f"{path}: {response.status}")
    return took


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a Chromium browser; None if it is not installed."""
    executable = shutil.which("chromium")
    if executable is None:
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


def largest_paint(browser: Any, port: int, path: str) -> float:
    """Return the milliseconds until the largest contentful paint of a page, with an empty cache."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}{path}")
        return float(page.evaluate(LARGEST_PAINT))


def measure(port: int, process: int, rounds: int) -> bool:
    """Print the figures of all pages and page parts; return whether every page is within its limits."""
    within_limits = True
    print(f"{'':40} {'first':>8} {'median':>8} {'slowest':>8} {'cpu':>8} {'paint':>8}   ms")
    with chromium() as browser:
        for path in PAGES:
            cold, used = first_byte(port, path), processor_seconds(process)
            warm = [first_byte(port, path) for _ in range(rounds)]
            cpu = 1e3 * (processor_seconds(process) - used) / rounds
            paints = [largest_paint(browser, port, path) for _ in range(5)] if browser else [np.nan]
            paint = float(np.median(paints))
            print(f"{path:40} {cold:8.1f} {np.median(warm):8.1f} {max(warm):8.1f} {cpu:8.1f} {paint:8.0f}")
            within_limits &= bool(max(cold, float(np.median(warm))) <= FIRST_BYTE_MS and not paint > LARGEST_PAINT_MS)
    for part in PARTS:
        path = f"/community?part={part}"
        cold, *warm = (first_byte(port, path) for _ in range(rounds + 1))
        print(f"{path:40} {cold:8.1f} {np.median(warm):8.1f} {max(warm):8.1f}   loaded after the page")
    return within_limits


def main() -> None:
    """Measure all pages; exit with 1 if a limit is exceeded."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--users", type=int, default=1_000_000)
    args.add_argument("--snapshots", type=int, default=2, help="number of snapshots; default: 2")
    args.add_argument("--home", type=Path, help="a home to keep and reuse; default: a temporary one")
    args.add_argument("--rounds", type=int, default=20)
    options = args.parse_args()
    with TemporaryDirectory() as scratch:
        home, port = Home(options.home or Path(scratch)), free_port()
        if not home.snapshots.exists():
            several_snapshots(home, options.users, options.snapshots)
        clout = [sys.executable, "-c", CLOUT, "serve", "--port", str(port), "--home", str(home.folder)]
        with running(port, "/ready", *clout, log=Path(scratch) / "clout.log") as (process, took):
            print(f"ready after {took:.1f} s; the registry was read {seconds_until_idle(port):.1f} s later")
            print(f"prepared {seconds_until_prepared(process):.0f} s later; load {os.getloadavg()[0]:.1f}")
            within_limits = measure(port, process, options.rounds)
            print(f"resident at the end {resident(process)[0]:.0f} MB")
    print(f"limits: first byte {FIRST_BYTE_MS:g} ms, largest paint {LARGEST_PAINT_MS:g} ms")
    if not within_limits:
        raise SystemExit("a page exceeds a limit")


if __name__ == "__main__":
    main()
