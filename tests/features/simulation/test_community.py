"""Errors about invalid arguments state what was found and what was expected."""

from datetime import UTC, datetime

import pytest

from features.errors import EventsError
from features.simulation import Community


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("users", 9, "users is 9; expected a whole number from 10 to"),
        ("users", 20.0, r"users is 20\.0; expected a whole number"),
        ("users", True, "users is True; expected a whole number"),
        ("days", 0, "days is 0; expected a whole number from 1"),
        ("days", -5, "days is -5; expected"),
        ("seed", -1, "seed is -1; expected a whole number from 0"),
        ("seed", None, "seed is None; expected"),
        ("topics", 0, "topics is 0; expected a whole number from 1 to 100"),
        ("pace", 0, "pace is 0; expected a number from 0.01"),
        ("pace", float("nan"), "pace is nan; expected a number"),
        ("bots", 0.95, "bots is 0.95; expected a number from 0 to 0.9"),
        ("lurkers", -0.1, "lurkers is -0.1; expected a number from 0 to 1"),
        ("lurkers", 0.99, "add up to 1.05; expected at most 1"),
        ("stay_days", "long", "stay_days is 'long'; expected a number"),
        ("start", "2025-01-01", "start is '2025-01-01'; expected a datetime"),
        ("start", datetime(1901, 1, 1, tzinfo=UTC), "expected a period within 1970 to 2200"),
    ],
)
def test_an_invalid_argument_is_named(name, value, message):
    with pytest.raises(EventsError, match=message):
        Community(**{name: value})


def test_the_smallest_community_is_valid():
    assert Community(users=10, days=1, seed=0, topics=1).days == 1
