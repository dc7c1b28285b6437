"""How sharp intervals are: python tests/benchmarks/intervals.py EVENTS --as-of T [--cutoffs 4] [--horizon-days 28].

At T and at each of the horizons before it, the default recipe learns from what was complete by then, and its intervals
are judged on the horizon that follows: every figure is out of time. The interval score (Winkler) is the mean width,
and for each person by whom an audience lies outside its interval 20 more: lower is better. `--json FILE` writes the
figures, and `--before FILE` compares with those of an earlier run.
"""

import json
from pathlib import Path

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
FIGURES = ["users", "expected", "real", "coverage", "width", "interval_score"]


def predictions_at(fold: Fold, level: float) -> pd.DataFrame:
    """Predict the horizon after an instant; return the predictions with what was real."""
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
    return predicted.assign(real=real, covered=covered, width=predicted.high - predicted.low, score=scores)


def figures(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the figures of each band of expected audience."""
    rows = {}
    for band, lower in BANDS.items():
        expected = predictions["expected_audience"]
        users = predictions[(expected >= lower) & (expected < UPPER.get(band, float("inf")))]
        means = users[["expected_audience", "real", "covered", "width", "score"]].mean()
        rows[band] = [len(users), *means]
    return pd.DataFrame.from_dict(rows, orient="index", columns=FIGURES)


def main() -> None:
    """Print the figures of each band over all instants."""
    args = make_parser(__doc__)
    args.add_argument("--json", type=Path)
    args.add_argument("--before", type=Path)
    options = args.parse_args()
    config = Config(outcome=Outcome(horizon_days=options.horizon_days))
    with cached(load_encoded_events(options.events)) as events:
        ahead = [predictions_at(fold, config.interval.level) for fold in folds(events, config, instants(options))]
    table = figures(pd.concat(ahead))
    if options.json:
        options.json.write_text(json.dumps(table.to_dict("index"), indent=1))
    if options.before:
        before = pd.DataFrame.from_dict(json.loads(options.before.read_text()), orient="index")
        table = table.assign(
            before=before["interval_score"], change=table["interval_score"] / before["interval_score"] - 1
        )
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
