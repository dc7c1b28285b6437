"""Exact SHAP values of a booster for many rows at once, from tables over the patterns of its decisions.

What a leaf adds to a row's SHAP values depends only on the splits on the path to the leaf at which the row goes left.
Each tree is cut into blocks: the lowest two levels of splits below one node, and the splits on the path to it, at most
one more than the tree has levels. All patterns of so few decisions are enumerated beforehand; a row then costs one
look-up per block and feature, whatever the depth of the tree's polynomials. Thresholds stay 64-bit, so no row takes
the wrong branch.

Source: path-dependent TreeSHAP (Lundberg et al. 2020), tabulated as in Fast TreeSHAP v2 (Yang 2021), by block.
"""

from dataclasses import dataclass
from functools import cached_property
from math import factorial

import lightgbm as lgb
import numpy as np

from training.model.trees.lightgbm_trees import Leaf, all_thresholds, average, blocks, is_plain, levels, unknown_is_low

MOST_LEVELS = 7
CHUNK = 16_384


@dataclass(frozen=True)
class Block:
    """Leaves of one tree that depend on few splits.

    Parameters
    ----------
    splits : (feature, how many of its thresholds are lower, whether unknown goes left), each a bit of a pattern
    values : feature -> SHAP values in nats by pattern, shape (2 ** splits,); a bit is set where the row goes left

    """

    splits: tuple[tuple[int, int, bool], ...]
    values: dict[int, np.ndarray]


@dataclass(frozen=True)
class ShapTables:
    """The tables in which SHAP values of a booster are looked up.

    Parameters
    ----------
    average : the margin of the average training row, nats
    thresholds : feature -> all its thresholds, ascending
    blocks : of all trees

    """

    average: float
    thresholds: dict[int, np.ndarray]
    blocks: tuple[Block, ...]

    def values(self, matrix: np.ndarray) -> np.ndarray:
        """Return the same values as LightGBM's `pred_contrib`.

        Parameters
        ----------
        matrix : features in the booster's order, NaN where unknown, shape (rows, features)

        Returns
        -------
        SHAP values in nats and, last, the average, shape (rows, features + 1); a row's do not depend on the others

        """
        if len(matrix) == 1 and self.blocks:
            return self._flat.values(matrix[0], self.average)[np.newaxis]
        values = np.zeros((matrix.shape[1] + 1, len(matrix)))
        values[-1] = self.average
        for start in range(0, len(matrix), CHUNK):
            part = slice(start, start + CHUNK)
            self._add(matrix[part], values[:, part])
        return values.T

    @cached_property
    def _flat(self) -> "FlatTables":
        return _flatten(self)

    def _add(self, matrix: np.ndarray, values: np.ndarray) -> None:
        """Add every block's SHAP values to `values`, shape (features + 1, rows)."""
        ranks = {feature: _ranks(bounds, matrix[:, feature]) for feature, bounds in self.thresholds.items()}
        unknowns = {feature: np.isnan(matrix[:, feature]) for feature in self.thresholds}
        addends = np.empty(len(matrix))
        for block in self.blocks:
            pattern = np.zeros(len(matrix), np.uint8)
            for bit, (feature, rank, unknown) in enumerate(block.splits):
                goes_left = ranks[feature] <= rank
                if unknown:
                    goes_left |= unknowns[feature]
                pattern |= goes_left.view(np.uint8) << np.uint8(bit)
            index = pattern.astype(np.intp)
            for feature, table in block.values.items():
                values[feature] += np.take(table, index, out=addends, mode="clip")


@dataclass(frozen=True)
class FlatTables:
    """The tables of all blocks one behind the other, in which one row's values are looked up at once.

    Parameters
    ----------
    features, thresholds, unknown_goes_left, bits : of the splits of all blocks, shape (splits,)
    starts : where the splits of each block begin, shape (blocks,)
    block, feature, offset : of each table its block, its feature and where it begins, shape (tables,)
    addends : the values of all tables, nats

    """

    features: np.ndarray
    thresholds: np.ndarray
    unknown_goes_left: np.ndarray
    bits: np.ndarray
    starts: np.ndarray
    block: np.ndarray
    feature: np.ndarray
    offset: np.ndarray
    addends: np.ndarray

    def values(self, row: np.ndarray, average: float) -> np.ndarray:
        """Return the SHAP values of a row of features and, last, the average, nats, shape (features + 1,)."""
        of_splits = row[self.features]
        goes_left = (of_splits <= self.thresholds) | (np.isnan(of_splits) & self.unknown_goes_left)
        patterns = np.add.reduceat(goes_left * self.bits, self.starts)
        addends = self.addends[self.offset + patterns[self.block]]
        values = np.bincount(self.feature, addends, minlength=len(row) + 1)
        values[-1] = average
        return values


def _flatten(tables: ShapTables) -> FlatTables:
    splits = [(bit, *split) for block in tables.blocks for bit, split in enumerate(block.splits)]
    bits, features, _, unknown = map(np.array, zip(*splits, strict=True))
    entries = [(k, feature, table) for k, block in enumerate(tables.blocks) for feature, table in block.values.items()]
    lengths = [len(block.splits) for block in tables.blocks]
    sizes = [len(table) for *_, table in entries]
    return FlatTables(
        features=features,
        thresholds=np.array([tables.thresholds[feature][rank] for _, feature, rank, _ in splits]),
        unknown_goes_left=unknown,
        bits=1 << bits,
        starts=np.cumsum([0, *lengths[:-1]]),
        block=np.array([block for block, *_ in entries]),
        feature=np.array([feature for _, feature, _ in entries]),
        offset=np.cumsum([0, *sizes[:-1]]),
        addends=np.concatenate([table for *_, table in entries]),
    )


def shap_tables(booster: lgb.Booster) -> ShapTables | None:
    """Tabulate a booster; None unless it consists of trees of numeric splits with at most seven levels."""
    model = booster.dump_model()
    trees = [tree["tree_structure"] for tree in model["tree_info"]]
    if not is_plain(model) or max(map(levels, trees)) > MOST_LEVELS:
        return None
    ordered = all_thresholds(trees)
    cut = tuple(_block(leaves, ordered) for tree in trees for leaves in blocks(tree) if leaves[0][1])
    return ShapTables(float(sum(map(average, trees))), ordered, cut)


def leaf_values(value: float, shares: np.ndarray) -> np.ndarray:
    """Return what one leaf adds to the SHAP values of the features on the path to it.

    In the game's coalition S the leaf is worth `value` times the product of o_j over S and of z_j over the others:
    o_j is 1 where the row meets feature j's conditions on the path, else 0; z_j is the share of training rows that do.

    Parameters
    ----------
    value : of the leaf, nats
    shares : z, shape (features,)

    Returns
    -------
    phi_i = value (o_i - z_i) sum_k k! (n - 1 - k)! / n! c_k, with c the coefficients of prod_{j != i} (z_j + o_j t);
    shape (features, 2 ** features), by the pattern of o, feature j being bit j

    """
    count = len(shares)
    met = np.arange(2**count) >> np.arange(count)[:, None] & 1
    weights = [factorial(k) * factorial(count - 1 - k) / factorial(count) for k in range(count)]
    values = np.empty(met.shape)
    for feature in range(count):
        coefficients = np.zeros((count, 2**count))
        coefficients[0] = 1.0
        for other in set(range(count)) - {feature}:
            raised = coefficients[:-1] * met[other]
            coefficients *= shares[other]
            coefficients[1:] += raised
        values[feature] = value * (met[feature] - shares[feature]) * (weights @ coefficients)
    return values


def _block(leaves: list[Leaf], thresholds: dict[int, np.ndarray]) -> Block:
    """Return the block of some leaves: their values added up for every pattern of their splits."""
    nodes = {step.node["split_index"]: step.node for _, path in leaves for step in path}
    bits = {index: bit for bit, index in enumerate(nodes)}
    patterns = np.arange(2 ** len(nodes))
    values = {node["split_feature"]: np.zeros(len(patterns)) for node in nodes.values()}
    for value, path in leaves:
        shares: dict[int, float] = {}
        met: dict[int, np.ndarray] = {}
        for step in path:
            feature = step.node["split_feature"]
            holds = (patterns >> bits[step.node["split_index"]] & 1) == step.goes_left
            shares[feature] = shares.get(feature, 1.0) * step.share
            met[feature] = met.get(feature, True) & holds
        of_leaf = sum(holds.astype(int) << bit for bit, holds in enumerate(met.values()))
        for feature, table in zip(shares, leaf_values(value, np.array(list(shares.values()))), strict=True):
            values[feature] += table[of_leaf]
    ranks = [thresholds[node["split_feature"]].searchsorted(node["threshold"]) for node in nodes.values()]
    splits = zip(nodes.values(), ranks, strict=True)
    return Block(tuple((node["split_feature"], int(rank), unknown_is_low(node)) for node, rank in splits), values)


def _ranks(thresholds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Count the thresholds below each value; for an unknown value, all thresholds."""
    return np.searchsorted(thresholds, values).astype(np.min_scalar_type(len(thresholds)))
