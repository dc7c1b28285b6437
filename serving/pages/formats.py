"""Formats of the pages: numbers, instants, shares and addresses of users as people read them."""

import re
from datetime import datetime
from math import floor
from urllib.parse import quote, urlencode

from markupsafe import Markup

from features.catalogue import CATALOGUE
from features.utc import UtcText, parse_utc
from serving.middleware.request_context import ANYBODY

MINUS, EN_SPACE = "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
UNKNOWN, WITHOUT_KEY = "unknown", "without a key"
ROUNDING = 1e-6  # less than what counts as another number
CODE_OR_DATE = re.compile(r"\b(?:[a-z0-9]+(?:_[a-z0-9]+)+|\d{4}-\d\d-\d\d)\b")
DOT_IDS = {"", ".", ".."}  # clients remove these from paths


def user_path(user: str, **query: str | None) -> str:
    """Return the path of a user's page; query parameters that are None are left out."""
    parameters = {name: value for name, value in query.items() if value is not None}
    if user in DOT_IDS:
        parameters = {"user": user} | parameters
    path = "/u" if user in DOT_IDS else f"/u/{quote(user, safe='')}"
    return f"{path}?{urlencode(parameters)}" if parameters else path


def number(value: float, digits: int = 0) -> str:
    """Format a number with separators of thousands and a proper minus."""
    text = f"{value:,.{digits}f}"
    return (text[1:] if float(text.replace(",", "")) == 0 else text).replace("-", MINUS) if value < 0 else text


def signed(value: float, digits: int = 1) -> str:
    """Format a number with its sign; a rounded zero has none."""
    text = number(value, digits)
    return text if text.startswith(MINUS) or float(text.replace(",", "")) == 0 else f"+{text}"


def percent(share: float, digits: int = 0) -> str:
    """Format a share as a percentage."""
    return f"{number(100 * share, digits)}{EN_SPACE}%"


def people(value: float) -> str:
    """Format an expected number of people: whole from 10 on, with a decimal below."""
    if value >= 9.95:
        return number(value)
    return "less than 0.1" if 0 < value < 0.05 else number(value, 1).removesuffix(".0")


def feature_value(name: str, value: float | None) -> str:
    """Format the value of a feature in its unit; a line of several features counts people."""
    if value is None:
        return UNKNOWN
    if name in CATALOGUE and CATALOGUE[name].unit == "share":
        return percent(value)
    return number(value, 2).removesuffix(".00") if abs(value) < 100 else number(value)


def feature_name(name: str) -> str:
    """Return the title of a feature, or its name as words: `engagers_28d` is `Engagers, 28 days`."""
    if name in CATALOGUE and CATALOGUE[name].title:
        return CATALOGUE[name].title
    words, _, window = name.rpartition("_")
    if words and window.removesuffix("d").isdigit():
        return f"{sentence(words.replace('_', ' '))}, {window.removesuffix('d')} days"
    return sentence(name.replace("_", " "))


def plain(text: str) -> str:
    """Write the code and the dates of a text without ids as people do: `best_piece` as two words."""
    return CODE_OR_DATE.sub(lambda match: match[0].replace("_", " ") if "_" in match[0] else date(match[0]), text)


def date(at: UtcText) -> str:
    """Format an instant as a date, such as `24 Feb 2026`."""
    return _date(parse_utc(at))


def when(at: UtcText, only_date: bool = False) -> Markup:
    """Return an instant as a `time` element: in UTC, which a script turns into the reader's zone."""
    instant = parse_utc(at)
    utc = f"{_date(instant)}, {instant:%H:%M}"
    shown = _date(instant) if only_date else f"{utc} UTC"
    kind = "date" if only_date else "time"
    return Markup('<time datetime="{}" title="{} UTC" data-show="{}">{}</time>').format(at, utc, kind, shown)


def _date(at: datetime) -> str:
    return f"{at.day} {at:%b} {at.year}"


def by(name: str) -> str:
    """Say by whose key something was done, or that none was needed."""
    return WITHOUT_KEY if name == ANYBODY.name else f"by {name}"


def caller(name: str) -> str:
    """Name a key, or say that none was needed."""
    return WITHOUT_KEY.capitalize() if name == ANYBODY.name else name


def at_least(points: float) -> str:
    """Format points with their sign, rounded down, as sentences say `at least` of them."""
    return signed(floor(10 * points + ROUNDING) / 10)


def rank(percentile: float) -> str:
    """Say where a percentile stands, so that it agrees with `share_below`."""
    if percentile >= 100:
        return "the highest"
    below = _rounded_down(percentile)
    if percentile >= 50:
        return f"top {number(100 - below, 1).removesuffix('.0')}{EN_SPACE}%"
    return f"lower {number(max(below, 1))}{EN_SPACE}%"


def share_below(percentile: float) -> str:
    """Say how many of 100 users are below a percentile, rounded down: only all of them are 100."""
    return number(_rounded_down(percentile), 1).removesuffix(".0")


def _rounded_down(percentile: float) -> float:
    """Round a percentile down: above 99 to a tenth, else to a whole number, as the sentence of the rank does."""
    if percentile >= 100:
        return 100.0
    return min(floor(10 * percentile + ROUNDING) / 10, 99.9) if percentile > 99 else floor(percentile + ROUNDING)


def sentence(text: str) -> str:
    """Begin a message with a capital letter; quoted ids stay as they are."""
    return text[:1].upper() + text[1:]
