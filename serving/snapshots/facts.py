"""The facts of a score as text, table and page show them: in the same words, with points that add up as printed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from features.catalogue import CATALOGUE
from features.catalogue.credible_wording import LATELY
from features.catalogue.originality import EXCESS_REPETITIONS
from features.catalogue.responder_rate import MONTH_DAYS, RATES
from features.catalogue.wording import LEAST_SHOWN, pointed, rounded_to_sum
from serving.snapshots.comparisons import AMOUNTS, PERIODS_DAYS, TENURE, Comparisons, compared, value_shown
from training.explanation.feature_constraints import ABSENT, AGE
from training.explanation.ledger import ANYBODY, Ledger
from training.explanation.possible_changes import POSTS
from training.explanation.reasons import (
    LEAST_POINTS,
    MOST_REASONS,
    PERIODS,
    RESPONSES,
    SAME_PEOPLE,
    SILENT,
    Line,
    facts,
    merge,
    without,
)
from training.model.bundle import FeatureRow

ALWAYS_SHOWN = 1.0  # points, from which on a fact is among the reasons however many there are
OTHERS = "other_facts"  # the fact of all that make no reason
REST = "Other facts, and what facts do together"
ENDS = "Scores end at 0 and at 100"


@dataclass(frozen=True, slots=True)
class FactRow:
    """A row of the table of points.

    Parameters
    ----------
    label : what it is of
    value : the user's, as text; empty where no figure is shown
    average : what gives about the average, as text; empty where it is not known, contradicts the points or is
        printed as the value is, and where a share of users explains the points instead
    points : rounded to a tenth
    sentence : what a reviewer reads of it, with what explains the points, without the points

    """

    label: str
    value: str
    average: str
    points: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact of a score, with rounded points: those of all facts add up to the printed score less the printed base.

    Parameters
    ----------
    sentence : what a reviewer reads: the sentences of its rows, with the points of each if they are several
    points : rounded to a tenth
    features : the names of the features behind it
    rows : of the table; their points add up to the fact's
    is_distinct : whether it is one fact, not all others together

    """

    sentence: str
    points: float
    features: tuple[str, ...]
    rows: tuple[FactRow, ...]
    is_distinct: bool = True

    @property
    def pointed(self) -> str:
        """The sentence with the points of the fact."""
        return pointed(f"{self.sentence} Together" if len(self.rows) > 1 else self.sentence, self.points)


def facts_of(
    parts: Ledger, row: FeatureRow, percentiles: Mapping[str, Sequence[float]] | None = None
) -> tuple[Fact, ...]:
    """Return the facts that make the reasons, strongest first, and last all others together.

    `percentiles` are those of the active users, see `Baseline`.
    """
    comparisons = Comparisons(row, any(line.typical is not None for line in parts.lines), percentiles or {})
    merged = _merge_responses(facts(_comparable(parts.lines, row)), comparisons)
    main = main_lines(merged, comparisons)
    others = without(merged, main)
    every = [*main, _sum_up(others)] if others else main
    exact = [*(line.points for line in every), parts.clipping]
    points = rounded_to_sum(exact, round(parts.score, 1) - round(parts.base, 1))
    return tuple(_fact(line, rounded, comparisons) for line, rounded in zip(every, points, strict=False))


def _merge_responses(merged: Sequence[Line], comparisons: Comparisons) -> list[Line]:
    """Make one fact of the people who responded, and of the last response and of periods if these are worth telling."""
    group = [
        line
        for line in merged
        if line.feature in SAME_PEOPLE
        or (line.feature in RESPONSES and abs(line.points) >= LEAST_POINTS and _is_reason(line, comparisons))
    ]
    if len(group) < 2 or not any(line.feature in SAME_PEOPLE for line in group):
        return list(merged)
    responses = merge([part for line in group for part in line.parts or (line,)])
    return sorted([responses, *without(merged, group)], key=lambda line: -abs(line.points))


def _comparable(lines: Sequence[Line], row: FeatureRow) -> Sequence[Line]:
    """Leave out the average weight of responses where more people count by it than those of whom it is a part."""
    typical = {line.feature: line.typical for line in lines if line.typical is not None}
    weight = typical.get(LATELY)
    people = [
        AMOUNTS[name](typical[name], row) for name in RATES if name in typical and row[AGE] >= RATES[name].few_days
    ]
    if weight is None or all(weight <= count for count in people):
        return lines
    return [replace(line, typical=None) if line.feature == LATELY else line for line in lines]


def main_lines(merged: Sequence[Line], comparisons: Comparisons) -> list[Line]:
    """Return the facts that make the reasons: the three strongest of half a point or more, and all of a point."""
    possible = (line for line in merged if abs(line.points) >= LEAST_POINTS and _is_reason(line, comparisons))
    return [
        line
        for rank, line in enumerate(possible)
        if abs(line.points) >= (LEAST_POINTS if rank < MOST_REASONS else ALWAYS_SHOWN)
    ]


def _is_reason(line: Line, comparisons: Comparisons) -> bool:
    """Return whether a fact can be a reason.

    That a user is active and repeats few posts is none: nearly all whom the points are relative to do so. Nor is how
    many people responded, whoever they are: the facts of those who count say so. Nor is it one against a newcomer that
    there were not more periods. Nor is a number whose points neither the average nor a share of users explains: they
    come from what facts do together.
    """
    if line.feature in (ABSENT, EXCESS_REPETITIONS):
        return bool(line.value)
    if line.feature in PERIODS and line.points < 0 and _had_no_more_periods(line, comparisons.row):
        return False
    return line.feature != ANYBODY and not comparisons.contradict(line)


def _had_no_more_periods(line: Line, row: FeatureRow) -> bool:
    return row[AGE] < PERIODS_DAYS and (line.value or 0.0) > math.ceil(row[AGE] / MONTH_DAYS) - LEAST_SHOWN


def _sum_up(others: Sequence[Line]) -> Line:
    parts = tuple(part for line in others for part in line.parts or (line,))
    sentence, points = " ".join(line.sentence for line in others), sum(line.points for line in others)
    return Line(OTHERS, parts[0].family, None, points, sentence, parts=parts)


def _fact(line: Line, points: float, comparisons: Comparisons) -> Fact:
    groups = _by_sentence(line)
    totals = [points]
    if len(groups) > 1:
        totals = rounded_to_sum([sum(part.points for part in group) for group in groups], points)
    sentences, rows = [], []
    for group, total in zip(groups, totals, strict=True):
        leading, text = _leading(group), group[0].sentence
        comparison = comparisons.of(leading, total)
        sentence, value = compared(text, leading, comparison), value_shown(group[0], comparisons.row)
        rows.append(FactRow(label(leading.feature), value, comparison.average, total, sentence))
        if text in line.sentence:
            own = len(groups) > 1 and total
            sentences.append(compared(text, leading, comparison.with_points(total)) if own else sentence)
    return Fact(
        sentence=" ".join(sentences),
        points=points,
        features=tuple(part.feature for part in line.parts or (line,)),
        rows=tuple(rows),
        is_distinct=line.feature != OTHERS,
    )


def _by_sentence(line: Line) -> list[list[Line]]:
    """Return the lines of a fact, those that say the same together."""
    if line.feature == OTHERS or not line.parts:
        return [[line]]
    groups: dict[str, list[Line]] = {}
    for part in line.parts:
        groups.setdefault(part.sentence, []).append(part)
    return list(groups.values())


def _leading(group: Sequence[Line]) -> Line:
    """Return the line whose figures stand for features that say the same: that of the people, if there is one."""
    return group[0] if len(group) == 1 else next((line for line in group if line.feature in RATES), group[0])


def label(feature: str) -> str:
    """Return what a fact is of, in 40 characters or less for facts of today's models."""
    if feature in LABELS:
        return LABELS[feature]
    return (CATALOGUE[feature].title if feature in CATALOGUE else "") or feature.replace("_", " ").capitalize()


LABELS = {
    **dict.fromkeys(RATES, "People who responded, as they count"),
    LATELY: "Responses, older ones counting less",
    POSTS: "Posts that drew reactions that count",
    **dict.fromkeys(PERIODS, "Four-week periods with a response"),
    **dict.fromkeys(SILENT, "Days since a response that counts"),
    TENURE: "Days since the first activity",
    ABSENT: "Days since the last activity",
    EXCESS_REPETITIONS: "Repeated posts",
    OTHERS: REST,
}
