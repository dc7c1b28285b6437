"""Comparison of a contested score with today's, for the reviewer of a case."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from features.errors import CloutError
from serving.privacy.cases import Case
from serving.snapshots.explanation import Explanation
from serving.snapshots.snapshot import Snapshot


@dataclass(frozen=True)
class Side:
    """A line of one of the two ledgers."""

    value: float | None
    points: float
    sentence: str


@dataclass(frozen=True)
class Pair:
    """A feature's line then and now; None if a ledger has no such line. `moved` is now minus then, in points."""

    feature: str
    then: Side | None
    now: Side | None
    moved: float


@dataclass(frozen=True)
class CaseComparison:
    """A contested explanation beside that of the newest snapshot.

    `now` is the explanation of the newest snapshot; if it is None, `absent` says why. `same_snapshot` and `same_model`
    say whether the newest snapshot and its model are those of the contested score. `moved` is the score now minus the
    score then. `lines` are those of both ledgers, sorted by absolute movement, largest first.
    """

    now: Explanation | None
    absent: str | None
    same_snapshot: bool
    same_model: bool
    moved: float | None
    lines: tuple[Pair, ...]


def compare_case(case: Case, newest: Callable[[], Snapshot]) -> CaseComparison:
    """Compare the explanation stored in a case with that of the newest snapshot; an error becomes `absent`."""
    try:
        now = newest().explain(case.user, case.scope)
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


def _pairs(then: list[dict[str, Any]], now: Explanation) -> tuple[Pair, ...]:
    before = {line["feature"]: Side(line["value"], line["points"], line["sentence"]) for line in then}
    after = {line.feature: Side(line.value, line.points, line.sentence) for line in now.lines}
    pairs = [_pair(name, before.get(name), after.get(name)) for name in {**before, **after}]
    return tuple(sorted(pairs, key=lambda pair: -abs(pair.moved)))


def _pair(feature: str, then: Side | None, now: Side | None) -> Pair:
    moved = (now.points if now else 0.0) - (then.points if then else 0.0)
    return Pair(feature, then, now, moved)
