"""SHAP values between two rows: what each feature's move from one value to another adds to a booster's margin.

The players are the features. The worth of a coalition S is the margin of the row with the later values in S and the
earlier ones elsewhere. The Shapley values add up to the difference of the margins. Unlike the difference of two
explanations (each relative to the average row), they have the properties that a ledger of a change needs:
- a feature that did not move has no part, whatever else moved;
- a feature in which the model is monotone has a part of the right sign, for every user;
- exchanging the rows changes every sign and nothing else.

Source: baseline Shapley (Sundararajan and Najmi 2020, "The many Shapley values for model explanation"), computed as in
interventional TreeSHAP (Lundberg et al. 2020; Laberge and Pequignot 2022) with the earlier row as the one reference.
"""

from dataclasses import dataclass
from functools import cache
from math import factorial
from typing import TypeAlias

import lightgbm as lgb
import numpy as np

from features.errors import RegistryError
from training.model.trees.lightgbm_trees import Node, inner, is_plain, leaves, nodes, unknown_is_low

# feature -> its splits on the path to a leaf: position in the tree, and whether the path goes left there
Conditions: TypeAlias = dict[int, list[tuple[int, bool]]]

CHUNK = 65_536
MOST_BITS = 63


@dataclass(frozen=True)
class Tree:
    """One tree.

    Parameters
    ----------
    splits : (feature, threshold, whether unknown goes left)
    leaves : (value in nats, feature -> its splits on the path, each with whether the path goes left there)

    """

    splits: tuple[tuple[int, float, bool], ...]
    leaves: tuple[tuple[float, Conditions], ...]


def split_trees(booster: lgb.Booster) -> tuple[Tree, ...]:
    """Return the trees of a booster.

    Raises
    ------
    RegistryError : it has splits that are not numeric, or leaves with more than one value

    """
    model = booster.dump_model()
    roots = [tree["tree_structure"] for tree in model["tree_info"]]
    if not is_plain(model):
        raise RegistryError(
            "the model does not consist of trees of numeric splits, so a change between two rows cannot be explained; "
            "expected a model of 'clout train'. Train again with 'clout train'."
        )
    return tuple(_tree(root) for root in roots if inner(root))


def shap_between(trees: tuple[Tree, ...], before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Distribute the difference of two margins over the features.

    Parameters
    ----------
    trees : of the booster, as `split_trees` gives them
    before, after : features in the booster's order, NaN where unknown, shape (rows, features)

    Returns
    -------
    nats, shape (rows, features); a row adds up to the margin after, less the margin before

    """
    values = np.zeros(before.T.shape)
    for start in range(0, len(before), CHUNK):
        part = slice(start, start + CHUNK)
        old, new = (np.ascontiguousarray(rows[part].T) for rows in (before, after))
        for tree in trees:
            _add(tree, old, new, values[:, part])
    return values.T


def _tree(root: Node) -> Tree:
    split_nodes = [node for node in nodes(root) if inner(node)]
    positions = {node["split_index"]: position for position, node in enumerate(split_nodes)}
    tree_leaves = []
    for value, path in leaves(root):
        conditions: Conditions = {}
        for step in path:
            split = (positions[step.node["split_index"]], step.goes_left)
            conditions.setdefault(step.node["split_feature"], []).append(split)
        tree_leaves.append((value, conditions))
    return Tree(tuple((n["split_feature"], n["threshold"], unknown_is_low(n)) for n in split_nodes), tuple(tree_leaves))


def _add(tree: Tree, before: np.ndarray, after: np.ndarray, values: np.ndarray) -> None:
    """Add a tree's part for the rows whose branches in it changed; all of shape (features, rows)."""
    old, new = (_branches(tree, columns) for columns in (before, after))
    rows = np.flatnonzero((old != new).any(axis=0))
    if len(rows):
        first, inverse = _unique_patterns(old[:, rows], new[:, rows])
        old, new = old[:, rows[first]], new[:, rows[first]]
        parts = {feature: np.zeros(len(first)) for feature, *_ in tree.splits}
        for value, conditions in tree.leaves:
            for feature, positions, shares in _parts(conditions, old, new):
                parts[feature][positions] += value * shares
        for feature, part in parts.items():
            values[feature, rows] += part[inverse]


def _unique_patterns(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of one row per pattern of branches, old and new, and each row's pattern; many rows share one."""
    code = np.zeros(old.shape[1], np.int64)
    if 2 * len(old) > MOST_BITS:
        return np.arange(len(code)), np.arange(len(code))
    for goes_left in (*old, *new):
        code <<= 1
        code |= goes_left
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return first, inverse


def _branches(tree: Tree, columns: np.ndarray) -> np.ndarray:
    """Return whether each row goes left at each split, shape (splits, rows), from columns (features, rows)."""
    goes_left = np.empty((len(tree.splits), columns.shape[1]), bool)
    for position, (feature, threshold, unknown_goes_left) in enumerate(tree.splits):
        goes_left[position] = columns[feature] <= threshold
        if unknown_goes_left:
            goes_left[position] |= np.isnan(columns[feature])
    return goes_left


def _parts(conditions: Conditions, old: np.ndarray, new: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return (feature, rows, share of the leaf's value) of every feature that moves rows to a leaf or away from it.

    A coalition reaches the leaf if it contains every feature that meets its conditions only after the move, and none
    that meets them only before: with `g` of the former and `l` of the latter, the former have (g - 1)! l! / (g + l)!
    each, the latter -g! (l - 1)! / (g + l)!. A feature that meets them neither before nor after rules the leaf out.
    """
    meets = {feature: (_meets(splits, old), _meets(splits, new)) for feature, splits in conditions.items()}
    reachable = np.logical_and.reduce([was | is_ for was, is_ in meets.values()])
    rows = np.flatnonzero(reachable)
    meets = {feature: (was[rows], is_[rows]) for feature, (was, is_) in meets.items()}
    gained = np.sum([is_ & ~was for was, is_ in meets.values()], axis=0)
    lost = np.sum([was & ~is_ for was, is_ in meets.values()], axis=0)
    gain, loss = _shares(len(conditions))
    parts = []
    for feature, (was, is_) in meets.items():
        moved = np.flatnonzero(was != is_)
        if len(moved):
            g, l_ = gained[moved], lost[moved]
            parts.append((feature, rows[moved], np.where(is_[moved], gain[g, l_], loss[g, l_])))
    return parts


def _meets(splits: list[tuple[int, bool]], goes_left: np.ndarray) -> np.ndarray:
    return np.asarray(np.logical_and.reduce([goes_left[position] == side for position, side in splits]))


@cache
def _shares(most: int) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate the shares of a feature that gains a leaf and of one that loses it, by the numbers of both."""
    gain, loss = np.zeros((2, most + 1, most + 1))
    for g in range(most + 1):
        for l_ in range(most + 1 - g):
            if g:
                gain[g, l_] = factorial(g - 1) * factorial(l_) / factorial(g + l_)
            if l_:
                loss[g, l_] = -factorial(g) * factorial(l_ - 1) / factorial(g + l_)
    return gain, loss
