"""Constraints between features, and ranges of peers, computed by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import CATALOGUE, SCORED
from training.explanation.feature_constraints import (
    LEVELS,
    NESTED,
    PeerValues,
    WhatIfError,
    percentiles,
    propagate_constraints,
)
from training.model.feature_sets import snapshot_features

NOBODY = dict.fromkeys(CATALOGUE.names, 0.0)
ENGAGED = NOBODY | {
    "credible_engagers_7d": 2.0,
    "credible_engagers_28d": 4.0,
    "credible_returning_28d": 3.0,
    "credible_engagers_90d": 5.0,
    "credible_engagers_365d": 9.0,
    "credible_engagers_decayed_28d": 4.0,
}


@pytest.mark.parametrize(("since", "absent", "changes", "then"), [(70, 14, 0, 0), (70, 14, 4, 60), (3, 0, 5, 61)])
def test_absence_moves_the_last_act(since, absent, changes, then):
    person = NOBODY | {"days_since_last_act": float(since), "days_of_absence": float(absent)}
    assert propagate_constraints(person, {"days_of_absence": float(changes)}, 56.0)["days_since_last_act"] == then


def test_an_unchanged_absence_moves_nothing():
    person = NOBODY | {"days_since_last_act": 3.0}
    assert propagate_constraints(person, {"days_of_absence": 0.0}, 56.0) == {}


def test_an_unknown_absence_moves_nothing_without_a_request():
    assert propagate_constraints(ENGAGED | {"days_of_absence": math.nan}, {"credible_engagers_28d": 4.0}, 56.0) == {}


def test_absence_with_a_shorter_allowance():
    person = NOBODY | {"days_since_last_act": 30.0, "days_of_absence": 2.0}
    assert propagate_constraints(person, {"days_of_absence": 1.0}, 28.0)["days_since_last_act"] == 29


@pytest.mark.parametrize(("changes", "then"), [(0.0, {"days_since_last_act": 0.0}), (40.0, {})])
def test_users_without_events_end_an_absence_with_one(changes, then):
    person = NOBODY | {"days_since_last_act": math.nan, "days_of_absence": 40.0}
    assert propagate_constraints(person, {"days_of_absence": changes}, 56.0) == then


def test_users_without_events_and_absence_are_unchanged():
    person = NOBODY | {"days_since_last_act": math.nan}
    assert propagate_constraints(person, {"days_of_absence": 0.0}, 56.0) == {}


def test_fewer_repetitions_move_nothing_else():
    person = NOBODY | {"created_90d": 10.0, "repetitions_beyond_10_90d": 6.0}
    assert propagate_constraints(person, {"repetitions_beyond_10_90d": 2.0}, 56.0) == {}


def test_recent_engagers_raise_longer_windows():
    follows = propagate_constraints(ENGAGED, {"credible_engagers_28d": 7.0}, 56.0)
    assert follows == {"credible_engagers_90d": 7.0}


def test_fewer_engagers_lower_shorter_windows():
    follows = propagate_constraints(ENGAGED, {"credible_engagers_90d": 1.0}, 56.0)
    assert follows == dict.fromkeys(["credible_engagers_28d", "credible_engagers_7d", "credible_returning_28d"], 1.0)


@given(st.sampled_from(sorted({name for chain in NESTED for name in chain})), st.floats(0, 20))
def test_windows_stay_nested(name, value):
    after = ENGAGED | propagate_constraints(ENGAGED, {name: value}, 56.0) | {name: value}
    assert all(after[inner] <= after[outer] for chain in NESTED for inner, outer in pairwise(chain))


def test_windows_absent_from_a_row_are_skipped():
    row = {name: value for name, value in ENGAGED.items() if name in snapshot_features(SCORED.names)}
    assert "credible_engagers_7d" not in row
    raised = propagate_constraints(row, {"credible_engagers_decayed_28d": 500.0}, 56.0)
    assert raised["credible_engagers_365d"] == 500.0
    lowered = propagate_constraints(row, {"credible_engagers_365d": 0.0}, 56.0)
    assert lowered["credible_engagers_decayed_28d"] == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"credible_engagers_7d": 5.0, "credible_engagers_90d": 4.0}, "credible_engagers_28d cannot be above"),
        (
            {"credible_engagers_28d": 8.0, "credible_engagers_90d": 6.0},
            "credible_engagers_28d cannot be above credible_en",
        ),
    ],
)
def test_contradictory_requests_are_refused(changes, message):
    with pytest.raises(WhatIfError, match=message):
        propagate_constraints(ENGAGED, changes, 56.0)


def test_requested_values_are_not_consequences():
    changes = {"credible_engagers_28d": 4.5, "credible_engagers_90d": 6.0}
    assert propagate_constraints(ENGAGED, changes, 56.0) == {}


@pytest.fixture
def peers():
    return PeerValues(4, {"posts": percentiles(np.array([0.0, 0.0, 0.0, 8.0]))}, 56.0)


def test_percentiles_are_observed_values():
    values = np.random.default_rng(0).normal(size=37)
    result = percentiles(values)
    assert len(result) == 101
    assert set(result) <= set(values)
    assert (result[0], result[-1]) == (values.min(), values.max())


def test_contains_values_between_lowest_and_highest(peers):
    assert [peers.contains("posts", value) for value in (-0.1, 0.0, 3.0, 8.0, 8.1)] == [False, True, True, True, False]
    assert not peers.contains("links", 1.0)


def test_rank_is_share_below_plus_half_of_ties(peers):
    zeros = (peers.values["posts"] == 0).mean()
    assert peers.rank("posts", 0.0) == pytest.approx(zeros / 2)
    assert peers.rank("posts", 5.0) == pytest.approx(zeros)
    assert (peers.rank("posts", -1.0), peers.rank("posts", 9.0)) == (0, 1)
    assert peers.rank("posts", float("nan")) == peers.rank("links", 1.0) == 0.5


def test_levels_are_distinct_and_rise(peers):
    assert peers.distinct("posts", LEVELS) == [0.0, 8.0]
    assert peers.distinct("links", LEVELS) == peers.distinct("links") == []


def test_outliers_are_distinct_values_and_not_levels():
    peers = PeerValues(100, {"posts": percentiles(np.array([0.0] * 97 + [1.0, 2.0, 7.0]))}, 56.0)
    assert peers.distinct("posts", LEVELS) == [0.0]
    assert peers.distinct("posts") == [0.0, 1.0, 2.0, 7.0]
