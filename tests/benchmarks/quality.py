"""How well the score predicts: python tests/benchmarks/quality.py EVENTS --as-of T [--cutoffs 4] [--horizon-days 28].

At T and at each horizon before it, the default configuration is fitted on the data complete by then and evaluated on
the following horizon: every figure is out of time. The events must reach to the end of the last horizon. The second
table compares the means of all instants with the best of the baselines' means.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from features.events.encoding import EncodedEvents, cached
from features.events.event_table import time_range
from features.events.loading import load_encoded_events
from features.events.scopes import ALL
from features.utc import parse_utc
from training.config import Config, Outcome, read_config
from training.dataset.panel import Split, in_scope, panel_rows, split_cutoffs
from training.evaluation.baselines import baselines
from training.evaluation.evaluate import evaluate, signal_pair
from training.evaluation.metrics import METRICS, RANKING
from training.fit import fit
from training.model.bundle import Bundle
from training.model.feature_sets import panel_features

RESAMPLES = 300


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


@dataclass(frozen=True)
class Outcomes:
    """The users of the horizon ahead with their audiences, what the model predicted, and the baselines."""

    rows: pd.DataFrame
    predicted: pd.DataFrame
    baselines: pd.DataFrame

    def values(self, metric: str, sample: np.ndarray, signals: list[str] | None = None) -> dict[str, float]:
        """Return a metric of the score and of baselines (None: of all), over rows given by position."""
        pairs = {"score": signal_pair(self.predicted)}
        pairs |= {name: (signal.to_numpy(float),) * 2 for name, signal in self.baselines.items()}
        audience = self.rows["audience"].to_numpy(float)[sample]
        return {name: METRICS[metric](audience, *(part[sample] for part in pairs[name])) for name in signals or pairs}


def outcomes_at(acts: EncodedEvents, fold: Fold) -> Outcomes:
    """Predict the horizon after an instant, and compute the baselines."""
    ahead = in_scope(fold.ahead, ALL)
    return Outcomes(ahead, fold.bundle.predict(ahead), baselines(acts, ahead, fold.as_of))


def figures_at(acts: EncodedEvents, config: Config, fold: Fold) -> dict:
    """Evaluate on the horizon after an instant."""
    return figures_of(outcomes_at(acts, fold), config, fold)


def figures_of(outcomes: Outcomes, config: Config, fold: Fold) -> dict:
    """Compare predictions of a fold with what happened, and with the best baseline of each metric."""
    audience, level = outcomes.rows["audience"].to_numpy(), config.interval.level
    figures = evaluate(audience, outcomes.predicted, level, outcomes.baselines, config.evaluation.resamples, 0)
    score, leads = figures.metrics["score"], figures.margins
    row = {"as_of": f"{fold.as_of:%Y-%m-%d}", "users": figures.users, "heard": int((audience > 0).sum())}
    for key in RANKING:
        row |= {key: score[key], f"best {key}": score[key] - leads[key].margin}
    return row | {key: score[key] for key in ("total", "coverage", "coverage_expected_1")}


def mean_leads(instants: list[Outcomes], resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Compare the mean of the score over all instants with that of the baseline that is best in it.

    Returns
    -------
    one row per metric: both means, the lead of the score, and its 95 % interval over samples of users; a user of a
    sample is in it at every instant

    """
    codes, users = pd.factorize(pd.concat([outcomes.rows["user"] for outcomes in instants]))
    codes_of_instants = np.split(codes, np.cumsum([len(outcomes.rows) for outcomes in instants])[:-1])
    rng, samples = np.random.default_rng(seed), []
    for _ in range(resamples):
        times = np.bincount(rng.integers(0, len(users), len(users)), minlength=len(users))
        samples.append([np.repeat(np.arange(len(of_rows)), times[of_rows]) for of_rows in codes_of_instants])
    table = []
    for metric in RANKING:
        means = _means(metric, instants, [np.arange(len(of_rows)) for of_rows in codes_of_instants])
        best = means.drop("score").idxmax()
        sampled = pd.DataFrame([_means(metric, instants, sample, ["score", best]) for sample in samples])
        low, high = np.quantile(sampled["score"] - sampled[best], [0.025, 0.975])
        table.append((metric, means["score"], best, means[best], means["score"] - means[best], low, high))
    return pd.DataFrame(table, columns=["metric", "score", "best baseline", "its mean", "lead", "low", "high"])


def _means(
    metric: str, instants: list[Outcomes], samples: list[np.ndarray], signals: list[str] | None = None
) -> pd.Series:
    values = [outcomes.values(metric, rows, signals) for outcomes, rows in zip(instants, samples, strict=True)]
    return pd.DataFrame(values).mean()


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
    """Print a line per instant, their means, and the leads over the best baselines."""
    args = make_parser(__doc__)
    args.add_argument("--config", type=Path, help="a clout.toml; default: the default configuration")
    options = args.parse_args()
    outcome = Outcome(horizon_days=options.horizon_days)
    config = read_config(options.config).model_copy(update={"outcome": outcome})
    with cached(load_encoded_events(options.events)) as acts:
        outcomes, rows = [], []
        for fold in folds(acts, config, instants(options)):
            outcomes.append(outcomes_at(acts, fold))
            rows.append(figures_of(outcomes[-1], config, fold))
    table = pd.DataFrame(rows).set_index("as_of").astype(float)
    table.loc["mean"] = table.mean()
    print(table.round(3).to_string())
    print(mean_leads(outcomes).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
