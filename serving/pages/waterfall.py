"""The waterfall of a score: steps by family that lead from the base to the score, each with its features."""

from collections.abc import Iterable
from dataclasses import dataclass

from serving.pages.formats import feature_value, rounded_to_sum
from serving.snapshots.explanation import Explanation
from training.explanation.reasons import Line

FAMILIES = {
    "reach": "How many people respond",
    "response": "What their posts draw",
    "persistence": "How long it lasts",
    "network": "Who responds",
    "cadence": "When and how often",
    "originality": "New or repeated content",
}


@dataclass(frozen=True)
class FeatureStep:
    """A line of the ledger: its sentence, the value and that of the median active user as text, and rounded points."""

    feature: str
    sentence: str
    value: str
    typical: str
    points: float


@dataclass(frozen=True)
class Step:
    """A step of the waterfall.

    Parameters
    ----------
    name, note : what it is
    points : rounded, so that all steps add up to the rounded score
    left, width : where its bar lies, in percent of the chart
    at : where the sum after the step lies, in percent of the chart
    features : its lines of the ledger, by points, largest first

    """

    name: str
    note: str
    points: float
    left: float
    width: float
    at: float
    features: tuple[FeatureStep, ...] = ()


@dataclass(frozen=True)
class Waterfall:
    """The steps from the base to the score, and where the chart's marks of 0, 25, 50, 75 and 100 points lie."""

    base: Step
    steps: tuple[Step, ...]
    score: Step
    marks: tuple[tuple[int, float], ...]


def waterfall(explanation: Explanation) -> Waterfall:
    """Arrange a ledger as a waterfall."""
    names = list(explanation.families)
    exact = [explanation.base, *explanation.families.values(), explanation.clipping]
    base, *points, clipping = rounded_to_sum(exact, explanation.score)
    ends = [sum(exact[: k + 1]) for k in range(len(exact))]
    low, high = min(0.0, *ends), max(100.0, *ends)

    def percent(value: float) -> float:
        return round(100 * (value - low) / (high - low), 3)

    def step(name: str, note: str, value: float, start: float, end: float, lines: Iterable[Line] = ()) -> Step:
        start_at, end_at = sorted((percent(start), percent(end)))
        return Step(name, note, value, start_at, round(end_at - start_at, 3), percent(end), _features(lines, value))

    steps = [
        step(
            name.capitalize(),
            FAMILIES.get(name, ""),
            value,
            start,
            end,
            [line for line in explanation.lines if line.family == name],
        )
        for name, value, start, end in zip(names, points, ends, ends[1:], strict=False)
    ]
    if explanation.clipping:
        steps.append(step("Limits", "Scores end at 0 and at 100", clipping, ends[-2], ends[-1]))
    return Waterfall(
        base=step("Start", explanation.baseline, base, 0.0, explanation.base),
        steps=tuple(steps),
        score=step("Score", "", round(explanation.score, 1), 0.0, explanation.score),
        marks=tuple((mark, percent(mark)) for mark in range(0, 101, 25)),
    )


def _features(lines: Iterable[Line], total: float) -> tuple[FeatureStep, ...]:
    ordered = sorted(lines, key=lambda line: -abs(line.points))
    rounded = rounded_to_sum([line.points for line in ordered], total)
    return tuple(
        FeatureStep(
            line.feature,
            line.sentence,
            feature_value(line.feature, line.value),
            feature_value(line.feature, line.typical),
            points,
        )
        for line, points in zip(ordered, rounded, strict=True)
    )
