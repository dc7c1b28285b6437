"""Quantiles of the audience: two LightGBM boosters between which most audiences lie, before calibration."""

from dataclasses import dataclass
from functools import cached_property

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.catalogue import SCORED
from training.alone import predicted
from training.config import Model
from training.model import parameters

TREES = 100
LEARNING_RATE = 0.08


@dataclass(frozen=True)
class Quantiles:
    """Two boosters in LightGBM's text form: the lower and the upper end."""

    low_text: str
    high_text: str

    @cached_property
    def boosters(self) -> tuple[lgb.Booster, lgb.Booster]:
        """Both boosters, parsed once."""
        return lgb.Booster(model_str=self.low_text), lgb.Booster(model_str=self.high_text)

    def around(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return both quantiles of `ln(1 + audience)`, shapes (rows,), of features in the catalogue's order."""
        low, high = (predicted(booster, matrix) for booster in self.boosters)
        return low, high


def fit_quantiles(rows: pd.DataFrame, config: Model, level: float) -> Quantiles:
    """Fit the quantiles `(1 - level) / 2` and `(1 + level) / 2` of `ln(1 + audience)` on panel rows.

    Source: Koenker and Bassett 1978 (pinball loss). LightGBM knows no monotone quantiles, so an interval's ends may
    move otherwise than the score does.
    """
    low, high = (_fit(rows, config, (1 + side * level) / 2).model_to_string() for side in (-1, 1))
    return Quantiles(low, high)


def _fit(rows: pd.DataFrame, config: Model, alpha: float) -> lgb.Booster:
    data = lgb.Dataset(
        rows[SCORED.names].to_numpy(float),
        label=np.log1p(rows["audience"].to_numpy(float)),
        feature_name=SCORED.names,
        params={"verbose": -1},
    )
    own = {"objective": "quantile", "alpha": alpha, "learning_rate": LEARNING_RATE}
    return lgb.train(parameters(config) | own, data, num_boost_round=TREES)
