"""Select the group that is expected to reach the most different people, by lazy greedy, with a guarantee and a bound.

Without a budget, greedy adds the user who adds most, time after time. It reaches at least 1 - 1/e = 63 % of the best
group of that size (Nemhauser, Wolsey and Fisher 1978); with a limit per network, which is a matroid, at least half
(Fisher, Nemhauser and Wolsey 1978). With a budget, the better of two groups is taken: by people added, and by people
added per cost; it reaches at least (1 - 1/e) / 2 of the best one that the budget affords (Leskovec, Krause, Guestrin,
Faloutsos, VanBriesen and Glance 2007, who also give the lazy evaluation, CELF, and the bound below).

The bound depends on the data: no group can reach more than a group does plus the most that the constraints let others
add to it one by one. It is mostly far above the guarantee.
"""

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from training.selection.audiences import Audiences, GroupReach

GREEDY, HALF, BUDGETED = 1 - 1 / math.e, 0.5, (1 - 1 / math.e) / 2
FREE = 1e-12
LEAST_GAIN = 1e-9


@dataclass(frozen=True)
class Constraints:
    """What a group must satisfy.

    Parameters
    ----------
    k : the most users in the group
    eligible : bool, shape (users,), who may be selected
    include : users who are in the group whatever they add, first
    cost : shape (users,), not negative; with `budget`, the most that the group may cost
    network : int, shape (users,), the network of each user; with `per_network`, the most users of one network

    """

    k: int
    eligible: np.ndarray
    include: Sequence[int] = ()
    cost: np.ndarray | None = None
    budget: float = math.inf
    network: np.ndarray | None = None
    per_network: int | None = None


@dataclass(frozen=True)
class Group:
    """A selected group, in the order of selection.

    Parameters
    ----------
    users : numbers of the users
    adds : what each adds to those before, in people
    upper_bound : what no group that satisfies the constraints can exceed, in people
    guarantee : the least share of the best group's reach that the method ensures; None where there is no such theorem

    """

    users: list[int]
    adds: list[float]
    upper_bound: float
    guarantee: float | None

    @property
    def reach(self) -> float:
        """The expected number of different people, in people."""
        return float(sum(self.adds))

    @property
    def share_of_bound(self) -> float:
        """The reach over its upper bound: at least this share of the best possible group."""
        return min(self.reach / self.upper_bound, 1.0) if self.upper_bound > 0 else 1.0


def select_group(audiences: Audiences, constraints: Constraints) -> Group:
    """Select a group of at most k users; the same arguments give the same group.

    It holds fewer where nobody else adds anything or satisfies the constraints. Of users who add the same, the one with
    the lower number is selected.
    """
    runs = [_greedy(audiences, constraints, per_cost=False)]
    if constraints.cost is not None:
        runs.append(_greedy(audiences, constraints, per_cost=True))
    best = max(runs, key=lambda run: sum(run.adds))
    return Group(best.users, best.adds, min(run.bound for run in runs), _guarantee(constraints, runs))


def select_in_order(constraints: Constraints, order: Iterable[int]) -> list[int]:
    """Return the users who are in the group whatever they add, then those who come first in an order and may join."""
    limits, group = _Limits(constraints), list(constraints.include)
    for user in group:
        limits.take(user)
    included = set(group)
    for user in order:
        if limits.slots <= 0:
            break
        if constraints.eligible[user] and user not in included and limits.admit(user):
            limits.take(user)
            group.append(user)
    return group


def _guarantee(constraints: Constraints, runs: list["_Run"]) -> float | None:
    """Return the share that a theorem ensures; budget and size together have one only where the size does not bind."""
    if constraints.cost is None:
        return GREEDY if constraints.per_network is None else HALF
    binds = any(len(run.users) >= constraints.k for run in runs)
    return None if binds or constraints.per_network is not None else BUDGETED


@dataclass
class _Run:
    """The group of one greedy run, and the upper bound that the run proves."""

    users: list[int] = field(default_factory=list)
    adds: list[float] = field(default_factory=list)
    bound: float = math.inf


def _greedy(audiences: Audiences, constraints: Constraints, per_cost: bool) -> _Run:
    run, state, limits = _Run(), GroupReach(audiences), _Limits(constraints)

    def add(user: int) -> None:
        run.adds.append(state.add(user))
        run.users.append(user)
        limits.take(user)

    for user in constraints.include:
        add(user)
    allowed = constraints.eligible.copy()
    allowed[list(constraints.include)] = False
    # What the included users leave is the problem that greedy solves.
    gains = np.where(allowed, state.gains() if run.users else audiences.reach_of_each, 0.0)
    run.bound = sum(run.adds) + limits.most(gains)
    for user in _lazily(state, gains, limits, constraints, per_cost):
        add(user)
    run.bound = min(run.bound, _bound(run, state, allowed, constraints))
    return run


def _bound(run: _Run, state: GroupReach, allowed: np.ndarray, constraints: Constraints) -> float:
    """Return what no group can exceed, from a group: by what others would add to it, and by its slopes.

    The slopes count what is in the group as replaceable, and so prove more where each user reaches few of many people.
    """
    limits, include = _Limits(constraints), list(constraints.include)
    for user in include:
        limits.take(user)
    outside = allowed.copy()
    outside[run.users] = False
    reach, slopes = sum(run.adds), state.slopes()
    replaceable = float(slopes[run.users[len(include) :]].sum())
    return min(
        reach + limits.most(np.where(outside, state.gains(), 0.0)),
        reach - replaceable + limits.most(np.where(allowed, slopes, 0.0)),
    )


def _lazily(
    state: GroupReach, gains: np.ndarray, limits: "_Limits", constraints: Constraints, per_cost: bool
) -> Iterator[int]:
    """Yield the users who add most, one after the other; the caller adds each to the state before the next.

    What a user adds never grows, so an earlier value bounds it, and only users at the top are computed again.
    """
    cost = np.maximum(constraints.cost, FREE) if per_cost and constraints.cost is not None else None
    priority = gains if cost is None else gains / cost
    positive = np.flatnonzero(gains > LEAST_GAIN)
    waiting = iter(positive[np.argsort(-priority[positive], kind="stable")].tolist())
    following = next(waiting, None)
    heap: list[tuple[float, int, int]] = []
    size = 0
    while limits.slots > 0:
        while following is not None and (not heap or (-priority[following], following) < heap[0][:2]):
            heapq.heappush(heap, (-priority[following], following, 0))
            following = next(waiting, None)
        if not heap:
            return
        _, user, computed_at = heapq.heappop(heap)
        if not limits.admit(user):
            continue
        if computed_at == size:
            size += 1
            yield user
            continue
        gain = state.gain(user)
        if gain > LEAST_GAIN:
            heapq.heappush(heap, (-(gain if cost is None else gain / cost[user]), user, size))


class _Limits:
    """How much of the constraints a growing group has left."""

    def __init__(self, constraints: Constraints):
        self._constraints = constraints
        self.slots = constraints.k
        self._budget = constraints.budget
        self._in_network: dict[int, int] = {}

    def take(self, user: int) -> None:
        """Count a user who joins the group."""
        self.slots -= 1
        if self._constraints.cost is not None:
            self._budget -= float(self._constraints.cost[user])
        if self._constraints.network is not None:
            network = int(self._constraints.network[user])
            self._in_network[network] = self._in_network.get(network, 0) + 1

    def admit(self, user: int) -> bool:
        """Return whether a user may join; who may not now never may later."""
        c = self._constraints
        if c.cost is not None and float(c.cost[user]) > self._budget:
            return False
        if c.network is None or c.per_network is None:
            return True
        return self._in_network.get(int(c.network[user]), 0) < c.per_network

    def most(self, gains: np.ndarray) -> float:
        """Return the largest sum of gains of users who may join together, or more; gains of shape (users,)."""
        c = self._constraints
        users = np.flatnonzero(gains > 0)
        if c.cost is not None:
            users = users[c.cost[users] <= self._budget]
        admitted = users
        if c.network is not None and c.per_network is not None:
            ordered = users[np.argsort(-gains[users], kind="stable")]
            admitted = ordered[_rank_in_network(c.network[ordered]) < self._free(c.network[ordered])]
        most = _sum_of_largest(gains[admitted], max(self.slots, 0))
        return most if c.cost is None else min(most, self._affordable(gains, users))

    def _free(self, networks: np.ndarray) -> np.ndarray:
        """Return how many more users of each network may join, shape of `networks`."""
        most = self._constraints.per_network or 0
        return np.array([most - self._in_network.get(network, 0) for network in networks.tolist()], dtype=int)

    def _affordable(self, gains: np.ndarray, users: np.ndarray) -> float:
        """Return what the budget affords where a part of a user may be bought: at least as much as of whole users."""
        cost = np.asarray(self._constraints.cost)[users]
        order = np.argsort(-gains[users] / np.maximum(cost, FREE), kind="stable")
        cost, gain = cost[order], gains[users][order]
        before = np.concatenate([[0.0], np.cumsum(cost)[:-1]])
        share = np.clip((self._budget - before) / np.maximum(cost, FREE), 0.0, 1.0)
        return float((share * gain).sum())


def _sum_of_largest(values: np.ndarray, count: int) -> float:
    """Return the sum of the largest `count` values."""
    if 0 < count < len(values):
        values = np.partition(values, len(values) - count)[len(values) - count :]
    return float(np.sort(values).sum()) if count else 0.0


def _rank_in_network(networks: np.ndarray) -> np.ndarray:
    """Return how many earlier entries have the same network, shape of `networks`."""
    order = np.argsort(networks, kind="stable")
    grouped = networks[order]
    begins = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1]])) if len(grouped) else order
    rank = np.arange(len(grouped)) - np.repeat(begins, np.diff([*begins, len(grouped)]))
    result = np.empty_like(rank)
    result[order] = rank
    return result
