"""Read columns of ids of users and pieces on an engine, by the rules of `features.ids`."""

import ibis
import ibis.expr.types as ir

from features.errors import EventsError
from features.events.engines import sql_function
from features.ids import LOST_DIGITS, MAX_FLOATS, NOT_A_VALUE, ROUNDED, SPACES, WHOLE

SURROUNDING = f"^[{SPACES}]+|[{SPACES}]+$"
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
        return column.cast("string").re_replace(SURROUNDING, "")
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
