from datetime import UTC, datetime, timedelta

import pytest

from features.errors import AsOfError
from features.events import ENGAGEMENTS
from features.opening import open_acts
from training.outcome import audience, check_complete

AS_OF = datetime(2025, 1, 11, tzinfo=UTC)  # day 10 of the tables
AFTER = 1 / 86_400


def counted(table, acts, horizon_days=28):
    rows = audience(open_acts(table(acts)), AS_OF, horizon_days).to_pyarrow().to_pylist()
    return {row["user"]: row["audience"] for row in rows}


def test_the_horizon_is_half_open(table):
    acts = [(10 - AFTER, "a"), (10, "b"), (38 - AFTER, "c"), (38, "d"), (39, "e")]
    assert counted(table, [(day, who, "like", "u") for day, who in acts]) == {"u": 2}
    assert counted(table, [(day, who, "like", "u") for day, who in acts], 29) == {"u": 3}


def test_people_are_counted_once_and_oneself_and_the_unknown_never(table):
    acts = [(11, "a", "like"), (12, "a", "reply"), (13, None, "like"), (14, "u", "like"), (15, "b", "reply")]
    assert counted(table, [(*act, "u") for act in acts]) == {"u": 2}


@pytest.mark.parametrize("verb", ENGAGEMENTS)
def test_every_engagement_counts_negative_ones_too(table, verb):
    assert counted(table, [(11, "a", verb, "u")]) == {"u": 1}


@pytest.mark.parametrize("verb", ["post", "view", "wave"])
def test_other_acts_do_not(table, verb):
    assert counted(table, [(11, "a", verb, "u"), (11, "a", "like", None)]) == {}


def test_a_day_is_allowed_for():
    end = AS_OF + timedelta(days=28)
    check_complete(end - timedelta(days=1), AS_OF, 28)
    with pytest.raises(
        AsOfError,
        match=r"the horizon of 28 days from 2025-01-11 00:00 ends 2025-02-08 00:00, but the last event is of "
        r"2025-02-06 23:59 UTC: the outcome is not known yet. Take an instant 2 days earlier",
    ):
        check_complete(end - timedelta(days=1, seconds=1), AS_OF, 28)
