"""The community view: what moves the scores of a community, feature by feature and pair by pair, scope by scope.

Interactions: what two features give only together, in points.
"""

import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.events.scopes import ALL
from training.explanation.ledger import contributions
from training.model.bundle import Bundle
from training.model.trees.lightgbm_trees import inner, nodes

SAMPLE = 2_000
PAIRED, PAIRED_OF_A_PART = 1_000, 300
FEWEST_USERS, MOST_PARTS = 300, 4
LONGEST_NAME = 48
TOLD_PAIRS = 8


@dataclass(frozen=True)
class View:
    """A sample of a scope's users and what each feature gives them.

    Parameters
    ----------
    bundle : the model that scores them
    scope : whose users they are
    users : how many it has
    rows : the sample's feature rows, in random order
    paired : of the first so many of them pairs are looked at, which takes a thousand times as long

    """

    bundle: Bundle
    scope: str
    users: int
    rows: pd.DataFrame
    paired: int

    @cached_property
    def points(self) -> pd.DataFrame:
        """Points of every feature for every user of the sample, as in their ledgers."""
        return contributions(self.bundle, self.rows)

    @cached_property
    def pairs(self) -> np.ndarray:
        """What pairs give the first `paired` users, as `interactions` says; shape (users, features, features)."""
        return interactions(self.bundle, self.rows.iloc[: self.paired])

    @cached_property
    def strength(self) -> pd.Series:
        """Mean |points| of every feature that moves anybody, largest first."""
        mean = self.points.abs().mean()
        return mean[mean > 0].sort_values(ascending=False, kind="stable")

    @cached_property
    def together(self) -> pd.DataFrame:
        """Mean |points| that two features give only together, both halves added up; diagonal: that one gives alone."""
        mean = 2 * np.abs(self.pairs).sum(axis=0) / max(len(self.pairs), 1)
        mean[np.diag_indices_from(mean)] /= 2
        return pd.DataFrame(mean, index=list(self.bundle.features), columns=list(self.bundle.features))

    @cached_property
    def strongest_pairs(self) -> list[tuple[str, str, float]]:
        """All pairs that give anything, the strongest first: the stronger feature, the other one, mean |points|."""
        order = list(self.strength.index)
        found = [
            (one, other, float(self.together.loc[one, other]))
            for k, one in enumerate(order)
            for other in order[k + 1 :]
        ]
        return sorted((pair for pair in found if pair[2] > 0), key=lambda pair: -pair[2])

    def partner(self, feature: str) -> str | None:
        """Return the feature with which it interacts most, None where it does with none."""
        return next((b if a == feature else a for a, b, _ in self.strongest_pairs if feature in (a, b)), None)

    def halves(self, one: str, other: str) -> np.ndarray:
        """Return what two features give each paired user only together, both halves, points; shape (paired,)."""
        i, j = (list(self.bundle.features).index(name) for name in (one, other))
        return self.pairs[:, i, j] + self.pairs[:, j, i]

    @property
    def gap(self) -> float:
        """The largest difference, in points, between a line of interactions added up and the feature's points."""
        return float(np.abs(self.pairs.sum(axis=2) - self.points.to_numpy()[: self.paired]).max(initial=0.0))

    def as_json(self) -> dict:
        """Return the figures behind the pictures: mean |points| by feature and of the strongest pairs."""
        return {
            "scope": self.scope,
            "users": self.users,
            "sampled": len(self.rows),
            "baseline": self.bundle.baseline,
            "features": [
                {"feature": name, "points": float(points), "partner": self.partner(str(name))}
                for name, points in self.strength.items()
            ],
            "pairs": [
                {"features": [one, other], "points": points} for one, other, points in self.strongest_pairs[:TOLD_PAIRS]
            ],
            "paired": len(self.pairs),
            "gap": self.gap,
        }


def look(bundle: Bundle, rows: pd.DataFrame, scope: str = ALL, seed: int = 0, paired: int = PAIRED) -> View:
    """Draw up to 2,000 of the rows, of one scope, for a view of them."""
    sample = rows.sample(min(SAMPLE, len(rows)), random_state=seed)
    return View(bundle, scope, len(rows), sample, min(paired, len(sample)))


def views(bundle: Bundle, rows: pd.DataFrame, seed: int = 0) -> dict[str, View]:
    """Look at every scope that is large enough: `all`, then up to four others of at least 300 users, largest first.

    Parameters
    ----------
    bundle : the model
    rows : of one instant, any scopes: scope and the features
    seed : which users are drawn

    """
    users = rows.groupby("scope").size().sort_values(ascending=False, kind="stable")
    parts = users[(users >= FEWEST_USERS) & (users.index != ALL)].index[:MOST_PARTS]
    found = {ALL: look(bundle, rows[rows["scope"] == ALL], ALL, seed)} if ALL in users else {}
    return found | {part: look(bundle, rows[rows["scope"] == part], part, seed, PAIRED_OF_A_PART) for part in parts}


def file_name(scope: str) -> str:
    """Return a scope's name as files can have it everywhere: lower-case letters, digits and `-`, at most 55 of them.

    `topic:cats` is `topic-cats`; six digits of the name's SHA-256 follow where anything else had to go.
    """
    plain = scope.replace(":", "-", 1)
    name = re.sub("[^a-z0-9-]+", "-", plain.lower())[:LONGEST_NAME]
    return name if name == plain else f"{name}-{sha256(scope.encode()).hexdigest()[:6]}"


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
