"""What picked groups reach: python tests/benchmarks/selection.py EVENTS --as-of T [--scope S] [--horizon-days 28].

At T and at each of the instants before it, the default recipe and the selection model learn from what was complete by
then and pick groups of 5, 10, 20 and 50. Real reach is how many different people engaged with a group in the horizon
that followed; beside it stands that of the k highest of every baseline, and what was predicted. All out of time.
"""

import argparse
from datetime import timedelta

import numpy as np
import pandas as pd

from features.events.encoding import cached
from features.events.event_table import time_range
from features.events.loading import load_encoded_events
from features.events.scopes import ALL
from features.utc import parse_utc
from training.config import Config, Outcome
from training.dataset.panel import build_panel, in_scope, panel_rows, split_cutoffs
from training.evaluation.baselines import baselines
from training.fit import fit
from training.model.feature_sets import panel_features
from training.selection.coverage import Constraints, select_group
from training.selection.pairs import read_engagements, read_pairs
from training.selection.selection_model import SIZES, fit_selection_model

SIGNALS = ("score", "expected_audience", "followers", "decayed_engagers", "pagerank")


def reaches(acts, config: Config, as_of, scope: str) -> list[dict]:
    """Pick at an instant, and return real and predicted reach, a row per size of group."""
    first, _ = time_range(acts.rows)
    days = config.outcome.horizon_days
    split = split_cutoffs(first, as_of, days, config.panel.cutoffs)
    features = panel_features()
    panel = build_panel(acts, split, days, features=features)
    bundle, model = fit(panel, split, config), fit_selection_model(acts, panel, split, config)
    rows = in_scope(panel_rows(acts, as_of, days, features=features), scope)
    predicted = bundle.predict(rows)
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
    groups = []
    for k in (size for size in SIZES if size <= len(rows)):
        group, trusted = (select_group(a, Constraints(k, np.ones(len(rows), bool))) for a in (everybody, credible))
        row = {"as_of": f"{as_of:%Y-%m-%d}", "k": k, "picked": ahead.reach(group.users)[-1]}
        row |= {"predicted": group.reach, "of bound": group.share_of_bound, "pool": model.pool_share}
        row |= {"credible": ahead.reach(trusted.users)[-1]}
        groups.append(row | {name: ahead.reach(order[:k])[-1] for name, order in orders.items()})
    return groups


def main() -> None:
    """Print a line per instant and size, the means per size, and the picked group beside the best baseline."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("events")
    args.add_argument("--as-of", type=parse_utc, required=True)
    args.add_argument("--instants", type=int, default=4)
    args.add_argument("--apart-days", type=int, help="default the horizon")
    args.add_argument("--horizon-days", type=int, default=28)
    args.add_argument("--scope", default=ALL)
    options = args.parse_args()
    config = Config(outcome=Outcome(horizon_days=options.horizon_days))
    step = timedelta(days=options.apart_days or options.horizon_days)
    scopes = (ALL,) if options.scope == ALL else (ALL, options.scope)
    with cached(load_encoded_events(options.events, scopes)) as acts:
        rows = [
            row
            for instant in range(options.instants)
            for row in reaches(acts, config, options.as_of - instant * step, options.scope)
        ]
    table = pd.DataFrame(rows)
    print(table.round(2).to_string(index=False))
    sizes = table.drop(columns="as_of").groupby("k").mean()
    sizes.loc["mean"] = sizes.mean()
    print(sizes.round(2).to_string())
    means = sizes.loc["mean"]
    best = means[[name for name in SIGNALS if name in means]].idxmax()
    print(f"picked over {best}, the best: {means['picked'] / means[best]:.3f}")
    print(f"picked over the highest expected audiences: {means['picked'] / means['expected_audience']:.3f}")
    print(f"predicted over real: {means['predicted'] / means['picked']:.3f}")


if __name__ == "__main__":
    main()
