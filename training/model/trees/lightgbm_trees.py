"""LightGBM's trees as `Booster.dump_model` gives them: nested dictionaries, walked here."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

LOWEST = 2


@dataclass(frozen=True)
class Step:
    """One split on the way to a leaf: its node, the side taken, and the share of the node's training rows there."""

    node: dict
    left: bool
    share: float


Leaf = tuple[float, tuple[Step, ...]]


def blocks(tree: dict) -> Iterator[list[Leaf]]:
    """Cut a tree into blocks: the leaves below each node that stands two levels above the lowest."""
    cut = max(levels(tree) - LOWEST, 0)

    def below(node: dict, way: tuple[Step, ...]) -> Iterator[list[Leaf]]:
        if len(way) == cut or not inner(node):
            yield list(leaves(node, way))
        else:
            for step, child in _children(node):
                yield from below(child, (*way, step))

    return below(tree, ())


def leaves(node: dict, way: tuple[Step, ...] = ()) -> Iterator[Leaf]:
    """Yield the leaves below a node, each with its value and the way there, which begins with the way given."""
    if not inner(node):
        yield node["leaf_value"], way
    else:
        for step, child in _children(node):
            yield from leaves(child, (*way, step))


def _children(node: dict) -> Iterator[tuple[Step, dict]]:
    for side in ("left", "right"):
        child = node[f"{side}_child"]
        yield Step(node, side == "left", _rows(child) / _rows(node)), child


def nodes(node: dict) -> Iterator[dict]:
    """Yield a node and all below it."""
    yield node
    if inner(node):
        yield from nodes(node["left_child"])
        yield from nodes(node["right_child"])


def levels(node: dict) -> int:
    """Return how many splits the longest way down from a node has."""
    return 1 + max(levels(node["left_child"]), levels(node["right_child"])) if inner(node) else 0


def average(node: dict) -> float:
    """Return the average of a tree over the training rows, nats."""
    if not inner(node):
        return node["leaf_value"]
    return sum(step.share * average(child) for step, child in _children(node))


def inner(node: dict) -> bool:
    """Say whether a node splits; else it is a leaf."""
    return "left_child" in node


def _rows(node: dict) -> int:
    return node["internal_count"] if inner(node) else node["leaf_count"]


def all_thresholds(trees: list[dict]) -> dict[int, np.ndarray]:
    """Return all thresholds of each feature that trees split at, ascending."""
    found: dict[int, set[float]] = {}
    for tree in trees:
        for node in filter(inner, nodes(tree)):
            found.setdefault(node["split_feature"], set()).add(node["threshold"])
    return {feature: np.array(sorted(held)) for feature, held in found.items()}


def is_plain(model: dict) -> bool:
    """Say whether a model is the sum of some trees whose nodes are all `plain`."""
    alone = model["num_tree_per_iteration"] == 1 and not model["average_output"] and bool(model["tree_info"])
    return alone and all(plain(node) for tree in model["tree_info"] for node in nodes(tree["tree_structure"]))


def plain(node: dict) -> bool:
    """Say whether a node is a numeric split whose zeros are known values, or a leaf of one value."""
    if not inner(node):
        return "leaf_coeff" not in node
    return node["decision_type"] == "<=" and node["missing_type"] != "Zero"


def unknown_left(node: dict) -> bool:
    """Say whether unknown goes left at a split; LightGBM reads it as 0 where training saw none of it."""
    return bool(node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0)
