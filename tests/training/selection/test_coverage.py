import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.selection.audiences import Audiences, GroupReach
from training.selection.coverage import BUDGETED, GREEDY, HALF, Constraints, select_group


def audiences(chances, strangers=None, pool=10.0, weight=None):
    """Return audiences from a matrix of probabilities (users, people), in which users and people are the same."""
    chances = np.asarray(chances, dtype=np.float32)
    users, people = np.nonzero(chances)
    starts = np.searchsorted(users, np.arange(len(chances) + 1))
    none = np.zeros(len(chances)) if strangers is None else np.asarray(strangers, float)
    counts = np.ones(len(chances)) if weight is None else np.asarray(weight, float)
    return Audiences(starts, people.astype(np.int32), chances[users, people], none, pool, counts)


def constraints(number, k=2, **more):
    return Constraints(k, np.ones(number, dtype=bool), **more)


@st.composite
def problems(draw, users=6):
    chance = st.sampled_from([0.0, 0.0, 0.125, 0.25, 0.5, 1.0])
    chances = draw(st.lists(st.lists(chance, min_size=users, max_size=users), min_size=users, max_size=users))
    strangers = draw(st.lists(st.sampled_from([0.0, 0.5, 2.0, 9.0]), min_size=users, max_size=users))
    weight = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=users, max_size=users))
    return audiences(chances, strangers, draw(st.sampled_from([4.0, 30.0])), weight)


def reach(problem, group):
    state = GroupReach(problem)
    return sum(state.add(user) for user in group)


def best(problem, k, is_allowed=None):
    users = range(problem.users)
    groups = (group for size in range(k + 1) for group in combinations(users, size))
    return max(reach(problem, group) for group in groups if is_allowed is None or is_allowed(group))


class TestByHand:
    """Three users: 0 and 1 have the same two people, 2 has another one."""

    CHANCES = ((0, 0, 0, 0.5, 0.5), (0, 0, 0, 0.5, 0.5), (0, 0.25, 0, 0, 0), (0,) * 5, (0,) * 5)

    def test_the_second_user_adds_people_whom_the_first_lacks(self):
        problem = audiences(self.CHANCES, strangers=[0, 0, 0.5, 0, 0])
        group = select_group(problem, constraints(5))
        assert (group.users, group.adds) == ([0, 2], [1.0, 0.75])
        assert (group.reach, group.guarantee) == (1.75, GREEDY)
        assert group.upper_bound == pytest.approx(1.75)  # its marginal gains prove that no other pair reaches more
        assert group.share_of_bound == 1

    def test_the_bound_is_above_a_greedy_group_that_is_not_the_best(self):
        # The largest audience covers half of each of two others, which reach more together.
        problem = audiences([[0.5] * 4, [1, 1, 0, 0], [0, 0, 1, 1], [0] * 4])
        group = select_group(problem, constraints(4, k=2))
        assert (group.users, group.reach) == ([0, 1], 3.0)
        assert group.upper_bound == 4.0
        assert group.share_of_bound == 0.75

    def test_people_count_by_weight(self):
        problem = audiences(self.CHANCES, weight=[1, 1, 1, 0, 0])
        assert select_group(problem, constraints(5)).users == [2]  # no other user adds anything

    def test_strangers_of_one_pool_overlap(self):
        problem = audiences(np.zeros((2, 2)), strangers=[5, 5], pool=10.0)
        assert select_group(problem, constraints(2)).adds == [5.0, 2.5]

    def test_included_users_come_first_and_others_add_to_their_reach(self):
        problem = audiences(self.CHANCES)
        group = select_group(problem, constraints(5, include=[1]))
        assert (group.users, group.adds) == ([1, 0], [1.0, 0.5])

    def test_ineligible_users_are_not_selected(self):
        eligible = np.array([False, True, True, True, True])
        assert select_group(audiences(self.CHANCES), Constraints(1, eligible)).users == [1]

    def test_a_network_has_no_more_members_than_its_limit(self):
        problem = audiences([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.25]])
        group = select_group(problem, constraints(3, network=np.array([7, 7, 8]), per_network=1))
        assert (group.users, group.guarantee) == ([0, 2], HALF)
        assert group.upper_bound == 0.75

    def test_a_budget_selects_by_reach_per_cost(self):
        problem = audiences(np.zeros((3, 3)), strangers=[6, 4, 4], pool=1e9)
        group = select_group(problem, constraints(3, k=3, cost=np.array([3.0, 1.5, 1.5]), budget=3.0))
        assert sorted(group.users) == [1, 2]
        assert group.guarantee == BUDGETED
        assert group.upper_bound == pytest.approx(8.0)

    def test_an_expensive_user_is_selected_if_cheap_ones_add_little(self):
        problem = audiences(np.zeros((3, 3)), strangers=[9, 1, 1], pool=1e9)
        group = select_group(problem, constraints(3, k=3, cost=np.array([10.0, 1.0, 1.0]), budget=10.0))
        assert group.users == [0]

    def test_a_budget_with_a_binding_size_has_no_guarantee(self):
        problem = audiences(np.zeros((3, 3)), strangers=[6, 4, 4], pool=1e9)
        assert select_group(problem, constraints(3, k=1, cost=np.ones(3), budget=3.0)).guarantee is None


class TestProperties:
    @given(problems(), st.data())
    def test_reach_is_monotone_and_submodular(self, problem, data):
        subset = st.lists(st.integers(0, problem.users - 1), unique=True, max_size=4)
        small, more, user = data.draw(subset), data.draw(subset), data.draw(st.integers(0, problem.users - 1))
        large = small + [other for other in more if other not in small]
        gains = []
        for group in (small, large):
            state = GroupReach(problem)
            for member in group:
                state.add(member)
            gains.append(state.gain(user) if user not in group else 0.0)
        assert min(gains) >= 0
        assert user in large or gains[1] <= gains[0] + 1e-9

    @given(problems(), st.integers(1, 4))
    def test_greedy_meets_its_guarantee_and_the_bound_holds(self, problem, k):
        group = select_group(problem, constraints(problem.users, k))
        optimum = best(problem, k)
        assert group.reach == pytest.approx(reach(problem, group.users))
        assert optimum <= group.upper_bound + 1e-9
        assert group.reach >= GREEDY * optimum - 1e-9
        assert group.share_of_bound <= group.reach / optimum + 1e-9 if optimum else group.share_of_bound == 1

    @given(problems(), st.integers(1, 4))
    def test_lazy_greedy_equals_plain_greedy(self, problem, k):
        state, users = GroupReach(problem), []
        for _ in range(k):
            gains = [-1.0 if user in users else state.gain(user) for user in range(problem.users)]
            if max(gains) > 1e-9:
                users.append(int(np.argmax(np.round(gains, 9))))
                state.add(users[-1])
        assert sum(select_group(problem, constraints(problem.users, k)).adds) == pytest.approx(reach(problem, users))

    @given(problems(), st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.5]), min_size=6, max_size=6), st.integers(1, 6))
    def test_no_budget_is_exceeded(self, problem, cost, k):
        costs, budget = np.array(cost), 4.0
        group = select_group(problem, constraints(6, k, cost=costs, budget=budget))
        optimum = best(problem, k, lambda users: costs[list(users)].sum() <= budget)
        assert costs[group.users].sum() <= budget
        assert len(group.users) <= k
        assert optimum <= group.upper_bound + 1e-9
        assert group.reach >= (group.guarantee or 0.0) * optimum - 1e-9

    @given(problems(), st.lists(st.integers(0, 2), min_size=6, max_size=6), st.integers(1, 2), st.integers(1, 4))
    def test_no_network_exceeds_its_limit(self, problem, networks, most, k):
        network = np.array(networks)
        group = select_group(problem, constraints(6, k, network=network, per_network=most))
        optimum = best(problem, k, lambda users: np.bincount(network[list(users)], minlength=3).max() <= most)
        assert np.bincount(network[group.users], minlength=3).max() <= most
        assert optimum <= group.upper_bound + 1e-9
        assert group.reach >= HALF * optimum - 1e-9

    @given(problems(), st.lists(st.integers(0, 5), unique=True, min_size=1, max_size=2), st.integers(2, 4))
    def test_the_guarantee_holds_with_included_users(self, problem, include, k):
        group = select_group(problem, constraints(6, k, include=include))
        optimum = best(problem, k, lambda users: set(include) <= set(users))
        assert group.users[: len(include)] == include
        assert optimum <= group.upper_bound + 1e-9
        assert group.reach >= GREEDY * optimum - 1e-9


def test_guarantees_equal_those_of_the_theorems():
    assert math.isclose(GREEDY, 0.632, abs_tol=1e-3)
    assert math.isclose(BUDGETED, 0.316, abs_tol=1e-3)
