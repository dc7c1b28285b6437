"""Cost of explaining compared with predicting: python tests/benchmarks/explaining.py --rows 1000000.

A model fitted on random data explains random rows. All rows at once are compared with LightGBM's prediction, its
`pred_contrib` and `shap.TreeExplainer` (the latter two on fewer rows); runs are interleaved and the best of several
counts. Then users are explained one at a time from a snapshot.
"""

import argparse
import os
import resource
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, thread_time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE, SCORED
from serving.scoring import score_rows, write_points
from serving.snapshots.layout import sort_rows
from serving.snapshots.repository import open_snapshot, write_snapshot
from training.config import Config, Model
from training.dataset.panel import Split
from training.explanation.ledger import base_points, contributions
from training.fit import fit
from training.home import Home
from training.model.bundle import Bundle

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
REQUESTS = 300


def random_rows(count: int, seed: int) -> pd.DataFrame:
    """Draw skewed feature rows; half of the features are whole numbers, a tenth of the values is missing."""
    rng = np.random.default_rng(seed)
    values = rng.lognormal(0.0, 1.0, (count, 1)) * rng.lognormal(0.0, 1.0, (count, len(CATALOGUE)))
    integer = np.arange(len(CATALOGUE)) % 2 == 0
    values[:, integer] = np.floor(values[:, integer])
    values[rng.random(values.shape) < 0.1] = np.nan
    users = pd.DataFrame({"user": [f"u{k:08}" for k in range(count)], "scope": "all"})
    return users.join(pd.DataFrame(values, columns=CATALOGUE.names))


def random_bundle(trees: int, depth: int) -> Bundle:
    """Fit a bundle on audiences that depend on every feature."""
    cutoffs = tuple(AS_OF - timedelta(days=28 * k) for k in (3, 2, 1))
    frames = []
    for seed, cutoff in enumerate(cutoffs):
        rows = random_rows(15_000, seed)
        audience = np.random.default_rng(seed).poisson(rows[SCORED.names].mean(axis=1))
        frames.append(rows.assign(as_of=pd.Timestamp(cutoff), audience=audience))
    return fit(pd.concat(frames, ignore_index=True), Split(cutoffs), Config(model=Model(trees=trees, depth=depth)))


def best(tasks: dict[str, tuple[Callable[[], object], int]], repeats: int) -> dict[str, np.ndarray]:
    """Return wall-clock and processor microseconds per row for each task, given as (function, rows).

    Both are the minimum of interleaved repetitions.
    """
    least = {name: np.full(2, np.inf) for name in tasks}
    for _ in range(repeats):
        for name, (task, rows) in tasks.items():
            began = np.array([perf_counter(), process_time()])
            task()
            took = np.array([perf_counter(), process_time()]) - began
            least[name] = np.minimum(least[name], took / rows * 1e6)
    return least


def peak() -> float:
    """Return the peak memory of this process, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def explain_many(bundle: Bundle, rows: pd.DataFrame, few: int, repeats: int) -> None:
    """Time the explanation of all rows, and check its sums."""
    import shap

    sample = rows.sample(min(few, len(rows)), random_state=0)
    matrix, small = bundle.matrix(rows), bundle.matrix(sample)
    began = perf_counter()
    print(f"tables of {len(bundle.tables.blocks):,} blocks made in {perf_counter() - began:.1f} s, once a model")
    before = peak()
    points = contributions(bundle, rows)
    print(f"peak {peak():.1f} GiB, {before:.1f} GiB before explaining")
    off = base_points(bundle) + points.sum(axis=1) - bundle.scale.unclipped(bundle.margin(matrix))
    theirs = bundle.shap_values(small)[:, :-1] * bundle.scale.points_per_nat
    beside = np.abs(points.loc[sample.index] - theirs).max(axis=None)
    print(f"largest error of a sum, all rows: {np.abs(off).max():.1e} points")
    print(f"largest difference from pred_contrib, {len(sample):,} rows: {beside:.1e} points")
    del points, off
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer, own = shap.TreeExplainer(bundle.booster), small[:, : bundle.booster.num_feature()]
        tasks = {
            "predict": (lambda: bundle.margin(matrix), len(rows)),
            "explain": (lambda: bundle.shap_values(matrix), len(rows)),
            "pred_contrib": (lambda: bundle.booster.predict(own, pred_contrib=True), len(sample)),
            "shap.TreeExplainer": (lambda: explainer.shap_values(own), len(sample)),
        }
        seconds = best(tasks, repeats)
    for name, (clock, processors) in seconds.items():
        times = seconds[name] / seconds["predict"]
        print(f"{name:20} {clock:7.1f} us a row, {times[0]:6.2f} times predicting", end="; ")
        print(f"of processors {processors:7.1f} us, {times[1]:6.2f} times")


def one_by_one(bundle: Bundle, rows: pd.DataFrame) -> None:
    """Time scoring, writing a snapshot and opening it, and single explanations from it."""
    with TemporaryDirectory() as folder:
        home = Home(Path(folder))
        began = perf_counter()
        scores = score_rows(bundle, "1", rows)
        print(f"scored in {perf_counter() - began:.1f} s")
        began = perf_counter()
        snapshot = write_snapshot(home, AS_OF, bundle, "1", scores, rows)
        sizes = {file.name: file.stat().st_size / 1e6 for file in snapshot.glob("*.*")}
        print(f"snapshot in {perf_counter() - began:.1f} s, MB: { ({k: round(v, 1) for k, v in sizes.items()}) }")
        began = perf_counter()
        write_points(bundle, [rows], Path(folder) / "points.parquet")
        size = (Path(folder) / "points.parquet").stat().st_size / 1e6
        print(f"points of everybody written in {perf_counter() - began:.1f} s, {size:.0f} MB")
        began = perf_counter()
        stored = open_snapshot(home)
        stored.explain(rows["user"].iloc[0])
        print(f"opened, and the first explained, in {perf_counter() - began:.2f} s")
        options = rows["user"].sample(REQUESTS, random_state=1)
        for name, task in {"score": stored.score, "features": stored.feature_row, "explain": stored.explain}.items():
            spent = []
            for user in options:
                began = np.array([perf_counter(), thread_time()])
                task(user)
                spent.append((np.array([perf_counter(), thread_time()]) - began) * 1e3)
            clock, processor = np.median(spent, axis=0)
            slow = np.quantile(spent, 0.95, axis=0)[0]
            print(f"{name:8} median {clock:.2f} ms (processor {processor:.2f}), 95th percentile {slow:.2f} ms")


def main() -> None:
    """Measure explanations of all rows and of single users."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rows", type=int, default=1_000_000)
    args.add_argument("--few", type=int, default=5_000, help="rows for the slow libraries")
    args.add_argument("--trees", type=int, default=200)
    args.add_argument("--depth", type=int, default=4)
    args.add_argument("--repeats", type=int, default=3)
    args.add_argument("--part", choices=["all", "together", "one"], default="all")
    options = args.parse_args()
    bundle, rows = random_bundle(options.trees, options.depth), sort_rows(random_rows(options.rows, 9))
    print(f"{len(rows):,} rows, {len(SCORED)} features, {options.trees} trees of depth {options.depth}")
    if options.part != "one":
        explain_many(bundle, rows, options.few, options.repeats)
    if options.part != "together":
        one_by_one(bundle, rows)


if __name__ == "__main__":
    main()
