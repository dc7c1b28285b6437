"""Who engages with whom: recurring fans, strangers of the same topic, and a few users from anywhere.

An author's k-th fan is a hash of the author and k, mapped to the members of the author's topic. Fans are lasting, and
nothing is stored per pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.simulation.population import Population

FAN, STRANGER = 0.68, 0.94  # upper ends of the shares; the rest comes from anywhere
FANS_AT_LEAST, FANS_PER_PULL = 3, 5
DEVOTION = 2.0  # the fan number is fans * u ** DEVOTION for a uniform u: the first fans engage most

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class EngagerPool:
    """All users, repeated by engagement weight and sorted by topic: a uniform entry is a weighted user.

    `entries` holds users' numbers; `start` and `size`, of length topics + 1, locate the entries of each topic, with all
    entries as the last element. `fans` is the number of fans per user.
    """

    entries: np.ndarray
    start: np.ndarray
    size: np.ndarray
    fans: np.ndarray

    def draw_engagers(self, author: np.ndarray, topic: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one engager for each pair of an author and the topic of a piece; users' numbers of the same shape."""
        route = rng.random(len(author), dtype=np.float32)
        number = self.fans[author] * rng.random(len(author), dtype=np.float32) ** DEVOTION
        uniform = rng.integers(0, 2**32, len(author), dtype=np.uint32)
        position = np.where(route < FAN, _fan_hash(author, number.astype(np.int64)), uniform)
        return self._users_at(position, np.where(route < STRANGER, topic, len(self.size) - 1))

    def fans_at(self, author: np.ndarray, topic: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Return each author's fan of that number; numbers beyond the fans continue with others of the topic."""
        return self._users_at(_fan_hash(author, number), topic)

    def _users_at(self, position: np.ndarray, topic: np.ndarray) -> np.ndarray:
        """Map positions, in units of 2**-32 of a topic's entries, to users."""
        offset = (position.astype(np.uint64) * self.size[topic]) >> np.uint64(32)
        return self.entries[self.start[topic] + offset.astype(np.int64)]


def build_engager_pool(population: Population, topics: int) -> EngagerPool:
    """Assign two thirds of each user's engagement weight to the first topic and the rest to the second."""
    users, weight = np.arange(len(population.kind), dtype=np.int32), population.engagement_weight
    first = (weight * 2 + 2) // 3
    topic = np.concatenate([np.repeat(population.topic, first), np.repeat(population.second_topic, weight - first)])
    entries = np.concatenate([np.repeat(users, first), np.repeat(users, weight - first)])
    size = np.bincount(topic, minlength=topics)
    start = np.cumsum(size) - size
    empty = size == 0
    return EngagerPool(
        entries=entries[np.argsort(topic, kind="stable")],
        start=np.append(np.where(empty, 0, start), 0),
        size=np.append(np.where(empty, len(entries), size), len(entries)).astype(np.uint64),
        fans=(FANS_AT_LEAST + FANS_PER_PULL * population.pull).astype(np.float32),
    )


def mix(number: np.ndarray) -> np.ndarray:
    """Scatter 64-bit numbers (the finaliser of SplitMix64, Steele, Lea and Flood 2014); uint64 of the same shape."""
    mixed = number.astype(np.uint64) * _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))


def _fan_hash(author: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Hash an author and a fan number to 32 bits."""
    return (mix((author.astype(np.int64) << 32) + number + 1) >> np.uint64(32)).astype(np.uint32)
