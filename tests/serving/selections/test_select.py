import dataclasses
import math

import numpy as np
import pytest

from serving.selections.select import SelectionError, SelectionRequest, select


def members(selection):
    return [member.user for member in selection.members]


def everybody(candidates, **request):
    return select(candidates, SelectionRequest(count="everybody", **request))


def test_a_complete_answer(candidates):
    selection = everybody(candidates, k=2)
    assert members(selection) == ["ann", "bob"]
    assert [member.adds for member in selection.members] == pytest.approx([6, 5], rel=1e-4)
    assert selection.reach == selection.members[-1].reach == pytest.approx(11, rel=1e-4)
    assert (selection.as_of, selection.model_version, selection.scope) == ("2017-07-30T00:00:00Z", "3", "all")
    low, high = candidates.model.error_range(2)
    assert (selection.reach_range.least, selection.reach_range.most) == pytest.approx((11 * low, 11 * high), rel=1e-4)
    assert selection.reach_range.past_horizons == 2
    assert selection.guarantee.at_least == pytest.approx(1 - 1 / math.e)
    assert selection.guarantee.at_least_of_best == pytest.approx(1)
    assert np.diag(selection.overlap) == pytest.approx([6, 5])
    assert selection.overlap[0][1] == pytest.approx(30 / 1e6)
    by = {other.by: other for other in selection.alternatives}
    assert by["score"].users == by["expected_audience"].users == ["ann", "bob"]
    assert by["followers"].users == ["fay", "eve"]
    assert by["followers"].reach == pytest.approx(3, rel=1e-4)
    assert any(note.startswith("Picking adds nothing here") for note in selection.notes)


def test_what_is_equal_for_all_users_makes_no_simpler_group(candidates):
    nobody_follows = dataclasses.replace(candidates.stored, followers=np.zeros_like(candidates.stored.followers))
    selection = everybody(dataclasses.replace(candidates, stored=nobody_follows), k=2)
    assert [other.by for other in selection.alternatives] == ["score", "expected_audience"]
    others = np.flatnonzero(np.array(candidates.scores.column("user").to_pylist()) != "ann")
    assert everybody(dataclasses.replace(candidates, hidden=others), k=1).alternatives == []


def test_the_range_of_the_credible_count_is_from_its_own_errors(candidates):
    selection = select(candidates, SelectionRequest(k=2))
    low, high = candidates.model.error_range(2, credible=True)
    expected = (low * selection.reach, high * selection.reach, 3)
    assert dataclasses.astuple(selection.reach_range) == pytest.approx(expected)


def test_the_difference_to_a_group_that_reaches_nobody_is_unknown(candidates):
    selection = everybody(candidates, k=2)
    followed = next(other for other in selection.alternatives if other.by == "followers")
    assert selection.difference(followed) == pytest.approx(3 / 11 - 1, rel=1e-4)
    assert dataclasses.replace(selection, reach=0.0).difference(followed) is None


def test_the_answer_is_deterministic(candidates):
    assert everybody(candidates, k=4) == everybody(candidates, k=4)


def test_excluded_users_are_not_picked_and_are_listed(candidates):
    selection = everybody(candidates, k=2, exclude=("ann", "nobody"))
    assert members(selection) == ["bob", "cat"]
    assert [(other.user, other.because) for other in selection.left_out] == [("ann", "excluded")]
    assert "1 user to exclude cannot be selected anyway: 'nobody'." in selection.notes


def test_included_users_come_first(candidates):
    assert members(everybody(candidates, k=3, include=("fay",))) == ["fay", "ann", "bob"]


def test_a_budget_is_respected_and_users_need_a_cost(candidates):
    selection = everybody(candidates, k=3, cost={"ann": 9.0, "bob": 2.0, "dan": 2.0}, budget=5.0)
    assert members(selection) == ["bob", "dan"]
    assert [member.cost for member in selection.members] == [2.0, 2.0]
    assert [(other.user, other.because) for other in selection.left_out] == [("ann", "budget"), ("cat", "no cost")]
    assert "3 users without a cost are left out." in selection.notes
    assert any(note.startswith("The group has 2 users, not 3") for note in selection.notes)


def test_a_limit_per_network_is_respected(candidates):
    selection = everybody(candidates, k=3, max_per_network=1)
    assert [(member.user, member.network) for member in selection.members] == [("ann", "a"), ("dan", "b")]
    assert [(other.user, other.because) for other in selection.left_out] == [("bob", "network"), ("cat", "network")]
    assert selection.guarantee.at_least == 0.5


def test_simpler_groups_satisfy_the_same_constraints(candidates):
    costs = {"ann": 9.0, "bob": 2.0, "cat": 4.0, "eve": 1.0}
    for constraints, by_audience in (
        ({"exclude": ("ann",)}, ["bob", "cat", "dan"]),
        ({"include": ("fay",)}, ["fay", "ann", "bob"]),
        ({"cost": costs, "budget": 5.0}, ["bob", "eve"]),
        ({"max_per_network": 1}, ["ann", "dan"]),
    ):
        selection = everybody(candidates, k=3, **constraints)
        by = {other.by: other for other in selection.alternatives}
        assert by["expected_audience"].users == by_audience
        assert any(note.startswith("Picking adds nothing here") for note in selection.notes)
    nobody = everybody(candidates, k=3, cost=dict.fromkeys(costs, 9.0), budget=5.0)
    assert [(other.users, other.reach) for other in nobody.alternatives] == [([], 0.0)] * 3


def test_a_size_above_the_number_of_users_picks_all_with_a_note(candidates):
    selection = everybody(candidates, k=50)
    assert len(selection.members) == 6
    assert selection.notes[0] == (
        "The group has 6 users, not 50: nobody else satisfies the constraints and adds anybody."
    )


def test_a_limit_per_network_may_be_of_any_size(candidates):
    largest, large = (everybody(candidates, k=3, max_per_network=limit) for limit in (10**400, 6))
    assert largest.members == large.members


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        ({"k": 0}, "k is 0; expected a number of users from 1 to 1,000."),
        ({"k": 1, "include": ("ann", "bob")}, "2 users are to be included, but the group has 1: raise k."),
        ({"include": ("ann",), "exclude": ("ann",)}, "'ann' is to be included and excluded: name the user once."),
        ({"include": ("zoe",)}, "'zoe' is to be included, but is not among the users who can be selected in the scope"),
        ({"cost": {"ann": 1.0}}, "costs without a budget: give both, or neither."),
        ({"budget": 5.0}, "a budget without costs: give both, or neither."),
        ({"cost": {"ann": 1.0}, "budget": 0.0}, "the budget is 0; expected a number above 0."),
        ({"cost": {"ann": -1.0}, "budget": 5.0}, "the cost of 'ann' is -1; expected a number of 0 or more."),
        ({"cost": {"ann": math.nan}, "budget": 5.0}, "the cost of 'ann' is nan; expected a number of 0 or more."),
        ({"cost": {"ann": 9.0}, "budget": 5.0, "include": ("ann",)}, "the included users cost 9, more than the budget"),
        (
            {"cost": {"ann": 9.0}, "budget": 5.0, "include": ("bob",)},
            "'bob' is to be included, but has no cost: add it",
        ),
        ({"cost": {}, "budget": 5.0}, "nobody can be selected"),
        ({"cost": {"ann": 1.0}, "budget": math.nan}, "the budget is nan; expected a number above 0."),
        ({"cost": {"ann": 1.0}, "budget": math.inf}, "the budget is inf; expected a number above 0."),
        ({"cost": {"ann": 1.0}, "budget": -3.0}, "the budget is -3; expected a number above 0."),
        ({"k": -1}, "k is -1; expected a number of users from 1 to 1,000."),
        ({"k": 1_001}, "k is 1001; expected a number of users from 1 to 1,000."),
        ({"k": 10**400}, "k is 1000000000000.*0000; expected a number of users from 1 to 1,000."),
        ({"max_per_network": 0}, "the limit per network is 0; expected a number of users of 1 or more."),
        (
            {"max_per_network": 1, "include": ("ann", "bob")},
            "2 of the included users are of one network, more than the 1 that may be: raise",
        ),
        ({"exclude": ("ann", "bob", "cat", "dan", "eve", "fay")}, "nobody can be selected"),
    ],
)
def test_unsatisfiable_requests_are_refused(candidates, request_of, message):
    with pytest.raises(SelectionError, match=message.replace("(", r"\(")):
        select(candidates, SelectionRequest(**{"k": 3} | request_of))


def test_a_limit_per_network_in_one_network_is_refused(candidates):
    in_a = dataclasses.replace(candidates, scope="network:a")
    with pytest.raises(SelectionError, match="a limit per network does nothing in one network, 'network:a'"):
        everybody(in_a, k=2, max_per_network=1)


def test_the_source_of_the_range_is_stated_for_a_part_of_the_activity(candidates):
    note = "The range comes from groups of the whole community: here, trust the order more than the number of people."
    assert note in everybody(dataclasses.replace(candidates, scope="network:a"), k=2).notes
    assert note not in everybody(candidates, k=2).notes
