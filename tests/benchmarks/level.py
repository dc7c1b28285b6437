"""How well totals are predicted: python tests/benchmarks/level.py EVENTS --as-of T [--cutoffs 4] [--horizon-days 28].

At T and at each horizon before it, boosters are fitted on the data complete by then. Printed is the ratio of expected
to real total audience in the following horizon, for boosters as fitted and for several corrections by one common
factor. Then the same ratio for users younger than 28 days, with and without a response by an established user: as
fitted, and with one factor for those with a response, the ratio by which boosters were wrong about such users before.
"""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from quality import instants, make_parser

from features.events.encoding import EncodedEvents, cached
from features.events.event_table import time_range
from features.events.loading import load_encoded_events
from features.events.scopes import ALL
from training.config import Config, Outcome
from training.dataset.panel import build_panel, in_scope, panel_rows, rows_at, split_cutoffs
from training.model.bounded_term import Boosters, fit_boosters
from training.model.feature_sets import panel_features

YOUNG_DAYS = 28
RESPONSE = 0.5


def totals_at(events: EncodedEvents, config: Config, as_of: datetime) -> dict[str, float]:
    """Return expected over real total audience at an instant, for boosters as fitted and for each correction."""
    first, _ = time_range(events.rows)
    days, features = config.outcome.horizon_days, panel_features()
    split = split_cutoffs(first, as_of, days, config.panel.cutoffs)
    panel = build_panel(events, split, days, features=features)
    ahead = in_scope(panel_rows(events, as_of, days, features=features), ALL)
    recent = rows_at(panel, split.newest)
    boosters = fit_boosters(panel, config.model)
    earlier = fit_boosters(rows_at(panel, *split.older), config.model)
    expected, real = np.exp(boosters.margins(ahead)), ahead["audience"].to_numpy(float)
    error = recent["audience"].sum() / np.exp(earlier.margins(recent)).sum()
    weeks = [_engagers(events, as_of - timedelta(days=7 * week)) for week in range(4)]
    recipe = expected.sum() / max(real.sum(), 1)
    return {
        "as fitted": recipe,
        "times last week over three before": recipe * weeks[0] / max(np.mean(weeks[1:]), 1),
        "times error of the newest horizon": recipe * error,
        "times its root": recipe * error**0.5,
        "total of the newest horizon": recent["audience"].sum() / max(real.sum(), 1),
    } | _newcomers(boosters, panel, ahead, expected, real)


def _engagers(events: EncodedEvents, end: datetime) -> float:
    """Return the sum over all users of their engagers within a week."""
    return float(panel_rows(events, end - timedelta(days=7), 7, features=["engagers_7d"])["audience"].sum())


def _newcomers(
    boosters: Boosters, panel: pd.DataFrame, ahead: pd.DataFrame, expected: np.ndarray, real: np.ndarray
) -> dict[str, float]:
    young, response = _young(ahead)
    before = np.logical_and(*_young(panel))
    past = panel["audience"].to_numpy(float)[before].sum() / max(np.exp(boosters.margins(panel))[before].sum(), 1)
    factor = min(max(past, 1.0), 2.0)
    corrected = np.where(young & response, factor, 1.0) * expected
    return {
        "newcomers": _ratio(expected, real, young),
        "newcomers, response": _ratio(expected, real, young & response),
        "newcomers, none": _ratio(expected, real, young & ~response),
        "factor": factor,
        "newcomers, with it": _ratio(corrected, real, young),
    }


def _young(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return two masks: users younger than 28 days, and users to whom an established user responded."""
    young = rows["account_age_days"].fillna(np.inf).to_numpy(float) < YOUNG_DAYS
    return young, rows["credible_engagers_decayed_28d"].fillna(0).to_numpy(float) >= RESPONSE


def _ratio(expected: np.ndarray, real: np.ndarray, users: np.ndarray) -> float:
    return float(expected[users].sum() / max(real[users].sum(), 1))


def main() -> None:
    """Print a column per instant."""
    args = make_parser(__doc__)
    options = args.parse_args()
    config = Config(outcome=Outcome(horizon_days=options.horizon_days))
    with cached(load_encoded_events(options.events)) as events:
        table = pd.DataFrame({f"{as_of:%Y-%m-%d}": totals_at(events, config, as_of) for as_of in instants(options)})
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()
