"""Read the fields of the event table from columns of any type, and the steps that the importers share.

| field | accepted forms |
|---|---|
| time | ISO 8601, extended or basic; no zone means UTC; a date without a time is the end of that day |
| time | a count since 1970, number or text, by size: below 1e11 s, below 1e14 ms, below 1e17 us, else ns |
| time | eight digits that make a date are the day YYYYMMDD, fourteen YYYYMMDDhhmmss, not a count |
| ids | text, or whole numbers; the rules are below |
| topics | a list, a JSON list, or text split at the first of `|`, `;` and `,` that occurs in it |
| links | an integer from 0; anything else is null; of a text, the number of different http(s) addresses in it |
| content_hash | any text, stored as it is: hash texts first, for instance with MD5 |

Where a source holds texts, its importer stores half of the SHA-256 of each, in lower case with single spaces, and never
the text itself, neither in events nor in the records of rejected rows.
"""

import re
from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from features.errors import EventsError
from features.events.engines import sql_function
from features.events.event_table import SCHEMA
from features.events.ids import column_text, json_valid, read_id

COUNT = r"^[0-9]+(\.[0-9]*)?([eE][+]?[0-9]+)?$"
DAY = r"^(19[7-9][0-9]|2[012][0-9]{2})-?(0[1-9]|1[0-2])-?(0[1-9]|[12][0-9]|3[01])(\.0*)?$"
COMPACT = r"^(19[7-9][0-9]|2[012][0-9]{2})(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])([0-9]{2})([0-9]{2})([0-9]{2})$"
INSTANT = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)?$"
)
TIME = "timestamp('UTC')"
OTHER_SPACES = r"[\t\n\v\f\r\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}\p{Zl}\p{Zp}\p{Cf}]"
ADDRESS = r"""(?i:https?)://[^\s<>"'\])]+"""
DIGITS = 32

make_timestamp = sql_function("make_timestamp", ("int64",), "timestamp")
json_extract_string = sql_function("json_extract_string", ("string", "string"), "array<string>")
_replace_all = sql_function("regexp_replace", ("string", "string", "string", "string"), "string")
_extract_all = sql_function("regexp_extract_all", ("string", "string"), "array<string>")
UNITS = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 1e-3, "excel-days": 86_400 * 10**6}
EXCEL_EPOCH = 25_569  # days from 1899-12-30 to 1970-01-01
MAX_MICROSECONDS = 10**17
TIME_OF_DAY = re.compile("%-?[HIcXT]")  # with a hyphen, also hours of one digit
LOCAL_FORMS = [
    sep.join(days) + clock
    for sep in "./-"
    for days in (("%d", "%m", "%Y"), ("%d", "%m", "%y"), ("%m", "%d", "%Y"), ("%m", "%d", "%y"))
    for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
]
_strptime = sql_function("try_strptime", ("string", "string"), "timestamp")
CONTENT = {"mentions": "array<string>", "content_hash": "string", "links": "int64"}
NO_CONTENT = {name: ibis.null(kind) for name, kind in CONTENT.items()}
DUPLICATE = "the same event again"


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
    text = column_text(column)
    return ibis.cases(
        (text.re_search(INSTANT), text.try_cast(TIME)),
        (text.re_search(DAY), _end_of_day(text.re_replace(DAY, r"\1-\2-\3").try_cast("date"))),
        (text.re_search(COMPACT), text.re_replace(COMPACT, r"\1-\2-\3 \4:\5:\6").try_cast(TIME)),
        (text.re_search(COUNT), _since_1970(text.upper())),
        else_=_iso(text.upper()),
    )


def read_time_in_unit(column: ir.Column, unit: str) -> ir.TimestampValue:
    """Read counts of a unit of UNITS since 1970, Excel's days since 1899-12-30; null if there is none."""
    text = column_text(column)
    count, number = text.try_cast("int64"), text.try_cast("float64")
    if unit == "excel-days":
        count, number = ibis.null("int64"), number - EXCEL_EPOCH
    exact = (
        count // 1_000
        if unit == "ns"
        else (count.abs() < MAX_MICROSECONDS // UNITS[unit]).ifelse(count, None) * int(UNITS[unit])
    )
    rounded = (number * UNITS[unit]).round().try_cast("int64")
    micros = exact.coalesce(rounded)
    return make_timestamp((micros.abs() < MAX_MICROSECONDS).ifelse(micros, ibis.null("int64"))).cast(TIME)


def read_time_in_format(column: ir.Column, form: str) -> ir.TimestampValue:
    """Read times in a form of `strptime`; without a time of day they are the end of that day; null if unreadable."""
    at = _strptime(column_text(column), form).cast(TIME)
    return at if TIME_OF_DAY.search(form) else _end_of_day(at.cast("date"))


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


def read_topics(column: ir.Column) -> ir.ArrayValue:
    """Read lists of topics; JSON objects in a list are none.

    Raises
    ------
    EventsError : the column holds lists of anything but text or numbers

    """
    kind = column.type()
    if kind.is_array():
        if kind.value_type.is_nested():
            raise EventsError(f"the column {column.get_name()} is of type {kind}; expected a list of texts.")
        return column.cast("array<string>")
    text = column_text(column)
    plain = ibis.cases(
        (text.contains("|"), text.split("|")), (text.contains(";"), text.split(";")), else_=text.split(",")
    ).map(lambda topic: topic.strip())
    listed = json_list(text)
    texts = json_extract_string(listed, "$[*]").filter(lambda topic: ~_is_object(topic))
    return listed.notnull().ifelse(texts, plain)


def _is_object(text: ir.StringValue) -> ir.BooleanValue:
    return (text.startswith("{") & json_valid(text)).fill_null(False)


def json_list(text: ir.StringValue) -> ir.StringValue:
    """Return a text that is a valid JSON list; null for any other text."""
    return (text.startswith("[") & json_valid(text)).ifelse(text, ibis.null("string"))


def read_links(column: ir.Column) -> ir.IntegerValue:
    """Read numbers of links."""
    count = column_text(column).try_cast("float64")
    valid = (count >= 0) & (count < 2**31) & (count == count.floor())
    return valid.ifelse(count, ibis.null("float64")).cast("int64")


READERS: dict[str, Callable[[ir.Column], ir.Value]] = {
    **dict.fromkeys(SCHEMA, read_id),
    "time": read_time,
    "topics": read_topics,
    "links": read_links,
}


def content_hash(text: ir.StringValue) -> ir.StringValue:
    """Return 32 hexadecimal digits, equal for texts that differ only in case and white space; null if blank."""
    spaced = _replace_all(text.lower(), OTHER_SPACES, " ", "g")
    plain = _replace_all(spaced, "  +", " ", "g").strip()
    return plain.nullif("").hexdigest("sha256").left(DIGITS)


def links(text: ir.StringValue) -> ir.IntegerValue:
    """Count the different http(s) addresses in a text on DuckDB; null if the text is null."""
    candidates = (~text.contains("://")).ifelse("", text)
    return _extract_all(candidates, ADDRESS).unique().length()


def with_mentions(events: ir.Table, piece: Callable[[ir.Table], ir.StringValue]) -> ir.Table:
    """Add one event per mentioned user; a reply does not mention the user that it replies to.

    Parameters
    ----------
    events : with `mentions`, a list of users, `verb`, `target`, `reason` and the columns of CONTENT
    piece : returns the id of the piece that mentions

    Returns
    -------
    the columns of `events` without `mentions`; the columns of CONTENT are null in added events, because they belong to
    the first event

    """
    sources = events.filter(events.reason.isnull(), events.mentions.length() > 0)
    pairs = sources.mutate(user=sources.mentions.unnest())
    others = pairs.filter((pairs.verb != "reply") | pairs.target.isnull() | (pairs.user != pairs.target))
    rows = others.mutate(
        verb=ibis.literal("mention"), target=others.user, object=piece(others), result=ibis.null("string"), **NO_CONTENT
    )
    without = events.drop("mentions")
    return ibis.union(without, rows.select(without.columns))


def build_record(rows: ir.Table, fields: dict[str, str], files: tuple[str, ...]) -> ir.StringValue:
    """Build the record of each row: the fields that identify it in the list of rejected rows.

    `rows` has `file`, a number, and `record`, the line if it is malformed; `fields` has the column of each name in the
    record. The names of the files prefix the records if there is more than one.
    """
    identity = ibis.struct({name: rows[column] for name, column in fields.items()}).cast("json").cast("string")
    text = ibis.coalesce(rows.record, identity)
    if len(files) < 2:
        return text
    return rows.file.cases(*((number, f"{name} ") for number, name in enumerate(files))) + text


def reject_duplicates(rows: ir.Table, key: tuple[str, ...], comparable: ir.BooleanValue | bool = True) -> ir.Table:
    """Set a reason on all but the earliest of the rows that are equal in the columns of a key; nulls are equal.

    `rows` has `time`, `file`, `row` and `reason`; rows with a reason, without a time, or not `comparable`, do not
    change.
    """
    valid = rows.reason.isnull() & rows.time.notnull() & comparable
    position = ibis.row_number().over(
        group_by=[valid, *(rows[name] for name in key)], order_by=[rows.time, rows.file, rows.row]
    )
    return rows.mutate(reason=(valid & (position > 0)).ifelse(DUPLICATE, rows.reason))
