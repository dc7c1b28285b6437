"""Interactions: what two features give only together, in points."""

import warnings

import lightgbm as lgb
import numpy as np
import pandas as pd

from training.bundle import Bundle
from training.trees import inner, nodes


def interactions(bundle: Bundle, rows: pd.DataFrame) -> np.ndarray:
    """Split points further: SHAP interaction values of the margin, in nats, times points per nat.

    They are path-dependent, as the ledger's points are, and so of the same baseline: the average training row, each
    split weighing its sides by the training rows in them (`Bundle.baseline`). A row takes about 3 ms with 150 trees of
    depth 4. Source: Lundberg et al. 2020, as `shap.TreeExplainer.shap_interaction_values` computes it.

    Returns
    -------
    shape (rows, features, features), points; entry (i, j) of a row is half of what i and j give only together, entry
    (i, i) what i gives alone. Symmetric; each line adds up to the feature's points in `contributions` within 1e-6

    """
    shape = (len(rows), len(bundle.features), len(bundle.features))
    split = _split(bundle.booster)
    if rows.empty or not split:
        return np.zeros(shape)
    matrix = bundle.matrix(rows).copy()
    for feature in (feature for feature, knows_unknown in split.items() if not knows_unknown):
        matrix[np.isnan(matrix[:, feature]), feature] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        nats = shap.TreeExplainer(bundle.booster).shap_interaction_values(matrix)
    return np.asarray(nats).reshape(shape) * bundle.scale.points_per_nat


def _split(booster: lgb.Booster) -> dict[int, bool]:
    """Return the features that any tree splits on, and whether training saw unknown ones.

    LightGBM reads unknown as 0 where it saw none; `shap` would take such a row to the split's default side.
    """
    trees = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    found = [node for tree in trees for node in nodes(tree) if inner(node)]
    return {node["split_feature"]: node["missing_type"] == "NaN" for node in found}
