"""The users of a community: kind, pull, posting rate, topics, presence, drift, rhythm, and who engages with whom.

Pull drifts over months: the future does not repeat the past. Recurring fans, strangers of the same topic, and a few
users from anywhere engage with a user. An author's k-th fan is a hash of the author and k, mapped to the members of the
author's topic. Fans are lasting, and nothing is stored per pair.
"""

from dataclasses import dataclass

import numpy as np

from features.simulation.community import DAY, HOUR, Community

KINDS = ("ordinary", "lurker", "expert", "bot")
ORDINARY, LURKER, EXPERT, BOT = range(4)

# per kind, in the order of KINDS: lognormal medians and spreads (standard deviation of the logarithm)
PULL = np.array([1.35, 0.4, 7.0, 0.01])
PULL_SPREAD = np.array([1.6, 1.3, 1.1, 0.5])
POSTS_PER_DAY = np.array([0.13, 0.006, 0.05, 2.0])
POSTS_SPREAD = np.array([0.6, 0.9, 0.6, 0.3])
HIGHEST_PULL = 0.1  # of the community, per post
MOST_POSTS_PER_DAY = 50.0

ABSENT_SHARE = 0.4
ABSENCE_DAYS = (7.0, 28.0)
YEAR = 365 * DAY
NEVER = np.iinfo(np.int64).max
MEMORY = 0.95  # correlation of one week with the next
SPREAD = 0.4  # standard deviation of the logarithm
WEEK = 7 * DAY
PEAK_HOUR = 19
DAILY_AMPLITUDE = 0.75
WEEKEND = 0.8
MONDAY = 3 * 24  # hours from the Monday before 1970-01-01, a Thursday
QUICK_MEDIAN, QUICK_SPREAD = 3.0 * HOUR, 1.4
SLOW_MEDIAN, SLOW_SPREAD = 5.0 * DAY, 1.1
LONGEST_DELAY = 120 * DAY
NIGHT_HOURS = (6.0, 10.0)
FAN, STRANGER = 0.68, 0.94  # upper ends of the shares; the rest comes from anywhere
FANS_AT_LEAST, FANS_PER_PULL = 3, 5
DEVOTION = 2.0  # the fan number is fans * u ** DEVOTION for a uniform u: the first fans engage most
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class Population:
    """The true, lasting properties of all users; arrays of length users, instants in microseconds since 1970.

    `pull` is the expected number of engagements per post, `left_at` is NEVER for users that stay past the end, and
    `absence_start` begins a yearly absence of `absence_length` microseconds (0 for users without one).
    """

    kind: np.ndarray
    pull: np.ndarray
    posts_per_day: np.ndarray
    topic: np.ndarray
    second_topic: np.ndarray
    engagement_weight: np.ndarray
    joined_at: np.ndarray
    left_at: np.ndarray
    absence_start: np.ndarray
    absence_length: np.ndarray

    def is_present(self, user: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return a mask of the shape of user and time: joined, not yet left and not absent."""
        member = (self.joined_at[user] <= time) & (time < self.left_at[user])
        present: np.ndarray = member & ((time - self.absence_start[user]) % YEAR >= self.absence_length[user])
        return present


def draw_population(community: Community) -> Population:
    """Draw all users from the community's seed.

    Pull and posting rate are independent lognormals within a kind: how much a user posts says little about how
    much a post draws.
    """
    rng = community.generator("people")
    users = community.users
    kind = _kinds(community, rng)
    topic, second = _topics(community, rng), _topics(community, rng)
    joined_at, left_at = _memberships(community, rng)
    absence_start, absence_length = _absences(users, rng)
    pull = _lognormal(PULL[kind], PULL_SPREAD[kind], rng)
    posts = community.pace * _lognormal(POSTS_PER_DAY[kind], POSTS_SPREAD[kind], rng)
    return Population(
        kind=kind,
        pull=np.minimum(pull, HIGHEST_PULL * users),
        posts_per_day=np.minimum(posts, MOST_POSTS_PER_DAY * community.pace),
        topic=topic,
        second_topic=second,
        engagement_weight=_engagement_weights(kind, rng),
        joined_at=joined_at,
        left_at=left_at,
        absence_start=absence_start,
        absence_length=absence_length,
    )


def _kinds(community: Community, rng: np.random.Generator) -> np.ndarray:
    shares = np.array([community.lurkers, community.experts, community.bots])
    counts = np.rint(np.cumsum(shares) * community.users).astype(int)
    kind = np.full(community.users, ORDINARY, dtype=np.int8)
    for name, begin, end in zip((LURKER, EXPERT, BOT), (0, *counts), counts, strict=False):
        kind[begin:end] = name
    return rng.permutation(kind)


def _topics(community: Community, rng: np.random.Generator) -> np.ndarray:
    """Draw one topic per user, the k-th most popular with a weight of 1 / sqrt(k)."""
    weight = 1 / np.sqrt(np.arange(1, community.topics + 1))
    return rng.choice(community.topics, size=community.users, p=weight / weight.sum()).astype(np.int16)


def _memberships(community: Community, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    founder = rng.random(community.users) < community.founders
    arrival = (rng.random(community.users) * community.days * DAY).astype(np.int64)
    joined_at = community.begin + np.where(founder, 0, arrival)
    stay = np.minimum(rng.exponential(community.stay_days, community.users), 100_000) * DAY
    left_at = joined_at + np.maximum(stay, 1).astype(np.int64)
    return joined_at, np.where(left_at < community.end, left_at, NEVER)


def _absences(users: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    begins = (rng.random(users) * YEAR).astype(np.int64)
    length = (rng.uniform(*ABSENCE_DAYS, users) * DAY).astype(np.int64)
    return begins, np.where(rng.random(users) < ABSENT_SHARE, length, 0)


def _engagement_weights(kind: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw how much each user engages with others, an integer weight of 1 to 40; 0 for bots."""
    weight = np.clip(np.rint(_lognormal(np.full(len(kind), 3.0), 1.0, rng)), 1, 40).astype(np.int64)
    return np.where(kind == BOT, 0, weight)


def _lognormal(median: np.ndarray, spread: np.ndarray | float, rng: np.random.Generator) -> np.ndarray:
    return median * np.exp(spread * rng.standard_normal(len(median)))


class Drift:
    """A factor on every user's pull that drifts by the week: exp of a stationary AR(1), with a mean of 1."""

    def __init__(self, community: Community) -> None:
        self.community = community
        self.week = 0
        self.level = self._innovation()

    def factors_at(self, time: int) -> np.ndarray:
        """Return the factors in the week of an instant; instants must not go back a week or more.

        The level x of a week follows `x' = MEMORY * x + sqrt(1 - MEMORY ** 2) * e` with standard normal e; the factor
        is `exp(SPREAD * x - SPREAD ** 2 / 2)`.
        """
        while self.week < (time - self.community.begin) // WEEK:
            self.week += 1
            self.level = MEMORY * self.level + np.float32(np.sqrt(1 - MEMORY**2)) * self._innovation()
        return np.exp(SPREAD * self.level - SPREAD**2 / 2)

    def _innovation(self) -> np.ndarray:
        rng = self.community.generator("drift", self.week)
        return rng.standard_normal(self.community.users, dtype=np.float32)


def _hours_of_week() -> np.ndarray:
    """Return the relative activity of the 168 hours from Monday 00:00 UTC, with a mean of 1."""
    hour = np.arange(168)
    daily = 1 + DAILY_AMPLITUDE * np.cos(2 * np.pi * (hour % 24 - PEAK_HOUR) / 24)
    activity: np.ndarray = daily * np.where(hour // 24 >= 5, WEEKEND, 1.0)
    activity /= activity.mean()
    return activity


HOURS = _hours_of_week()
PEAK = float(HOURS.max())


def relative_activity(time: np.ndarray) -> np.ndarray:
    """Return how active users are at each instant (microseconds since 1970), relative to a mean of 1."""
    activity: np.ndarray = HOURS[(time // HOUR + MONDAY) % 168]
    return activity


def draw_delays(slow: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the delays of reactions, in microseconds.

    `slow` is the probability that a reaction is late (median 5 days) and not quick (median 3 hours).
    """
    late = rng.random(len(slow), dtype=np.float32) < slow
    median = np.where(late, np.float32(SLOW_MEDIAN), np.float32(QUICK_MEDIAN))
    spread = np.where(late, np.float32(SLOW_SPREAD), np.float32(QUICK_SPREAD))
    delay = median * np.exp(spread * rng.standard_normal(len(slow), dtype=np.float32))
    micros: np.ndarray = 1 + np.minimum(delay, LONGEST_DELAY).astype(np.int64)
    return micros


def postpone_to_waking_hours(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Postpone instants in quiet hours by a night's sleep, with the probability 1 - relative_activity."""
    asleep = np.flatnonzero(rng.random(len(time), dtype=np.float32) > relative_activity(time))
    time[asleep] += (rng.uniform(*NIGHT_HOURS, len(asleep)) * HOUR).astype(np.int64)
    return time


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
        users: np.ndarray = self.entries[self.start[topic] + offset.astype(np.int64)]
        return users


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
