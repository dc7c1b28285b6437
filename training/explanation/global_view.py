"""The global view: how much each feature and each pair of features moves the scores of a community, by scope.

Interactions are the points that two features give only in combination.
"""

import re
import warnings
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from itertools import combinations
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.events.scopes import ALL
from training.explanation.ledger import contributions
from training.model.baseline import Baseline, is_active, measure_baselines
from training.model.bundle import Bundle
from training.model.trees.lightgbm_trees import inner, nodes

SAMPLE = 2_000
PAIRED, PAIRED_IN_SCOPE = 1_000, 300
MIN_USERS, MOST_SCOPES = 300, 4
LONGEST_NAME = 48
TOP_PAIRS = 8


@dataclass(frozen=True)
class View:
    """A sample of a scope's users and the points that each feature gives them.

    Parameters
    ----------
    bundle : the model that scores them
    scope : of the users
    users : the number of users in the scope
    rows : the sample's feature rows, in random order
    paired : how many of the first rows to compute pairs for, which takes a thousand times as long
    baseline : whom the points are relative to

    """

    bundle: Bundle
    scope: str
    users: int
    rows: pd.DataFrame
    paired: int
    baseline: Baseline

    @cached_property
    def points(self) -> pd.DataFrame:
        """The points of every feature for every user of the sample, as in their ledgers."""
        return contributions(self.bundle, self.rows, self.baseline)

    @cached_property
    def pairs(self) -> np.ndarray:
        """The points of pairs for the first `paired` users (see `interactions`); shape (users, features, features)."""
        return interactions(self.bundle, self.rows.iloc[: self.paired], self.baseline)

    @cached_property
    def strength(self) -> pd.Series:
        """Mean |points| of every feature that moves any score, largest first."""
        mean = self.points.abs().mean()
        return mean[mean > 0].sort_values(ascending=False, kind="stable")

    @cached_property
    def pair_strength(self) -> pd.DataFrame:
        """Mean |points| of each pair's interaction, both halves added up; on the diagonal, of each main effect."""
        mean = 2 * np.abs(self.pairs).sum(axis=0) / max(len(self.pairs), 1)
        mean[np.diag_indices_from(mean)] /= 2
        names = list(self.bundle.features)
        return pd.DataFrame(mean, index=names, columns=names)

    @cached_property
    def strongest_pairs(self) -> list[tuple[str, str, float]]:
        """All pairs with an interaction, the strongest first: the stronger feature, the other one, mean |points|."""
        strength = self.pair_strength
        pairs = [(one, other, float(strength.loc[one, other])) for one, other in combinations(self.strength.index, 2)]
        return sorted((pair for pair in pairs if pair[2] > 0), key=lambda pair: -pair[2])

    def partner(self, feature: str) -> str | None:
        """Return the feature with which a feature interacts most, None if it interacts with none."""
        return next((b if a == feature else a for a, b, _ in self.strongest_pairs if feature in (a, b)), None)

    def halves(self, one: str, other: str) -> np.ndarray:
        """Return the interaction of two features for each paired user, both halves, in points; shape (paired,)."""
        i, j = (list(self.bundle.features).index(name) for name in (one, other))
        return np.asarray(self.pairs[:, i, j] + self.pairs[:, j, i])

    @property
    def gap(self) -> float:
        """The largest difference, in points, between a feature's points and the sum of its interactions."""
        return float(np.abs(self.pairs.sum(axis=2) - self.points.to_numpy()[: self.paired]).max(initial=0.0))

    def as_json(self) -> dict[str, Any]:
        """Return the figures behind the plots: mean |points| of the features and of the strongest pairs."""
        return {
            "scope": self.scope,
            "users": self.users,
            "sampled": len(self.rows),
            "baseline": self.baseline.description,
            "features": [
                {"feature": name, "points": float(points), "partner": self.partner(str(name))}
                for name, points in self.strength.items()
            ],
            "pairs": [{"features": pair, "points": points} for *pair, points in self.strongest_pairs[:TOP_PAIRS]],
            "paired": len(self.pairs),
            "gap": self.gap,
        }


def look(
    bundle: Bundle,
    rows: pd.DataFrame,
    scope: str = ALL,
    seed: int = 0,
    paired: int = PAIRED,
    baseline: Baseline | None = None,
) -> View:
    """Return a view of a sample of up to 2,000 rows of one scope, relative to a baseline, by default the bundle's."""
    sample = rows.sample(min(SAMPLE, len(rows)), random_state=seed)
    return View(bundle, scope, len(rows), sample, min(paired, len(sample)), baseline or bundle.baseline)


def views(bundle: Bundle, rows: pd.DataFrame, as_of: datetime, seed: int = 0) -> dict[str, View]:
    """Return the views of large scopes: `all`, then up to four others of at least 300 users, largest first.

    `rows` are of the instant `as_of` and any scopes (scope and the features), `seed` is of the samples. Points are
    relative to the active users of each scope.
    """
    users = rows.groupby("scope").size().sort_values(ascending=False, kind="stable")
    scopes = users[(users >= MIN_USERS) & (users.index != ALL)].index[:MOST_SCOPES]
    shown = [*([ALL] if ALL in users else []), *scopes]
    baselines = measure_baselines(bundle, rows[is_active(rows) & rows["scope"].isin(shown)], as_of)
    return {
        scope: look(
            bundle,
            rows[rows["scope"] == scope],
            scope,
            seed,
            PAIRED if scope == ALL else PAIRED_IN_SCOPE,
            baselines.get(scope),
        )
        for scope in shown
    }


def file_name(scope: str) -> str:
    """Return a scope's name as a portable file name: lower-case letters, digits and `-`, at most 55 characters.

    `topic:cats` is `topic-cats`; six digits of the name's SHA-256 follow if any other character was replaced.
    """
    plain = scope.replace(":", "-", 1)
    name = re.sub("[^a-z0-9-]+", "-", plain.lower())[:LONGEST_NAME]
    return name if name == plain else f"{name}-{sha256(scope.encode()).hexdigest()[:6]}"


def interactions(bundle: Bundle, rows: pd.DataFrame, baseline: Baseline | None = None) -> np.ndarray:
    """Return SHAP interaction values of the margin, in nats, times points per nat.

    They are path-dependent, as the ledger's points are: the branches of each split are weighted by their training rows.
    A feature's distance from the baseline, and the bounded term, are part of main effects. A row takes about 3 ms with
    150 trees of depth 4. Source: Lundberg et al. 2020, as `shap.TreeExplainer.shap_interaction_values` computes it.

    Returns
    -------
    shape (rows, features, features), points; entry (i, j) of a row is half of the interaction of i and j, entry (i, i)
    the main effect of i. Symmetric; each line adds up to the feature's points in `contributions` within 1e-6

    """
    shape = (len(rows), len(bundle.features), len(bundle.features))
    split_features = _split_features(bundle.booster)
    if rows.empty:
        return np.zeros(shape)
    matrix = bundle.matrix(rows).copy()
    for feature, knows_unknown in split_features.items():
        if not knows_unknown:
            matrix[np.isnan(matrix[:, feature]), feature] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        width = bundle.booster.num_feature()
        nats = np.zeros(shape)
        if split_features:
            pairs = shap.TreeExplainer(bundle.booster).shap_interaction_values(matrix[:, :width])
            nats[:, :width, :width] = np.asarray(pairs).reshape(len(rows), width, width)
    points = nats * bundle.scale.points_per_nat
    diagonal = np.arange(shape[1])
    points[:, diagonal, diagonal] += contributions(bundle, rows, baseline).to_numpy() - points.sum(axis=2)
    return points


def _split_features(booster: lgb.Booster) -> dict[int, bool]:
    """Return the features that any tree splits on, and whether training had unknown values of them.

    LightGBM reads unknown values as 0 if it saw none; `shap` would send such a row to the split's default branch.
    """
    trees = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    splits = [node for tree in trees for node in nodes(tree) if inner(node)]
    return {node["split_feature"]: node["missing_type"] == "NaN" for node in splits}
