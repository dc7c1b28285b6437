"""One call of LightGBM at a time, as it keeps the number of threads for the whole process.

A call that sets another number while one runs lets that one write beyond its buffers, of which there is one for each
thread there was when it began: a service that explains one person and scores many at once crashes within minutes.

The model: a LightGBM Tweedie booster whose margin is the logarithm of the expected audience.
"""

from threading import Lock
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.catalogue import SCORED
from features.catalogue.feature import Catalogue
from training.config import Model

FEW_ROWS = 64
ALONE = Lock()


def predict(booster: lgb.Booster, matrix: np.ndarray, **what: Any) -> np.ndarray:
    """Return what a booster predicts: `booster.predict(matrix, **what)`, however many threads of Python ask.

    A few rows are left to one thread of LightGBM: to wake others takes longer than their part of the work.
    """
    threads: dict[str, Any] = {"num_threads": 1} if len(matrix) < FEW_ROWS else {}
    with ALONE:
        return np.asarray(booster.predict(matrix, **threads, **what))


DIRECTIONS = {"up": 1, "down": -1, "free": 0, "none": 0}


def fit_booster(
    rows: pd.DataFrame,
    config: Model,
    monotone: bool = True,
    start: np.ndarray | None = None,
    features: Catalogue = SCORED,
) -> lgb.Booster:
    """Train on panel rows: Tweedie deviance with log link, so that `exp(margin)` is the expected audience.

    Monotone in every feature whose direction is stated. The same rows and configuration give the same trees.

    Parameters
    ----------
    rows : panel rows
    config : what to fit
    monotone : False leaves the constraints out
    start : where boosting starts from, nats, shape (rows,); the booster then foretells what is added to it
    features : what the booster sees; one whose direction is `none` moves it either way

    """
    data = lgb.Dataset(
        rows[features.names].to_numpy(float),
        label=rows["audience"].to_numpy(float),
        weight=_recency(rows["as_of"], config.half_life),
        init_score=start,
        feature_name=features.names,
        params={"verbose": -1},
    )
    own = {
        "objective": "tweedie",
        "tweedie_variance_power": config.variance_power,
        "monotone_constraints": [monotone * DIRECTIONS[feature.direction] for feature in features],
    }
    return lgb.train(parameters(config) | own, data, num_boost_round=config.trees)


def margins(booster: lgb.Booster, rows: pd.DataFrame) -> np.ndarray:
    """Return the natural logarithm of the expected audience, shape (rows,)."""
    return np.asarray(booster.predict(rows[booster.feature_name()].to_numpy(float), raw_score=True))


def _recency(as_of: pd.Series, half_life: float) -> np.ndarray:
    """Weigh rows by age: half as much for every `half_life` cutoffs back from the newest, shape (rows,)."""
    return 0.5 ** ((as_of.rank(method="dense", ascending=False).to_numpy() - 1) / half_life)


def parameters(config: Model) -> dict:
    """Return LightGBM's parameters for growing trees, whatever they foretell."""
    return {
        "learning_rate": config.learning_rate,
        "max_depth": config.depth,
        "num_leaves": 2**config.depth,
        "min_data_in_leaf": config.min_users_per_leaf,
        "feature_fraction": config.feature_share,
        "bagging_fraction": config.row_share,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
