"""How well the score predicts: python tests/benchmarks/quality.py EVENTS --as-of T [--cutoffs 4] [--horizon-days 28].

At T and at each horizon before it, the default configuration is fitted on the data complete by then and evaluated on
the following horizon: every figure is out of time. The events must reach to the end of the last horizon.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from features.events.encoding import EncodedEvents, cached
from features.events.event_table import time_range
from features.events.loading import load_encoded_events
from features.events.scopes import ALL
from features.utc import parse_utc
from training.config import Config, Outcome, read_config
from training.dataset.panel import Split, in_scope, panel_rows, split_cutoffs
from training.evaluation.baselines import baselines
from training.evaluation.evaluate import evaluate
from training.evaluation.metrics import RANKING
from training.fit import fit
from training.model.bundle import Bundle
from training.model.feature_sets import panel_features


@dataclass(frozen=True)
class Fold:
    """One fold of a backtest: its instant, cutoffs and panel, the fitted model, and the rows of the horizon ahead."""

    as_of: datetime
    split: Split
    panel: pd.DataFrame
    ahead: pd.DataFrame
    bundle: Bundle


def folds(acts: EncodedEvents, config: Config, instants: Iterable[datetime]) -> Iterator[Fold]:
    """Fit at each instant; rows of cutoffs that several instants share are computed once."""
    first, _ = time_range(acts.rows)
    days, features, rows = config.outcome.horizon_days, panel_features(), {}
    for as_of in instants:
        split = split_cutoffs(first, as_of, days, config.panel.cutoffs)
        for cutoff in (*split.cutoffs, as_of):
            if cutoff not in rows:
                rows[cutoff] = panel_rows(acts, cutoff, days, features=features)
        panel = pd.concat([rows[cutoff] for cutoff in split.cutoffs], ignore_index=True)
        yield Fold(as_of, split, panel, rows[as_of], fit(panel, split, config, present=rows[as_of]))


def figures_at(acts: EncodedEvents, config: Config, fold: Fold) -> dict:
    """Evaluate on the horizon after an instant."""
    ahead = in_scope(fold.ahead, ALL)
    signals = baselines(acts, ahead, fold.as_of)
    predicted, level = fold.bundle.predict(ahead), config.interval.level
    figures = evaluate(ahead["audience"].to_numpy(), predicted, level, signals, config.evaluation.resamples, 0)
    score, leads = figures.metrics["score"], figures.margins
    row = {"as_of": f"{fold.as_of:%Y-%m-%d}", "users": figures.users, "heard": int((ahead["audience"] > 0).sum())}
    for key in RANKING:
        row |= {key: score[key], f"best {key}": score[key] - leads[key].margin}
    return row | {key: score[key] for key in ("total", "coverage", "coverage_expected_1")}


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options common to all benchmarks that evaluate at several instants."""
    args = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("events")
    args.add_argument("--as-of", type=parse_utc, required=True)
    args.add_argument("--cutoffs", type=int, default=4)
    args.add_argument("--apart-days", type=int, help="days between instants; default: the horizon")
    args.add_argument("--horizon-days", type=int, default=28)
    return args


def instants(options: argparse.Namespace) -> list[datetime]:
    """Return the instants to evaluate at, newest first."""
    step = timedelta(days=options.apart_days or options.horizon_days)
    return [options.as_of - k * step for k in range(options.cutoffs)]


def main() -> None:
    """Print a line per instant, and the means."""
    args = make_parser(__doc__)
    args.add_argument("--config", type=Path, help="a clout.toml; default: the default configuration")
    options = args.parse_args()
    outcome = Outcome(horizon_days=options.horizon_days)
    config = read_config(options.config).model_copy(update={"outcome": outcome})
    with cached(load_encoded_events(options.events)) as acts:
        rows = [figures_at(acts, config, fold) for fold in folds(acts, config, instants(options))]
    table = pd.DataFrame(rows).set_index("as_of").astype(float)
    table.loc["mean"] = table.mean()
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
