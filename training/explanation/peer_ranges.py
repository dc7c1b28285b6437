"""Peer values: what a person's peers really show of each feature."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

PERCENTILES = np.arange(101)
LEVELS = (5, 10, 25, 50, 75, 90, 95)


@dataclass(frozen=True)
class PeerValues:
    """The values of peers, each one that somebody really has.

    Parameters
    ----------
    people : how many peers there are, the person included
    values : feature -> its 0th, 1st to 100th percentile, shape (101,); absent where it is not known of any of them
    allowance : days without an act before they count as absence, at the instant and in the scope of the peers

    """

    people: int
    values: Mapping[str, np.ndarray]
    allowance: float

    def hold(self, feature: str, value: float) -> bool:
        """Say whether a value lies within what peers show."""
        found = self.values.get(feature)
        return found is not None and bool(found[0] <= value <= found[-1])

    def rank(self, feature: str, value: float) -> float:
        """Return the share of peers below a value, and half of those who have it, to a hundredth.

        An unknown value stands in the middle, as does any where nobody's is known.
        """
        found = self.values.get(feature)
        if found is None or value != value:
            return 0.5
        return float(((found < value).sum() + 0.5 * (found == value).sum()) / len(found))

    def different(self, feature: str) -> list[float]:
        """Return the different values of all percentiles, rising, to the most that any peer has."""
        found = self.values.get(feature)
        return [] if found is None else sorted(set(found.tolist()))

    def levels(self, feature: str) -> list[float]:
        """Return the different values at LEVELS, percentiles of peers, rising."""
        found = self.values.get(feature)
        return [] if found is None else sorted(set(found[list(LEVELS)].tolist()))


def percentiles(values: np.ndarray) -> np.ndarray:
    """Return the percentiles of some known values, the nearest that is one of them, shape (101,)."""
    return np.percentile(values, PERCENTILES, method="nearest")
