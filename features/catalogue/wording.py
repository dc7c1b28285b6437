"""The words of sentences about a user: counts with their nouns, and what a weighted count amounts to."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

Row = Mapping[str, float]  # a user's features by name, NaN where unknown
# Returns a sentence about a user, given the value of a feature (None: unknown) and the user's other features.
Sentence = Callable[[float | None, Row], str]
NOT_KNOWN, ONLY_ANONYMOUS = "Not known.", "only anonymous ones"
YEAR_DAYS, LEAP_YEAR_DAYS, YEARS_FROM = 365, 365.25, 1_097
WHOLE_POINTS = 9.95  # from which on points are rounded to whole numbers
WHOLE_FROM = 0.95  # from which on weighted counts are rounded to whole numbers
LEAST_SHOWN = 0.05  # of weighted counts with a decimal
Uncounted: TypeAlias = Literal["new", "exchange", "returned"]  # why people who responded count for less
UNCOUNTED: tuple[Uncounted, ...] = get_args(Uncounted)


def value_of(row: Row, name: str) -> float | None:
    """Return another feature of the user; None if it is unknown or was not computed."""
    return without_nan(row.get(name))


def without_nan(value: float | None) -> float | None:
    """Return a value; None if it is NaN, which alone differs from itself."""
    return None if value is None or value != value else value


def count_of(value: float, noun: str, plural: str | None = None) -> str:
    """Return a whole number with its noun: `1 post`, `1,060 posts`."""
    return f"{math.floor(value + 0.5):,} {singular_or_plural(value, noun, plural or noun + 's')}"


def counted(text: str, noun: str, plural: str | None = None, none: str | None = None) -> Sentence:
    """Return a sentence of a count: a text with `{count}` in it, and another for zero."""

    def sentence(value: float | None, _: Row) -> str:
        if value is None:
            return NOT_KNOWN
        return none if none is not None and not value else text.format(count=count_of(value, noun, plural))

    return sentence


def happened(text: str, never: str) -> Sentence:
    """Return a sentence of how often something happened: a text with `{times}` in it, and another for never."""
    return lambda value, _: text.format(times=times(round(value))) if value else never


def share_of(text: str, unknown: str) -> Sentence:
    """Return a sentence of a share: a text with `{share}` in it, such as `12%`, and another where it is unknown."""
    return lambda value, _: unknown if value is None else text.format(share=f"{value:.0%}")


def since(text: str, never: str) -> Sentence:
    """Return a sentence of days: a text with `{ago}` in it, such as `3 days ago`, and another where it is unknown."""
    return lambda value, _: never if value is None else text.format(ago=ago(value))


def number(text: str, unknown: str) -> Sentence:
    """Return a sentence of another figure: a text with `{value}` in it, to two digits, and another for unknown."""
    return lambda value, _: unknown if value is None else text.format(value=f"{value:,.2f}".removesuffix(".00"))


def people(value: float) -> str:
    """Return a number of people: `1 person`, `262 people`."""
    return count_of(value, "person", "people")


def amount(value: float, noun: str) -> str:
    """Return a weighted count: `about 12 posts`, `0.2 of a post`, `less than 0.1 of a post`."""
    if value >= WHOLE_FROM:
        return f"about {count_of(value, noun)}"
    part = f"{value:.1f}" if value >= LEAST_SHOWN else "less than 0.1"
    return f"{part} of {'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def members(weight: float) -> str:
    """Return what people count as together: `about 86 established members`, `0.2 of an established member`."""
    return amount(weight, "established member")


def times(count: int) -> str:
    """Return how often something happened: `never`, `once`, `12 times`."""
    return {0: "never", 1: "once"}.get(count, f"{count:,} times")


def points_of(points: float) -> str:
    """Return a number of points: `0.6 points`, `1 point`, `12 points`."""
    number = f"{points:.0f}" if points >= WHOLE_POINTS else f"{points:.1f}".removesuffix(".0")
    return f"{number} {'point' if number == '1' else 'points'}"


def least_points_of(points: float) -> str:
    """Return a number of points, rounded down as far as `points_of` rounds."""
    tenths = math.floor(points * 10 + 1e-9) / 10
    return points_of(tenths if tenths < WHOLE_POINTS else math.floor(tenths))


def when(days: int, row: Row) -> str:
    """Return a window of time, or how long a user is known who is younger.

    Such as `in the last 90 days`, `since this user appeared 32 days ago`.
    """
    age = value_of(row, "account_age_days")
    return f"in {window(days)}" if age is None or age >= days else f"since this user appeared {ago(age)}"


def ago(days: float) -> str:
    """Return how long ago something was: `less than a day ago`, `171 days ago`, `more than 3 years ago`."""
    if days >= YEARS_FROM:
        return f"more than {count_of(math.floor(days / LEAP_YEAR_DAYS), 'year')} ago"
    return "less than a day ago" if days < 1 else f"{count_of(math.floor(days), 'day')} ago"


def window(days: int) -> str:
    """Return a window in words: `the last 28 days`, `the last year`."""
    return "the last year" if days == YEAR_DAYS else f"the last {days} days"


def responders(row: Row, credible: float | None, days: int) -> float | None:
    """Return how many known people responded in some days: those who count, plus what they do not count for."""
    parts = [credible, *(value_of(row, f"uncounted_{kind}_{days}d") for kind in UNCOUNTED)]
    return None if any(part is None for part in parts) else sum(part for part in parts if part is not None)


def nobody_responded(row: Row, days: int, what: str) -> str:
    """Say that no known person responded in some days, and whether anonymous ones did, in the words of `what`."""
    if "days_since_last_response" not in row:
        return f"Nobody with a known id {what}."
    last = value_of(row, "days_since_last_response")
    return f"Nobody {what}." if last is None or last > days else f"No known person {what}, {ONLY_ANONYMOUS}."


def pointed(sentence: str, points: float) -> str:
    """Return a sentence with the points that it is worth: `Two people responded: +1.2 points.`."""
    return f"{sentence.removesuffix('.')}: {points:+.1f} points."


def rounded_to_sum(parts: Sequence[float], total: float, digits: int = 1) -> list[float]:
    """Round parts so that the rounded ones add up to the rounded total.

    Each part is rounded down, and those with the largest remainders up, until the sum fits.
    """
    unit = 10**digits
    lower = [math.floor(part * unit) for part in parts]
    excess = round(total * unit) - sum(lower)
    by_remainder = sorted(range(len(parts)), key=lambda k: lower[k] - parts[k] * unit)
    for k in by_remainder[: max(excess, 0)]:
        lower[k] += 1
    return [value / unit for value in lower]


def singular_or_plural(value: float, one: str, many: str) -> str:
    """Return the form of a word that fits a number, rounded to a whole one."""
    return one if math.floor(value + 0.5) == 1 else many
