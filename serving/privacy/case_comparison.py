"""Comparison of a contested score with today's, for the reviewer of a case and for what the reviewer may decide."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from features.errors import CloutError
from serving.privacy.cases import Case
from serving.snapshots.explanation import Explanation
from serving.snapshots.snapshot import Snapshot


class UnchangedScoreError(CloutError):
    """A case is to be resolved as corrected while its explanation is still the served one."""


@dataclass(frozen=True)
class LineSide:
    """A line of one of the two ledgers.

    Parameters
    ----------
    value : the user's value of the feature, None where unknown
    points : what the line adds to the score
    sentence : what a reviewer reads

    """

    value: float | None
    points: float
    sentence: str


@dataclass(frozen=True)
class LinePair:
    """A feature's line then and now.

    Parameters
    ----------
    feature : its name
    then, now : the line, None if that ledger has no such line
    moved : points now minus points then

    """

    feature: str
    then: LineSide | None
    now: LineSide | None
    moved: float


@dataclass(frozen=True)
class CaseComparison:
    """A contested explanation beside that of the served snapshot.

    Parameters
    ----------
    now : the explanation of the served snapshot, None if there is none
    absent : why there is none
    same_snapshot, same_model : whether the served snapshot and its model are those of the contested score
    moved : the score now minus the score then
    lines : those of both ledgers, by absolute movement, largest first

    """

    now: Explanation | None
    absent: str | None
    same_snapshot: bool
    same_model: bool
    moved: float | None
    lines: tuple[LinePair, ...]


def compare_case(case: Case, served: Callable[[], Snapshot]) -> CaseComparison:
    """Compare the explanation stored in a case with that of the served snapshot; an error becomes `absent`."""
    try:
        now = served().explain(case.user, case.scope)
    except CloutError as error:
        return CaseComparison(None, str(error), False, False, None, ())
    same_model = now.model_version == case.model_version
    return CaseComparison(
        now=now,
        absent=None,
        same_snapshot=same_model and now.as_of == case.as_of,
        same_model=same_model,
        moved=now.score - case.explanation["score"],
        lines=_pairs(case.explanation["lines"], now),
    )


def check_decision(case: Case, decision: str, served: Callable[[], Snapshot]) -> None:
    """Check that an open case is resolved as corrected only after its score was computed again.

    Raises
    ------
    UnchangedScoreError : the explanation of the served snapshot is the contested one

    """
    if decision != "corrected" or case.state != "open":
        return
    today = compare_case(case, served)
    if today.same_snapshot and today.moved == 0 and all(pair.then == pair.now for pair in today.lines):
        raise UnchangedScoreError(
            f"case {case.case!r} cannot be resolved as 'corrected' yet: the score as of {case.as_of} is served as it "
            "was contested. Score again with the corrected events first ('clout score EVENTS'), or choose another "
            "decision."
        )


def _pairs(then: list[dict[str, Any]], now: Explanation) -> tuple[LinePair, ...]:
    before = {line["feature"]: LineSide(line["value"], line["points"], line["sentence"]) for line in then}
    after = {line.feature: LineSide(line.value, line.points, line.sentence) for line in now.lines}
    pairs = [_pair(name, before.get(name), after.get(name)) for name in {**before, **after}]
    return tuple(sorted(pairs, key=lambda pair: -abs(pair.moved)))


def _pair(feature: str, then: LineSide | None, now: LineSide | None) -> LinePair:
    moved = (now.points if now else 0.0) - (then.points if then else 0.0)
    return LinePair(feature, then, now, moved)
