"""What if: a change of features in, a changed score with its parts out.

An outcome is an association among people: those whose features differ so stand so. It is no promise that whoever
changes will come to stand there. One function answers every question, whoever puts it: what peers show (`levers`), what
is set by hand, and what it would be to stop for a while (`stopping`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from training.explanation.feature_constraints import WhatIfError, propagate_constraints
from training.explanation.peer_ranges import PeerValues
from training.model.bundle import Bundle
from training.model.feature_row import FeatureRow

REPETITIONS, PIECES = "repetitions_90d", "created_90d"
ROUNDING = 1e-9


@dataclass(frozen=True)
class Scenario:
    """A change to look at: what is `asked`, and what follows from it beside what `propagate_constraints` finds."""

    asked: Mapping[str, float]
    follows: Mapping[str, float]


@dataclass(frozen=True)
class Change:
    """How one feature moves: from `before` to `after` (None: unknown), because it was `asked` or because it follows.

    `points` is what its line in the ledger gains or loses; `outside` says that it lies beyond what peers show.
    """

    feature: str
    before: float | None
    after: float | None
    asked: bool
    actionable: bool
    outside: bool
    points: float
    sentence: str


@dataclass(frozen=True)
class ScenarioOutcome:
    """Where people stand who differ so: `gain` is `score` less the present one.

    `asks` is the share of peers that the changes asked for pass, in one feature or another, as if features were
    independent: `1 - product(1 - share of one)`. `other_lines` are points that
    lines of unchanged features gain or lose beside it, and `clipping` what ending at 0 and 100 takes or adds, so that
    the points of the changes, `other_lines` and `clipping` add up to `gain` within 1e-6. `in_own_hands` says whether
    all that was asked can be acted on by the person alone.
    """

    changes: tuple[Change, ...]
    asks: float
    score: float
    gain: float
    other_lines: float
    clipping: float
    expected_audience: float
    low: int
    high: int
    in_own_hands: bool


def what_if(
    bundle: Bundle, person: FeatureRow, questions: Sequence[Scenario], peers: PeerValues
) -> list[ScenarioOutcome]:
    """Answer questions about one person.

    Parameters
    ----------
    bundle : the model that made the score
    person : who, with every feature of the catalogue
    questions : the changes to look at, each by itself
    peers : what peers show

    Returns
    -------
    an outcome a question, in order

    Raises
    ------
    WhatIfError : a feature is not one that the model sees, a value is none that it can have, or changes contradict
    CatalogueError : the person lacks a feature of the model

    """
    if not questions:
        return []
    person = dict(person)
    for question in questions:
        _check(bundle, question.asked, person | dict(question.follows))
    moved = [
        propagate_constraints(person, question.asked, peers.allowance) | dict(question.follows) | dict(question.asked)
        for question in questions
    ]
    rows = pd.DataFrame([person, *(person | change for change in moved)])
    predicted = bundle.predict(rows)
    points = bundle.shap_values(bundle.matrix(rows))[:, :-1] * bundle.scale.points_per_nat
    parts = pd.DataFrame(points - points[0], columns=list(bundle.features))
    return [
        _outcome(question, _changes(question, person, change, peers, parts.iloc[k]), predicted.iloc[[0, k]], parts, k)
        for k, (question, change) in enumerate(zip(questions, moved, strict=True), start=1)
    ]


def _outcome(
    question: Scenario, changes: list[tuple[Change, float]], predicted: pd.DataFrame, parts: pd.DataFrame, k: int
) -> ScenarioOutcome:
    before, after = (found for _, found in predicted.iterrows())
    told = tuple(change for change, _ in changes)
    unclipped, gain = float(after["unclipped"] - before["unclipped"]), float(after["score"] - before["score"])
    return ScenarioOutcome(
        changes=told,
        asks=1.0 - math.prod(1.0 - passed for change, passed in changes if change.asked),
        score=float(after["score"]),
        gain=gain,
        other_lines=float(parts.iloc[k].sum()) - sum(change.points for change in told),
        clipping=gain - unclipped,
        expected_audience=float(after["expected_audience"]),
        low=int(after["low"]),
        high=int(after["high"]),
        in_own_hands=all(CATALOGUE[name].actionable for name in question.asked),
    )


def _changes(
    question: Scenario, person: dict[str, float], moved: dict[str, float], peers: PeerValues, parts: pd.Series
) -> list[tuple[Change, float]]:
    """Tell what moves, what was asked first, with the share of peers that it passes."""
    names = sorted(moved, key=lambda name: (name not in question.asked, -abs(parts.get(name, 0.0)), name))
    found = []
    for name in names:
        before, after = person[name], moved[name]
        if abs(after - before) <= ROUNDING or (after != after and before != before):
            continue
        change = Change(
            feature=name,
            before=None if before != before else before,
            after=None if after != after else after,
            asked=name in question.asked,
            actionable=CATALOGUE[name].actionable,
            outside=after == after and not peers.hold(name, after),
            points=float(parts.get(name, 0.0)),
            sentence=CATALOGUE[name].describe(after),
        )
        found.append((change, abs(peers.rank(name, after) - peers.rank(name, before))))
    return found


def _check(bundle: Bundle, asked: Mapping[str, float], person: Mapping[str, float]) -> None:
    for name, value in asked.items():
        if name not in CATALOGUE:
            near = get_close_matches(name[:100], list(bundle.features), n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise WhatIfError(f"there is no feature called {name[:100]!r}{hint}; {_seen(bundle)}")
        if name not in bundle.features:
            raise WhatIfError(f"{name} is shown and moves no score: the model does not see it; {_seen(bundle)}")
        _check_value(name, value)
        if name == REPETITIONS:
            _check_repetitions(value, person[PIECES])


def _check_value(name: str, value: float) -> None:
    share = CATALOGUE[name].unit == "share"
    if not np.isfinite(value) or value < 0 or (share and value > 1):
        raise WhatIfError(
            f"{name} cannot be {value:g}: expected a number from 0 {'to 1' if share else 'up'}, in "
            f"{CATALOGUE[name].unit}."
        )


def _check_repetitions(value: float, made: float) -> None:
    if value > max(made - 1, 0):
        raise WhatIfError(
            f"{REPETITIONS} cannot be {value:g} of {made:g} pieces made: the first of all repeats none. Expected "
            f"{max(made - 1, 0):g} at most."
        )


def _seen(bundle: Bundle) -> str:
    own = [name for name in bundle.features if CATALOGUE[name].actionable]
    others = [name for name in bundle.features if name not in own]
    return f"it sees, in a person's own hands: {', '.join(own) or 'none'}; in others': {', '.join(others)}."
