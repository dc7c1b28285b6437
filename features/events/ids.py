r"""Read ids of users and pieces, by the same rules wherever they come from.

Text stays text without surrounding spaces, `12.0` is `12`, and an empty text is no id; `NA` and `null` are ids. Two
kinds of values are not ids: numbers from 1e15 on that were floating-point numbers once, such as `1.5e+18`, which have
lost their last digits, and JSON objects and lists.
"""

import json
import re

import ibis
import ibis.expr.types as ir

from features.errors import EventsError
from features.events.engines import sql_function

WHOLE = r"^(-?[0-9]+)\.0+$"
ROUNDED = r"^-?([0-9]{16,}\.0+|[0-9](\.[0-9]+[eE]\+?|[eE]\+)(1[5-9]|[2-9][0-9]|[1-3][0-9]{2}))$"
LOST_DIGITS = "is a floating-point number of 16 digits or more and has lost digits; export ids as text"
NOT_A_VALUE = "is a JSON object or list; use a member of it that is an id, such as author.id"
MAX_FLOATS = {32: 2.0**24, 64: 1e15}  # from here on, floats of so many bits are not exact, or nearly so

json_valid = sql_function("json_valid", ("string",), "boolean")


def column_text(column: ir.Column) -> ir.StringValue:
    """Return a column of text or numbers as text without surrounding spaces.

    Raises
    ------
    EventsError : the column is of another type

    """
    kind = column.type()
    if kind.is_nested() or kind.is_binary():
        raise EventsError(f"the column {column.get_name()} is of type {kind}; expected text or numbers.")
    if not kind.is_floating():
        return column.cast("string").strip()
    integral = (column.abs() < 1e15) & (column == column.floor())
    finite = ~(column.isnan() | column.isinf())
    return ibis.cases((integral, column.try_cast("int64").cast("string")), (finite, column.cast("string")))


def read_id(column: ir.Column) -> ir.StringValue:
    """Read ids, or any other short text; null if there is none."""
    return column_text(column).re_replace(WHOLE, r"\1").nullif("")


def invalid_id(column: ir.Column) -> ir.StringValue:
    """Return why the values of a column cannot be ids; null for those that can."""
    kind, text = column.type(), column_text(column)
    rounded = text.re_search(ROUNDED)
    if kind.is_floating():
        rounded = rounded | (column.abs() >= MAX_FLOATS.get(kind.nbytes * 8, 1e15)) & ~(column.isnan() | column.isinf())
    structured = (text.startswith("{") | text.startswith("[")).ifelse(json_valid(text), False)
    return ibis.cases((rounded, LOST_DIGITS), (structured, NOT_A_VALUE))


def parse_id(value: object) -> str:
    """Read one id as `read_id` does; an empty text if there is none.

    Raises
    ------
    ValueError : the value cannot be an id; the message says why

    """
    text = str(value).strip(" \t\n\r\v\f")
    if re.match(ROUNDED, text) or (isinstance(value, float) and abs(value) >= MAX_FLOATS[64]):
        raise ValueError(LOST_DIGITS)
    if isinstance(value, dict | list | tuple) or (text.startswith(("{", "[")) and _is_json(text)):
        raise ValueError(NOT_A_VALUE)
    return re.sub(WHOLE, r"\1", text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
