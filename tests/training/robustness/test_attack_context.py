"""What attackers know about a community at an instant, computed by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.events.event_table import open_events
from training.robustness.attacks import (
    describe_users,
    grown_days,
    is_dormant,
    make_attack_context,
    old_days,
    present_users,
)

START = datetime(2025, 1, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=400)
ACTS = [
    (0, "old", "post", None, "o0"),
    (20, "old", "like", "star", "s0"),
    (30, "star", "post", None, "s1"),
    (300, "gone", "post", None, "g0"),
    (380, "star", "post", None, "s2"),
    (390, "fan", "like", "star", "s2"),
    (391, "fan", "like", "star", "s2"),
    (392, "star", "like", "star", "s2"),
    (393, "fan", "view", "old", "o0"),
    (399, "new", "post", None, "n0"),
    (401, "later", "post", None, "l0"),
]


@pytest.fixture
def events(table):
    return open_events(table(ACTS))


def test_describe_users_by_hand(events):
    users = describe_users(events, AS_OF)
    assert users.to_dict("index") == {
        "fan": {"age_days": 10, "tenure_days": 10, "silent_days": 7, "engagers": 0},
        "gone": {"age_days": 100, "tenure_days": 100, "silent_days": 100, "engagers": 0},
        "new": {"age_days": 1, "tenure_days": 1, "silent_days": 1, "engagers": 0},
        "old": {"age_days": 400, "tenure_days": 400, "silent_days": 380, "engagers": 0},
        "star": {"age_days": 380, "tenure_days": 370, "silent_days": 8, "engagers": 1},
    }


def test_make_attack_context_excludes_attackers(events):
    context = make_attack_context(events, describe_users(events, AS_OF), AS_OF, ["new"], np.random.default_rng(0))
    assert list(context.users) == ["fan", "gone", "old", "star"]
    assert list(context.dormant) == ["old"]  # gone is not older than half a year
    assert list(context.established) == ["star"]  # the median is between fan and star
    assert context.top_pieces.to_dict("list") == {"actor": ["star"], "object": ["s2"]}


def test_make_attack_context_ignores_later_events(events):
    early = START + timedelta(days=25)
    context = make_attack_context(events, describe_users(events, early), early, [], np.random.default_rng(0))
    assert list(context.users) == ["old", "star"]
    assert len(context.dormant) == 0


@pytest.mark.parametrize(("oldest", "grown"), [(400, 90), (135, 90), (134, 89), (61.5, 41), (1, 0)])
def test_accounts_are_grown_for_90_days_or_two_thirds_of_the_history(oldest, grown):
    assert grown_days(pd.DataFrame({"age_days": [0.5, oldest]})) == grown
    assert grown_days(pd.DataFrame({"age_days": []})) == 0


@pytest.mark.parametrize(("history", "old"), [(400, 180), (360, 180), (240, 120), (70, 35)])
def test_users_are_old_after_fewer_days_in_a_short_history(history, old):
    assert old_days(pd.DataFrame({"age_days": [0.5, history]})) == pytest.approx(old)


@pytest.mark.parametrize(
    ("history", "age", "silent", "dormant"),
    [
        (400, 200, 91, True),
        (400, 200, np.inf, True),
        (400, 200, 89, False),
        (400, 170, 100, False),
        (100, 95, 91, True),
        (100, 60, np.inf, False),
        (61, 61, np.inf, False),
    ],
)
def test_dormant_users_are_old_and_observed_to_be_silent_for_90_days(history, age, silent, dormant):
    users = pd.DataFrame({"age_days": [history, age], "silent_days": [0.0, silent]})
    assert is_dormant(users).tolist() == [False, dormant]


def test_active_users_of_a_young_community_are_not_absent(table):
    """Absence begins after 7 of 70 days."""
    events = open_events(table([(0, "old", "post", None), (62, "idle", "post", None), (64, "busy", "post", None)]))
    at = START + timedelta(days=70)
    context = make_attack_context(events, describe_users(events, at), at, [], np.random.default_rng(0))
    assert set(context.active) == set(context.established) == {"busy"}


def test_present_users_are_neither_new_nor_absent():
    tenures, silences = ([600, 90, 89, 200, 200], [61.5, 41, 40, 50, 50]), ([0, 10, 0, 56, 57], [0, 5, 0, 6, 7])
    for tenure, silent in zip(tenures, silences, strict=True):
        users = pd.DataFrame({"age_days": tenure, "tenure_days": tenure, "silent_days": silent})
        assert list(present_users(users)) == [0, 1, 3]
