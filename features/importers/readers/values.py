"""Convert columns of any type to fields of the event table.

| field | accepted forms |
|---|---|
| time | ISO 8601, extended or basic; no zone means UTC; a date without a time is the end of that day |
| time | a count since 1970, number or text, by size: below 1e11 s, below 1e14 ms, below 1e17 us, else ns |
| time | eight digits that make a date are the day YYYYMMDD, not seconds of 1970 |
| ids | any text, without surrounding spaces; numbers as decimal text, `12.0` is `12` |
| topics | a list, a JSON list, or text split at the first of `|`, `;` and `,` that occurs in it |
| links | an integer from 0; anything else is null |
"""

from collections.abc import Callable
from datetime import datetime

import ibis
import ibis.expr.types as ir

from features.errors import EventsError
from features.events.event_table import SCHEMA

COUNT = r"^[0-9]+(\.[0-9]*)?([eE][+]?[0-9]+)?$"
DAY = r"^(19[7-9][0-9]|2[012][0-9]{2})-?(0[1-9]|1[0-2])-?(0[1-9]|[12][0-9]|3[01])(\.0*)?$"
INSTANT = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)?$"
)
TIME = "timestamp('UTC')"


@ibis.udf.scalar.builtin
def make_timestamp(micros: int) -> datetime:
    """Convert microseconds since 1970 to an instant, by DuckDB's function."""
    raise NotImplementedError


@ibis.udf.scalar.builtin
def json_valid(text: str) -> bool:
    """Return whether a text is valid JSON, by DuckDB's function."""
    raise NotImplementedError


@ibis.udf.scalar.builtin
def json_extract_string(text: str, path: str) -> list[str]:
    """Extract texts from a JSON value, by DuckDB's function."""
    raise NotImplementedError


def read_time(column: ir.Column) -> ir.TimestampValue:
    """Read instants; null if there is none.

    Raises
    ------
    EventsError : the type of the column cannot hold instants

    """
    kind = column.type()
    if kind.is_timestamp():
        return column.cast(TIME)
    if kind.is_date():
        return _end_of_day(column)
    text = _text(column)
    return ibis.cases(
        (text.re_search(INSTANT), text.try_cast(TIME)),
        (text.re_search(DAY), _end_of_day(text.re_replace(DAY, r"\1-\2-\3").try_cast("date"))),
        (text.re_search(COUNT), _since_1970(text.upper())),
        else_=_iso(text.upper()),
    )


def _end_of_day(day: ir.DateValue) -> ir.TimestampValue:
    return day.cast("timestamp").cast(TIME) + ibis.interval(days=1) - ibis.interval(microseconds=1)


def _since_1970(text: ir.StringValue) -> ir.TimestampValue:
    """Read counts as integers, because doubles are too coarse for nanoseconds; fractions to the microsecond."""
    power = text.contains("E")
    count = power.ifelse(text.try_cast("float64").try_cast("int64"), text.re_extract("^[0-9]+", 0).try_cast("int64"))
    part = (ibis.literal("0") + text.re_extract(r"\.[0-9]*$", 0)).try_cast("float64")
    micros = ibis.cases(
        (count < 10**11, count * 10**6 + (part * 10**6).round().cast("int64")),
        (count < 10**14, count * 10**3 + (part * 10**3).round().cast("int64")),
        (count < 10**17, count),
        else_=count // 1000,
    )
    return make_timestamp(micros).cast(TIME)


def _iso(text: ir.StringValue) -> ir.TimestampValue:
    """Read the rarer forms of ISO 8601, rewritten to the form of INSTANT."""
    spaced = text.replace(",", ".").re_replace(r" ?(UTC|GMT|Z)$", "+00:00").replace("T", " ")
    extended = spaced.re_replace(r"^([0-9]{4})([0-9]{2})([0-9]{2}) ([0-9]{2})([0-9]{2})", r"\1-\2-\3 \4:\5:")
    normal = extended.re_replace(r" +([+-])", r"\1").re_replace(r"^(.{10} [0-9]{2}:[0-9]{2}):?([+-].*)?$", r"\1:00\2")
    return normal.re_search(INSTANT).ifelse(normal, ibis.null("string")).try_cast(TIME)


def read_id(column: ir.Column) -> ir.StringValue:
    """Read ids or any other short text."""
    return _text(column).re_replace(r"^(-?[0-9]+)\.0+$", r"\1").nullif("")


def read_topics(column: ir.Column) -> ir.ArrayValue:
    """Read lists of topics."""
    if column.type().is_array():
        return column.cast("array<string>")
    text = _text(column)
    plain = ibis.cases(
        (text.contains("|"), text.split("|")),
        (text.contains(";"), text.split(";")),
        else_=text.split(","),
    ).map(lambda topic: topic.strip())
    listed = (text.startswith("[") & json_valid(text)).ifelse(text, ibis.null("string"))
    return listed.notnull().ifelse(json_extract_string(listed, "$[*]"), plain)


def read_links(column: ir.Column) -> ir.IntegerValue:
    """Read numbers of links."""
    count = _text(column).try_cast("float64")
    valid = (count >= 0) & (count < 2**31) & (count == count.floor())
    return valid.ifelse(count, ibis.null("float64")).cast("int64")


def _text(column: ir.Column) -> ir.StringValue:
    kind = column.type()
    if kind.is_nested() or kind.is_binary():
        raise EventsError(f"the column {column.get_name()} is of type {kind}; expected text or numbers.")
    if not kind.is_floating():
        return column.cast("string").strip()
    integral = (column.abs() < 1e15) & (column == column.floor())
    finite = ~(column.isnan() | column.isinf())
    return ibis.cases((integral, column.try_cast("int64").cast("string")), (finite, column.cast("string")))


READERS: dict[str, Callable[[ir.Column], ir.Value]] = {
    **dict.fromkeys(SCHEMA, read_id),
    "time": read_time,
    "topics": read_topics,
    "links": read_links,
}
