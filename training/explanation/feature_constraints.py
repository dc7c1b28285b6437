"""Feature constraints: which values peers have, and which features move together because they count the same events."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from features.aggregates.windows import PERIOD_WEIGHTS
from features.catalogue.responder_rate import RATES
from features.errors import CloutError

# Each feature counts some of the events of the next.
NESTED = (
    ("credible_returning_28d", "credible_engagers_28d", "credible_engagers_90d", "credible_engagers_365d"),
    ("credible_engagers_7d", "credible_engagers_28d", "credible_engagers_90d", "credible_engagers_365d"),
    ("credible_engagers_decayed_28d", "credible_engagers_365d"),
    ("credible_steady_168d", "credible_engagers_365d"),
    ("credible_pieces_drawing_28d", "credible_pieces_drawing_90d"),
)
YEAR, AGE = "credible_engagers_365d", "account_age_days"
ABSENT, SINCE = "days_of_absence", "days_since_last_act"
PERCENTILES = range(101)
LEVELS = (5, 10, 25, 50, 75, 90, 95)


Number = TypeVar("Number", float, np.ndarray)


class WhatIfError(CloutError):
    """A requested change is not valid."""


@dataclass(frozen=True)
class PeerValues:
    """The values of peers; each is one that some peer has.

    Parameters
    ----------
    users : the number of peers, the user included
    values : feature -> its 0th, 1st to 100th percentile, shape (101,); absent where it is unknown for all peers
    allowance : days without an event before they count as absence, at the instant and in the scope of the peers

    """

    users: int
    values: Mapping[str, np.ndarray]
    allowance: float

    def contains(self, feature: str, value: float) -> bool:
        """Say whether a value lies between the lowest and the highest of peers."""
        values = self.values.get(feature)
        return values is not None and bool(values[0] <= value <= values[-1])

    def rank(self, feature: str, value: float | None) -> float:
        """Return the share of peers below a value, plus half of those that have it, to a hundredth.

        An unknown value ranks in the middle, as does any value of a feature that is unknown for all peers.
        """
        values = self.values.get(feature)
        if values is None or value is None or value != value:
            return 0.5
        return float(((values < value).sum() + 0.5 * (values == value).sum()) / len(values))

    def share_between(self, feature: str, before: float | None, after: float | None) -> float:
        """Return the share of peers that a change from one value to another passes."""
        return abs(self.rank(feature, after) - self.rank(feature, before))

    def distinct(self, feature: str, percentiles: Sequence[int] = PERCENTILES) -> list[float]:
        """Return the distinct values at percentiles of peers, rising; by default up to the highest of any peer."""
        values = self.values.get(feature)
        return [] if values is None else sorted(set(values[list(percentiles)].tolist()))


def percentiles(values: np.ndarray) -> np.ndarray:
    """Return the percentiles of known values, each the nearest value that occurs, shape (101,)."""
    return np.asarray(np.percentile(values, PERCENTILES, method="nearest"))


def propagate_constraints(row: Mapping[str, float], changes: Mapping[str, float], allowance: float) -> dict[str, float]:
    """Return the features that have to move with a change, each by as little as possible.

    - absence: the last event moves by as many days, and to now where the absence ends; a user without events then has
      one
    - windows: an engager in the shorter window is also one in the longer
    - the rate since the user was first seen: it follows the engagers of the last 365 days

    Other features stay: no definition says whether and how far they would move. `row` and `changes` map features to
    values, NaN where unknown; `allowance` is as in `PeerValues`.

    Raises
    ------
    WhatIfError : the changes contradict each other

    """
    moved = _propagate_windows(row, changes)
    if YEAR in moved:
        moved |= rates(row, moved[YEAR])
    if ABSENT in changes and changes[ABSENT] != row[ABSENT]:
        moved[SINCE] = allowance + changes[ABSENT] if changes[ABSENT] else 0.0
    return {name: value for name, value in moved.items() if name not in changes}


def inactive_days(row: Mapping[str, float]) -> float:
    """Return the days since the last event of a user, or since a user without events was first seen."""
    since = row.get(SINCE, math.nan)
    return row.get(AGE, 0.0) if math.isnan(since) else since


def rates(row: Mapping[str, float], year: Number) -> dict[str, Number]:
    """Return the rates of a row per 28 days of so many engagers in the last 365 days, since the user was first seen."""
    return {name: rate.of(year, row[AGE]) for name, rate in RATES.items() if name in row}


def engager_effects(row: Mapping[str, float], recent: Number, year: Number) -> dict[str, Number]:
    """Return by how much the features of a row rise with more credible engagers, spread evenly over the last 28 days.

    `recent` and `year` are the additional engagers in the last 28 and 365 days, weighted by credibility, each a number
    or an array. Only the features that certainly move are included, not how often each engager returns or which pieces
    they respond to.
    """
    before = {name: rate.responders(row[name], row[AGE]) for name, rate in RATES.items() if name in row}
    effects = {
        "credible_engagers_7d": recent / 4,
        "credible_engagers_28d": recent,
        "credible_engagers_90d": recent,
        YEAR: year,
        **{name: RATES[name].of(count + year, row[AGE]) - row[name] for name, count in before.items()},
        "credible_engagers_decayed_28d": recent * 0.5**0.5,
        "credible_pace_28d": recent * PERIOD_WEIGHTS[0] / sum(PERIOD_WEIGHTS),
    }
    return {name: rise for name, rise in effects.items() if name in row}


def _propagate_windows(row: Mapping[str, float], changes: Mapping[str, float]) -> dict[str, float]:
    """Return requested values, longer windows of what rises raised, shorter windows of what falls lowered.

    A window that the row does not hold is skipped: a snapshot stores what models and explanations read.
    """
    values = dict(row) | dict(changes)
    nested = [pair for chain in NESTED for pair in pairwise(name for name in chain if name in values)]
    risen = {name for name in changes if not changes[name] <= row[name]}
    fallen = {name for name in changes if not changes[name] >= row[name]}
    upwards = [(inner, outer, inner, outer, risen) for inner, outer in nested]
    downwards = [(inner, outer, outer, inner, fallen) for inner, outer in reversed(nested)]
    for inner, outer, source, target, moved in upwards + downwards:
        if values[inner] > values[outer] and source in moved:
            if target in changes:
                raise WhatIfError(
                    f"the changes contradict each other: {inner} cannot be above {outer}, which counts the same events "
                    "and more."
                )
            values[target] = values[source]
            moved.add(target)
    return {name: values[name] for name in {*changes, *risen, *fallen}}
