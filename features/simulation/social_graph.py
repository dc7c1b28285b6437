"""Who comes: recurring fans, strangers who share the interest, and a few from anywhere.

An author's k-th fan is a hash of the author and k, pointed into the members of the author's topic. So everybody has
lasting fans, and nothing is stored per pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.simulation.population import Population

FAN, STRANGER = 0.68, 0.94  # upper ends of the shares; the rest comes from anywhere
FANS_AT_LEAST, FANS_PER_PULL = 3, 5
DEVOTION = 2.0  # the fan number is fans * u ** DEVOTION for a uniform u: the first fans come most

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class Crowd:
    """Everybody's tickets, one per unit of appetite, sorted by topic: a uniform ticket is a weighted person.

    `ticket` holds users' numbers; `begin` and `size`, of length topics + 1, say where each topic's tickets lie, with
    all tickets as the last entry. `fans` is the number of fans per user.
    """

    ticket: np.ndarray
    begin: np.ndarray
    size: np.ndarray
    fans: np.ndarray

    def come(self, author: np.ndarray, topic: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one engager for each pair of an author and the topic of a piece; users' numbers of the same shape."""
        route = rng.random(len(author), dtype=np.float32)
        number = self.fans[author] * rng.random(len(author), dtype=np.float32) ** DEVOTION
        chance = rng.integers(0, 2**32, len(author), dtype=np.uint32)
        lot = np.where(route < FAN, _lot(author, number.astype(np.int64)), chance)
        return self._holder(lot, np.where(route < STRANGER, topic, len(self.size) - 1))

    def fan(self, author: np.ndarray, topic: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Return each author's fan of that number; beyond the fans, numbers go on into the rest of the topic."""
        return self._holder(_lot(author, number), topic)

    def _holder(self, lot: np.ndarray, topic: np.ndarray) -> np.ndarray:
        drawn = (lot.astype(np.uint64) * self.size[topic]) >> np.uint64(32)
        return self.ticket[self.begin[topic] + drawn.astype(np.int64)]


def gather(people: Population, topics: int) -> Crowd:
    """Hand out the tickets: two thirds of an appetite go to the first interest, the rest to the second."""
    users = np.arange(len(people.kind), dtype=np.int32)
    first = (people.appetite * 2 + 2) // 3
    topic = np.concatenate([np.repeat(people.topic, first), np.repeat(people.second_topic, people.appetite - first)])
    holder = np.concatenate([np.repeat(users, first), np.repeat(users, people.appetite - first)])
    count = np.bincount(topic, minlength=topics)
    begin, size = np.cumsum(count) - count, count
    nobody = size == 0
    return Crowd(
        ticket=holder[np.argsort(topic, kind="stable")],
        begin=np.append(np.where(nobody, 0, begin), 0),
        size=np.append(np.where(nobody, len(holder), size), len(holder)).astype(np.uint64),
        fans=(FANS_AT_LEAST + FANS_PER_PULL * people.pull).astype(np.float32),
    )


def mix(number: np.ndarray) -> np.ndarray:
    """Scatter 64-bit numbers (the finaliser of SplitMix64, Steele, Lea and Flood 2014); uint64 of the same shape."""
    mixed = number.astype(np.uint64) * _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))


def _lot(author: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Hash an author and a fan number to 32 bits."""
    return (mix((author.astype(np.int64) << 32) + number + 1) >> np.uint64(32)).astype(np.uint32)
