"""Windows and decay, looking back from one instant.

Ages are whole microseconds, so the half-open window `[as_of - w, as_of)` is exactly `0 < age <= w`. Decayed sums are
made in whole billionths, because integers add up to the same total in any order: the same events give the same bytes on
any number of threads.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir

from features.events.event_table import EPOCH, SECOND

DAY = 86_400 * SECOND
WEEK = 7 * DAY
BILLION = 1_000_000_000
LOOKBACK_DAYS = 365
RECENT_DAYS = 90
PERIODS = 6
PERIOD_WEIGHTS = tuple(2.0**-k for k in range(PERIODS))
WEEKS = 52
NEWEST = 1 << 62


def within(age: ir.IntegerValue, days: int) -> ir.BooleanValue:
    """Tell whether an age lies in the last `days` days."""
    return age <= days * DAY


def count(condition: ir.BooleanValue) -> ir.IntegerScalar:
    """Count the rows where a condition holds; an unknown condition does not hold."""
    return condition.ifelse(1, None).count()


def where(condition: ir.BooleanValue, value: ir.Value) -> ir.Value:
    """Return the value where a condition holds, null elsewhere."""
    return condition.ifelse(value, None)


def week_bitmap(age: ir.IntegerColumn, span: int, spans: int, unfinished: int = 0) -> ir.IntegerScalar:
    """Mark in which of the newest `spans` spans (at most 62) of so many microseconds any age lies, as a number.

    Bit `62 - k` stands for the `k`-th span back from `as_of`, 0 the newest; bit `62 - spans` for all that is older. The
    newest span ends at `as_of`, or `unfinished` microseconds later.
    """
    back = (age + (unfinished - 1)) // span
    return either(ibis.literal(NEWEST, type="int64") >> ibis.least(back, spans).cast("int32"))


def unfinished(as_of: datetime, span: int) -> int:
    """Return the microseconds by which the day or week (UTC, from Monday) before an instant outlasts it.

    Spans of the calendar hold the same acts whatever the instant, so nothing flickers as it moves on.
    """
    monday = 4 * DAY if span == WEEK else 0  # 1970 began on a Thursday
    return -((as_of - EPOCH) // timedelta(microseconds=1) - monday) % span


@ibis.udf.agg.builtin(name="bit_or", signature=(("int64",), "int64"))
def either(marks: ir.IntegerColumn) -> ir.IntegerScalar:
    """Put marks together; DuckDB, Spark and PostgreSQL all call it `bit_or`, but Ibis knows it of fewer."""


def bit_is_set(marks: ir.IntegerValue, first: int | ir.IntegerValue, spans: int = 1) -> ir.BooleanValue:
    """Tell whether any of `spans` spans from the `first` one back is marked."""
    place = ibis.literal(NEWEST.bit_length() - spans, type="int32") - first
    return ((marks >> place.cast("int32")) & (2**spans - 1)) != 0


def in_period(weeks: ir.IntegerValue, k: int) -> ir.BooleanValue:
    """Tell whether any week is marked in the `k`-th period of 28 days back, 0 the newest of `PERIODS`."""
    return bit_is_set(weeks, 4 * k, 4)


def in_three_periods(weeks: ir.IntegerValue) -> ir.BooleanValue:
    """Tell whether weeks are marked in at least three of the newest `PERIODS` periods of 28 days."""
    periods = [in_period(weeks, k).ifelse(1, 0) for k in range(PERIODS)]
    return sum(periods[1:], periods[0]) >= 3


def weighted_period_mean(of_period: Callable[[int], ir.FloatingValue]) -> ir.FloatingValue:
    """Average what the `k`-th period of 28 days back has, each older period weighing half of the next."""
    parts = [of_period(k) * weight for k, weight in enumerate(PERIOD_WEIGHTS)]
    return sum(parts[1:], parts[0]) / sum(PERIOD_WEIGHTS)


def round_half_up(value: ir.NumericValue) -> ir.IntegerValue:
    """Round a value to a whole number, halves up: about halves, `round` of PostgreSQL and of DuckDB differ."""
    return (value + 0.5).floor().cast("int64")


def to_fixed_point(value: ir.NumericValue) -> ir.IntegerValue:
    """Round a value to whole billionths, so that sums of it are exact."""
    return round_half_up(value * BILLION)


def decay(age: ir.IntegerValue, half_life_days: float) -> ir.IntegerValue:
    """Weigh by age, in billionths: `1e9 * 2 ** (-age / half_life)`."""
    return to_fixed_point((age.cast("float64") * (-math.log(2) / (half_life_days * DAY))).exp())


def sum_fixed_point(billionths: ir.IntegerColumn) -> ir.FloatingScalar:
    """Add up billionths and return whole units; nothing to add is zero."""
    return billionths.sum().cast("float64").fill_null(0.0) / BILLION


def days(age: ir.IntegerValue) -> ir.FloatingValue:
    """Return an age in days."""
    return age.cast("float64") / DAY


def ratio(part: ir.NumericValue, whole: ir.NumericValue) -> ir.FloatingValue:
    """Divide; over nothing the ratio is unknown (null)."""
    return part.cast("float64") / whole.cast("float64").nullif(0.0)
