"""The facts of a score as text, table and page show them: in the same words, with points that add up as printed."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from features.catalogue import CATALOGUE
from features.catalogue.credible_wording import COUNTS_MUCH, LATELY
from features.catalogue.originality import EXCESS_REPETITIONS
from features.catalogue.responder_rate import MONTH_DAYS, RATES
from features.catalogue.wording import LEAST_SHOWN, ONLY_ANONYMOUS, pointed, rounded_to_sum
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
NEVER_HIDDEN = 2.0  # points, from which on a fact is a reason even if nothing explains them
MOST_LEFT = 1.85  # points beside the reasons, which are printed as less than two, however the sum is rounded
LEAST_ADDED = 0.25  # points of a fact that is a reason so that no more are left
OTHERS = "other_facts"  # the fact of all that make no reason
REST = "Everything else"
OF_RESPONSES = "Responses of others"
ENDS = "Scores end at 0 and at 100"
SHARED = (ABSENT, EXCESS_REPETITIONS)  # nearly all whom the points are relative to are active and repeat few posts
# What gives half of so many points or more, and 1.5 times those of any other figure, matters most.
MANY_POINTS, MOST_OF_IT, BY_FAR = 2.0, 0.5, 1.5


@dataclass(frozen=True, slots=True)
class FactRow:
    """A figure of a fact, with its points.

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
    sentence : what a reviewer reads: the sentences of the rows that are worth telling, and what matters most of several
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
    def label(self) -> str:
        """What the fact is of."""
        if not self.is_distinct:
            return REST
        return OF_RESPONSES if len(self.stated) > 1 else next(iter(self.stated or self.rows)).label

    @property
    def stated(self) -> tuple[FactRow, ...]:
        """The rows with the sentences of the fact."""
        return tuple(row for row in self.rows if row.sentence in self.sentence)

    @property
    def pointed(self) -> str:
        """The sentence with the points of the fact."""
        return pointed(f"{self.sentence} Together" if len(self.stated) > 1 else self.sentence, self.points)


def facts_of(
    parts: Ledger, row: FeatureRow, percentiles: Mapping[str, Sequence[float]] | None = None
) -> tuple[Fact, ...]:
    """Return the facts that make the reasons, strongest first, and last all others together.

    `percentiles` are those of the active users, see `Baseline`.
    """
    comparisons = Comparisons(row, any(line.typical is not None for line in parts.lines), percentiles or {})
    merged = _merge_shared(_merge_subjects(facts(_comparable(parts.lines, row)), comparisons), comparisons)
    main = main_lines(merged, comparisons)
    others = without(merged, main)
    every = [*main, _sum_up(others)] if others else main
    exact = [*(line.points for line in every), parts.clipping]
    points = rounded_to_sum(exact, round(parts.score, 1) - round(parts.base, 1))
    return tuple(_fact(line, rounded, comparisons) for line, rounded in zip(every, points, strict=False))


def _merge_subjects(merged: Sequence[Line], comparisons: Comparisons) -> list[Line]:
    """Make one fact of all responses, and one of an absence and a tenure whose points nothing else explains."""
    responses, absence = _of_responses(merged), [line for line in merged if line.feature == ABSENT and line.value]
    tenure = [line for line in merged if line.feature == TENURE and line.points < 0 and comparisons.contradict(line)]
    subjects = [group for group in (responses, [*absence, *tenure] if absence else []) if len(group) > 1]
    separate = without(merged, [line for group in subjects for line in group])
    return _strongest_first([*map(_merge_parts, subjects), *separate])


def _of_responses(merged: Sequence[Line]) -> list[Line]:
    """Return the lines of responses, and that of responses from anybody unless it alone decides to which side."""
    responses = [line for line in merged if line.feature in RESPONSES]
    if not any(line.feature in SAME_PEOPLE for line in responses):
        return []
    points = sum(line.points for line in responses)
    anybody = (line for line in merged if line.feature == ANYBODY and points * (points + 2 * line.points) > 0)
    return [*responses, *anybody]


def _merge_shared(merged: Sequence[Line], comparisons: Comparisons) -> list[Line]:
    """Add to the strongest reason what most active users share: its points differ only by the facts beside it."""
    shared = [line for line in merged if line.feature in SHARED and not line.value]
    strongest = next(_possible_reasons(merged, comparisons), None)
    if not shared or strongest is None:
        return list(merged)
    both = _merge_parts([strongest, *shared])
    if both.points * strongest.points < 0 or abs(both.points) < LEAST_POINTS:
        return list(merged)
    return _strongest_first([both, *without(merged, [strongest, *shared])])


def _merge_parts(group: Sequence[Line]) -> Line:
    """Return the line of a fact with all parts of its lines, and the sentence of the first, or of all responses."""
    parts = [part for line in group for part in _parts(line)]
    if any(part.feature in SAME_PEOPLE for part in parts):
        return merge(parts)
    first, points = group[0], sum(line.points for line in group)
    return replace(first, points=points, typical=None, parts=tuple(parts))


def _parts(line: Line) -> Sequence[Line]:
    """Return the lines of a fact; the bounded term is one."""
    return (line,) if line.feature == ANYBODY else line.parts or (line,)


def _strongest_first(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: -abs(line.points))


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
    """Return the facts that make the reasons: the three strongest of half a point or more, and all of a point.

    Others of a quarter of a point or more are added, strongest first, if less than two points are left with them.
    """
    main = [
        line
        for rank, line in enumerate(_possible_reasons(merged, comparisons))
        if abs(line.points) >= (LEAST_POINTS if rank < MOST_REASONS else ALWAYS_SHOWN)
    ]
    others = without(merged, main)
    rest = sum(line.points for line in others)
    more = [line for line in others if line.points * rest > LEAST_ADDED * abs(rest) and _is_reason(line, comparisons)]
    for count in range(len(more) + 1):
        if abs(rest - sum(line.points for line in more[:count])) < MOST_LEFT:
            return [*main, *more[:count]]
    return main


def _possible_reasons(merged: Sequence[Line], comparisons: Comparisons) -> Iterator[Line]:
    return (line for line in merged if abs(line.points) >= LEAST_POINTS and _is_reason(line, comparisons))


def _is_reason(line: Line, comparisons: Comparisons) -> bool:
    """Return whether a fact can be a reason.

    That a user is active and repeats few posts is none: nearly all whom the points are relative to do so. Nor is how
    many people responded, established or not: the facts of those who count say so. Nor is it one against a newcomer
    that there were not more periods. Nor is a number whose points neither the average nor a share of users explains, if
    they are few: they come from what facts do together.
    """
    if line.feature in SHARED:
        return bool(line.value)
    if line.feature in PERIODS and line.points < 0 and _had_no_more_periods(line, comparisons.row):
        return False
    return line.feature != ANYBODY and (abs(line.points) >= NEVER_HIDDEN or not comparisons.contradict(line))


def _had_no_more_periods(line: Line, row: FeatureRow) -> bool:
    return row[AGE] < PERIODS_DAYS and (line.value or 0.0) > math.ceil(row[AGE] / MONTH_DAYS) - LEAST_SHOWN


def _sum_up(others: Sequence[Line]) -> Line:
    sentence, points = " ".join(line.sentence for line in others), sum(line.points for line in others)
    return Line(OTHERS, others[0].family, None, points, sentence, parts=tuple(others))


def _fact(line: Line, points: float, comparisons: Comparisons) -> Fact:
    groups = _groups(line)
    totals = rounded_to_sum([sum(part.points for part in group) for group in groups], points)
    rows = [_row(group, total, comparisons) for group, total in zip(groups, totals, strict=True)]
    stated = [row for row, group in zip(rows, groups, strict=True) if _is_stated(line, group, comparisons)]
    if line.feature in RESPONSES:
        stated += _strongest_unless_stated(rows, stated, points)
    return Fact(
        sentence=_everything_else(rows, groups) if line.feature == OTHERS else _sentence(stated, rows, points),
        points=points,
        features=tuple(feature for part in line.parts or (line,) for feature in _features(part)),
        rows=tuple(rows),
        is_distinct=line.feature != OTHERS,
    )


def _strongest_unless_stated(rows: Sequence[FactRow], stated: Sequence[FactRow], points: float) -> list[FactRow]:
    """Return the figure of responses that moves the score furthest to the side of the fact, unless it is stated."""
    of_responses = [row for row in rows if row.label in WHAT_MATTERS]
    strongest = max(of_responses, key=lambda row: row.points / points)
    return [] if strongest in stated else [strongest]


def _sentence(stated: Sequence[FactRow], rows: Sequence[FactRow], points: float) -> str:
    """Return the sentences of a fact, and which of all its figures gives most of the points, if one does by far.

    It is named of many points, and where figures move the score to different sides.
    """
    sentence = " ".join(row.sentence for row in stated)
    agree = all(row.points * points >= 0 for row in stated)
    if len(stated) < 2 or (agree and abs(points) < MANY_POINTS):
        return sentence
    second, first = sorted(rows, key=lambda row: row.points / points)[-2:]
    by_far = first in stated and first.points / points >= max(MOST_OF_IT, BY_FAR * second.points / points)
    return f"{sentence} Most of the points come from {WHAT_MATTERS[first.label][points < 0]}." if by_far else sentence


def _everything_else(rows: Sequence[FactRow], groups: Sequence[Sequence[Line]]) -> str:
    """Name all that makes no reason with its points.

    Of one thing its sentence says it, unless that is how many people responded and this does not explain the points.
    """
    some = [(row, group[0]) for row, group in zip(rows, groups, strict=True) if row.points]
    names = [f"{row.label[0].lower()}{row.label[1:]}" for row, _ in some]
    if len(some) == 1:
        (row, line), (name,) = some[0], names
        return f"{REST} ({name})." if line.feature == ANYBODY and line.typical is None else row.sentence
    parts = ", ".join(f"{name} {row.points:+.1f}" for name, (row, _) in zip(names, some, strict=True))
    return f"{REST} ({parts})." if parts else f"{REST}."


def _row(group: Sequence[Line], points: float, comparisons: Comparisons) -> FactRow:
    leading = _leading(group)
    comparison = comparisons.of(leading, points)
    return FactRow(
        label=OF_RESPONSES if _is_of_all_responses(group) else label(leading.feature),
        value=value_shown(group[0].feature, group[0].value, comparisons.row),
        average=comparison.average,
        points=points,
        sentence=compared(group[0].sentence, leading, comparison),
    )


def _is_stated(line: Line, group: Sequence[Line], comparisons: Comparisons) -> bool:
    """Return whether a sentence is among those of its fact: of responses, how many people they are of, and more.

    The last response and four-week periods are worth telling from half a point on, if something explains their points.
    That a response came lately is not: what responses are worth now says so.
    """
    first = _leading(group)
    if line.feature in RESPONSES and first.feature in (*SILENT, *PERIODS):
        points, is_recent = sum(part.points for part in group), first.feature in SILENT and not first.value
        if is_recent and (COUNTS_MUCH in first.sentence or ONLY_ANONYMOUS in line.sentence):
            return False
        return abs(points) >= LEAST_POINTS and _is_reason(first, comparisons)
    return first.sentence in line.sentence


def _is_of_all_responses(group: Sequence[Line]) -> bool:
    """Return whether a row is of a whole fact of responses, which is no reason."""
    return len(group) == 1 and group[0].feature in SAME_PEOPLE and bool(group[0].parts)


def _features(line: Line) -> Iterator[str]:
    if not line.parts:
        yield line.feature
    for part in line.parts:
        yield from _features(part)


def _groups(line: Line) -> list[list[Line]]:
    """Return the lines of a fact, those that say the same together."""
    if line.feature == OTHERS or not line.parts:
        return [[part] for part in line.parts or (line,)]
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
    POSTS: "Posts with engagement that counts",
    **dict.fromkeys(PERIODS, "Four-week periods with a response"),
    **dict.fromkeys(SILENT, "Days since a response that counts"),
    TENURE: "Days since the first activity",
    ABSENT: "Days since the last activity",
    EXCESS_REPETITIONS: "Repeated posts",
    ANYBODY: "People who responded, established or not",
}
# What matters of responses, where it raises a score and where it lowers it.
WHAT_MATTERS = {
    **{LABELS[name]: ("the number of people who count", "the small number of people who count") for name in RATES},
    LABELS[ANYBODY]: ("the number of people who responded", "the small number of people who responded"),
    LABELS[LATELY]: ("how much the responses count now", "how little the responses count now"),
    **{LABELS[name]: ("how recent the last response is", "how old the last response is") for name in SILENT},
    **{
        LABELS[name]: ("the number of periods with a response", "the small number of periods with a response")
        for name in PERIODS
    },
}
