import math
from datetime import UTC, datetime, timedelta

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.aggregates.windows import (
    DAY,
    bit_is_set,
    count,
    days,
    decay,
    ratio,
    sum_fixed_point,
    to_fixed_point,
    week_bitmap,
    where,
    within,
)
from features.events.encoding import before
from features.events.event_table import connect, open_events

WHOLE = datetime(2025, 6, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
HALF = timedelta(microseconds=500_000)
CON = connect()


def ages_of(times, as_of=WHOLE, look_back=None):
    """Return the ages of acts and the windows that contain them, oldest first."""
    table = pa.table(
        {
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "actor": ["a"] * len(times),
            "verb": ["like"] * len(times),
            "target": ["b"] * len(times),
        }
    )
    visible = before(open_events(table), as_of, look_back)
    inside = {f"in_{window}": within(visible.age, window) for window in (7, 28, 90, 365)}
    rows = visible.mutate(days=days(visible.age), **inside).to_pyarrow().to_pylist()
    return sorted(rows, key=lambda row: -row["age"])


def column(values, kind=None):
    kind = kind or pa.int64()
    return CON.create_table("numbers", pa.table({"x": pa.array(values, kind)}), temp=True, overwrite=True).x


def value_of(expression):
    return CON.to_pyarrow(expression).as_py()


class TestWindow:
    @pytest.mark.parametrize("window", [7, 28, 90, 365])
    @pytest.mark.parametrize("as_of", [WHOLE, WHOLE + HALF, WHOLE - MICROSECOND])
    def test_window_is_half_open_to_the_microsecond(self, window, as_of):
        edge = as_of - timedelta(days=window)
        rows = ages_of([edge - MICROSECOND, edge, edge + MICROSECOND], as_of)
        assert [row[f"in_{window}"] for row in rows] == [False, True, True]
        assert [row["age"] - window * DAY for row in rows] == [1, 0, -1]

    @pytest.mark.parametrize("window", [1, 28, 90])
    def test_days_filter_equals_the_window(self, window):
        edge = WHOLE - timedelta(days=window)
        table = ages_of([edge - MICROSECOND, edge, WHOLE - MICROSECOND, WHOLE], look_back=window)
        assert [row["age"] for row in table] == [window * DAY, 1]

    @settings(max_examples=12)
    @given(
        back=st.lists(st.integers(-DAY, 400 * DAY), min_size=1, max_size=40, unique=True),
        fraction=st.integers(0, 999_999),
    )
    def test_ages_agree_with_exact_arithmetic(self, back, fraction):
        as_of = WHOLE + timedelta(microseconds=fraction)
        rows = ages_of([as_of - timedelta(microseconds=k) for k in back], as_of)
        assert [row["age"] for row in rows] == sorted((k for k in back if k > 0), reverse=True)
        for row in rows:
            assert row["in_28"] == (row["age"] <= 28 * DAY)
            assert row["days"] == row["age"] / DAY

    def test_events_at_the_instant_are_excluded(self):
        assert [row["age"] for row in ages_of([WHOLE - MICROSECOND, WHOLE, WHOLE + MICROSECOND])] == [1]

    def test_times_before_1970_are_dropped(self):
        early = datetime(1970, 1, 2, tzinfo=UTC)
        times = [early - timedelta(days=1) - MICROSECOND, early - timedelta(days=1)]
        assert [row["age"] for row in ages_of(times, early)] == [DAY]


def marked_spans(ages, span, spans, width=1):
    """Return the masks of spans from which any of `width` spans is marked; the last span contains everything older."""
    ages_table = column(ages).as_table()
    table = ages_table.agg(marks=week_bitmap(ages_table.x, span, spans))
    values = {str(k): bit_is_set(table.marks, k, width) for k in range(spans + 2 - width)}
    (row,) = table.select(**values).to_pyarrow().to_pylist()
    return [int(k) for k, value in row.items() if value]


class TestMarks:
    @pytest.mark.parametrize(
        ("ages", "spans"),
        [([1], [0]), ([DAY], [0]), ([DAY + 1], [1]), ([5, 6, 3 * DAY], [0, 2]), ([5 * DAY], [4]), ([5 * DAY + 1], [5])],
    )
    def test_span_includes_its_older_edge(self, ages, spans):
        assert marked_spans(ages, DAY, 5) == spans

    def test_older_ages_set_the_last_bit(self):
        assert marked_spans([6 * DAY, 900 * DAY], DAY, 5) == [5]

    @pytest.mark.parametrize("spans", [52, 62])
    def test_span_counts_in_use(self, spans):
        assert marked_spans([1, spans * DAY, spans * DAY + 1], DAY, spans) == [0, spans - 1, spans]

    @settings(max_examples=6)
    @given(ages=st.lists(st.integers(1, 70 * DAY), min_size=1, max_size=30), width=st.integers(1, 6))
    def test_bit_is_set_checks_several_spans(self, ages, width):
        back = {min((age - 1) // DAY, 62) for age in ages}
        expected = [first for first in range(64 - width) if back & set(range(first, first + width))]
        assert marked_spans(ages, DAY, 62, width) == expected

    def test_null_ages_are_in_no_span(self):
        assert marked_spans([None, 1], DAY, 5) == [0]

    def test_bit_is_set_accepts_a_column(self):
        values = column([2 * DAY, 4 * DAY]).as_table()
        table = values.agg(marks=week_bitmap(values.x, DAY, 5)).mutate(span=ibis.range(6)).unnest("span")
        rows = table.filter(bit_is_set(table.marks, table.span)).to_pyarrow()
        assert sorted(rows["span"].to_pylist()) == [1, 3]


class TestDecay:
    @pytest.mark.parametrize(
        ("age", "weight"), [(0, 1.0), (28, 0.5), (56, 0.25), (7, 2**-0.25), (28.5, 2 ** (-28.5 / 28)), (2800, 0.0)]
    )
    def test_decay_halves_per_half_life(self, age, weight):
        assert value_of(decay(ibis.literal(int(age * DAY)), 28)) == round(weight * 10**9)

    def test_decay_never_grows_with_age(self):
        ages = column([k * DAY // 7 for k in range(3000)])
        weights = ages.as_table().mutate(w=decay(ages, 14)).order_by("x").to_pyarrow()["w"].to_pylist()
        assert weights == sorted(weights, reverse=True)

    def test_to_fixed_point_rounds(self):
        table = column([1 / 3, 2 / 3], pa.float64())
        rows = table.as_table().mutate(y=to_fixed_point(table)).order_by("x").to_pyarrow()
        assert rows["y"].to_pylist() == [333_333_333, 666_666_667]


class TestTotal:
    @settings(max_examples=10)
    @given(weights=st.lists(st.floats(0, 1), max_size=50), order=st.randoms(use_true_random=False))
    def test_sum_is_independent_of_order(self, weights, order):
        sums = [
            value_of(sum_fixed_point(to_fixed_point(column(values, pa.float64()))))
            for values in (weights, order.sample(weights, len(weights)))
        ]
        assert sums[0] == sums[1]
        assert math.isclose(sums[0], math.fsum(weights), abs_tol=1e-7)

    def test_empty_input_is_zero(self):
        assert value_of(sum_fixed_point(column([]))) == 0.0


class TestCount:
    def test_null_condition_counts_as_false(self):
        assert value_of(count(column([True, None, False, True], pa.bool_()))) == 2

    def test_empty_input_is_zero(self):
        assert value_of(count(column([], pa.bool_()))) == 0

    def test_where_returns_null_for_false(self):
        values = column([1, 5, None])
        rows = values.as_table().mutate(y=where(values > 2, values * 10)).order_by("x").to_pyarrow()
        assert rows["y"].to_pylist() == [None, 50, None]


@pytest.mark.parametrize(("part", "total", "value"), [(1, 4, 0.25), (0, 4, 0.0), (3, 0, None), (0, 0, None)])
def test_ratio_over_zero_is_null(part, total, value):
    assert value_of(ratio(ibis.literal(part), ibis.literal(total))) == value
