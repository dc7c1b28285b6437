"""Reasons and evidence: the few sentences that explain most of a score, and how much is known about a user."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd

from features.aggregates.windows import LOOKBACK_DAYS
from features.catalogue.credible import WITHOUT_ESTABLISHED
from features.catalogue.credible_wording import LATELY, SILENCE, YEAR
from features.catalogue.responder_rate import RATES
from features.catalogue.wording import people, responders, times, value_of, when
from training.model.bundle import FeatureRow
from training.model.feature_sets import EVIDENCE_FEATURES, EVIDENCE_PEOPLE

LEAST_POINTS = 0.5
MOST_REASONS = 3
MOST_OF_A_FAMILY = 3
WINDOW = re.compile(r"(_decayed)?_(\d+[dw]|ever)$")
SAME_PEOPLE = (*RATES, LATELY)  # the first tell more of them
SILENT = (SILENCE, WITHOUT_ESTABLISHED)
PERIODS = ("responder_periods_168d", "established_periods_168d", "credible_periods_168d")
# What is said of responses, in this order, by today's models and by earlier ones.
RESPONSES = (*SAME_PEOPLE, *SILENT, *PERIODS)


@dataclass(frozen=True, slots=True)
class Line:
    """One feature's part in a score.

    Parameters
    ----------
    feature : its name
    family : the family that it belongs to
    value : the user's, None where unknown
    points : what it adds to the score compared with the baseline
    sentence : what a reviewer reads
    typical : the value that gives about the average of the baseline's users; None where unknown, or where this user's
        points contradict it
    parts : the lines that it opens into, which add up to it; empty for a feature

    """

    feature: str
    family: str
    value: float | None
    points: float
    sentence: str
    typical: float | None = None
    parts: "tuple[Line, ...]" = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason for a score (points above 0) or against it: all features that tell the same fact.

    Parameters
    ----------
    sentence : what a reviewer reads
    points : the sum over all `features`
    family : the family of the strongest
    features : the names of the features behind it

    """

    sentence: str
    points: float
    family: str
    features: tuple[str, ...]


def facts(lines: Iterable[Line]) -> list[Line]:
    """Merge the lines that tell the same fact, and return one line for each fact, strongest first.

    Features that differ only by their window (`engagers_7d`, `engagers_365d`, `engagers_decayed_28d`) mean nearly the
    same. So do features that say the same of the user, and those that count the same people, where they move the score
    the same way. The sentence is that of the strongest line; of the same people all sentences. The lines of a fact are
    its parts, if there are several.
    """
    names: dict[str, str] = {}
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(names.setdefault(line.sentence, _fact(line)), []).append(line)
    return sorted(map(merge, groups.values()), key=lambda line: -abs(line.points))


def merge(group: Sequence[Line]) -> Line:
    """Return the line of a fact that several lines tell: of responses all sentences, else that of the strongest."""
    if len(group) == 1:
        return group[0]
    points = sum(line.points for line in group)
    strongest = max(group, key=lambda line: line.points if points > 0 else -line.points)
    responses = sorted(
        (line for line in group if line.feature in RESPONSES), key=lambda line: RESPONSES.index(line.feature)
    )
    named = responses or [strongest]
    return replace(
        named[0],
        points=points,
        sentence=" ".join(dict.fromkeys(line.sentence for line in named)),
        typical=None,
        parts=(*named, *without(group, named)),
    )


def without(lines: Sequence[Line], some: Sequence[Line]) -> list[Line]:
    """Return the lines that are none of some of them; the same objects, not equal ones."""
    numbers = {id(line) for line in some}
    return [line for line in lines if id(line) not in numbers]


def reasons(lines: Iterable[Line], most: int = MOST_REASONS) -> tuple[list[Reason], list[Reason]]:
    """Return the reasons for a score and those against it: up to three facts each, or `most`, strongest first.

    A fact, and its strongest line, move the score by at least half a point; at most three are of one family.
    """
    merged = facts(lines)
    return _reasons(merged, +1)[:most], _reasons(merged, -1)[:most]


def _reasons(merged: Iterable[Line], sign: int) -> list[Reason]:
    selected: list[Line] = []
    for line in merged:
        if sign * line.points < LEAST_POINTS:
            continue
        strongest = max(sign * part.points for part in line.parts or (line,))
        same_family = sum(other.family == line.family for other in selected)
        if strongest >= LEAST_POINTS and same_family < MOST_OF_A_FAMILY:
            selected.append(line)
    return [
        Reason(
            line.sentence,
            line.points,
            line.family,
            tuple(part.feature for part in line.parts) or (line.feature,),
        )
        for line in selected
    ]


def _fact(line: Line) -> str:
    """Return the name of the fact that a line tells."""
    if line.feature in SAME_PEOPLE:
        return f"people who respond, {'for' if line.points > 0 else 'against'}"
    return subject(line.feature)


@cache
def subject(feature: str) -> str:
    """Return a feature's name without its window: what it counts."""
    return WINDOW.sub("", feature)


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
    """Say what a score rests on: how much others did."""
    if grade == INSUFFICIENT:
        return lacking(row)
    engaged, since = _number(row[EVIDENCE_PEOPLE]), when(LOOKBACK_DAYS, row)
    if not engaged or value_of(row, YEAR) == 0:
        who = "no person who counts" if responders(row, 0.0, LOOKBACK_DAYS) else "no person"
        return f"The score rests on other users with similar figures: {who} has responded {since}."
    return f"The score rests on {'' if grade == STRONG else 'only '}{_who(engaged, row)} {since}."


def _who(engaged: float, row: FeatureRow) -> str:
    """Say how many people responded, and how many engaged in any way only where that decides the grade."""
    responded = responders(row, value_of(row, YEAR), LOOKBACK_DAYS)
    if responded is None:
        return f"{people(engaged)} who engaged with this user"
    if round(responded) >= min(engaged, MANY_PEOPLE) or engaged < MANY_PEOPLE:
        return f"{people(responded)} who responded"
    return f"{people(engaged)} who engaged with this user ({responded:,.0f} of them responded)"


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
