"""What would change a score: the form that machines rely on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.snapshots.explanation import Interval
from serving.snapshots.snapshot import Snapshot
from training.explanation.counterfactuals import Scenario, ScenarioOutcome, what_if
from training.explanation.feature_constraints import WhatIfError
from training.explanation.inactivity import AS_BEFORE, AT_THE_SAME_RATE, inactivity_scenario
from training.explanation.reasons import INSUFFICIENT, lacking
from training.explanation.recourse import actionable_recourse, needed_engagers

ASSOCIATION = (
    "This is an association found among people, no promise: people who differ so stand so, and whoever changes need "
    "not come to stand there."
)
OWN = (
    "What is in the person's own hands can only undo what holds a score down: being away, which any act ends, and "
    "repeating oneself."
)
NOTHING = (
    "Nothing that is in the person's own hands would raise this score by half a point or more within what peers show: "
    "a person's own acts can lower a score, or undo what lowers it."
)
OTHERS = "What would is others who respond."
NOBODY = (
    "Nor would as many credible people responding in 28 days as peers show. To ask for more, set credible_engagers_28d."
)
FEW_PEERS = 20


class TooLittleKnownError(WhatIfError):
    """Too little is known of a user for a score, so also for a changed one."""


@dataclass(frozen=True)
class WhatIf:
    """What would change a score: `asked` where a change was asked for, else `in_own_hands` and `in_others_hands`.

    `away_days` is what was asked of doing nothing. `interval` is of the present expected audience, as each outcome has
    its own of the same level; `peers` is how many people the ranges are of. `notes` say what is assumed and what falls
    outside, `association` what all of it is.
    """

    user: str
    scope: str
    as_of: str
    model_version: str
    horizon_days: int
    score: float
    expected_audience: float
    interval: Interval
    evidence: str
    peers: int
    away_days: int | None
    asked: ScenarioOutcome | None
    in_own_hands: tuple[ScenarioOutcome, ...]
    in_others_hands: ScenarioOutcome | None
    notes: tuple[str, ...]
    association: str = ASSOCIATION


def proposed(snapshot: Snapshot, user: str, scope: str = "all") -> WhatIf:
    """Say what would raise a user's score, of what peers show; errors as in `changed`."""
    person, bundle = _person(snapshot, user, scope), snapshot.bundle
    peers = snapshot.shown.of(scope, person)
    own, others = actionable_recourse(bundle, person, peers), needed_engagers(bundle, person, peers)
    notes = (OWN,) if own else (NOTHING, OTHERS) if others else (NOTHING, NOBODY)
    return _told(snapshot, user, scope, peers.people, None, None, own, others, notes)


def changed(
    snapshot: Snapshot,
    user: str,
    scope: str = "all",
    asked: Mapping[str, float] | None = None,
    away_days: int | None = None,
    drawn: Mapping[str, float] | None = None,
) -> WhatIf:
    """Say where a user would stand with other features, after some days of doing nothing, or both.

    Parameters
    ----------
    snapshot : whose scores and features
    user, scope : who
    asked : feature -> value
    away_days : days of doing nothing from the snapshot's instant on
    drawn : as `stopping.drawn_no_more` gives it, of these days; None where events are not at hand

    Raises
    ------
    UnknownUserError : the user has no score of that scope
    TooLittleKnownError : too little is known of the user; says what is missing
    WhatIfError : a change means nothing
    CatalogueError : the snapshot's model was trained on another catalogue

    """
    person, bundle = _person(snapshot, user, scope), snapshot.bundle
    peers = snapshot.shown.of(scope, person)
    question = Scenario(dict(asked or {}), {})
    if away_days is not None:
        away = inactivity_scenario(person, away_days, peers.allowance)
        question = Scenario({**away.asked, **question.asked}, {**(drawn or {}), **away.follows})
    (outcome,) = what_if(bundle, person, [question], peers)
    assumed = [] if away_days is None else [AT_THE_SAME_RATE if drawn is None else AS_BEFORE]
    notes = (*assumed, *_warnings(outcome))
    return _told(snapshot, user, scope, peers.people, away_days, outcome, (), None, notes)


def settings(given: Sequence[str]) -> dict[str, float]:
    """Read changes written as `feature=value`.

    Raises
    ------
    WhatIfError : one is written otherwise, is no number, or comes twice

    """
    found: dict[str, float] = {}
    for each in given:
        name, equals, text = each.partition("=")
        value = _number(text)
        if not equals or not name.strip() or value is None:
            raise WhatIfError(f"{each[:100]!r} is no change; expected feature=value, such as days_absent=0.")
        if name.strip() in found:
            raise WhatIfError(f"{name.strip()[:100]} is set twice; set it once.")
        found[name.strip()] = value
    return found


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _person(snapshot: Snapshot, user: str, scope: str) -> dict[str, float]:
    person = snapshot.person(user, scope)
    if snapshot.score(user, scope)["status"] == INSUFFICIENT:
        raise TooLittleKnownError(
            f"{user!r} has no score, so nothing can be said about what would change it. {lacking(person)}"
        )
    return person


def _warnings(outcome: ScenarioOutcome) -> list[str]:
    """Say what is outside, what is not in the person's hands, and that nothing else moves along."""
    asked = [change for change in outcome.changes if change.asked]
    outside = [f"{change.feature} {change.after:g}" for change in asked if change.outside]
    others = [change.feature for change in asked if not change.actionable]
    told = []
    if outside:
        told.append(f"Outside what peers show, so the model has hardly anybody to go by: {', '.join(outside)}.")
    if others:
        told.append(
            f"Not in the person's own hands: {', '.join(others)}. What usually comes along with it stays as it is."
        )
    return told


def _told(
    snapshot: Snapshot,
    user: str,
    scope: str,
    peers: int,
    away_days: int | None,
    asked: ScenarioOutcome | None,
    own: tuple[ScenarioOutcome, ...],
    others: ScenarioOutcome | None,
    notes: tuple[str, ...],
) -> WhatIf:
    score = snapshot.score(user, scope)
    kept = ("user", "scope", "as_of", "model_version", "horizon_days", "score", "expected_audience", "evidence")
    return WhatIf(
        **{key: score[key] for key in kept},
        interval=Interval(score["low"], score["high"], snapshot.bundle.intervals.level),
        peers=peers,
        away_days=away_days,
        asked=asked,
        in_own_hands=own,
        in_others_hands=others,
        notes=notes if peers >= FEW_PEERS else (*notes, f"There are {peers} peers only: what they show says little."),
    )
