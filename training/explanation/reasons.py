"""Reasons and evidence: the few sentences that explain most of a score, and how much is known about a user."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd

from features.catalogue.wording import observed_period, people, times
from training.model.bundle import FeatureRow
from training.model.feature_sets import EVIDENCE_FEATURES, EVIDENCE_PEOPLE

LEAST_POINTS = 0.5
MOST_REASONS = 3
MOST_OF_A_FAMILY = 2
WINDOW = re.compile(r"(_decayed)?_(\d+[dw]|ever)$")


@dataclass(frozen=True)
class Line:
    """One feature's part in a score.

    Parameters
    ----------
    feature : its name
    family : the family that it belongs to
    value : the user's, None where unknown
    points : what it adds to the score compared with the baseline
    sentence : what a reviewer reads
    typical : the median among the baseline's users, None where unknown
    parts : the lines that it opens into, which add up to it; empty for a feature

    """

    feature: str
    family: str
    value: float | None
    points: float
    sentence: str
    typical: float | None = None
    parts: "tuple[Line, ...]" = ()


@dataclass(frozen=True)
class Reason:
    """A reason for a score (points above 0) or against it: all features that differ only by their window.

    Parameters
    ----------
    sentence : that of the strongest of them on the reason's side
    points : the sum over all `features`
    family : the family of the strongest
    features : the names of the features behind it

    """

    sentence: str
    points: float
    family: str
    features: tuple[str, ...]


def reasons(lines: Iterable[Line], sign: int) -> list[Reason]:
    """Return the reasons for (+1) or against (-1) a score, strongest first.

    Features that differ only by their window (`engagers_7d`, `engagers_365d`, `engagers_decayed_28d`) mean nearly the
    same and make one reason, which is on one side only: their points are added up. A reason, and its strongest line,
    move the score by at least half a point; at most two are of one family, no two say the same, and at most three are
    returned.
    """
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(subject(line.feature), []).append(line)
    candidates = [reason for group in groups.values() if (reason := _reason(group, sign))]
    selected: list[Reason] = []
    for reason in sorted(candidates, key=lambda reason: -abs(reason.points)):
        repeats = any(other.sentence == reason.sentence for other in selected)
        if not repeats and sum(other.family == reason.family for other in selected) < MOST_OF_A_FAMILY:
            selected.append(reason)
    return selected[:MOST_REASONS]


@cache
def subject(feature: str) -> str:
    """Return a feature's name without its window: what it counts."""
    return WINDOW.sub("", feature)


def _reason(group: list[Line], sign: int) -> Reason | None:
    points = sum(line.points for line in group)
    strongest = max(group, key=lambda line: sign * line.points)
    if sign * points < LEAST_POINTS or sign * strongest.points < LEAST_POINTS:
        return None
    return Reason(strongest.sentence, points, strongest.family, tuple(line.feature for line in group))


INSUFFICIENT: Literal["insufficient_evidence"] = "insufficient_evidence"
SOME, STRONG = "some", "strong"
MIN_EVENTS, MANY_PEOPLE = 3, 20


def evidence(rows: pd.DataFrame) -> np.ndarray:
    """Grade the evidence of scores by what others did in the last 365 days. Shape (rows,), strings.

    `strong`: 20 different people or more engaged with the user; `some`: fewer. `insufficient_evidence`: own events and
    engagements are fewer than 3 together, so hardly anything is known.
    """
    events = rows[list(EVIDENCE_FEATURES)].fillna(0).to_numpy(float).sum(axis=1)
    strong = rows[EVIDENCE_PEOPLE].fillna(0).to_numpy(float) >= MANY_PEOPLE
    return np.select([events < MIN_EVENTS, strong], [INSUFFICIENT, STRONG], SOME)


def describe_evidence(grade: str, row: FeatureRow) -> str:
    """Say how sure a score is: how much others did."""
    if grade == INSUFFICIENT:
        return lacking(row)
    count, age = _number(row[EVIDENCE_PEOPLE]), row.get("account_age_days", math.nan)
    period = observed_period(age)
    if grade == STRONG:
        return f"The evidence is strong: {people(count)} engaged with this user in {period}."
    if not count:
        return f"There is little evidence: nobody with a known id engaged with this user in {period}."
    return (
        f"There is only some evidence: {people(count)} engaged with this user in {period}, so a few more or fewer make "
        "a difference."
    )


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def lacking(row: FeatureRow) -> str:
    """Return a sentence that says what evidence is missing for a score."""
    acts, engagements = (int(_number(row[name])) for name in EVIDENCE_FEATURES)
    return (
        f"Too little is known for a score: in the last year this user {'acted ' if acts else ''}"
        f"{times(acts) if acts else 'did nothing'}, and others "
        f"{f'engaged {times(engagements)}' if engagements else 'did not engage'}. It takes {MIN_EVENTS} events, so "
        f"{MIN_EVENTS - acts - engagements} more."
    )
