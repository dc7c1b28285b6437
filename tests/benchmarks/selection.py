"""Reach of picked groups: python tests/benchmarks/selection.py EVENTS --as-of T [--scope S ...] [--horizon-days 28].

At T and at each instant before it, the default model and the selection model are fitted on the data complete by then
and pick groups of 5, 10, 20 and 50 users. Real reach is the number of different people who engaged with a group in the
following horizon. It is compared with the predicted reach and with the reach of the k highest users of every baseline.
All figures are out of time.
"""

import argparse
from collections.abc import Iterator, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd
from quality import Fold, folds

from features.events.encoding import EncodedEvents, cached
from features.events.loading import load_encoded_events
from features.events.scopes import ALL
from features.utc import parse_utc
from training.config import Config, Outcome
from training.dataset.panel import in_scope
from training.evaluation.baselines import baselines
from training.selection.coverage import Constraints, select_group
from training.selection.pairs import read_engagements, read_pairs
from training.selection.selection_model import SIZES, SelectionModel, fit_selection_model

SIGNALS = ("score", "expected_audience", "followers", "decayed_engagers", "pagerank")


def reaches(acts: EncodedEvents, config: Config, fold: Fold, scopes: Sequence[str] = (ALL,)) -> list[dict]:
    """Pick groups at an instant; return real and predicted reach, a row per scope and size of group."""
    model = fit_selection_model(acts, fold.panel, fold.split, config)
    return [row for scope in scopes for row in _reaches(acts, config, fold, model, scope)]


def _reaches(acts: EncodedEvents, config: Config, fold: Fold, model: SelectionModel, scope: str) -> Iterator[dict]:
    days, as_of = config.outcome.horizon_days, fold.as_of
    rows = in_scope(fold.ahead, scope)
    predicted = fold.bundle.predict(rows)
    signals = (
        baselines(acts, rows, as_of)
        if scope == ALL
        else rows.rename(columns={"engagers_decayed_28d": "decayed_engagers"})
    )
    signals = signals.assign(score=predicted["unclipped"], expected_audience=predicted["expected_audience"])
    ahead, pairs = read_engagements(acts, as_of, days, rows), read_pairs(acts, as_of, rows)
    everybody = model.audiences(pairs, predicted["expected_audience"].to_numpy())
    credible = everybody.counting(pairs.weight)
    orders = {name: np.argsort(-signals[name].to_numpy(), kind="stable") for name in SIGNALS if name in signals}
    for k in (size for size in SIZES if size <= len(rows)):
        group, trusted = (select_group(a, Constraints(k, np.ones(len(rows), bool))) for a in (everybody, credible))
        row = {"scope": scope, "as_of": f"{as_of:%Y-%m-%d}", "k": k, "picked": ahead.reach(group.users)[-1]}
        row |= {"predicted": group.reach, "of bound": group.share_of_bound, "pool": model.pool_share}
        low, high = model.error_range(k) or (np.nan, np.nan)
        row |= {"in range": low <= row["picked"] / group.reach <= high}
        row |= {"credible": ahead.reach(trusted.users)[-1]}
        row |= {name: ahead.reach(order[:k])[-1] for name, order in orders.items()}
        row["corrected"] = ahead.reach(np.argsort(-everybody.reach_of_each, kind="stable")[:k])[-1]
        row["overlap"] = 1 - row["expected_audience"] / max(ahead.audiences[orders["expected_audience"][:k]].sum(), 1)
        yield row


def main() -> None:
    """Print a line per instant and size, the means per size, and the ratio to the best baseline."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("events")
    args.add_argument("--as-of", type=parse_utc, required=True)
    args.add_argument("--instants", type=int, default=4)
    args.add_argument("--apart-days", type=int, help="days between instants; default: the horizon")
    args.add_argument("--horizon-days", type=int, default=28)
    args.add_argument("--scope", nargs="+", default=[ALL])
    options = args.parse_args()
    config = Config(outcome=Outcome(horizon_days=options.horizon_days))
    step = timedelta(days=options.apart_days or options.horizon_days)
    with cached(load_encoded_events(options.events, tuple(dict.fromkeys([ALL, *options.scope])))) as acts:
        instants = [options.as_of - k * step for k in range(options.instants)]
        rows = [row for fold in folds(acts, config, instants) for row in reaches(acts, config, fold, options.scope)]
    frame = pd.DataFrame(rows)
    print(frame.round(2).to_string(index=False))
    for scope, of_scope in frame.groupby("scope", sort=False):
        summarize(str(scope), of_scope)


def summarize(scope: str, frame: pd.DataFrame) -> None:
    """Print for one scope the means per size, and the ratio of the picked groups to the best baseline."""
    sizes = means_by_size(frame.to_dict("records"))
    means, best = sizes.loc["mean"], best_signal(sizes.loc["mean"])
    print(f"\n{scope}\n{sizes.round(2).to_string()}")
    print(f"picked over {best}, the best: {means['picked'] / means[best]:.3f}")
    print(f"picked over the highest expected audiences: {means['picked'] / means['expected_audience']:.3f}")
    print(f"picked over the highest corrected ones, by overlap alone: {means['picked'] / means['corrected']:.3f}")
    print(f"predicted over real: {means['predicted'] / means['picked']:.3f}")
    print(f"within the range of 8 of 10 cases: {frame['in range'].sum()} of {len(frame)} groups")
    print(
        f"engagements of the highest expected audiences by people whom another one reaches too: {means['overlap']:.0%}"
    )


def means_by_size(rows: list[dict]) -> pd.DataFrame:
    """Return the means over instants by size of group, and the mean over sizes."""
    sizes = pd.DataFrame(rows).drop(columns=["as_of", "scope"]).groupby("k").mean()
    sizes.loc["mean"] = sizes.mean()
    return sizes


def best_signal(means: pd.Series) -> str:
    """Return the name of the baseline whose highest users reach most people."""
    return str(means[[name for name in SIGNALS if name in means]].idxmax())


if __name__ == "__main__":
    main()
