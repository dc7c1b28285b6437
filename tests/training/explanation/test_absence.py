"""Holidays: what is taken away, and what the loss is, by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.errors import TooSmallError
from features.events.event_table import open_events
from training.explanation.inactivity import DAYS, holiday, losses, without

AS_OF = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=30)
KEPT = [
    (5, "me", "post", None, "old"),
    (21, "fan", "like", "me", "old"),  # about an older piece
    (22, "fan", "follow", "me", None),
    (23, "fan", "mention", "me", "new"),  # a mention stays, whatever it is in
    (24, "fan", "post", None, "theirs"),
    (25, None, "like", "me", None),
]
TAKEN = [
    (20, "me", "post", None, "new"),
    (21, "me", "like", "fan", "theirs"),
    (22, "fan", "like", "me", "new"),
    (29, None, "dislike", "me", "new"),
]


def told(events):
    return sorted(events.select("time", "actor", "verb", "object").to_pandas().astype(str).itertuples(index=False))


class TestWithout:
    def test_by_hand(self, table):
        events = open_events(table(KEPT + TAKEN))
        assert told(without(events, ["me"], AS_OF, 10)) == told(open_events(table(KEPT)))

    def test_no_holiday_takes_nothing(self, table):
        events = open_events(table(KEPT + TAKEN))
        assert told(without(events, ["me"], AS_OF, 0)) == told(events)

    def test_a_shorter_one_takes_what_lies_in_it(self, table):
        events = open_events(table(KEPT + TAKEN))
        assert told(without(events, ["me"], AS_OF, 9)) == told(open_events(table([*KEPT, TAKEN[0], *TAKEN[2:]])))

    def test_what_a_reply_made_drew_is_gone_as_well(self, table):
        made = table(
            [
                (20, "me", "reply", "fan", "theirs"),
                (21, "fan", "like", "me", "mine"),
                (22, "a", "like", "fan", "theirs"),
            ]
        )
        made = made.append_column("result", [["mine", None, None]])
        left = without(open_events(made), ["me"], AS_OF, 10).to_pandas()
        assert left[["actor", "object"]].to_numpy().tolist() == [["a", "theirs"]]


class TestLosses:
    def test_by_hand(self):
        points = pd.DataFrame({0: [10.0, 20.0, 30.0], 1: [10.0, 19.0, 29.0], 3: [6.0, 13.0, 29.0]})
        found = losses(points)
        assert [each["days"] for each in found["days"]] == [0, 1, 3]
        assert [each["lost_median"] for each in found["days"]] == [0, 1, 4]
        assert found["steepest"] == 1.5  # from 1 to 4 points in two days
        assert found["steepest_p95"] == pytest.approx(np.quantile([2.0, 3.0, 1.0], 0.95))


class TestHoliday:
    def test_report(self, simulated, bundle):
        events = open_events(simulated.events)
        found = holiday(events, bundle, simulated.as_of, members=20, days=(0, 28))
        assert found["members"] == 20
        assert found["days"][0] == {"days": 0, "lost_median": 0.0, "lost_p95": 0.0}
        assert found["days"][1]["lost_p95"] >= found["days"][1]["lost_median"]

    def test_too_few(self, simulated, bundle):
        with pytest.raises(TooSmallError, match=r"people acted in the last 28 days and .*; 10000 are asked for"):
            holiday(open_events(simulated.events), bundle, simulated.as_of, members=10_000)

    def test_lengths_rise_from_none(self):
        assert DAYS[0] == 0
        assert list(DAYS) == sorted(DAYS)
