"""Tags of a piece: its author's interests, packed into one number.

The number is `first * (topics + 1) + 1 + second`, where a second of -1 means that there is one tag only.
"""

import numpy as np
import pyarrow as pa

ONE_TAG, TWO_TAGS = 0.65, 0.9


def draw_tags(first: np.ndarray, second: np.ndarray, topics: int, rng: np.random.Generator) -> np.ndarray:
    """Draw each piece's tags: mostly the first interest, at times both or the second alone; shape as first."""
    chance = rng.random(len(first))
    main = np.where(chance < TWO_TAGS, first, second)
    other = np.where((chance >= ONE_TAG) & (chance < TWO_TAGS) & (first != second), second, -1)
    return (main.astype(np.int16) * (topics + 1) + 1 + other).astype(np.int16)


def main_topic(tags: np.ndarray, topics: int) -> np.ndarray:
    """Return the topic of the first tag."""
    return tags // (topics + 1)


def names(topics: int) -> list[str]:
    """Return what the topics are called."""
    return [f"topic{number:02d}" for number in range(topics)]


def tag_lists(topics: int) -> pa.Array:
    """Return the list of tags that each number stands for, in the order of the numbers."""
    called = names(topics)
    both = [[first] if second is None else [first, second] for first in called for second in (None, *called)]
    return pa.array(both, type=pa.list_(pa.string()))
