"""Select the users who together are expected to reach the most people, and describe the group beside simpler ones."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from features.catalogue.wording import count_of
from features.errors import CloutError
from features.events.scopes import ALL
from features.utc import to_iso_utc
from serving.selections.candidates import MOST_USERS, NETWORK, Candidates, Count
from training.selection.audiences import Audiences
from training.selection.coverage import BUDGETED, GREEDY, HALF, Constraints, Group, select_group, select_in_order

Size = Annotated[int, Field(ge=1, le=MOST_USERS)]
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Budget = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NetworkLimit = Annotated[int, Field(ge=1)]
SIZE, COST, BUDGET, NETWORK_LIMIT = (
    (TypeAdapter[float](kind), expected)
    for kind, expected in (
        (Size, f"a number of users from 1 to {MOST_USERS:,}"),
        (Cost, "a number of 0 or more"),
        (Budget, "a number above 0"),
        (NetworkLimit, "a number of users of 1 or more"),
    )
)
COUNTS = {"credible": "people, each as far as established ones vouch for them", "everybody": "people, everybody alike"}
ALTERNATIVES = {
    "score": "highest scores",
    "expected_audience": "highest expected audiences",
    "followers": "most followers",
}
MEMBER_COLUMNS = ("user", "adds", "reach", "alone", "expected_audience", "score", "cost", "network")
MOST_NAMES = 5
NOTHING = 1.01
LEAST_SHARED = 0.05
THEOREMS = {
    GREEDY: "lazy greedy reaches at least 1 - 1/e of the best group (Nemhauser, Wolsey and Fisher 1978)",
    HALF: "greedy under a limit per network reaches at least half of the best group (Fisher, Nemhauser and Wolsey "
    "1978)",
    BUDGETED: "the better of greedy by people and by people per cost reaches at least (1 - 1/e) / 2 of the best group "
    "that the budget affords (Leskovec et al. 2007)",
}


class SelectionError(CloutError):
    """What was requested of a group cannot be satisfied."""


@dataclass(frozen=True)
class SelectionRequest:
    """What a group must satisfy.

    Parameters
    ----------
    k : how many users
    count : who counts as reached: people as far as established ones vouch for them, or everybody
    include, exclude : ids of users who must, and who must not be in the group
    cost, budget : what users cost, by id, and the most that the group may cost; both or neither
    max_per_network : the most users of one network

    """

    k: int = 10
    count: Count = "credible"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    cost: Mapping[str, float] | None = None
    budget: float | None = None
    max_per_network: int | None = None


@dataclass(frozen=True)
class Member:
    """A user of the group: how many people the user adds to those before, and how many all reach up to here."""

    user: str
    adds: float
    reach: float
    expected_audience: float
    score: float
    cost: float | None = None
    network: str | None = None


@dataclass(frozen=True)
class ReachRange:
    """Between how many people such a group reaches in 8 of 10 cases, by what groups of past horizons reached."""

    least: float
    most: float
    past_horizons: int


@dataclass(frozen=True)
class Guarantee:
    """How close to the best possible group this one is: by a theorem, and by a bound that depends on the data."""

    theorem: str | None
    at_least: float | None
    upper_bound: float
    at_least_of_best: float


@dataclass(frozen=True)
class Alternative:
    """The users with the highest value of something simple under the same constraints, and their reach in people."""

    by: str
    users: list[str]
    reach: float


@dataclass(frozen=True)
class LeftOut:
    """A user who would be in the group without its constraints, and the constraint that prevents it."""

    user: str
    because: str


@dataclass(frozen=True)
class Selection:
    """A group, in the order of selection.

    Parameters
    ----------
    as_of, model_version, scope, horizon_days : of the scores that it was selected by
    k, count : as requested
    reach : expected number of different people in the horizon
    reach_range : of the reach; None where no past horizon was measured
    guarantee : how close to the best group it is
    members : in order of selection
    overlap : how many people each two members both reach; on the diagonal, what each reaches alone
    alternatives : simpler groups of the same size, by what differs between users
    left_out : who is missing because of a constraint
    notes : what the reader should know, in sentences

    """

    as_of: str
    model_version: str
    scope: str
    horizon_days: int
    k: int
    count: Count
    reach: float
    reach_range: ReachRange | None
    guarantee: Guarantee
    members: list[Member]
    overlap: list[list[float]]
    alternatives: list[Alternative]
    left_out: list[LeftOut]
    notes: list[str] = field(default_factory=list)

    @property
    def users(self) -> list[str]:
        """Every user whom the answer names, each once."""
        users = [member.user for member in self.members]
        users += [user for other in self.alternatives for user in other.users]
        return list(dict.fromkeys([*users, *(other.user for other in self.left_out)]))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The members as rows of MEMBER_COLUMNS."""
        rows = [asdict(member) | {"alone": self.overlap[k][k]} for k, member in enumerate(self.members)]
        return [{name: row[name] for name in MEMBER_COLUMNS} for row in rows]

    def difference(self, other: Alternative) -> float | None:
        """Return by what share another group reaches more than this one; None where this one reaches nobody."""
        return other.reach / self.reach - 1 if self.reach else None

    def largest_overlaps(self, most: int) -> list[tuple[str, str, float]]:
        """Return the pairs of members who share most people, and how many; fewer than a twentieth of one is nobody."""
        users = [member.user for member in self.members]
        pairs = [(users[a], users[b], self.overlap[a][b]) for b in range(len(users)) for a in range(b)]
        largest = sorted((pair for pair in pairs if pair[2] >= LEAST_SHARED), key=lambda pair: -pair[2])
        return largest[:most]


def select(candidates: Candidates, request: SelectionRequest) -> Selection:
    """Select a group; the same arguments give the same group.

    Raises
    ------
    SelectionError : the request contradicts itself, nobody is eligible, or a cost is not valid
    ScopeError : a limit per network where there are no scores by network

    """
    _check(request)
    if request.max_per_network is not None and candidates.scope.startswith(NETWORK):
        raise SelectionError(
            f"a limit per network does nothing in one network, {candidates.scope!r}: give the network or the limit."
        )
    problem = _Problem(candidates, request)
    audiences = candidates.audiences[request.count]
    group = problem.group(audiences)
    alternatives = [_alternative(candidates, audiences, name, problem.constraints) for name in candidates.highest]
    return Selection(
        as_of=to_iso_utc(candidates.as_of),
        model_version=candidates.model_version,
        scope=candidates.scope,
        horizon_days=candidates.horizon_days,
        k=request.k,
        count=request.count,
        reach=group.reach,
        reach_range=_reach_range(candidates, group, request.count),
        guarantee=_guarantee(group),
        members=problem.members(group),
        overlap=audiences.overlap(group.users).tolist(),
        alternatives=alternatives,
        left_out=problem.left_out(group),
        notes=[*problem.notes, *_notes(request, group, alternatives, candidates.scope)],
    )


def _check(request: SelectionRequest) -> None:
    """Check that a request does not contradict itself."""
    _check_number("k", request.k, *SIZE)
    if len(set(request.include)) > request.k:
        raise SelectionError(
            f"{len(set(request.include))} users are to be included, but the group has {request.k}: raise k."
        )
    if both := sorted(set(request.include) & set(request.exclude)):
        raise SelectionError(f"{both[0]!r} is to be included and excluded: name the user once.")
    if (request.cost is None) != (request.budget is None):
        present, absent = ("costs", "a budget") if request.budget is None else ("a budget", "costs")
        raise SelectionError(f"{present} without {absent}: give both, or neither.")
    if request.budget is not None:
        _check_number("the budget", request.budget, *BUDGET)
    if request.max_per_network is not None:
        _check_number("the limit per network", request.max_per_network, *NETWORK_LIMIT)
    for user, cost in (request.cost or {}).items():
        _check_number(f"the cost of {user!r}", cost, *COST)


def _check_number(name: str, value: float, kind: TypeAdapter[float], expected: str) -> None:
    try:
        kind.validate_python(value)
    except ValidationError:
        shown = str(value) if isinstance(value, int) else f"{value:g}"  # a whole number may be too large for a float
        raise SelectionError(f"{name} is {shown}; expected {expected}.") from None


class _Problem:
    """A request in terms of rows, and what its answer says about the users."""

    def __init__(self, candidates: Candidates, request: SelectionRequest):
        self._candidates, self._request, self.notes = candidates, request, list[str]()
        include = candidates.rows_of(request.include)
        if absent := [user for user in request.include if user not in include]:
            raise SelectionError(
                f"{absent[0]!r} is to be included, but is not among the users who can be selected in the scope "
                f"{candidates.scope!r}."
            )
        exclude = candidates.rows_of(request.exclude)
        self._note_absent([user for user in dict.fromkeys(request.exclude) if user not in exclude], "to exclude")
        eligible = candidates.eligible.copy()
        self._reasons = dict.fromkeys(exclude.values(), "excluded")
        eligible[list(exclude.values())] = False
        self._cost = self._costs(eligible, include)
        network = candidates.networks if request.max_per_network is not None else None
        self._networks = network
        if not eligible.any():
            raise SelectionError(
                "nobody can be selected: every user of the scope is excluded or has no cost. Exclude fewer, or "
                "add costs."
            )
        self.constraints = Constraints(
            k=request.k,
            eligible=eligible,
            include=list(include.values()),
            cost=self._cost,
            budget=math.inf if request.budget is None else request.budget,
            network=None if network is None else network[0],
            per_network=None if request.max_per_network is None else min(request.max_per_network, request.k),
        )
        self._check_included()

    def _costs(self, eligible: np.ndarray, include: Mapping[str, int]) -> np.ndarray | None:
        """Return the cost of every row, and make those without one ineligible."""
        if self._request.cost is None:
            return None
        rows = self._candidates.rows_of(list(self._request.cost))
        self._note_absent([user for user in self._request.cost if user not in rows], "with a cost")
        if absent := [user for user, row in include.items() if row not in set(rows.values())]:
            raise SelectionError(f"{absent[0]!r} is to be included, but has no cost: add it to the costs.")
        cost = np.full(len(eligible), np.inf)
        cost[list(rows.values())] = [self._request.cost[user] for user in rows]
        missing = eligible & np.isinf(cost)
        if count := int(missing.sum()):
            self.notes.append(f"{count_of(count, 'user')} without a cost {'is' if count == 1 else 'are'} left out.")
        eligible[missing] = False
        return cost

    def _check_included(self) -> None:
        """Check that the included users together satisfy the constraints."""
        rows, c = list(self.constraints.include), self.constraints
        if c.cost is not None and (total := float(c.cost[rows].sum())) > c.budget:
            raise SelectionError(
                f"the included users cost {total:g}, more than the budget of {c.budget:g}: raise it, or include fewer."
            )
        if c.network is not None and rows:
            most = int(np.unique(c.network[rows], return_counts=True)[1].max())
            if most > (c.per_network or 0):
                raise SelectionError(
                    f"{most} of the included users are of one network, more than the {c.per_network} that may be: "
                    "raise the limit, or include fewer of them."
                )

    def _note_absent(self, users: list[str], what: str) -> None:
        if users:
            names = ", ".join(map(repr, users[:MOST_NAMES])) + (", ..." if len(users) > MOST_NAMES else "")
            self.notes.append(f"{count_of(len(users), 'user')} {what} cannot be selected anyway: {names}.")

    def members(self, group: Group) -> list[Member]:
        """Describe the members of a group."""
        return [
            Member(
                user=self._candidates.user(row),
                adds=adds,
                reach=float(reach),
                expected_audience=float(self._candidates.expected_audience[row]),
                score=float(self._candidates.orders["score"][row]),
                cost=None if self._cost is None else float(self._cost[row]),
                network=self._network(row),
            )
            for row, adds, reach in zip(group.users, group.adds, np.cumsum(group.adds), strict=True)
        ]

    def _network(self, row: int) -> str | None:
        if self._networks is None or (code := int(self._networks[0][row])) < 0:
            return None
        return self._networks[1][code]

    @property
    def _unconstrained(self) -> Group:
        return self._candidates.unconstrained(self._request.count, self._request.k)

    def group(self, audiences: Audiences) -> Group:
        """Select the group."""
        free = not (self._reasons or self._request.include) and self._cost is None and self._networks is None
        return self._unconstrained if free else select_group(audiences, self.constraints)

    def left_out(self, group: Group) -> list[LeftOut]:
        """Describe who would be in the group without its constraints."""
        if not self._reasons and self._cost is None and self._networks is None:
            return []
        free = self._unconstrained
        missing = [row for row in free.users if row not in group.users]
        reasons = [(self._candidates.user(row), self._reason(row, group)) for row in missing]
        return [LeftOut(user, reason) for user, reason in reasons if reason]

    def _reason(self, row: int, group: Group) -> str | None:
        c = self.constraints
        if row in self._reasons:
            return self._reasons[row]
        if c.cost is not None and math.isinf(c.cost[row]):
            return "no cost"
        if c.cost is not None and c.cost[row] + c.cost[group.users].sum() > c.budget:
            return "budget"
        if c.network is not None and (c.network[group.users] == c.network[row]).sum() >= (c.per_network or 0):
            return "network"
        return None


def _alternative(candidates: Candidates, audiences: Audiences, name: str, constraints: Constraints) -> Alternative:
    """Return the candidates with the highest values that the constraints admit; equals by id."""
    top = select_in_order(constraints, map(int, candidates.highest[name]))
    return Alternative(name, [candidates.user(row) for row in top], float(audiences.reach(top)[-1]) if top else 0.0)


def _reach_range(candidates: Candidates, group: Group, count: Count) -> ReachRange | None:
    size, credible = len(group.users), count == "credible"
    errors = candidates.model.error_range(size, credible)
    if errors is None:
        return None
    past_horizons = len(candidates.model.errors_of(size, credible))
    return ReachRange(group.reach * errors[0], group.reach * errors[1], past_horizons)


def _guarantee(group: Group) -> Guarantee:
    theorem = None if group.guarantee is None else THEOREMS[group.guarantee]
    return Guarantee(theorem, group.guarantee, group.upper_bound, group.share_of_bound)


def _notes(request: SelectionRequest, group: Group, alternatives: list[Alternative], scope: str) -> list[str]:
    """Say what a reader may miss: a smaller group than requested, or one that a simpler rule equals."""
    notes = []
    if len(group.users) < request.k:
        notes.append(
            f"The group has {count_of(len(group.users), 'user')}, not {request.k}: nobody else satisfies the "
            "constraints and adds anybody."
        )
    by_audience = next((other for other in alternatives if other.by == "expected_audience"), None)
    if by_audience is not None and group.reach < NOTHING * by_audience.reach:
        notes.append(
            "Picking adds nothing here: the users with the highest expected audiences are expected to reach as many, "
            "because audiences hardly overlap, or all overlap alike."
        )
    if scope != ALL:
        notes.append(
            "The range comes from groups of the whole community: here, trust the order more than the number of people."
        )
    return notes
