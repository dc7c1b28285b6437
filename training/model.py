"""The model: a LightGBM Tweedie booster that starts from the pace a person already has."""

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from training.config import Model

DIRECTIONS = {"up": 1, "down": -1, "free": 0}
PACE = "pace_28d"
PACE_FLOOR = 0.05


@dataclass(frozen=True)
class Start:
    """Where boosting starts: `ln(pace + floor) + level`, in nats.

    Parameters
    ----------
    feature : the feature that holds the pace, people per 28 days
    floor : added to the pace, so that nobody starts from nothing
    level : makes the starts add up to the training audience
    mean : average start of the training rows, part of every explanation's base

    """

    feature: str
    floor: float
    level: float
    mean: float

    def margin(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the start of each row, in nats, shape (rows,); an unknown pace starts from the mean."""
        pace = rows[self.feature].to_numpy(dtype=float, na_value=np.nan)
        return np.where(np.isnan(pace), self.mean, np.log(np.maximum(pace, 0.0) + self.floor) + self.level)


def fit_start(rows: pd.DataFrame) -> Start:
    """Choose the level so that the expected audience of the training rows adds up to the real one."""
    pace = rows[PACE].to_numpy(float) + PACE_FLOOR
    level = float(np.log(rows["audience"].sum() / pace.sum()))
    return Start(PACE, PACE_FLOOR, level, float(np.log(pace).mean() + level))


def fit_booster(rows: pd.DataFrame, start: Start, config: Model) -> lgb.Booster:
    """Train on panel rows; the margin is `start + trees`, and `exp(margin)` the expected audience.

    Monotone in every feature whose direction is stated. The same rows and configuration give the same trees.
    """
    data = lgb.Dataset(
        rows[CATALOGUE.names].to_numpy(float),
        label=rows["audience"].to_numpy(float),
        init_score=start.margin(rows),
        feature_name=CATALOGUE.names,
        params={"verbose": -1},
    )
    return lgb.train(_parameters(config), data, num_boost_round=config.trees)


def _parameters(config: Model) -> dict:
    return {
        "objective": "tweedie",
        "tweedie_variance_power": config.variance_power,
        "learning_rate": config.learning_rate,
        "max_depth": config.depth,
        "num_leaves": 2**config.depth,
        "min_data_in_leaf": config.min_users_per_leaf,
        "monotone_constraints": [DIRECTIONS[feature.direction] for feature in CATALOGUE],
        "monotone_constraints_method": "advanced",
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
