"""The scale: from nats to points, fitted once and then frozen."""

import math
from dataclasses import dataclass

import numpy as np

from features.errors import ConfigError, TooSmallError

MEDIAN_POINTS = 20.0
P95_POINTS = 50.0
HIGHEST_POINTS = 90.0  # at most, when a scale is made: the score would not rank users whom it limits to 100 points


@dataclass(frozen=True)
class Scale:
    """Points are `clip(anchor + points_per_nat * margin, 0, 100)`, linear in the margin.

    Parameters
    ----------
    anchor : points of an expected audience of one person
    points_per_nat : points for each factor of e in the expected audience
    p95_points : points of the 95th percentile of the active users when the scale was made

    """

    anchor: float
    points_per_nat: float
    p95_points: float = P95_POINTS

    def unclipped(self, margin: np.ndarray) -> np.ndarray:
        """Return points before clipping."""
        return self.anchor + self.points_per_nat * margin

    def points(self, margin: np.ndarray) -> np.ndarray:
        """Return the score, 0 to 100."""
        return np.asarray(np.clip(self.unclipped(margin), 0.0, 100.0))

    @property
    def factor_per_10_points(self) -> float:
        """The factor by which ten points more multiply the expected audience."""
        return float(np.exp(10.0 / self.points_per_nat))

    def people(self, points: float) -> float:
        """Return the expected audience, in people, of a number of points."""
        return float(np.exp((points - self.anchor) / self.points_per_nat))

    def points_of_people(self, people: float) -> float:
        """Return the score, 0 to 100, that a number of people stands for."""
        return min(max(self.anchor + self.points_per_nat * math.log(people), 0.0), 100.0) if people > 0 else 0.0

    def from_other(self, other: "Scale", points: float) -> float:
        """Return the unclipped points on this scale of the audience that has `points` on another scale."""
        return float(self.anchor + self.points_per_nat * np.log(other.people(points)))


def frozen_scale(frozen: tuple[Scale, int, str] | None, horizon_days: int, label: str) -> Scale | None:
    """Return the champion's scale, if there is one, for a new model of the same horizon (days) and label.

    Raises
    ------
    ConfigError : the horizons or labels differ, so the same points would mean different audiences

    """
    if frozen is None:
        return None
    scale, days, counted = frozen
    if days != horizon_days:
        differ = f"audiences within {days} days, and [outcome] horizon_days is {horizon_days}"
    elif counted != label:
        differ = f"{counted}, and [outcome] label is {label}"
    else:
        return scale
    raise ConfigError(
        f"the champion's scale is of {differ}: the same points would mean something else. Use another --home, or make "
        "a new scale with --rescale."
    )


def make_scale(margins: np.ndarray) -> Scale:
    """Fit a scale that gives the median active user 20 points and the 95th percentile 50.

    Where the highest active user would then have more than 90 points, they get 90, and the 95th percentile fewer than
    50: a scale is frozen, and audiences grow. `margins` are those of the active users (with events of their own in the
    last 365 days) at one cutoff, in nats, shape (users,).

    Raises
    ------
    TooSmallError : the margins do not differ, so no score could distinguish users

    """
    median, p95 = np.quantile(margins, [0.5, 0.95])
    if p95 - median < 1e-6:
        raise TooSmallError(
            "the median active user and the 95th percentile have the same expected audience, so no scale can be "
            "fitted. Bring a community in which users differ in how many people engage with them."
        )
    uncapped = float((P95_POINTS - MEDIAN_POINTS) / (p95 - median))
    per_nat = min(uncapped, float((HIGHEST_POINTS - MEDIAN_POINTS) / (margins.max() - median)))
    p95_points = MEDIAN_POINTS + (P95_POINTS - MEDIAN_POINTS) * (per_nat / uncapped)
    return Scale(float(MEDIAN_POINTS - per_nat * median), per_nat, p95_points)
