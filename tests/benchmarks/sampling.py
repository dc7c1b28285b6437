"""Cost of fitting on a sample of users: python tests/benchmarks/sampling.py EVENTS --as-of T [--seeds 5].

Boosters are fitted on all rows of the older cutoffs, and on samples of several sizes and seeds. Their level is set by
the rows they were fitted on. All predict the rows of all users at the newest cutoff. Printed are AUC and the total
audience expected.
"""

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from features.events.encoding import cached
from features.events.event_table import time_range
from features.events.loading import load_encoded_events
from features.events.scopes import ALL
from features.utc import parse_utc
from training.config import Config
from training.dataset.panel import build_panel, in_scope, rows_at, split_cutoffs
from training.dataset.sampling import DRAWN, RowSample, count_rows, plan_sample
from training.evaluation.metrics import auc
from training.model.bounded_term import fit_boosters, set_level, total_audience
from training.model.feature_sets import panel_features

PARTS = (2, 5, 10, 20, 50)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("events", type=Path)
    parser.add_argument("--as-of", required=True, type=parse_utc)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    config = Config()
    with cached(load_encoded_events(options.events)) as events:
        first, _ = time_range(events.rows)
        split = split_cutoffs(first, options.as_of, config.outcome.horizon_days, config.panel.cutoffs)
        panel = build_panel(events, split, config.outcome.horizon_days, features=panel_features())
        sizes = count_rows(events, split.older)
        older, test = rows_at(panel, *split.older), in_scope(rows_at(panel, split.newest), ALL)
        audience = test["audience"].to_numpy(float)

        def measure(rows: pd.DataFrame, ahead: pd.DataFrame) -> tuple[float, float]:
            """Return the AUC and the total expected audience; `ahead` are rows of the newest cutoff."""
            boosters = fit_boosters(rows, config.model)
            set_level(boosters, ahead, total_audience(in_scope(rows_at(rows, split.older[-1]), ALL)))
            margin = boosters.margins(test)
            return auc(audience, margin, margin), float(np.exp(margin).sum())

        def sampled(sample: RowSample, rows: pd.DataFrame, cutoffs: Sequence[datetime]) -> pd.DataFrame:
            with sample.users(events, cutoffs) as users:
                return rows.merge(users.to_pandas(), on="user").drop(columns=DRAWN)

        best, people = measure(older, test)
        print(f"all {len(older):,} rows: AUC {best:.4f}, {people:,.0f} people expected")
        for part in PARTS:
            values: list[tuple[float, float]] = []
            for seed in range(options.seeds):
                sample = plan_sample(sizes, len(older) // part, seed)
                parts = ((older, split.older), (test, split.cutoffs))
                values.append(measure(*(sampled(sample, part, cutoffs) for part, cutoffs in parts)))
            (value, level), (deviation, spread) = np.mean(values, axis=0), np.std(values, axis=0)
            print(
                f"{sample.rows:,} rows: AUC {value:.4f} +- {deviation:.4f}, {best - value:.4f} less; "
                f"{level / people:.3f} +- {spread / people:.3f} of the people expected"
            )


if __name__ == "__main__":
    main()
