"""How pull changes over months, so that the future is no copy of the past."""

import numpy as np

from features.simulation.community import DAY, Community

MEMORY = 0.95  # correlation of one week with the next
SPREAD = 0.4  # standard deviation of the logarithm
WEEK = 7 * DAY


class Drift:
    """A factor on everybody's pull that wanders by the week: exp of a stationary AR(1), with a mean of 1."""

    def __init__(self, community: Community) -> None:
        self.community = community
        self.week = 0
        self.level = self._shock()

    def at(self, time: int) -> np.ndarray:
        """Return the factors in the week of an instant; instants must not go back by a week or more.

        The level x of a week follows `x' = MEMORY * x + sqrt(1 - MEMORY ** 2) * e` with standard normal e; the factor
        is `exp(SPREAD * x - SPREAD ** 2 / 2)`.
        """
        while self.week < (time - self.community.begin) // WEEK:
            self.week += 1
            self.level = MEMORY * self.level + np.float32(np.sqrt(1 - MEMORY**2)) * self._shock()
        return np.exp(SPREAD * self.level - SPREAD**2 / 2)

    def _shock(self) -> np.ndarray:
        rng = self.community.generator("drift", self.week)
        return rng.standard_normal(self.community.users, dtype=np.float32)
