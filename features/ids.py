r"""Read ids of users and pieces, by the same rules wherever they come from; `features.events.ids` reads columns.

Text stays text without surrounding spaces, seen or unseen, `12.0` is `12`, and an empty text is not an id; `NA` and
`null` are ids. Two kinds of values are not ids: numbers from 1e15 on that were floating-point numbers once, such as
`1.5e+18`, which have lost their last digits, and JSON objects and lists.
"""

import json
import re

WHOLE = r"^(-?[0-9]+)\.0+$"
ROUNDED = r"^-?([0-9]{16,}\.0+|[0-9](\.[0-9]+[eE]\+?|[eE]\+)(1[5-9]|[2-9][0-9]|[1-3][0-9]{2}))$"
LOST_DIGITS = "is a floating-point number of 16 digits or more and has lost digits; export ids as text"
NOT_A_VALUE = "is a JSON object or list; use a member of it that is an id, such as author.id"
MAX_FLOATS = {32: 2.0**24, 64: 1e15}  # from here on, floats of so many bits are not exact, or nearly so
SPACES = (
    " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028"
    "\u2029\u202f\u205f\u3000\u200b\u200e\u200f\u2060\ufeff"  # the last of zero width
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
_WHOLE, _ROUNDED = re.compile(WHOLE), re.compile(ROUNDED)


def parse_id(value: object) -> str:
    """Read one id; an empty text if there is none.

    Raises
    ------
    ValueError : the value cannot be an id; the message says why

    """
    text = str(value).strip(SPACES)
    if _ROUNDED.match(text) or (isinstance(value, float) and abs(value) >= MAX_FLOATS[64]):
        raise ValueError(LOST_DIGITS)
    if isinstance(value, dict | list | tuple) or (text.startswith(("{", "[")) and _is_json(text)):
        raise ValueError(NOT_A_VALUE)
    number = _WHOLE.match(text)
    return number[1] if number else text


def spreadsheet_id(user: str) -> str:
    """Return an id for a CSV file: with a quotation mark before one that a spreadsheet would take for a formula."""
    return f"'{user}" if user.startswith(FORMULA) else user


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
