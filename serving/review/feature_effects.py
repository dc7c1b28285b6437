"""What moves the scores of a community: the points of every feature over a sample of users, and their drift."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from serving.snapshots.layout import FEATURES_FILE, read_errors_as_damage
from serving.snapshots.snapshot import Snapshot
from training.explanation.global_view import SAMPLE, View

SEED = 0
BLOCK = 8


@dataclass(frozen=True)
class FeatureEffect:
    """The points that a feature gives the users of a sample.

    Parameters
    ----------
    feature : its name
    size : mean |points|
    low, high : the 5th and 95th percentile of the points
    points, values : of every user, shape (users,); NaN where the value is unknown

    """

    feature: str
    size: float
    low: float
    high: float
    points: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class FeatureEffects:
    """The effects of a scope's features, strongest first, without those that move no score.

    `users` are in the scope and `sampled` of them were explained; `baseline` says what points are relative to.
    """

    users: int
    sampled: int
    baseline: str
    features: tuple[FeatureEffect, ...]


def feature_effects(snapshot: Snapshot, scope: str = "all") -> FeatureEffects:
    """Explain a random sample of up to 2,000 visible users of a scope.

    Raises
    ------
    SnapshotError : features.arrow or the model is damaged
    CatalogueError : the installed catalogue differs from the model's

    """
    return snapshot.of_visible_users(("feature effects", scope), lambda: _feature_effects(snapshot, scope))


def sample(snapshot: Snapshot, scope: str = "all") -> pd.DataFrame:
    """Return the feature rows of a random sample of up to 2,000 visible users of a scope, the same at every call.

    Raises
    ------
    SnapshotError : features.arrow is damaged

    """
    chosen = _random_blocks(snapshot.rows_of_scope(scope))
    with read_errors_as_damage(snapshot.folder / FEATURES_FILE):
        table = snapshot.features.rows(chosen, list(snapshot.features.features))
    return table.sample(frac=1.0, random_state=SEED, ignore_index=True)


def _random_blocks(rows: np.ndarray) -> np.ndarray:
    """Return random blocks of neighbouring rows, ascending: single rows would read eight times as many batches."""
    if len(rows) <= SAMPLE:
        return rows
    blocks = np.random.default_rng(SEED).choice(len(rows) // BLOCK, SAMPLE // BLOCK, replace=False)
    return np.asarray(rows[(np.sort(blocks)[:, None] * BLOCK + np.arange(BLOCK)).ravel()])


def _feature_effects(snapshot: Snapshot, scope: str) -> FeatureEffects:
    rows = sample(snapshot, scope)
    baseline = snapshot.baseline(scope)
    view = View(snapshot.bundle, scope, len(snapshot.rows_of_scope(scope)), rows, paired=0, baseline=baseline)
    effects = []
    for name, size in view.strength.items():
        points = view.points[name].to_numpy()
        low, high = np.quantile(points, [0.05, 0.95]).tolist()
        effects.append(FeatureEffect(str(name), float(size), low, high, points, rows[name].to_numpy(float)))
    return FeatureEffects(view.users, len(rows), baseline.description, tuple(effects))
