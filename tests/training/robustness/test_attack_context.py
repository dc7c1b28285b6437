"""What attackers know about a community at an instant, by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from features.events.event_table import open_events
from training.robustness.attacks import describe_users, make_attack_context

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
        "fan": {"age_days": 10, "silent_days": 7, "engagers": 0},
        "gone": {"age_days": 100, "silent_days": 100, "engagers": 0},
        "new": {"age_days": 1, "silent_days": 1, "engagers": 0},
        "old": {"age_days": 400, "silent_days": 380, "engagers": 0},
        "star": {"age_days": 380, "silent_days": 8, "engagers": 1},
    }


def test_make_attack_context_excludes_attackers(events):
    context = make_attack_context(events, describe_users(events, AS_OF), AS_OF, ["new"], np.random.default_rng(0))
    assert list(context.users) == ["fan", "gone", "old", "star"]
    assert list(context.dormant) == ["old"]  # gone is not older than half a year
    assert list(context.established) == ["star"]  # the median of fan and star lies between them
    assert context.top_pieces.to_dict("list") == {"actor": ["star"], "object": ["s2"]}


def test_make_attack_context_ignores_later_events(events):
    early = START + timedelta(days=25)
    context = make_attack_context(events, describe_users(events, early), early, [], np.random.default_rng(0))
    assert list(context.users) == ["old", "star"]
    assert len(context.dormant) == 0
