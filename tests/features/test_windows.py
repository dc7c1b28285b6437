import math
from datetime import UTC, datetime, timedelta

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import connect, open_events
from features.windows import age, billionths, count, days_ago, decay, ratio, total, within

WHOLE = datetime(2025, 6, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CON = connect()


def ages_of(times, as_of=WHOLE):
    table = pa.table(
        {
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "actor": ["a"] * len(times),
            "verb": ["like"] * len(times),
            "target": ["b"] * len(times),
        }
    )
    events = open_events(table)
    found = events.select(age=age(events.time, as_of), n=ibis.row_number().over(order_by=events.time))
    inside = {f"in_{days}": within(found.age, days) for days in (7, 28, 90, 365)}
    found = found.mutate(day=days_ago(found.age), **inside)
    return found.order_by("n").to_pyarrow().to_pylist()


def value_of(expression):
    return CON.to_pyarrow(expression).as_py()


@pytest.mark.parametrize("days", [7, 28, 90, 365])
@pytest.mark.parametrize("as_of", [WHOLE, WHOLE + timedelta(microseconds=500_000), WHOLE - MICROSECOND])
def test_a_window_is_half_open_to_the_microsecond(days, as_of):
    edge = as_of - timedelta(days=days)
    found = [row[f"in_{days}"] for row in ages_of([edge - MICROSECOND, edge, edge + MICROSECOND], as_of)]
    assert found == [False, True, True]


@settings(max_examples=12)
@given(
    back=st.lists(st.integers(1, 400 * 86_400 * 10**6), min_size=1, max_size=40, unique=True),
    fraction=st.integers(0, 999_999),
)
def test_age_and_day_agree_with_exact_arithmetic(back, fraction):
    as_of = WHOLE + timedelta(microseconds=fraction)
    for microseconds, row in zip(
        sorted(back, reverse=True), ages_of([as_of - timedelta(microseconds=k) for k in back], as_of), strict=True
    ):
        assert row["age"] == -(-microseconds // 10**6)
        assert row["day"] == (row["age"] - 1) // 86_400
        assert row["in_28"] == (microseconds <= 28 * 86_400 * 10**6)


def test_the_last_moment_is_young():
    (row,) = ages_of([WHOLE - MICROSECOND])
    assert (row["age"], row["day"]) == (1, 0)


def test_days_are_full_days_back():
    times = [WHOLE - timedelta(days=days) for days in (2, 1)]
    assert [row["day"] for row in ages_of([times[0] - MICROSECOND, *times])] == [2, 1, 0]


def test_times_before_1970():
    early = datetime(1960, 1, 1, tzinfo=UTC)
    (row,) = ages_of([early - MICROSECOND], early)
    assert row["age"] == 1


@pytest.mark.parametrize(("days", "weight"), [(0, 1.0), (28, 0.5), (56, 0.25), (7, 2**-0.25), (2800, 0.0)])
def test_decay_halves(days, weight):
    assert value_of(decay(ibis.literal(days), 28)) == round(weight * 10**9)


def test_billionths_round():
    table = CON.create_table("thirds", pa.table({"x": [1 / 3, 2 / 3]}), overwrite=True)
    assert table.select(y=billionths(table.x)).to_pyarrow()["y"].to_pylist() == [333_333_333, 666_666_667]


@settings(max_examples=10)
@given(weights=st.lists(st.floats(0, 1), max_size=50), order=st.randoms(use_true_random=False))
def test_total_does_not_depend_on_the_order(weights, order):
    shuffled = order.sample(weights, len(weights))
    sums = []
    for values in (weights, shuffled):
        table = CON.create_table("w", pa.table({"w": pa.array(values, pa.float64())}), overwrite=True)
        sums.append(value_of(total(billionths(table.w))))
    assert sums[0] == sums[1]
    assert math.isclose(sums[0], math.fsum(weights), abs_tol=1e-7)


def test_total_of_nothing_is_zero():
    table = CON.create_table("none", pa.table({"w": pa.array([], pa.int64())}), overwrite=True)
    assert value_of(total(table.w)) == 0.0


def test_count_takes_unknown_for_no():
    table = CON.create_table("c", pa.table({"c": [True, None, False, True]}), overwrite=True)
    assert value_of(count(table.c)) == 2


@pytest.mark.parametrize(("part", "whole", "value"), [(1, 4, 0.25), (0, 4, 0.0), (3, 0, None), (0, 0, None)])
def test_ratio_over_nothing_is_unknown(part, whole, value):
    assert value_of(ratio(ibis.literal(part), ibis.literal(whole))) == value
