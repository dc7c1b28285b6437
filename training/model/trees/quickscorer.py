"""QuickScorer: raw predictions of several boosters for many rows at once, bit-identical to LightGBM's.

A tree starts with all its leaves, numbered from the left. Each split at which a row goes right removes the leaves to
its left, whatever the row does at other splits; the row ends at the leftmost leaf that remains. So for each feature,
a bit mask of the leaves that its splits keep in every tree is looked up by the rank of the value among the thresholds,
and the intersection of the masks of all features gives a row's leaves.

Source: QuickScorer (Lucchese et al. 2015), with the masks of a feature's splits combined beforehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from training.model.trees.lightgbm_trees import Node, all_thresholds, inner, is_plain, nodes, unknown_is_low

# Rows times trees of a chunk: its buffers then fit the cache, and the allocator does not return them to the system.
CELLS = 100_000
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Word:
    """A word with one bit per leaf of a tree; the exponent of a single bit as a float is the index of its leaf."""

    leaves: int
    bits: type
    number: type
    integer: type
    exponent: int
    bias: int


WORDS = (Word(16, np.uint16, np.float32, np.int32, 23, 127), Word(64, np.uint64, np.float64, np.int64, 52, 1023))


@dataclass(frozen=True)
class Forest:
    """The trees of some boosters, one after the other.

    Parameters
    ----------
    word : of the bits
    thresholds : feature -> all its thresholds, ascending
    masks : feature -> the leaves that its splits keep in each tree, one bit each, shape (thresholds + 2, trees): by
        the number of thresholds below the value, and in the last row for an unknown value
    values : of the leaves, nats, shape (trees, leaves)
    ends : where each booster's trees end

    """

    word: Word
    thresholds: dict[int, np.ndarray]
    masks: dict[int, np.ndarray]
    values: np.ndarray
    ends: tuple[int, ...]

    def sums(self, matrix: np.ndarray) -> np.ndarray:
        """Return the sum of each booster's trees.

        Parameters
        ----------
        matrix : features in the boosters' order, finite or NaN where unknown, shape (rows, features)

        Returns
        -------
        `Booster.predict(matrix, raw_score=True)` of each booster, shape (boosters, rows)

        """
        sums = np.empty((len(self.ends), len(matrix)))
        ranks = {feature: _ranks(bounds, matrix[:, feature]) for feature, bounds in self.thresholds.items()}
        height = max(min(CELLS // max(len(self.values), 1), len(matrix)), 1)
        buffers = self._buffers(height)
        for start in range(0, len(matrix), height):
            part = slice(start, min(start + height, len(matrix)))
            if part.stop - start < height:
                buffers = self._buffers(part.stop - start)
            values = self._leaf_values(ranks, part, buffers)
            for k, (first, end) in enumerate(zip((0, *self.ends), self.ends, strict=False)):
                sums[k, part] = _sum_in_order(values[first:end])
        return sums

    def _buffers(self, rows: int) -> list[np.ndarray]:
        """Allocate the buffers of one chunk, reused because a new allocation per chunk is slow.

        Two are of shape (rows, trees), the others of shape (trees, rows).
        """
        trees, word = len(self.values), self.word
        by_row: list[np.ndarray] = [np.empty((rows, trees), word.bits) for _ in range(2)]
        kinds = (word.bits, word.bits, word.number, np.intp, float)
        return by_row + [np.empty((trees, rows), kind) for kind in kinds]

    def _leaf_values(self, ranks: dict[int, np.ndarray], part: slice, buffers: list[np.ndarray]) -> np.ndarray:
        """Return the value of the leaf that each row of a chunk reaches in each tree, shape (trees, rows)."""
        word, (remaining, bits, leftmost, negative, numbers, leaves, values) = self.word, buffers
        remaining.fill(np.iinfo(word.bits).max)
        for feature, masks in self.masks.items():
            masks.take(ranks[feature][part], axis=0, out=bits, mode="clip")
            remaining &= bits
        leftmost[...] = remaining.T
        np.negative(leftmost, out=negative)
        leftmost &= negative
        numbers[...] = leftmost
        np.right_shift(numbers.view(word.integer), word.exponent, out=leaves)
        leaves += np.arange(len(self.values))[:, None] * word.leaves - word.bias
        return self.values.ravel().take(leaves, out=values, mode="clip")


def build_forest(boosters: Sequence[lgb.Booster]) -> Forest | None:
    """Combine boosters; None unless all consist of trees of numeric splits with at most 64 leaves."""
    models = [booster.dump_model() for booster in boosters]
    trees = [tree["tree_structure"] for model in models for tree in model["tree_info"]]
    leaves = [sum(not inner(node) for node in nodes(tree)) for tree in trees]
    word = next((word for word in WORDS if max(leaves, default=0) <= word.leaves), None)
    if word is None or not all(is_plain(model) for model in models):
        return None
    thresholds = all_thresholds(trees)
    shapes = {feature: (len(bounds) + 2, len(trees)) for feature, bounds in thresholds.items()}
    if sum(rows * width for rows, width in shapes.values()) * np.dtype(word.bits).itemsize > MOST_BYTES:
        return None
    full = np.iinfo(word.bits).max
    masks: dict[int, np.ndarray] = {feature: np.full(shape, full, word.bits) for feature, shape in shapes.items()}
    values = np.zeros((len(trees), word.leaves))
    for k, tree in enumerate(trees):
        values[k, : leaves[k]] = _set_masks(tree, k, thresholds, masks)
    ends = np.cumsum([len(model["tree_info"]) for model in models]).tolist()
    return Forest(word, thresholds, masks, values, tuple(ends))


def _set_masks(
    node: Node, tree: int, thresholds: dict[int, np.ndarray], masks: dict[int, np.ndarray], first: int = 0
) -> list[float]:
    """Clear the bits that the splits from a node down remove; return the values of its leaves, from the left.

    `first` is the index of the node's leftmost leaf in the tree.
    """
    if not inner(node):
        return [node["leaf_value"]]
    before = _set_masks(node["left_child"], tree, thresholds, masks, first)
    table = masks[node["split_feature"]]
    stay = ~table.dtype.type(((1 << len(before)) - 1) << first)
    table[np.searchsorted(thresholds[node["split_feature"]], node["threshold"]) + 1 : -1, tree] &= stay
    if not unknown_is_low(node):
        table[-1, tree] &= stay
    return before + _set_masks(node["right_child"], tree, thresholds, masks, first + len(before))


def _sum_in_order(values: np.ndarray) -> np.ndarray:
    """Sum trees one after the other, as LightGBM does, shape (trees, rows): another order gives other last digits.

    NumPy adds along the first axis in this order, except that it adds in pairs if there is only one row.
    """
    total = np.add.reduce(values, axis=0) if values.shape[1] > 1 else np.add.accumulate(values, axis=0)[-1]
    return np.asarray(total)


def _ranks(thresholds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Count the thresholds below each value; for an unknown value, one more than all of them."""
    return np.asarray(thresholds.searchsorted(values) + np.isnan(values))
