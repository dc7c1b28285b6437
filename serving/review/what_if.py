"""What-if reports of a snapshot's users: suggested changes, or the outcome of a requested one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from features.utc import UtcText
from serving.snapshots.explanation import Evidence, interval
from serving.snapshots.snapshot import Snapshot
from training.explanation.counterfactuals import (
    Scenario,
    ScenarioOutcome,
    actionable_recourse,
    what_if,
)
from training.explanation.feature_constraints import PeerValues, WhatIfError
from training.explanation.inactivity import AS_BEFORE, AT_THE_SAME_RATE, inactivity_scenario
from training.explanation.ledger import ledger
from training.explanation.possible_changes import ASSOCIATION, PossibleChange
from training.explanation.reasons import INSUFFICIENT, lacking
from training.model.bundle import FeatureRow
from training.model.intervals import Interval

OWN = "A user's own acts can only undo what lowers the score: being away, which any act ends, and repeating posts."
FEW_PEERS = 20


class TooLittleKnownError(WhatIfError):
    """Too little is known about a user for a score, so also for a changed one."""


@dataclass(frozen=True)
class WhatIf:
    """What would change a score: `asked` where a change was requested, else `possible_changes` and `in_own_hands`.

    Parameters
    ----------
    user : id of the user
    scope : the part of the activity: all, network:NAME or topic:NAME
    as_of : the instant of the snapshot
    model_version : version of the model in the registry
    horizon_days : how far ahead the audience is counted
    score : the present score, in points, 0 to 100
    expected_audience : distinct people expected to engage within the horizon, at present
    interval : of the present audience; each outcome has its own of the same level
    evidence : how much is known about the user
    peers : the number of users behind the ranges
    away_days : the requested days of inactivity
    asked : the outcome of the requested change
    in_own_hands : outcomes of changes that the user can make, smallest first
    possible_changes : the one or two changes to name first, as in the explanation: what the user can do, or how many
        more responses would add 5 points; empty only where a change was requested
    notes : the assumptions, and what lies outside the ranges
    association : how to read all of it

    """

    user: str
    scope: str
    as_of: UtcText
    model_version: str
    horizon_days: int
    score: float
    expected_audience: float
    interval: Interval
    evidence: Evidence
    peers: int
    away_days: int | None
    asked: ScenarioOutcome | None
    in_own_hands: tuple[ScenarioOutcome, ...]
    possible_changes: tuple[PossibleChange, ...]
    notes: tuple[str, ...]
    association: str = ASSOCIATION


def suggest_changes(snapshot: Snapshot, user: str, scope: str = "all") -> WhatIf:
    """Return what would raise a user's score within the values of peers; errors as in `simulate_change`."""
    report, row, peers = _unchanged(snapshot, user, scope)
    bundle, baseline = snapshot.bundle, snapshot.baseline(scope)
    own = actionable_recourse(bundle, row, peers, baseline)
    changes = ledger(bundle, row, baseline).possible_changes
    undoable = own or any(change.kind != "responses" for change in changes)
    notes = (OWN, *report.notes) if undoable else ()
    return replace(report, in_own_hands=own, possible_changes=changes, notes=notes)


def simulate_change(
    snapshot: Snapshot,
    user: str,
    scope: str = "all",
    changes: Mapping[str, float] | None = None,
    away_days: int | None = None,
    lost_responses: Mapping[str, float] | None = None,
) -> WhatIf:
    """Return a user's score with other features, after some days of inactivity, or both.

    `changes` maps features to values; `away_days` are days of inactivity from the snapshot's instant on, and
    `lost_responses` is the result of `inactivity.lost_responses` for them, None without events to compute it from.

    Raises
    ------
    UnknownUserError : the user has no score of that scope
    TooLittleKnownError : too little is known about the user; says what is missing
    WhatIfError : a change is not valid
    CatalogueError : the snapshot's model was trained on another catalogue

    """
    report, row, peers = _unchanged(snapshot, user, scope)
    scenario = Scenario(dict(changes or {}))
    assumptions = []
    if away_days is not None:
        away = inactivity_scenario(row, away_days, peers.allowance)
        scenario = Scenario({**away.changes, **scenario.changes}, {**(lost_responses or {}), **away.consequences})
        assumptions = [AT_THE_SAME_RATE if lost_responses is None else AS_BEFORE]
    (outcome,) = what_if(snapshot.bundle, row, [scenario], peers, snapshot.baseline(scope))
    notes = (*assumptions, *_warnings(outcome), *report.notes)
    return replace(report, away_days=away_days, asked=outcome, notes=notes)


def parse_changes(settings: Sequence[str]) -> dict[str, float]:
    """Parse changes written as `feature=value`.

    Raises
    ------
    WhatIfError : one is not of that form, its value is not a finite number, or a feature is set twice

    """
    changes: dict[str, float] = {}
    for setting in settings:
        name, _, text = (part.strip() for part in setting.partition("="))
        try:
            value = float(text) if name else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise WhatIfError(f"{setting[:100]!r} is not a change; expected feature=value, such as days_of_absence=0.")
        if name in changes:
            raise WhatIfError(f"{name[:100]} is set twice; set it once.")
        changes[name] = value
    return changes


def _unchanged(snapshot: Snapshot, user: str, scope: str) -> tuple[WhatIf, FeatureRow, PeerValues]:
    """Return a report without outcomes, and the user's features and peers to compute them from."""
    row, score = snapshot.feature_row(user, scope), snapshot.score(user, scope)
    if score["status"] == INSUFFICIENT:
        raise TooLittleKnownError(f"{user!r} has no score, so what would change it cannot be computed. {lacking(row)}")
    snapshot.bundle  # noqa: B018 - if its catalogue is not the installed one, that is the error to report
    peers = snapshot.peer_ranges.of(scope, row)
    keys = ("user", "scope", "as_of", "model_version", "horizon_days", "score", "expected_audience", "evidence")
    report = WhatIf(
        **{key: score[key] for key in keys},  # type: ignore[literal-required]
        interval=interval(score),
        peers=peers.users,
        away_days=None,
        asked=None,
        in_own_hands=(),
        possible_changes=(),
        notes=(f"Only {peers.users} users have a similar audience: the ranges of their values say little.",)
        if peers.users < FEW_PEERS
        else (),
    )
    return report, row, peers


def _warnings(outcome: ScenarioOutcome) -> list[str]:
    """Return notes on requested values that no peer has and on those in others' hands."""
    requested = [change for change in outcome.changes if change.asked]
    outside = [f"{change.feature} {change.after:g}" for change in requested if change.outside]
    others = [change.feature for change in requested if not change.actionable]
    notes = []
    if outside:
        notes.append(
            f"No user with a similar audience has such a value, so the model knows little of it: {', '.join(outside)}."
        )
    if others:
        names = ", ".join(others)
        notes.append(f"Not in the user's own hands: {names}. What usually changes with it stays as it is.")
    return notes
