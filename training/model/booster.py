"""The booster: a LightGBM Tweedie model whose margin is the logarithm of the expected audience.

Calls into LightGBM are serialised. Its thread count is process-global: changing it while a prediction runs overflows
that prediction's per-thread buffers, allocated for the earlier count, and a service that explains one user while it
scores many crashes within minutes.
"""

from threading import Lock
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.catalogue import INPUTS, SCORED
from features.catalogue.credible_wording import LATELY
from features.catalogue.feature import Catalogue
from features.catalogue.originality import EXCESS_REPETITIONS
from training.config import Model

FEW_ROWS = 64
# In fewer bins, and leaves of as many rows everywhere, the users with the largest audiences would not be told apart.
MOST_BINS = 4095
LEAST_ROWS_PER_LEAF, INFORMATION, LARGEST_SHARE = 10, 2.0, 1 / 40  # LightGBM estimates rows from second derivatives
# Of users to whom a few established people responded lately, some find a large audience at once. If they were learnt
# from, one friend of a new account would count for many people.
FEW_RESPONDERS, MOST_WITHOUT, MOST_FOR_EACH = 5.0, 3.0, 2.0
SAMPLE_WEIGHT = "sample_weight"  # a column of `training.dataset.sampling`, where rows are sampled
PREDICTION_LOCK = Lock()


def predict(booster: lgb.Booster, matrix: np.ndarray, **options: Any) -> np.ndarray:
    """Return `booster.predict(matrix, **options)`; safe to call from several Python threads.

    Columns after the booster's features are ignored. Fewer than 64 rows use one thread of LightGBM: waking others
    takes longer than their part of the work.
    """
    threads: dict[str, Any] = {"num_threads": 1} if len(matrix) < FEW_ROWS else {}
    with PREDICTION_LOCK:
        return np.asarray(booster.predict(matrix[:, : booster.num_feature()], **threads, **options))


DIRECTIONS = {"up": 1, "down": -1, "free": 0, "none": 0}
MONOTONE_METHOD = "intermediate"  # "advanced" makes trees that are not monotone
# Few users repeat themselves, so that a tree gains little by a split on it, however much it says about them.
PREFERENCE = {EXCESS_REPETITIONS: 20.0}


def fit_booster(
    rows: pd.DataFrame,
    config: Model,
    monotone: bool = True,
    start: np.ndarray | None = None,
    features: Catalogue = SCORED,
) -> lgb.Booster:
    """Train on panel rows with Tweedie deviance and log link: `exp(margin)` is the expected audience.

    The booster is monotone in every feature with a stated direction. The gain of splits is multiplied by PREFERENCE of
    their feature, if any. Leaves hold as much information, not as many rows: few users with a large audience tell as
    much as many with a small one. The audiences are those of `learnt_audience`. Equal rows and configuration give equal
    trees.

    Parameters
    ----------
    rows : panel rows
    config : hyper-parameters
    monotone : False omits the constraints
    start : initial margins, nats, shape (rows,); the booster then predicts what is added to them
    features : the inputs of the booster; it is not constrained in one whose direction is `none`

    """
    own: dict[str, Any] = {
        "max_bin": MOST_BINS,
        "min_data_in_bin": 1,
        "min_data_in_leaf": LEAST_ROWS_PER_LEAF,
        "min_sum_hessian_in_leaf": leaf_information(rows, config),
    }
    if monotone:
        directions = [DIRECTIONS[feature.direction] for feature in features]
        own |= {"monotone_constraints": directions, "monotone_constraints_method": MONOTONE_METHOD}
    return _train(rows, rows[features.names].to_numpy(float), features.names, config, start, own)


def leaf_information(rows: pd.DataFrame, config: Model) -> float:
    """Return the least sum of second derivatives in a leaf of the first booster.

    A user with an expected audience of m adds m to the power of `2 - variance_power`, times the weight of the row. The
    sum is that of twice `min_users_per_leaf` average rows, or of a fortieth of all rows if these are fewer: a small
    panel would not be split otherwise.
    """
    information = rows["audience"].to_numpy(float) ** (2 - config.variance_power)
    size = min(INFORMATION * config.min_users_per_leaf, len(rows) * LARGEST_SHARE)
    return float(size * (_weights(rows, config) * information).mean())


def learnt_audience(rows: pd.DataFrame) -> np.ndarray:
    """Return the audiences of panel rows that boosters learn from, people, shape (rows,).

    Where established people responded lately and weigh five at most together, an audience counts as three people and
    two more for each of them at most. All are then raised by one factor, so that they add up to the real ones.
    """
    audience, responders = rows["audience"].to_numpy(float), rows[LATELY].to_numpy(float)
    few = (responders > 0) & (responders <= FEW_RESPONDERS)
    limited = np.where(few, np.minimum(audience, MOST_WITHOUT + MOST_FOR_EACH * responders), audience)
    weights = sample_weights(rows)
    return np.asarray(limited * ((weights * audience).sum() / max((weights * limited).sum(), 1.0)))


def fit_bounded_booster(rows: pd.DataFrame, config: Model, start: np.ndarray) -> lgb.Booster:
    """Train on what `fit_booster` leaves unexplained, with the features of BOUNDED alone.

    Its inputs are INPUTS, of which it does not use SCORED, so that both boosters read one matrix. It is not monotone,
    and has half as many trees as the first one, which learn twice as fast.

    Parameters
    ----------
    rows, config : as for `fit_booster`
    start : the margins of the first booster, nats, shape (rows,)

    """
    matrix = rows[INPUTS.names].to_numpy(float, copy=True)
    matrix[:, : len(SCORED)] = 0.0
    fewer = {"trees": max(config.trees // 2, 1), "learning_rate": min(2 * config.learning_rate, 1.0)}
    return _train(rows, matrix, INPUTS.names, config.model_copy(update=fewer), start, own={})


def _train(
    rows: pd.DataFrame,
    matrix: np.ndarray,
    names: list[str],
    config: Model,
    start: np.ndarray | None,
    own: dict[str, Any],
) -> lgb.Booster:
    data = lgb.Dataset(
        matrix,
        label=learnt_audience(rows),
        weight=_weights(rows, config),
        init_score=start,
        feature_name=names,
        params={"verbose": -1},
    )
    tweedie = {
        "objective": "tweedie",
        "tweedie_variance_power": config.variance_power,
        "feature_contri": [PREFERENCE.get(name, 1.0) for name in names],
    }
    return lgb.train(parameters(config) | tweedie | own, data, num_boost_round=config.trees)


def margins(booster: lgb.Booster, rows: pd.DataFrame) -> np.ndarray:
    """Return the natural logarithm of the expected audience, shape (rows,)."""
    return np.asarray(booster.predict(rows[booster.feature_name()].to_numpy(float), raw_score=True))


def add_to_margin(booster: lgb.Booster, nats: float) -> None:
    """Add a constant to every prediction of a booster, by the leaves of its first tree."""
    (tree,) = booster.dump_model(num_iteration=1)["tree_info"]
    for leaf in range(tree["num_leaves"]):
        booster.set_leaf_output(0, leaf, booster.get_leaf_output(0, leaf) + nats)


def _weights(rows: pd.DataFrame, config: Model) -> np.ndarray:
    return np.asarray(_recency(rows["as_of"], config.half_life) * sample_weights(rows))


def _recency(as_of: pd.Series, half_life: float) -> np.ndarray:
    """Return weights that halve with every `half_life` cutoffs back from the newest, shape (rows,)."""
    return 0.5 ** ((as_of.rank(method="dense", ascending=False).to_numpy() - 1) / half_life)


def sample_weights(rows: pd.DataFrame) -> np.ndarray:
    """Return how many rows of all users each row of a sample stands for, shape (rows,); 1 without a sample."""
    return rows[SAMPLE_WEIGHT].to_numpy(float) if SAMPLE_WEIGHT in rows else np.ones(len(rows))


def parameters(config: Model) -> dict[str, Any]:
    """Return LightGBM's parameters for growing trees, for any objective."""
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
