"""The scale: from nats to points, fixed when it is first made and then frozen."""

from dataclasses import dataclass

import numpy as np

from features.errors import ConfigError, TooSmallError

MEDIAN_POINTS = 20.0
P95_POINTS = 50.0


@dataclass(frozen=True)
class Scale:
    """Points are `clip(anchor + points_per_nat * margin, 0, 100)`, linear in the margin.

    Parameters
    ----------
    anchor : points of an expected audience of one person
    points_per_nat : points for each factor of e in the expected audience

    """

    anchor: float
    points_per_nat: float

    def unclipped(self, margin: np.ndarray) -> np.ndarray:
        """Return points before clipping."""
        return self.anchor + self.points_per_nat * margin

    def points(self, margin: np.ndarray) -> np.ndarray:
        """Return the score, 0 to 100."""
        return np.clip(self.unclipped(margin), 0.0, 100.0)

    @property
    def factor_per_10_points(self) -> float:
        """By which factor the expected audience grows with ten points more."""
        return float(np.exp(10.0 / self.points_per_nat))

    def people(self, points: float) -> float:
        """Return the expected audience at so many points, in people."""
        return float(np.exp((points - self.anchor) / self.points_per_nat))

    def from_other(self, other: "Scale", points: float) -> float:
        """Return the unclipped points that an audience has here that has so many on another scale."""
        return float(self.anchor + self.points_per_nat * np.log(other.people(points)))


def frozen_scale(frozen: tuple[Scale, int] | None, horizon_days: int) -> Scale | None:
    """Keep the champion's scale, if there is one, for a model of the same horizon.

    Parameters
    ----------
    frozen : the champion's scale, and the days ahead that it counts an audience over
    horizon_days : of the model to come

    Raises
    ------
    ConfigError : the horizons differ, so the same points would mean other audiences

    """
    if frozen is None:
        return None
    scale, days = frozen
    if days != horizon_days:
        raise ConfigError(
            f"the champion's scale is of audiences within {days} days, and [outcome] horizon_days is {horizon_days}: "
            "the same points would mean something else. Use another --home, or make a new scale with --rescale."
        )
    return scale


def make_scale(margins: np.ndarray) -> Scale:
    """Give the median active user 20 points and the 95th percentile 50.

    Parameters
    ----------
    margins : of the active users (anybody who acted in the last 365 days) at one cutoff, nats, shape (users,)

    Raises
    ------
    TooSmallError : the margins do not differ, so there is nothing to tell people apart by

    """
    median, p95 = np.quantile(margins, [0.5, 0.95])
    if p95 - median < 1e-6:
        raise TooSmallError(
            "the median active user and the 95th percentile have the same expected audience: no scale can be made of "
            "it. Bring a community in which people differ in how many engage with them."
        )
    per_nat = (P95_POINTS - MEDIAN_POINTS) / (p95 - median)
    return Scale(float(MEDIAN_POINTS - per_nat * median), float(per_nat))
