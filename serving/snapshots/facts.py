"""The facts of a score as text, table and page show them: in the same words, with points that add up as printed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from features.aggregates import windows
from features.aggregates.windows import LOOKBACK_DAYS
from features.catalogue import CATALOGUE
from features.catalogue.credible import MONTH_DAYS, NEVER, RATE_DAYS, SILENCE, WITHOUT_ESTABLISHED, observed_days
from features.catalogue.originality import EXCESS_REPETITIONS, FREE_REPETITIONS
from features.catalogue.wording import count_of, pointed, rounded_to_sum
from training.explanation.feature_constraints import ABSENT, AGE, SINCE
from training.explanation.ledger import ANYBODY, Ledger
from training.explanation.possible_changes import POSTS
from training.explanation.reasons import LEAST_POINTS, MOST_REASONS, Line, facts
from training.model.bundle import FeatureRow

LATELY = "credible_engagers_decayed_28d"
PERIODS = ("established_periods_168d", "credible_periods_168d")  # of today's models and of earlier ones
SILENT = (SILENCE, WITHOUT_ESTABLISHED)
PERIODS_DAYS = windows.PERIODS * MONTH_DAYS
TENURE = "tenure_days"
ALWAYS_SHOWN = 1.0  # points, from which on a fact is among the reasons however many there are
WHOLE_FROM = 99.95  # from which on figures have no decimal
ENDS = "Scores end at 0 and at 100"
Shown: TypeAlias = Callable[[float, FeatureRow], str]


@dataclass(frozen=True)
class FactRow:
    """A row of the table of points.

    Parameters
    ----------
    label : what it is of
    value : the user's, as text; empty where no figure is shown
    average : what gives about the average, as text; empty where it is not known or contradicts the points
    points : rounded to a tenth

    """

    label: str
    value: str
    average: str
    points: float


@dataclass(frozen=True)
class Fact:
    """A fact of a score, with rounded points: those of all facts add up to the printed score less the printed base.

    Parameters
    ----------
    sentence : what a reviewer reads, with what gives the average
    points : rounded to a tenth
    features : the names of the features behind it
    rows : of the table; their points add up to the fact's

    """

    sentence: str
    points: float
    features: tuple[str, ...]
    rows: tuple[FactRow, ...]

    @property
    def pointed(self) -> str:
        """The sentence with the points."""
        return pointed(self.sentence, self.points)


def facts_of(parts: Ledger, row: FeatureRow) -> tuple[Fact, ...]:
    """Return the facts of a ledger, strongest first."""
    merged = facts(parts.lines)
    exact = [*(line.points for line in merged), parts.clipping]
    points = rounded_to_sum(exact, round(parts.score, 1) - round(parts.base, 1))
    return tuple(_fact(line, rounded, row) for line, rounded in zip(merged, points, strict=False))


def main_facts(merged: Sequence[Fact]) -> list[Fact]:
    """Return the facts that make the reasons: the three strongest of half a point or more, and all of a point."""
    return [
        fact
        for rank, fact in enumerate(merged)
        if abs(fact.points) >= (LEAST_POINTS if rank < MOST_REASONS else ALWAYS_SHOWN)
    ]


def _fact(line: Line, points: float, row: FeatureRow) -> Fact:
    by_sentence: dict[str, list[Line]] = {}
    for part in (line,) if line.feature == ANYBODY else line.parts or (line,):
        by_sentence.setdefault(part.sentence, []).append(part)
    groups = list(by_sentence.values())
    rounded = rounded_to_sum([sum(part.points for part in group) for group in groups], points)
    sentence = line.sentence
    for text, group in by_sentence.items():
        sentence = sentence.replace(text, _with_average(_with_only(text, group[0], row), _average(group, row)))
    return Fact(
        sentence=sentence,
        points=points,
        features=tuple(part.feature for part in line.parts or (line,)),
        rows=tuple(
            FactRow(label(group[0].feature), _value(group[0], row), _typical(group, row), total)
            for group, total in zip(groups, rounded, strict=True)
        ),
    )


def _with_only(sentence: str, line: Line, row: FeatureRow) -> str:
    """Say that few periods lower a score as "only" so many, where the user was there for all of them."""
    few = line.feature in PERIODS and line.points < 0 and not row[AGE] < PERIODS_DAYS
    return sentence.replace("In ", "In only ", 1) if few else sentence


def _with_average(sentence: str, average: str | None) -> str:
    """Put what gives the average behind the first clause, which holds the user's number."""
    if average is None:
        return sentence
    clause, mark, others = sentence.removesuffix(".").partition("; ")
    return f"{clause} ({average}){mark}{others}."


def _average(group: Sequence[Line], row: FeatureRow) -> str | None:
    """Return what gives about the average, in words; None where it is unknown, or where features say the same."""
    feature, figure = group[0].feature, _typical(group, row)
    if not figure:
        return None
    within = f" in {count_of(math.floor(row[AGE]), 'day')}" if feature in RATE_DAYS and row[AGE] < LOOKBACK_DAYS else ""
    unit = " days ago" if feature in DAYS and figure[-1].isdigit() else ""
    return f"average{within}: {figure}{unit}"


def _typical(group: Sequence[Line], row: FeatureRow) -> str:
    """Return what gives about the average as a figure, or how it differs where the user's value looks the same."""
    line = group[0]
    if len(group) > 1 or line.typical is None or line.feature not in FORMATS or line.feature in WITHOUT_AVERAGE:
        return ""
    shown = FORMATS[line.feature]
    figure = shown(line.typical, row)
    if line.value is None or figure != shown(line.value, row):
        return figure
    return f"slightly {'more' if line.typical > line.value else 'less'}"


def _value(line: Line, row: FeatureRow) -> str:
    if line.feature not in FORMATS:
        return ""
    return "none" if line.value is None else FORMATS[line.feature](line.value, row)


def label(feature: str) -> str:
    """Return what a fact is of, in 40 characters or less for facts of today's models."""
    if feature in LABELS:
        return LABELS[feature]
    return (CATALOGUE[feature].title if feature in CATALOGUE else "") or feature.replace("_", " ").capitalize()


def _number(value: float, _: FeatureRow) -> str:
    return f"{value:,.1f}".removesuffix(".0") if value < WHOLE_FROM else f"{value:,.0f}"


def _responders(least: int, rate: float, row: FeatureRow) -> str:
    return _number(rate * observed_days(row[AGE], least) / MONTH_DAYS, row)


def _days(value: float, _: FeatureRow) -> str:
    return "never" if math.isnan(value) else f"{math.floor(value):,}"


def _silence(days: float, row: FeatureRow) -> str:
    if days >= NEVER:
        return "none in a year"
    return _days(MONTH_DAYS + days, row) if days >= 0.5 else f"under {MONTH_DAYS}"


LABELS = {
    **dict.fromkeys(RATE_DAYS, "Responders who count, up to a year"),
    LATELY: "The weight of their responses now",
    POSTS: "Posts that drew engagement, 90 days",
    **dict.fromkeys(PERIODS, "Four-week periods with a response"),
    **dict.fromkeys(SILENT, "Days since a response that counts"),
    TENURE: "Days since the first activity",
    ABSENT: "Days since the last activity",
    EXCESS_REPETITIONS: "Repeated posts, 90 days",
    ANYBODY: "Responses from anybody",
}
FORMATS: dict[str, Shown] = {
    **{name: partial(_responders, least) for name, least in RATE_DAYS.items()},
    LATELY: _number,
    POSTS: _number,
    **dict.fromkeys(PERIODS, _number),
    **dict.fromkeys(SILENT, _silence),
    TENURE: _days,
    ABSENT: lambda days, row: _days(row.get(SINCE, days), row),
    EXCESS_REPETITIONS: lambda excess, row: (
        _days(excess + FREE_REPETITIONS, row) if excess else f"{FREE_REPETITIONS} or fewer"
    ),
}
DAYS = {*SILENT, TENURE}
WITHOUT_AVERAGE = {ABSENT, EXCESS_REPETITIONS}
