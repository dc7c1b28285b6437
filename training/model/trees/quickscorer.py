"""What the trees of some boosters add up to for many rows at once, to the last bit what LightGBM computes.

A tree starts with all its leaves, numbered from the left. Each split at which a row goes right takes away the leaves to
its left, whatever the row does at other splits; the row ends at the leftmost leaf that remains. So for each feature,
what the splits on it leave of every tree is looked up by the rank of the value among their thresholds, and a row's
leaves are those that all features leave.

Source: QuickScorer (Lucchese et al. 2015), with the splits of a feature put together beforehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from training.model.trees.lightgbm_trees import all_thresholds, inner, is_plain, nodes, unknown_left

CELLS = 100_000  # rows times trees of a part: what it takes then fits the cache, and is not given back to the system
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Word:
    """What holds a bit for each leaf of a tree; the exponent of a float of one bit tells which it is."""

    leaves: int
    bits: type
    number: type
    whole: type
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
    left : feature -> the leaves that its splits leave of each tree, a bit each, shape (thresholds + 2, trees): by how
        many thresholds are lower than the value, and in the last row for an unknown one
    values : of the leaves, nats, shape (trees, leaves)
    ends : where each booster's trees end

    """

    word: Word
    thresholds: dict[int, np.ndarray]
    left: dict[int, np.ndarray]
    values: np.ndarray
    ends: tuple[int, ...]

    def sums(self, matrix: np.ndarray) -> np.ndarray:
        """Return what each booster's trees add up to.

        Parameters
        ----------
        matrix : features in the boosters' order, finite or NaN where unknown, shape (rows, features)

        Returns
        -------
        `Booster.predict(matrix, raw_score=True)` of each booster, shape (boosters, rows)

        """
        found = np.empty((len(self.ends), len(matrix)))
        places = {feature: _places(held, matrix[:, feature]) for feature, held in self.thresholds.items()}
        height = max(min(CELLS // max(len(self.values), 1), len(matrix)), 1)
        room = self._room(height)
        for start in range(0, len(matrix), height):
            part = slice(start, min(start + height, len(matrix)))
            if part.stop - start < height:
                room = self._room(part.stop - start)
            values = self._values(places, part, room)
            for k, (first, end) in enumerate(zip((0, *self.ends), self.ends, strict=False)):
                found[k, part] = _in_order(values[first:end])
        return found

    def _room(self, rows: int) -> list[np.ndarray]:
        """Make what the steps of a part are written into; made anew for each, it is slow.

        Two are of shape (rows, trees), the others of shape (trees, rows).
        """
        trees, word = len(self.values), self.word
        by_row: list[np.ndarray] = [np.empty((rows, trees), word.bits) for _ in range(2)]
        kinds = (word.bits, word.bits, word.number, np.intp, float)
        return by_row + [np.empty((trees, rows), kind) for kind in kinds]

    def _values(self, places: dict[int, np.ndarray], part: slice, room: list[np.ndarray]) -> np.ndarray:
        """Return the value of the leaf that each row of a part ends at in each tree, shape (trees, rows)."""
        word, (held, bits, leftmost, negative, numbers, leaves, values) = self.word, room
        held.fill(np.iinfo(word.bits).max)
        for feature, left in self.left.items():
            left.take(places[feature][part], axis=0, out=bits, mode="clip")
            held &= bits
        leftmost[...] = held.T
        np.negative(leftmost, out=negative)
        leftmost &= negative
        numbers[...] = leftmost
        np.right_shift(numbers.view(word.whole), word.exponent, out=leaves)
        leaves += np.arange(len(self.values))[:, None] * word.leaves - word.bias
        return self.values.ravel().take(leaves, out=values, mode="clip")


def forest(boosters: Sequence[lgb.Booster]) -> Forest | None:
    """Put boosters together; None where one is of anything but trees of numeric splits and at most 64 leaves each."""
    models = [booster.dump_model() for booster in boosters]
    trees = [tree["tree_structure"] for model in models for tree in model["tree_info"]]
    leaves = [sum(not inner(node) for node in nodes(tree)) for tree in trees]
    word = next((word for word in WORDS if max(leaves, default=0) <= word.leaves), None)
    if word is None or not all(is_plain(model) for model in models):
        return None
    held = all_thresholds(trees)
    shapes = {feature: (len(found) + 2, len(trees)) for feature, found in held.items()}
    if sum(rows * width for rows, width in shapes.values()) * np.dtype(word.bits).itemsize > MOST_BYTES:
        return None
    left: dict[int, np.ndarray] = {}
    for feature, shape in shapes.items():
        left[feature] = np.full(shape, np.iinfo(word.bits).max, word.bits)
    values = np.zeros((len(trees), word.leaves))
    for k, tree in enumerate(trees):
        values[k, : leaves[k]] = _planted(tree, k, held, left)
    ends = np.cumsum([len(model["tree_info"]) for model in models]).tolist()
    return Forest(word, held, left, values, tuple(ends))


def _planted(
    node: dict, tree: int, held: dict[int, np.ndarray], left: dict[int, np.ndarray], first: int = 0
) -> list[float]:
    """Let the splits from a node down take away the leaves to their left; return the leaves' values from the left."""
    if not inner(node):
        return [node["leaf_value"]]
    before = _planted(node["left_child"], tree, held, left, first)
    table = left[node["split_feature"]]
    stay = ~table.dtype.type(((1 << len(before)) - 1) << first)
    table[np.searchsorted(held[node["split_feature"]], node["threshold"]) + 1 : -1, tree] &= stay
    if not unknown_left(node):
        table[-1, tree] &= stay
    return before + _planted(node["right_child"], tree, held, left, first + len(before))


def _in_order(values: np.ndarray) -> np.ndarray:
    """Add up trees one after the other, as LightGBM does, shape (trees, rows): otherwise a sum ends in other digits.

    Numpy adds along the first axis so, unless there is but one row; then it adds in pairs.
    """
    return np.add.reduce(values, axis=0) if values.shape[1] > 1 else np.add.accumulate(values, axis=0)[-1]


def _places(held: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Count the thresholds below each value; for an unknown one, name the row after the last count."""
    return held.searchsorted(values) + np.isnan(values)
