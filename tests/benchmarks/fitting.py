"""Cost of training beside bare LightGBM: python tests/benchmarks/fitting.py --users 200000 --cutoffs 20.

The rows are sampled with replacement from a simulated community. Computing features is not timed.
"""

import argparse
import resource
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.catalogue import SCORED
from features.events.loading import load_encoded_events
from features.simulation import Community, simulate
from training.config import Config, Model
from training.dataset.panel import Split, panel_rows
from training.fit import fit
from training.model.booster import DIRECTIONS, parameters


def panel(users: int, cutoffs: int) -> tuple[pd.DataFrame, Split]:
    """Return a panel with the given number of users at each of the given number of cutoffs."""
    community = Community(users=4_000, days=200, seed=0)
    end = community.start + timedelta(days=community.days)
    with TemporaryDirectory() as folder:
        summary = simulate(community, Path(folder) / "events.parquet")
        sampled = panel_rows(load_encoded_events(summary.files[0]), end - timedelta(days=28), 28)
    rng = np.random.default_rng(0)
    rows = sampled.iloc[rng.integers(0, len(sampled), users * cutoffs)].reset_index(drop=True)
    split = Split(tuple(end - timedelta(days=28 * k) for k in range(cutoffs, 0, -1)))
    return rows.assign(as_of=np.repeat(pd.to_datetime(list(split.cutoffs)), users)), split


def bare(rows: pd.DataFrame, config: Model) -> lgb.Booster:
    """Train the booster alone, with the same parameters."""
    own = {"objective": "tweedie", "tweedie_variance_power": config.variance_power}
    directions = {"monotone_constraints": [DIRECTIONS[feature.direction] for feature in SCORED]}
    data = lgb.Dataset(rows[SCORED.names].to_numpy(float), label=rows["audience"].to_numpy(float))
    return lgb.train(parameters(config) | own | directions, data, num_boost_round=config.trees)


def main() -> None:
    """Time both on the same rows and print the ratio."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--users", type=int, default=200_000)
    args.add_argument("--cutoffs", type=int, default=20)
    options = args.parse_args()
    rows, split = panel(options.users, options.cutoffs)
    print(f"{len(rows):,} rows of {len(SCORED)} features")
    seconds = {}
    for name, work in {"bare": lambda: bare(rows, Config().model), "fit": lambda: fit(rows, split, Config())}.items():
        began = perf_counter()
        work()
        seconds[name] = perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{name}: {seconds[name]:.1f} s, peak so far {peak:.1f} GiB")
    print(f"fit over bare: {seconds['fit'] / seconds['bare']:.2f}")


if __name__ == "__main__":
    main()
