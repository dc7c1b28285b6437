"""SHAP values between two rows: what each feature's move from one value to another adds to a booster's margin.

The players are the features, and a coalition S is worth the margin of the row that has the later values in S and the
earlier ones elsewhere. Their Shapley values add up to the difference of the margins, and beside the difference of two
explanations (each measured against the average row) they have what a ledger of a change needs:
- a feature that did not move has no part, whatever else moved beside it;
- a feature in which the model is monotone has a part of the right sign, for everybody;
- exchanging the rows changes every sign and nothing else.

Source: baseline Shapley (Sundararajan and Najmi 2020, "The many Shapley values for model explanation"), computed as in
interventional TreeSHAP (Lundberg et al. 2020; Laberge and Pequignot 2022) with the earlier row as the one reference.
"""

from dataclasses import dataclass
from functools import cache
from math import factorial

import lightgbm as lgb
import numpy as np

from features.errors import RegistryError
from training.model.trees.lightgbm_trees import inner, is_plain, leaves, nodes, unknown_left

CHUNK = 65_536
MOST_BITS = 63


@dataclass(frozen=True)
class Tree:
    """One tree.

    Parameters
    ----------
    splits : (feature, threshold, whether unknown goes left)
    leaves : (value in nats, feature -> the splits on the way that ask for it, each with the side that leads here)

    """

    splits: tuple[tuple[int, float, bool], ...]
    leaves: tuple[tuple[float, dict[int, list[tuple[int, bool]]]], ...]


def split_trees(booster: lgb.Booster) -> tuple[Tree, ...]:
    """Take a booster apart.

    Raises
    ------
    RegistryError : it holds splits that are not of numbers, or leaves of more than one value

    """
    model = booster.dump_model()
    roots = [tree["tree_structure"] for tree in model["tree_info"]]
    if not is_plain(model):
        raise RegistryError(
            "the model is not made of trees of numeric splits, as 'clout train' makes them: the difference between "
            "two rows cannot be told. Train again with 'clout train'."
        )
    return tuple(_tree(root) for root in roots if inner(root))


def shap_between(trees: tuple[Tree, ...], before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Split the difference of two margins over the features.

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
        old, new = (np.ascontiguousarray(held[part].T) for held in (before, after))
        for tree in trees:
            _add(tree, old, new, values[:, part])
    return values.T


def _tree(root: dict) -> Tree:
    found = [node for node in nodes(root) if inner(node)]
    places = {node["split_index"]: place for place, node in enumerate(found)}
    ends = []
    for value, way in leaves(root):
        asked: dict[int, list[tuple[int, bool]]] = {}
        for step in way:
            asked.setdefault(step.node["split_feature"], []).append((places[step.node["split_index"]], step.left))
        ends.append((value, asked))
    return Tree(tuple((n["split_feature"], n["threshold"], unknown_left(n)) for n in found), tuple(ends))


def _add(tree: Tree, before: np.ndarray, after: np.ndarray, values: np.ndarray) -> None:
    """Add what a tree makes of the rows that go different ways in it; all of shape (features, rows)."""
    old, new = (_sides(tree, held) for held in (before, after))
    rows = np.flatnonzero((old != new).any(axis=0))
    if len(rows):
        first, back = _alike(old[:, rows], new[:, rows])
        old, new = old[:, rows[first]], new[:, rows[first]]
        parts = {feature: np.zeros(len(first)) for feature, *_ in tree.splits}
        for value, asked in tree.leaves:
            for feature, places, shares in _parts(asked, old, new):
                parts[feature][places] += value * shares
        for feature, held in parts.items():
            values[feature, rows] += held[back]


def _alike(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return one row of each pattern of splits, old and new, and which of these every row is like; many are alike."""
    code = np.zeros(old.shape[1], np.int64)
    if 2 * len(old) > MOST_BITS:
        return np.arange(len(code)), np.arange(len(code))
    for left in (*old, *new):
        code <<= 1
        code |= left
    _, first, back = np.unique(code, return_index=True, return_inverse=True)
    return first, back


def _sides(tree: Tree, held: np.ndarray) -> np.ndarray:
    """Say which splits take a row to the left, shape (splits, rows)."""
    left = np.empty((len(tree.splits), held.shape[1]), bool)
    for place, (feature, threshold, unknown) in enumerate(tree.splits):
        left[place] = held[feature] <= threshold
        if unknown:
            left[place] |= np.isnan(held[feature])
    return left


def _parts(asked: dict[int, list[tuple[int, bool]]], old: np.ndarray, new: np.ndarray) -> list[tuple]:
    """Return (feature, rows, share of the leaf's value) of every feature that leads rows to a leaf or away from it.

    A leaf is reached by the coalitions that hold every feature which alone leads there after the move, and none which
    does so before it alone: with `g` and `l` of these, the first have (g - 1)! l! / (g + l)! each, the second
    -g! (l - 1)! / (g + l)!. A feature that leads there neither before nor after closes it.
    """
    meets = {feature: (_meets(way, old), _meets(way, new)) for feature, way in asked.items()}
    open_ = np.logical_and.reduce([was | is_ for was, is_ in meets.values()])
    rows = np.flatnonzero(open_)
    held = {feature: (was[rows], is_[rows]) for feature, (was, is_) in meets.items()}
    gained = np.sum([is_ & ~was for was, is_ in held.values()], axis=0)
    lost = np.sum([was & ~is_ for was, is_ in held.values()], axis=0)
    gain, loss = _shares(len(asked))
    found = []
    for feature, (was, is_) in held.items():
        moved = np.flatnonzero(was != is_)
        if len(moved):
            g, l_ = gained[moved], lost[moved]
            found.append((feature, rows[moved], np.where(is_[moved], gain[g, l_], loss[g, l_])))
    return found


def _meets(way: list[tuple[int, bool]], left: np.ndarray) -> np.ndarray:
    return np.logical_and.reduce([left[place] == side for place, side in way])


@cache
def _shares(most: int) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate the shares of who leads to a leaf and who away from it, by how many there are of both."""
    gain, loss = np.zeros((2, most + 1, most + 1))
    for g in range(most + 1):
        for l_ in range(most + 1 - g):
            if g:
                gain[g, l_] = factorial(g - 1) * factorial(l_) / factorial(g + l_)
            if l_:
                loss[g, l_] = -factorial(g) * factorial(l_ - 1) / factorial(g + l_)
    return gain, loss
