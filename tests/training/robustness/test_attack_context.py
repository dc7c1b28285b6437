"""Who is there at an instant, by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from features.events.event_table import open_events
from training.robustness.attack_context import make_attack_context, seen

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


def test_seen_by_hand(events):
    people = seen(events, AS_OF)
    assert people.to_dict("index") == {
        "fan": {"age": 10, "silent": 7, "engagers": 0},
        "gone": {"age": 100, "silent": 100, "engagers": 0},
        "new": {"age": 1, "silent": 1, "engagers": 0},
        "old": {"age": 400, "silent": 380, "engagers": 0},
        "star": {"age": 380, "silent": 8, "engagers": 1},
    }


def test_the_scene_leaves_attackers_out(events):
    scene = make_attack_context(events, seen(events, AS_OF), AS_OF, ["new"], np.random.default_rng(0))
    assert list(scene.users) == ["fan", "gone", "old", "star"]
    assert list(scene.dormant) == ["old"]  # gone is not older than half a year
    assert list(scene.established) == ["star"]  # the median of fan and star lies between them
    assert scene.pieces.to_dict("list") == {"actor": ["star"], "object": ["s2"]}


def test_a_scene_at_an_earlier_instant_knows_nothing_later(events):
    early = START + timedelta(days=25)
    scene = make_attack_context(events, seen(events, early), early, [], np.random.default_rng(0))
    assert list(scene.users) == ["old", "star"]
    assert len(scene.dormant) == 0
