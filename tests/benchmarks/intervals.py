"""How sharp intervals are: python tests/benchmarks/intervals.py EVENTS --as-of T [--cutoffs 4] [--horizon-days 28].

At T and at each horizon before it, the default model is fitted on the data complete by then, and its intervals are
evaluated on the following horizon: every figure is out of time. The interval score (Winkler) is the mean width plus 20
for each person by which an audience misses its interval; lower is better. `--json FILE` writes the figures, and
`--before FILE` compares them with those of an earlier run.

A second table compares the predicted chance that anybody engages with the real share of users with whom anybody did,
for users with an expected audience below 0.9 people. The 95 % interval of the share is Wilson's; users at several
instants count as independent.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
from quality import Fold, folds, instants, make_parser

from features.events.encoding import cached
from features.events.loading import load_encoded_events
from features.events.scopes import ALL
from training.config import Config, Outcome
from training.dataset.panel import in_scope
from training.evaluation.evaluate import expected_over_real, interval_scores

BANDS = {"all": 0.0, "below 1": 0.0, "1 to 3": 1.0, "3 to 10": 3.0, "10 and more": 10.0, "3 and more": 3.0}
UPPER = {"below 1": 1.0, "1 to 3": 3.0, "3 to 10": 10.0}
CHANCE_BANDS = [0.0, 0.01, 0.03, 0.1, 0.3, 0.9]
NORMAL_95 = 1.96
FIGURES = ["users", "expected", "real", "coverage", "width", "interval_score"]


def predictions_at(fold: Fold, level: float) -> pd.DataFrame:
    """Predict the horizon after an instant; return predictions and real audiences."""
    ahead = in_scope(fold.ahead, ALL)
    predicted, real = fold.bundle.predict(ahead), ahead["audience"].to_numpy(float)
    scores = interval_scores(real, predicted, level)
    total = expected_over_real(real, predicted)
    top = predicted.loc[predicted["expected_audience"].idxmax()]
    print(
        f"{fold.as_of:%Y-%m-%d}: {len(ahead):,} users, expected over real {total:.2f}; the highest is expected at "
        f"{top.expected_audience:.1f}, interval {top.low:.0f} to {top.high:.0f}",
        flush=True,
    )
    covered = (real >= predicted["low"]) & (real <= predicted["high"])
    chance = fold.bundle.chance
    return predicted.assign(
        real=real,
        covered=covered,
        width=predicted.high - predicted.low,
        score=scores,
        chance=np.nan if chance is None else chance.of(predicted["expected_audience"].to_numpy()),
    )


def figures(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the figures of each band of expected audience."""
    rows = {}
    for band, lower in BANDS.items():
        expected = predictions["expected_audience"]
        users = predictions[(expected >= lower) & (expected < UPPER.get(band, float("inf")))]
        means = users[["expected_audience", "real", "covered", "width", "score"]].mean()
        rows[band] = [len(users), *means]
    return pd.DataFrame.from_dict(rows, orient="index", columns=FIGURES)


def reliability(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return by expected audience the mean chance, the real share, and the interval of the share."""
    rows = {}
    for least, most in itertools.pairwise(CHANCE_BANDS):
        users = predictions[predictions["expected_audience"].between(least, most, inclusive="left")]
        if count := len(users):
            share, spread = (users["real"] > 0).mean(), NORMAL_95**2 / count
            middle, scale = (share + spread / 2) / (1 + spread), 1 / (1 + spread)
            half = scale * np.sqrt(spread * share * (1 - share) + spread**2 / 4)
            expected = users["expected_audience"].mean()
            rows[f"{least:g} to {most:g}"] = [
                count,
                expected,
                users["chance"].mean(),
                share,
                middle - half,
                middle + half,
            ]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["users", "expected", "chance", "share", "low", "high"])


def main() -> None:
    """Print the figures of each band over all instants."""
    args = make_parser(__doc__)
    args.add_argument("--json", type=Path)
    args.add_argument("--before", type=Path)
    options = args.parse_args()
    config = Config(outcome=Outcome(horizon_days=options.horizon_days))
    with cached(load_encoded_events(options.events)) as events:
        ahead = [predictions_at(fold, config.interval.level) for fold in folds(events, config, instants(options))]
    predictions = pd.concat(ahead)
    table = figures(predictions)
    if options.json:
        options.json.write_text(json.dumps(table.to_dict("index"), indent=1))
    if options.before:
        before = pd.DataFrame.from_dict(json.loads(options.before.read_text()), orient="index")
        table = table.assign(
            before=before["interval_score"], change=table["interval_score"] / before["interval_score"] - 1
        )
    print(table.round(3).to_string())
    print(reliability(predictions).round(4).to_string())


if __name__ == "__main__":
    main()
