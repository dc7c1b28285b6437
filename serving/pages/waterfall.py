"""The waterfall of a score: steps by fact that lead from the base to the score."""

from dataclasses import dataclass
from itertools import accumulate

from serving.snapshots.explanation import Explanation
from serving.snapshots.facts import ENDS, Fact


@dataclass(frozen=True)
class Step:
    """A step of the waterfall.

    Parameters
    ----------
    name : of the fact, the base, the score, or an end of the scale
    points : rounded, so that all steps add up to the rounded score
    left, width : where its bar lies, in percent of the chart
    at : where the sum after the step lies, in percent of the chart
    fact : the fact, if it is one

    """

    name: str
    points: float
    left: float
    width: float
    at: float
    fact: Fact | None = None


@dataclass(frozen=True)
class Waterfall:
    """The steps from the base to the score, and where the chart's marks of 0, 25, 50, 75 and 100 points lie."""

    base: Step
    steps: tuple[Step, ...]
    score: Step
    marks: tuple[tuple[int, float], ...]


def waterfall(explanation: Explanation) -> Waterfall:
    """Arrange the facts of a score as a waterfall, with points as printed elsewhere."""
    base, score = round(explanation.base, 1), round(explanation.score, 1)
    ends = list(accumulate((fact.points for fact in explanation.facts), initial=base))
    low, high = min(0.0, *ends), max(100.0, *ends)

    def percent(value: float) -> float:
        return round(100 * (value - low) / (high - low), 3)

    def step(name: str, points: float, start: float, end: float, fact: Fact | None = None) -> Step:
        lower, upper = sorted((percent(start), percent(end)))
        return Step(name, points, lower, round(upper - lower, 3), percent(end), fact)

    steps = [
        step(fact.label, fact.points, start, end, fact)
        for fact, start, end in zip(explanation.facts, ends, ends[1:], strict=False)
    ]
    if explanation.clipped:
        steps.append(step(ENDS, explanation.clipped, ends[-1], score))
    return Waterfall(
        base=step("Start", base, 0.0, base),
        steps=tuple(steps),
        score=step("Score", score, 0.0, score),
        marks=tuple((mark, percent(mark)) for mark in range(0, 101, 25)),
    )
