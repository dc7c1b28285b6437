"""Windows and decay, looking back from one instant.

All ages are whole seconds, rounded up, so the half-open window `[as_of - w, as_of)` is exactly `age <= w`. Decayed
sums are made in whole billionths, because integers add up to the same total in any order: the same events give the same
bytes on any number of threads and any engine.
"""

import math
from datetime import datetime

import ibis
import ibis.expr.types as ir

DAY = 86_400
BILLION = 1_000_000_000


def age(time: ir.TimestampValue, as_of: datetime) -> ir.IntegerValue:
    """Return the seconds from an event to `as_of`, rounded up to whole ones."""
    rest = -as_of.microsecond % 1_000_000
    end = math.ceil(as_of.timestamp())
    return ibis.literal(end, type="int64") - epoch_seconds(time + ibis.interval(microseconds=rest) if rest else time)


def epoch_seconds(time: ir.TimestampValue) -> ir.IntegerValue:
    """Return whole seconds since 1970, rounded down.

    Only DuckDB's own function is fast on a time with a zone: the portable one turns every value into a calendar date
    first, which takes 25 times as long.
    """
    if time.get_backend().name == "duckdb":
        return (_epoch_us(time) // 1_000_000).cast("int64")
    return time.truncate("s").epoch_seconds().cast("int64")


@ibis.udf.scalar.builtin(name="epoch_us", signature=(("timestamp('UTC')",), "int64"))
def _epoch_us(time: ir.TimestampValue) -> ir.IntegerValue:
    """Name DuckDB's function that returns the microseconds since 1970."""


def within(age: ir.IntegerValue, days: int) -> ir.BooleanValue:
    """Tell whether an age lies in the last `days` days."""
    return age <= days * DAY


def count(condition: ir.BooleanValue) -> ir.IntegerScalar:
    """Count the rows where a condition holds; an unknown condition does not hold."""
    return condition.fill_null(False).cast("int64").sum().cast("int64")


def days_ago(age: ir.IntegerValue) -> ir.IntegerValue:
    """Count the days back from `as_of`: 0 for the last 24 hours, 1 for those before, and so on."""
    return ((age - 1) // DAY).cast("int64")


def billionths(value: ir.NumericValue) -> ir.IntegerValue:
    """Round a value to whole billionths, so that sums of it are exact."""
    return (value * BILLION).round().cast("int64")


def decay(age_days: ir.NumericValue, half_life_days: float) -> ir.IntegerValue:
    """Weigh by age, in billionths: `1e9 * 2 ** (-age / half_life)`."""
    return billionths((age_days.cast("float64") * (-math.log(2) / half_life_days)).exp())


def total(billionths: ir.IntegerColumn) -> ir.FloatingScalar:
    """Add up billionths and return whole units; nothing to add is zero."""
    return billionths.sum().cast("float64").fill_null(0.0) / BILLION


def ratio(part: ir.NumericValue, whole: ir.NumericValue) -> ir.FloatingValue:
    """Divide; over nothing the ratio is unknown (null)."""
    return part.cast("float64") / whole.cast("float64").nullif(0.0)
