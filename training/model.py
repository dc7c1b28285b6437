"""The model: a LightGBM Tweedie booster whose margin is the logarithm of the expected audience."""

import lightgbm as lgb
import pandas as pd

from features.catalogue import CATALOGUE
from training.config import Model

DIRECTIONS = {"up": 1, "down": -1, "free": 0}


def fit_booster(rows: pd.DataFrame, config: Model) -> lgb.Booster:
    """Train on panel rows: Tweedie deviance with log link, so that `exp(margin)` is the expected audience.

    Monotone in every feature whose direction is stated. The same rows and configuration give the same trees.
    """
    data = lgb.Dataset(
        rows[CATALOGUE.names].to_numpy(float),
        label=rows["audience"].to_numpy(float),
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
        "feature_fraction": config.feature_share,
        "bagging_fraction": config.row_share,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
