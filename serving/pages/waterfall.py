"""The waterfall of a score: steps by fact that lead from the base to the score."""

from dataclasses import dataclass

from serving.snapshots.explanation import Explanation
from serving.snapshots.facts import ENDS, Fact
from training.explanation.reasons import facts


@dataclass(frozen=True)
class Step:
    """A step of the waterfall.

    Parameters
    ----------
    name : what it is of
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
    """Arrange the facts of a score as a waterfall; bars are exact, points are as printed elsewhere."""
    lines = facts(explanation.lines)
    exact = [explanation.base, *(line.points for line in lines), explanation.clipping]
    ends = [sum(exact[: k + 1]) for k in range(len(exact))]
    low, high = min(0.0, *ends), max(100.0, *ends)

    def percent(value: float) -> float:
        return round(100 * (value - low) / (high - low), 3)

    def step(name: str, points: float, start: float, end: float, fact: Fact | None = None) -> Step:
        lower, upper = sorted((percent(start), percent(end)))
        return Step(name, points, lower, round(upper - lower, 3), percent(end), fact)

    steps = [
        step(fact.rows[0].label, fact.points, start, end, fact)
        for fact, start, end in zip(explanation.facts, ends, ends[1:], strict=False)
    ]
    if explanation.clipped:
        steps.append(step(ENDS, explanation.clipped, ends[-2], ends[-1]))
    return Waterfall(
        base=step("Start", round(explanation.base, 1), 0.0, explanation.base),
        steps=tuple(steps),
        score=step("Score", round(explanation.score, 1), 0.0, explanation.score),
        marks=tuple((mark, percent(mark)) for mark in range(0, 101, 25)),
    )
