"""Changes between two snapshots: the ledger of one user's, and the forms that machines rely on."""

from dataclasses import dataclass

import pandas as pd

from features.errors import UnknownUserError
from features.utc import to_iso_utc
from serving.snapshots.explanation import SCORED
from serving.snapshots.snapshot import Snapshot
from training.explanation.reasons import INSUFFICIENT, Reason, lacking
from training.explanation.score_change import PARTS, ChangeLine, change_lines, change_reasons, changes
from training.model.bundle import Bundle


@dataclass(frozen=True)
class Side:
    """A score at one of the two instants, as its snapshot holds it."""

    as_of: str
    model_version: str
    score: float
    unclipped: float
    expected_audience: float
    evidence: str


@dataclass(frozen=True)
class Change:
    """How one score became another: `before.score + sum(points of lines) = after.score` within 1e-6.

    `change` is `after.score - before.score`. `parts` holds the sums of `lines` by part, in this order: `own` (what the
    person did), `others` (how others responded), `time` (that the account grew older), `model`, `scale` and `clipping`;
    `lines` are ordered by points, largest first. `reasons_up` and `reasons_down` are up to four sentences each,
    strongest first, and `reasons` are the same with their points and the features that each speaks of. `remarks` say
    what makes the two hard to compare. Where too little is known about the user at either instant, `status` is
    `insufficient_evidence`, else `scored`; there are then no reasons, and `missing` says what is, and when.
    """

    user: str
    scope: str
    before: Side
    after: Side
    change: float
    parts: dict[str, float]
    lines: tuple[ChangeLine, ...]
    reasons_up: tuple[str, ...]
    reasons_down: tuple[str, ...]
    reasons: tuple[Reason, ...]
    remarks: tuple[str, ...]
    status: str
    missing: str | None


def change(before: Snapshot, after: Snapshot, user: str, scope: str = "all") -> Change:
    """Explain how a user's score changed from one snapshot to a later one.

    Raises
    ------
    UnknownUserError : one of the two does not know the user in that scope; says which
    CatalogueError : a model is of another catalogue than the installed one or the later rows
    SnapshotError : a file is damaged
    RegistryError : the old model cannot be taken apart

    """
    _check_in_both(before, after, user, scope)
    scores = [snapshot.score(user, scope) for snapshot in (before, after)]
    people = [snapshot.person(user, scope) for snapshot in (before, after)]
    old, new = (pd.DataFrame([person]) for person in people)
    made = changes(before.bundle, after.bundle, old, new)
    figures = made.figures.iloc[0]
    lines = change_lines(before.bundle, made, old, new)
    missing = _missing(scores, people)
    up, down = ([], []) if missing else (change_reasons(lines, +1), change_reasons(lines, -1))
    return Change(
        user=user,
        scope=scope,
        before=_side(scores[0], float(figures["unclipped_from"])),
        after=_side(scores[1], float(figures["unclipped_to"])),
        change=float(figures["score_to"] - figures["score_from"]),
        parts={part: float(figures[part]) for part in PARTS},
        lines=tuple(lines),
        reasons_up=tuple(reason.sentence for reason in up),
        reasons_down=tuple(reason.sentence for reason in down),
        reasons=(*up, *down),
        remarks=remarks(before.bundle, after.bundle),
        status=INSUFFICIENT if missing else SCORED,
        missing=missing,
    )


def remarks(before: Bundle, after: Bundle) -> tuple[str, ...]:
    """Say what other than people's doing and the model makes two scores hard to compare."""
    found = []
    if before.horizon_days != after.horizon_days:
        found.append(
            f"The audience is counted over {after.horizon_days} days and no longer over {before.horizon_days}: what "
            "that makes is among what the new model and scale do."
        )
    if before.label != after.label:
        found.append(f"The audience counts {after.label.replace('_', ' ')} and no longer {before.label}.")
    if before.seeds != after.seeds:
        found.append(
            "Credibility flows from other seeds: what that makes is among how others responded, as it moves what they "
            "count for."
        )
    return tuple(found)


def _side(score: dict, unclipped: float) -> Side:
    kept = ("as_of", "model_version", "score", "expected_audience", "evidence")
    return Side(**{key: score[key] for key in kept}, unclipped=unclipped)


def _missing(scores: list[dict], people: list[dict[str, float]]) -> str | None:
    short = [
        f"As of {score['as_of'][:10]}: {lacking(person)}"
        for score, person in zip(scores, people, strict=True)
        if score["evidence"] == INSUFFICIENT
    ]
    return " ".join(short) or None


def _check_in_both(before: Snapshot, after: Snapshot, user: str, scope: str) -> None:
    known = [snapshot for snapshot in (before, after) if snapshot.known_scores([user], scope)]
    if len(known) == 2:
        return
    if not known:
        after.score(user, scope)
    (held,) = known
    other = before if held is after else after
    raise UnknownUserError(
        f"{user!r} has a score of the scope {scope!r} as of {to_iso_utc(held.as_of)} "
        f"and none as of {to_iso_utc(other.as_of)}: "
        "a change takes one at both. A user has one who acted or was engaged with in the 365 days before."
    )
