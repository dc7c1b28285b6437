"""The change of one user's score between two snapshots, in the form that API clients rely on."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from features.errors import UnknownUserError
from features.utc import UtcText, to_iso_utc
from serving.snapshots.explanation import SCORED, Evidence, ScoreRow, Status, chance
from serving.snapshots.snapshot import Snapshot
from training.explanation.reasons import INSUFFICIENT, Reason, lacking
from training.explanation.score_change import PARTS, ChangeLine, Changes, change_lines, change_reasons, changes
from training.model.bundle import Bundle


@dataclass(frozen=True)
class ScoreAt:
    """A score at one of two instants.

    Parameters
    ----------
    as_of : the instant of the snapshot
    model_version : version of the model in the registry
    score : in points, 0 to 100
    unclipped : the score before it is limited to 0 to 100
    expected_audience : distinct people expected to engage within the horizon
    chance : that anybody engages, as in Explanation
    evidence : how much is known about the user

    """

    as_of: UtcText
    model_version: str
    score: float
    unclipped: float
    expected_audience: float
    chance: float | None
    evidence: Evidence


@dataclass(frozen=True)
class ScoreChange:
    """The parts of a change of score: `before.score + sum(points of lines) = after.score` within 1e-6.

    Parameters
    ----------
    user : id of the user
    scope : the part of the activity: all, network:NAME or topic:NAME
    before, after : the score at either instant
    change : `after.score - before.score`
    parts : the sums of the lines' points by part, in this order: `own` (the user's activity), `others` (the responses
        of others), `time` (the account grew older), `model`, `scale` and `clipping`
    lines : by points, largest first
    reasons_up, reasons_down : up to three sentences, strongest first; none with too little evidence
    reasons : the same with their points and the features behind them
    remarks : what makes the two scores hard to compare
    status : insufficient_evidence where too little is known at either instant, else scored
    missing : what evidence is missing, and when; None where there is enough

    """

    user: str
    scope: str
    before: ScoreAt
    after: ScoreAt
    change: float
    parts: dict[str, float]
    lines: tuple[ChangeLine, ...]
    reasons_up: tuple[str, ...]
    reasons_down: tuple[str, ...]
    reasons: tuple[Reason, ...]
    remarks: tuple[str, ...]
    status: Status
    missing: str | None


def change(before: Snapshot, after: Snapshot, user: str, scope: str = "all") -> ScoreChange:
    """Explain how a user's score changed from one snapshot to a later one.

    Raises
    ------
    UnknownUserError : one of the two has no score of the user in that scope; says which
    CatalogueError : a model's catalogue differs from the installed one or from the later rows
    SnapshotError : a file is damaged
    RegistryError : the old model's trees are not supported

    """
    return changes_of_users(before, after, [user], scope)[0]


def changes_of_users(before: Snapshot, after: Snapshot, users: Sequence[str], scope: str = "all") -> list[ScoreChange]:
    """Explain the changes of several users at once, which takes little longer than that of one; as `change` does."""
    for user in users:
        _check_in_both(before, after, user, scope)
    rows = [[snapshot.feature_row(user, scope) for snapshot in (before, after)] for user in users]
    if not rows:
        return []
    old, new = map(pd.DataFrame, zip(*rows, strict=True))
    baselines = before.baseline(scope), after.baseline(scope)
    parts = changes(before.bundle, after.bundle, old, new, baselines)
    result = []
    for k, user in enumerate(users):
        scores = [snapshot.score(user, scope) for snapshot in (before, after)]
        one = Changes(*(table.iloc[[k]] for table in (parts.figures, parts.moved, parts.model)))
        lines = change_lines(before.bundle, one, old.iloc[[k]], new.iloc[[k]], baselines[0])
        result.append(_score_change(before, after, scores, one, lines, _missing(scores, rows[k])))
    return result


def _score_change(
    before: Snapshot,
    after: Snapshot,
    scores: list[ScoreRow],
    parts: Changes,
    lines: list[ChangeLine],
    missing: str | None,
) -> ScoreChange:
    figures = parts.figures.iloc[0]
    up, down = ([], []) if missing else change_reasons(lines)
    return ScoreChange(
        user=scores[0]["user"],
        scope=scores[0]["scope"],
        before=_score_at(scores[0], float(figures["unclipped_from"]), before.bundle),
        after=_score_at(scores[1], float(figures["unclipped_to"]), after.bundle),
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
    """Return what makes two scores hard to compare, other than activity and the model."""
    texts = []
    if before.horizon_days != after.horizon_days:
        texts.append(
            f"The audience is counted over {after.horizon_days} days instead of {before.horizon_days}, which moves "
            "scores as part of the new model and scale."
        )
    if before.label != after.label:
        texts.append(f"The audience counts {after.label.replace('_', ' ')} instead of {before.label}.")
    if before.seeds != after.seeds:
        texts.append("Credibility starts from other seeds, which changes how much the responses of others count.")
    return tuple(texts)


def _score_at(score: ScoreRow, unclipped: float, bundle: Bundle) -> ScoreAt:
    audience = score["expected_audience"]
    return ScoreAt(
        score["as_of"],
        score["model_version"],
        score["score"],
        unclipped,
        audience,
        chance(audience, bundle),
        score["evidence"],
    )


def _missing(scores: list[ScoreRow], rows: list[dict[str, float]]) -> str | None:
    sentences = [
        f"As of {score['as_of'][:10]}: {lacking(row)}"
        for score, row in zip(scores, rows, strict=True)
        if score["evidence"] == INSUFFICIENT
    ]
    return " ".join(dict.fromkeys(sentences)) or None


def _check_in_both(before: Snapshot, after: Snapshot, user: str, scope: str) -> None:
    holding = [snapshot for snapshot in (before, after) if snapshot.scores_by_user([user], scope)]
    if len(holding) == 2:
        return
    if not holding:
        after.score(user, scope)  # raises an UnknownUserError that suggests other ids
    (one,) = holding
    other = before if one is after else after
    raise UnknownUserError(
        f"{user!r} has a score of the scope {scope!r} as of {to_iso_utc(one.as_of)} and none as of "
        f"{to_iso_utc(other.as_of)}: a change needs a score at both. Users have a score if they acted or were "
        "engaged with in the 365 days before."
    )
