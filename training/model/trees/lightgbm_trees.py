"""Traversal of LightGBM trees as `Booster.dump_model` returns them: nested dictionaries."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Node: TypeAlias = dict[str, Any]

LOWEST = 2


@dataclass(frozen=True)
class Step:
    """One split on the path to a leaf: its node, the branch, and the share of the training rows in that branch."""

    node: Node
    goes_left: bool
    share: float


Leaf = tuple[float, tuple[Step, ...]]


def blocks(tree: Node) -> Iterator[list[Leaf]]:
    """Cut a tree into blocks: the leaves below each node two levels above the lowest."""
    cut = max(levels(tree) - LOWEST, 0)

    def below(node: Node, path: tuple[Step, ...]) -> Iterator[list[Leaf]]:
        if len(path) == cut or not inner(node):
            yield list(leaves(node, path))
        else:
            for step, child in _children(node):
                yield from below(child, (*path, step))

    return below(tree, ())


def leaves(node: Node, path: tuple[Step, ...] = ()) -> Iterator[Leaf]:
    """Yield the leaves below a node, each with its value and its path, which begins with `path`."""
    if not inner(node):
        yield node["leaf_value"], path
    else:
        for step, child in _children(node):
            yield from leaves(child, (*path, step))


def _children(node: Node) -> Iterator[tuple[Step, Node]]:
    for side in ("left", "right"):
        child = node[f"{side}_child"]
        yield Step(node, side == "left", _rows(child) / _rows(node)), child


def nodes(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes below it."""
    yield node
    if inner(node):
        yield from nodes(node["left_child"])
        yield from nodes(node["right_child"])


def levels(node: Node) -> int:
    """Return the number of splits on the longest path down from a node."""
    return 1 + max(levels(node["left_child"]), levels(node["right_child"])) if inner(node) else 0


def average(node: Node) -> float:
    """Return the average of a tree over the training rows, in nats."""
    if inner(node):
        return sum(step.share * average(child) for step, child in _children(node))
    return float(node["leaf_value"])


def inner(node: Node) -> bool:
    """Return whether a node is a split; otherwise it is a leaf."""
    return "left_child" in node


def _rows(node: Node) -> int:
    return int(node["internal_count"] if inner(node) else node["leaf_count"])


def all_thresholds(trees: list[Node]) -> dict[int, np.ndarray]:
    """Return the thresholds of each feature that the trees split on, ascending."""
    thresholds: dict[int, set[float]] = {}
    for tree in trees:
        for node in filter(inner, nodes(tree)):
            thresholds.setdefault(node["split_feature"], set()).add(node["threshold"])
    return {feature: np.array(sorted(values)) for feature, values in thresholds.items()}


def is_plain(model: dict[str, Any]) -> bool:
    """Return whether a model is a sum of trees whose nodes are all `plain`."""
    one_sum = model["num_tree_per_iteration"] == 1 and not model["average_output"] and bool(model["tree_info"])
    return one_sum and all(plain(node) for tree in model["tree_info"] for node in nodes(tree["tree_structure"]))


def plain(node: Node) -> bool:
    """Return whether a node is a numeric split that treats zeros as known values, or a leaf with one value."""
    if not inner(node):
        return "leaf_coeff" not in node
    return bool(node["decision_type"] == "<=" and node["missing_type"] != "Zero")


def unknown_is_low(node: Node) -> bool:
    """Return whether unknown values go left at a split, as low ones do; LightGBM reads them as 0 if it saw none."""
    return bool(node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0)
