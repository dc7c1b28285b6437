"""Points lost by holidays, computed by hand."""

import numpy as np
import pandas as pd
import pytest

from features.errors import TooSmallError
from features.events.event_table import open_events
from tests.benchmarks.holidays import DAYS, holiday, losses


class TestLosses:
    def test_losses_by_hand(self):
        points = pd.DataFrame({0: [10.0, 20.0, 30.0], 1: [10.0, 19.0, 29.0], 3: [6.0, 13.0, 29.0]})
        summary = losses(points)
        assert [row["days"] for row in summary["days"]] == [0, 1, 3]
        assert [row["lost_median"] for row in summary["days"]] == [0, 1, 4]
        assert summary["steepest"] == 1.5  # from 1 to 4 points in two days
        assert summary["steepest_p95"] == pytest.approx(np.quantile([2.0, 3.0, 1.0], 0.95))


class TestHoliday:
    def test_report(self, simulated, bundle):
        events = open_events(simulated.events)
        report = holiday(events, bundle, simulated.as_of, members=20, days=(0, 28))
        assert report["members"] == 20
        assert report["days"][0] == {"days": 0, "lost_median": 0.0, "lost_p95": 0.0}
        assert report["days"][1]["lost_p95"] >= report["days"][1]["lost_median"]

    def test_too_few_members_are_reported(self, simulated, bundle):
        with pytest.raises(TooSmallError, match=r"users have events in the last 28 days .*; expected 10000 or more"):
            holiday(open_events(simulated.events), bundle, simulated.as_of, members=10_000)

    def test_lengths_rise_from_zero(self):
        assert DAYS[0] == 0
        assert list(DAYS) == sorted(DAYS)
