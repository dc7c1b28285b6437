"""Audiences of a group: how many different people it is expected to reach in the next horizon.

Each user's expected audience has two parts. The known part are the people who engaged with the user before, each with
the probability that they do so again. The rest are strangers, drawn from one pool of people: two users share strangers
as often as two random draws from the pool do. With `p` the probability of a pair, `w` what a person counts, `s` the
strangers of a user and `N` the size of the pool, a group `G` is expected to reach

    sum over people v of w_v * (1 - product over u in G of (1 - p_uv)) + N * (1 - product over u in G of (1 - s_u / N))

which is monotone and submodular in `G`: a user never lowers it, and adds less to a larger group.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from training.selection.file_arrays import FileArray, mapped_zeros, user_parts

SHARE_PRIOR = 10.0
LARGEST_CHANCE = np.float32(0.999999)


@dataclass(frozen=True)
class Audiences:
    """Whom each user is expected to reach, and what each person counts.

    Parameters
    ----------
    starts : int64, shape (users + 1,); the pairs of user `u` are those from `starts[u]` to `starts[u + 1]`
    engagers : int32, shape (pairs,); who engaged, as a number below `users`: every person is a user as well
    probability : float32, shape (pairs,); that the engager engages with the user again within the horizon
    strangers : float64, shape (users,); people expected to engage for the first time
    pool : the number of people from whom strangers are drawn, above 0
    weight : float64, shape (users,); what each person counts as an engager, 0 to 1

    """

    starts: np.ndarray
    engagers: np.ndarray
    probability: np.ndarray
    strangers: np.ndarray
    pool: float
    weight: np.ndarray

    @property
    def users(self) -> int:
        """The number of users."""
        return len(self.starts) - 1

    def pairs_of(self, user: int) -> slice:
        """Return the range of a user's pairs."""
        return slice(int(self.starts[user]), int(self.starts[user + 1]))

    @cached_property
    def stranger_share(self) -> np.ndarray:
        """The share of the pool that engages with each user, shape (users,), 0 to 1."""
        shares: np.ndarray = np.minimum(self.strangers / self.pool, 1.0)
        return shares

    @cached_property
    def hazard(self) -> np.ndarray:
        """The probability of each pair as a hazard, `-ln(1 - p)`, float32, shape (pairs,); hazards add up."""
        hazards: np.ndarray = -np.log1p(-np.minimum(self.probability, LARGEST_CHANCE))
        return hazards

    @cached_property
    def reach_of_each(self) -> np.ndarray:
        """The expected reach of each user alone, in people, shape (users,)."""
        return GroupReach(self).gains()

    def reach(self, group: Sequence[int]) -> np.ndarray:
        """Return the expected reach of each prefix of a group, in people, shape (len(group),)."""
        state = GroupReach(self)
        return np.cumsum([state.add(user) for user in group])

    def overlap(self, group: Sequence[int]) -> np.ndarray:
        """Return how many people each two members are expected to reach both, shape (len(group), len(group)).

        The diagonal holds what each member is expected to reach alone.
        """
        parts = [self.pairs_of(user) for user in group]
        ends = np.cumsum([0, *(part.stop - part.start for part in parts)])
        columns = np.concatenate([self.engagers[part] for part in parts]) if parts else self.engagers[:0]
        chances = np.concatenate([self.probability[part] for part in parts]) if parts else self.probability[:0]
        chance = sp.csr_matrix((chances.astype(float), columns, ends), (len(group), self.users))
        shares = self.stranger_share[list(group)]
        both = (chance.multiply(self.weight) @ chance.T).toarray() + self.pool * np.outer(shares, shares)
        np.fill_diagonal(both, self.reach_of_each[list(group)])
        return np.asarray(both)

    def counting(self, weight: np.ndarray) -> "Audiences":
        """Return the audiences where each person counts as much as a weight says, shape (users,), 0 to 1.

        What strangers count is not known before they engage. They count as the people do who engaged with the user
        before, on average; with `SHARE_PRIOR` people who count as all engagers do on average.
        """
        sums = sum_by_user(self.starts, weight[self.engagers])
        pairs = np.diff(self.starts)
        overall = float(sums.sum() / max(pairs.sum(), 1))
        share = (sums + SHARE_PRIOR * overall) / (pairs + SHARE_PRIOR)
        pool = max(self.pool * overall, 1e-9)
        return Audiences(self.starts, self.engagers, self.probability, self.strangers * share, pool, weight)


class GroupReach:
    """The reach of a group that grows: what every further user would add, and what a user adds."""

    def __init__(self, audiences: Audiences):
        self._audiences = audiences
        self._missed = audiences.weight.astype(float)
        self._missed_pool = audiences.pool

    def gain(self, user: int) -> float:
        """Return how many people a user would add."""
        part = self._audiences.pairs_of(user)
        of_pairs = (self._missed[self._audiences.engagers[part]] * self._audiences.probability[part]).sum()
        return float(of_pairs + self._missed_pool * self._audiences.stranger_share[user])

    def gains(self) -> np.ndarray:
        """Return how many people each user would add, shape (users,)."""
        a = self._audiences
        of_pairs = self._missed[a.engagers]
        of_pairs *= a.probability
        return sum_by_user(a.starts, of_pairs) + self._missed_pool * a.stranger_share

    def slopes(self) -> np.ndarray:
        """Return by how much reach rises per part of each user, at this group and in it, shape (users,).

        Reach is concave in the hazards, which add up over users: for groups `G` and `H`,
        `reach(H) <= reach(G) + sum of slopes over H - sum of slopes over G`, with the slopes at `G`.
        """
        a = self._audiences
        of_pairs = self._missed[a.engagers]
        of_pairs *= a.hazard
        shares = np.minimum(a.stranger_share, LARGEST_CHANCE)
        slopes: np.ndarray = sum_by_user(a.starts, of_pairs) - self._missed_pool * np.log1p(-shares)
        return slopes

    def add(self, user: int) -> float:
        """Add a user to the group, and return how many people the user adds."""
        added = self.gain(user)
        part = self._audiences.pairs_of(user)
        # An engager occurs once among a user's pairs.
        self._missed[self._audiences.engagers[part]] *= 1.0 - self._audiences.probability[part].astype(float)
        self._missed_pool *= 1.0 - self._audiences.stranger_share[user]
        return added


def expected_audiences(
    starts: np.ndarray, engagers: np.ndarray, probability: np.ndarray, expected: np.ndarray, pool: float
) -> Audiences:
    """Return audiences that agree with the expected audience of each user, everybody counting as one.

    What the probabilities of a user's pairs leave of the expected audience are strangers. Where they add up to more
    than the expected audience, they are lowered in proportion.

    Parameters
    ----------
    starts, engagers, probability, pool : as in `Audiences`
    expected : expected audience of each user in people, shape (users,)

    """
    lowered, strangers = FileArray(np.float32), mapped_zeros(len(expected), np.float64)
    for users, part in user_parts(starts):
        ends = starts[users.start : users.stop + 1] - part.start
        of_pairs, people = sum_by_user(ends, probability[part].astype(float)), expected[users]
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(of_pairs > people, people / of_pairs, 1.0)
        lowered.append(probability[part] * np.repeat(factor, np.diff(ends)))
        strangers[users] = np.maximum(people - of_pairs, 0.0)
    everybody = np.broadcast_to(1.0, len(expected))
    return Audiences(starts, engagers, lowered.mapped(), strangers, max(pool, 1.0), everybody)


def sum_by_user(starts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum the values of each user's pairs, float64, shape (users,)."""
    sums = np.zeros(len(starts) - 1)
    filled = np.flatnonzero(np.diff(starts))
    if len(filled):
        sums[filled] = np.add.reduceat(values, starts[filled], dtype=float)
    return sums
