"""Windows and decay, looking back from one instant.

Ages are whole microseconds, so the half-open window `[as_of - w, as_of)` is exactly `0 < age <= w`. Decayed sums are
computed in whole billionths, because integers add up to the same total in any order: the same events give the same
bytes on any number of threads.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir

from features.events.engines import sql_function
from features.events.event_table import EPOCH, SECOND

DAY = 86_400 * SECOND
WEEK = 7 * DAY
BILLION = 1_000_000_000
LOOKBACK_DAYS = 365
RECENT_DAYS = 90
RETURN_DAYS = 28  # for how long users count as returned
LATE_DAYS = 7  # how much longer creations are looked back for: engagement counts as late after them
PERIODS = 6
PERIOD_WEIGHTS = tuple(2.0**-k for k in range(PERIODS))
WEEKS = 52
NEWEST = 1 << 62
# DuckDB, Spark and PostgreSQL all have `bit_or`, but Ibis does not support it on all of them.
bit_or = sql_function("bit_or", ("int64",), "int64", ibis.udf.agg)


def within(age: ir.IntegerValue, days: int) -> ir.BooleanValue:
    """Return whether an age lies in the last `days` days."""
    return age <= days * DAY


def count(condition: ir.BooleanValue) -> ir.IntegerScalar:
    """Count the rows where a condition is true; null counts as false."""
    return condition.ifelse(1, None).count()


def where(condition: ir.BooleanValue, value: ir.Value) -> ir.Value:
    """Return the value where a condition is true, null elsewhere."""
    return condition.ifelse(value, None)


def week_bitmap(age: ir.IntegerColumn, span: int, spans: int, remainder: int = 0) -> ir.IntegerScalar:
    """Return a bitmap of the newest `spans` spans (at most 62), each of `span` microseconds, that contain any age.

    Bit `62 - k` stands for the `k`-th span back from `as_of`, 0 the newest; bit `62 - spans` for all older ages. The
    newest span ends at `as_of`, or `remainder` microseconds later. A null age sets no bit.
    """
    back = (age + (remainder - 1)) // span
    bit = ibis.literal(NEWEST, type="int64") >> ibis.least(back, spans).cast("int32")
    return bit_or(where(age.notnull(), bit))  # least() of null is `spans`


def span_remainder(as_of: datetime, span: int) -> int:
    """Return the microseconds from an instant to the end of its day or week (UTC, from Monday).

    Calendar spans contain the same events for every instant, so values do not flicker as the instant moves.
    """
    monday = 4 * DAY if span == WEEK else 0  # 1970 began on a Thursday
    return -((as_of - EPOCH) // timedelta(microseconds=1) - monday) % span


def bit_is_set(bitmap: ir.IntegerValue, first: int | ir.IntegerValue, spans: int = 1) -> ir.BooleanValue:
    """Return whether the bit of any of `spans` spans, from the `first` one back, is set."""
    shift = ibis.literal(NEWEST.bit_length() - spans, type="int32") - first
    return ((bitmap >> shift.cast("int32")) & (2**spans - 1)) != 0


def in_period(weeks: ir.IntegerValue, k: int) -> ir.BooleanValue:
    """Return whether any week is set in the `k`-th period of 28 days back, 0 the newest of `PERIODS`."""
    return bit_is_set(weeks, 4 * k, 4)


def in_any_period(weeks: ir.IntegerValue) -> ir.BooleanValue:
    """Return whether any week is set in the newest `PERIODS` periods of 28 days."""
    return bit_is_set(weeks, 0, 4 * PERIODS)


def in_three_periods(weeks: ir.IntegerValue) -> ir.BooleanValue:
    """Return whether weeks are set in at least three of the newest `PERIODS` periods of 28 days."""
    periods = [in_period(weeks, k).ifelse(1, 0) for k in range(PERIODS)]
    return sum(periods[1:], periods[0]) >= 3


def weighted_period_mean(of_period: Callable[[int], ir.FloatingValue]) -> ir.FloatingValue:
    """Average the values of the periods of 28 days, the `k`-th one back with weight `2 ** -k`."""
    parts = [of_period(k) * weight for k, weight in enumerate(PERIOD_WEIGHTS)]
    return sum(parts[1:], parts[0]) / sum(PERIOD_WEIGHTS)


def round_half_up(value: ir.NumericValue) -> ir.IntegerValue:
    """Round to a whole number, halves up; `round` treats halves differently in PostgreSQL and DuckDB."""
    return (value + 0.5).floor().cast("int64")


def to_fixed_point(value: ir.NumericValue) -> ir.IntegerValue:
    """Round a value to whole billionths, so that sums of it are exact."""
    return round_half_up(value * BILLION)


def decay(age: ir.IntegerValue, half_life_days: float) -> ir.IntegerValue:
    """Return the weight of an age in billionths: `1e9 * 2 ** (-age / half_life)`."""
    return to_fixed_point((age.cast("float64") * (-math.log(2) / (half_life_days * DAY))).exp())


def sum_fixed_point(billionths: ir.IntegerColumn) -> ir.FloatingScalar:
    """Sum billionths and return whole units; an empty sum is zero."""
    return billionths.sum().cast("float64").fill_null(0.0) / BILLION


def days(age: ir.IntegerValue) -> ir.FloatingValue:
    """Return an age in days."""
    return age.cast("float64") / DAY


def ratio(part: ir.NumericValue, total: ir.NumericValue) -> ir.FloatingValue:
    """Divide; a ratio over 0 is unknown (null)."""
    return part.cast("float64") / total.cast("float64").nullif(0.0)
