"""Reasons: the few sentences that say most of why a score is what it is.

Evidence: how much is known about a user.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from training.model.feature_row import FeatureRow

LEAST_POINTS = 0.5
MOST_REASONS = 4
MOST_OF_A_FAMILY = 2
WINDOW = re.compile(r"(_decayed)?_(\d+[dw]|ever)$")


@dataclass(frozen=True)
class Line:
    """One feature's part in a score.

    `value` is the person's and `typical` the middle one among peers (None: unknown), `points` what it adds to the score
    beside what the average training row has, `sentence` what a reviewer reads.
    """

    feature: str
    family: str
    value: float | None
    points: float
    sentence: str
    typical: float | None = None


@dataclass(frozen=True)
class Reason:
    """What speaks for a score (points above 0) or against it: features that differ by their window alone, together.

    `sentence` is that of the strongest of them on the reason's side, `points` are those of all `features`.
    """

    sentence: str
    points: float
    family: str
    features: tuple[str, ...]


def reasons(lines: Iterable[Line], sign: int) -> list[Reason]:
    """Return what speaks for (+1) or against (-1) a score, strongest first.

    Features that differ by their window alone (`engagers_7d`, `engagers_365d`, `engagers_decayed_28d`) say nearly the
    same and make one reason, which is on one side only: their points are added up. A reason, and the line that tells
    it, move the score by at least half a point; at most two are of one family, at most four are given.
    """
    found = [_reason(group, sign) for group in _by_subject(lines)]
    ranked = sorted((reason for reason in found if reason is not None), key=lambda reason: -abs(reason.points))
    given: list[Reason] = []
    for reason in ranked:
        if sum(other.family == reason.family for other in given) < MOST_OF_A_FAMILY:
            given.append(reason)
    return given[:MOST_REASONS]


@cache
def subject(feature: str) -> str:
    """Return a feature's name without its window: what is counted, whatever the time."""
    return WINDOW.sub("", feature)


def _by_subject(lines: Iterable[Line]) -> list[list[Line]]:
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(subject(line.feature), []).append(line)
    return list(groups.values())


def _reason(group: list[Line], sign: int) -> Reason | None:
    points = sum(line.points for line in group)
    strongest = max(group, key=lambda line: sign * line.points)
    if sign * points < LEAST_POINTS or sign * strongest.points < LEAST_POINTS:
        return None
    return Reason(strongest.sentence, points, strongest.family, tuple(line.feature for line in group))


INSUFFICIENT, SOME, STRONG = "insufficient_evidence", "some", "strong"
FEWEST_ACTS, MANY_ACTS = 3, 20


def evidence(rows: pd.DataFrame) -> np.ndarray:
    """Grade how much a score rests on, by the acts made and the engagements received in the last 365 days together.

    Fewer than 3 are `insufficient_evidence`, fewer than 20 `some`, more are `strong`. Shape (rows,), strings.
    """
    known = rows["acts_365d"].fillna(0).to_numpy(float) + rows["engagements_365d"].fillna(0).to_numpy(float)
    return np.select([known < FEWEST_ACTS, known < MANY_ACTS], [INSUFFICIENT, SOME], STRONG)


def lacking(person: FeatureRow) -> str:
    """Say what is lacking to call a person's score one, in a sentence."""
    acts, engagements = (int(np.nan_to_num(person[name])) for name in ("acts_365d", "engagements_365d"))
    return (
        f"Too little is known for a score. Acts made in the last 365 days: {acts}, engagements received: "
        f"{engagements}; it takes {FEWEST_ACTS} of both together, {FEWEST_ACTS - acts - engagements} more."
    )
