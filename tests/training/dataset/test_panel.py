from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import CATALOGUE
from features.errors import TooSmallError
from features.events.loading import load_encoded_events
from training.dataset.panel import Split, build_panel, panel_rows, rows_at, split_cutoffs

FIRST = datetime(2025, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return FIRST + timedelta(days=number)


class TestSplit:
    @pytest.mark.parametrize(
        ("days", "most", "cutoffs"),
        [
            (25, 12, [5, 15]),
            (30, 12, [10, 20]),
            (39, 12, [9, 19, 29]),
            (40, 12, [10, 20, 30]),
            (49, 12, [19, 29, 39]),
            (50, 12, [10, 20, 30, 40]),
            (95, 4, [55, 65, 75, 85]),
            (95, 2, [75, 85]),
        ],
    )
    def test_cutoffs_by_hand(self, days, most, cutoffs):
        split = split_cutoffs(FIRST, day(days), 10, most)
        assert split.cutoffs == tuple(day(cutoff) for cutoff in cutoffs)
        assert (*split.older, split.newest) == split.cutoffs

    def test_a_short_history_is_refused_with_the_length_needed(self):
        with pytest.raises(
            TooSmallError,
            match=r"the events before 2025-01-25 span 24 days; training with a horizon of 10 days needs two and a half "
            r"horizons, 25 days\. Bring more history or set a shorter \[outcome\] horizon_days",
        ):
            split_cutoffs(FIRST, day(24.9), 10, 12)

    @settings(max_examples=50)
    @given(
        horizon=st.integers(1, 365),
        history=st.floats(2.5, 40),
        most=st.integers(2, 120),
    )
    def test_no_outcome_extends_past_the_next_cutoff(self, horizon, history, most):
        length = timedelta(days=horizon)
        as_of = FIRST + max(length * history, length * 2.5)
        split = split_cutoffs(FIRST, as_of, horizon, most)
        assert split.newest + length == as_of
        assert all(later - earlier == length for earlier, later in pairwise(split.cutoffs))
        assert split.cutoffs[0] - FIRST >= (length if as_of - FIRST >= 4 * length else length / 2)
        assert 2 <= len(split.cutoffs) <= most
        assert len(split.cutoffs) == most or split.cutoffs[0] - FIRST < 2 * length

    def test_an_earlier_split_leaves_out_the_newest_cutoff(self):
        split = split_cutoffs(FIRST, day(60), 10, 12)
        assert split.earlier() == Split((day(10), day(20), day(30), day(40)))
        assert split.earlier().newest + timedelta(days=10) == split.newest


def small_community(users=60, days=60):
    """Every user is liked by a neighbour every other day."""
    return [(d + u / 1000, f"u{u}", "like", f"u{(u + d) % users}") for d in range(days) for u in range(users)]


class TestRows:
    def test_features_before_and_outcome_after(self, table):
        events = load_encoded_events(table([(1, "a", "like", "u"), (15, "b", "like", "u"), (16, "c", "like", "a")]))
        rows = panel_rows(events, day(10), 10).set_index("user")
        assert list(rows.index) == ["a", "u"]
        assert rows.loc["u", "engagers_ever"] == 1
        assert rows["audience"].to_dict() == {"a": 1, "u": 1}
        assert rows["audience"].dtype == "int64"
        assert set(rows["as_of"]) == {pd.Timestamp(day(10))}

    def test_users_without_earlier_events_have_no_row(self, table):
        events = load_encoded_events(table([(1, "a", "like", "u"), (15, "b", "like", "new")]))
        assert "new" not in set(panel_rows(events, day(10), 10)["user"])

    def test_panel_stacks_cutoffs_and_reports_progress(self, table):
        split = split_cutoffs(FIRST, day(60), 12, 3)
        shares_done = []
        panel = build_panel(load_encoded_events(table(small_community(users=210))), split, 12, shares_done.append)
        assert list(panel["as_of"].unique()) == [pd.Timestamp(cutoff) for cutoff in split.cutoffs]
        assert shares_done == [1 / 3, 2 / 3, 1.0]
        chosen = rows_at(panel, split.cutoffs[0], split.newest)
        assert set(chosen["as_of"]) == {pd.Timestamp(split.cutoffs[0]), pd.Timestamp(split.newest)}
        assert list(chosen.index) == list(range(420))
        assert not chosen[CATALOGUE.names].isna().all(axis=None)

    def test_too_few_rows_are_refused(self, table):
        events = load_encoded_events(table(small_community(users=50)))
        with pytest.raises(
            TooSmallError,
            match=r"the older cutoffs hold 100 rows of a user at an instant, 100 of them with an audience; "
            r"expected 200 and 30 or more\. Bring more users or more history",
        ):
            build_panel(events, split_cutoffs(FIRST, day(60), 12, 3), 12)

    def test_too_few_rows_with_an_audience_are_refused(self, table):
        acts = [(d + u / 1000, f"u{u}", "like", f"u{u % 14}") for d in range(60) for u in range(220)]
        with pytest.raises(TooSmallError, match=r"hold 440 rows of a user at an instant, 28 of them with an audience"):
            build_panel(load_encoded_events(table(acts)), split_cutoffs(FIRST, day(60), 12, 3), 12)


def test_many_rows_are_sampled():
    panel = pd.DataFrame({"as_of": [pd.Timestamp(day(k % 4)) for k in range(400)], "row": range(400)})
    assert rows_at(panel, *map(day, range(4))) is panel
    assert rows_at(panel, day(1), day(2))["row"].tolist() == [k for k in range(400) if k % 4 in (1, 2)]
    sampled = rows_at(panel, day(1), day(2), most=50, seed=3)
    assert sampled.equals(rows_at(panel, day(1), day(2), most=50, seed=3))
    assert not sampled.equals(rows_at(panel, day(1), day(2), most=50, seed=4))
    assert (len(sampled), set(sampled["row"] % 4)) == (50, {1, 2})
    assert list(sampled.index) == list(range(50))
