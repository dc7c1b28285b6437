"""What moves together, by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import CATALOGUE
from training.together import NESTED, WhatIfError, together

NOBODY = dict.fromkeys(CATALOGUE.names, 0.0)
MAKER = NOBODY | {"created_90d": 10.0, "repeated_share_90d": 0.6, "most_repeated_90d": 4.0}
HEARD = NOBODY | {
    "credible_engagers_7d": 2.0,
    "credible_engagers_28d": 4.0,
    "credible_returning_28d": 3.0,
    "credible_engagers_90d": 5.0,
    "credible_engagers_365d": 9.0,
    "credible_engagers_decayed_28d": 4.0,
    "created_90d": 10.0,
    "credible_engagers_per_piece_90d": 0.5,
}


@pytest.mark.parametrize(
    ("since", "absent", "asked", "then"), [(70, 14, 0, 56), (70, 14, 4, 60), (3, 0, 5, 61), (3, 0, 0, 3)]
)
def test_absence_moves_the_last_act(since, absent, asked, then):
    person = NOBODY | {"days_since_last_act": float(since), "days_absent": float(absent)}
    assert together(person, {"days_absent": float(asked)}, 56.0)["days_since_last_act"] == then


def test_a_shorter_allowance():
    person = NOBODY | {"days_since_last_act": 30.0, "days_absent": 2.0}
    assert together(person, {"days_absent": 1.0}, 28.0)["days_since_last_act"] == 29


@pytest.mark.parametrize(
    ("asked", "follows"),
    [
        ({"repeated_share_90d": 0.0}, {"most_repeated_90d": 1}),
        ({"repeated_share_90d": 0.2}, {"most_repeated_90d": 3}),  # 2 of 10 repeat: at most 3 alike
        ({"repeated_share_90d": 0.3}, {"most_repeated_90d": 4}),  # need not move
        ({"repeated_share_90d": 0.8}, {"most_repeated_90d": 5}),  # 2 contents of 10 pieces: at least 5 alike
        ({"most_repeated_90d": 1.0}, {"repeated_share_90d": 0}),
        ({"most_repeated_90d": 2.0}, {"repeated_share_90d": 0.5}),
        ({"most_repeated_90d": 3.0}, {"repeated_share_90d": 0.6}),
        ({"most_repeated_90d": 9.0}, {"repeated_share_90d": 0.8}),
    ],
)
def test_repetition(asked, follows):
    assert together(MAKER, asked, 56.0) == pytest.approx(follows)


@given(st.integers(2, 40), st.data())
def test_repetition_stays_possible(made, data):
    share = data.draw(st.integers(0, made - 1)) / made
    person = MAKER | {"created_90d": float(made), "repeated_share_90d": math.nan, "most_repeated_90d": math.nan}
    most = together(person, {"repeated_share_90d": share}, 56.0)["most_repeated_90d"]
    assert share <= 1 - 1 / most + 1e-9
    assert (share == 0) == (most == 1)
    back = together(person, {"most_repeated_90d": most}, 56.0)["repeated_share_90d"]
    assert (most - 1) / made - 1e-9 <= back <= 1 - 1 / most + 1e-9


def test_who_responded_lately_did_so_within_longer():
    follows = together(HEARD, {"credible_engagers_28d": 7.0}, 56.0)
    assert follows == {"credible_engagers_90d": 7.0, "credible_engagers_per_piece_90d": 0.7}


def test_who_did_not_within_longer_did_not_lately():
    follows = together(HEARD, {"credible_engagers_90d": 1.0}, 56.0)
    shorter = dict.fromkeys(["credible_engagers_28d", "credible_engagers_7d", "credible_returning_28d"], 1.0)
    assert follows == shorter | {"credible_engagers_per_piece_90d": 0.1}


@given(st.sampled_from(sorted({name for pair in NESTED for name in pair})), st.floats(0, 20))
def test_windows_stay_nested(name, value):
    after = HEARD | together(HEARD, {name: value}, 56.0) | {name: value}
    assert all(after[inner] <= after[outer] for inner, outer in NESTED)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"credible_engagers_7d": 5.0, "credible_engagers_90d": 4.0}, "credible_engagers_28d cannot be above"),
        (
            {"credible_engagers_28d": 8.0, "credible_engagers_90d": 6.0},
            "credible_engagers_28d cannot be above credible_en",
        ),
        ({"repeated_share_90d": 0.9, "most_repeated_90d": 2.0}, "contradict each other: where the most repeated"),
        ({"repeated_share_90d": 0.0, "most_repeated_90d": 2.0}, "Set one of the two; the other follows"),
    ],
)
def test_contradictions(asked, message):
    with pytest.raises(WhatIfError, match=message):
        together(HEARD, asked, 56.0)


def test_what_is_asked_does_not_follow():
    asked = {"credible_engagers_28d": 4.5, "credible_engagers_90d": 6.0, "credible_engagers_per_piece_90d": 0.1}
    assert together(HEARD, asked, 56.0) == {}
