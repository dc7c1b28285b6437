"""Intervals of models of earlier versions: quantile boosters, each end moved by what calibration showed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import lightgbm as lgb
import numpy as np

from training.model.booster import predict
from training.model.intervals import Intervals, whole_people


@dataclass(frozen=True)
class Knot:
    """How far calibration moves the ends of intervals at an expected audience.

    Parameters
    ----------
    expected : expected audience, people
    low_shift, high_shift : what is added to the logarithms of the ends, nats

    """

    expected: float
    low_shift: float
    high_shift: float


@dataclass(frozen=True)
class EarlierIntervals(Intervals):
    """Intervals whose ends are predicted by two boosters.

    Parameters
    ----------
    level, parts : as in `Intervals`, without parts
    knots : by rising expected audience; between two of them the logarithms are interpolated
    low_text, high_text : the boosters of the lower and the upper end, in LightGBM's text form
    relative : whether the boosters predict how far the ends lie from the expected audience; else they predict
        `ln(1 + people)`, and each knot holds up to the next one

    """

    knots: tuple[Knot, ...] = ()
    low_text: str = ""
    high_text: str = ""
    relative: bool = True

    def around(self, expected: np.ndarray, matrix: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends as `Intervals.around` does."""
        columns = [names.index(name) for name in self._boosters[0].feature_name()]
        low, high = (predict(booster, matrix[:, columns]) for booster in self._boosters)
        people, lows, highs = np.array([(knot.expected, knot.low_shift, knot.high_shift) for knot in self.knots]).T
        if self.relative:
            at, start = np.log(expected), np.log1p(expected)
            lows, highs = (start + np.interp(at, np.log(people), shifts) for shifts in (lows, highs))
        else:
            index = np.searchsorted(people, expected, side="right") - 1
            lows, highs = lows[index], highs[index]
        return whole_people(expected, np.expm1(low + lows), np.expm1(high + highs))

    def as_json(self) -> dict[str, Any]:
        """Return the calibration as JSON values."""
        return {"level": self.level, "knots": [asdict(knot) for knot in self.knots], "relative": self.relative}

    @cached_property
    def _boosters(self) -> tuple[lgb.Booster, lgb.Booster]:
        return lgb.Booster(model_str=self.low_text), lgb.Booster(model_str=self.high_text)


def read_earlier_intervals(document: dict[str, Any], low_text: str, high_text: str) -> EarlierIntervals:
    """Read the calibration; the first versions had bands with one margin for both ends."""
    if "bands" in document:
        bands = tuple(Knot(band["edge"], -band["margin"], band["margin"]) for band in document["bands"])
        return EarlierIntervals(document["level"], (), bands, low_text, high_text, relative=False)
    knots = tuple(Knot(**knot) for knot in document["knots"])
    return EarlierIntervals(document["level"], (), knots, low_text, high_text, document["relative"])
