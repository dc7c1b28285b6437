"""The explanation of one score: the form that machines rely on."""

from dataclasses import dataclass

import pandas as pd

from training.bundle import Bundle
from training.evidence import INSUFFICIENT
from training.explanation import Line, ledger

SCORED = "scored"


@dataclass(frozen=True)
class Interval:
    """The audience to expect, in whole people: it holds the truth for a share `level` of users."""

    low: int
    high: int
    level: float


@dataclass(frozen=True)
class Explanation:
    """How one score comes about: `base + sum(points) = unclipped` within 1e-6, and `clip(unclipped, 0, 100) = score`.

    `lines` are ordered by points, largest first; `baseline` says in words what `base` is; the reasons are sentences,
    strongest first; `status` is `insufficient_evidence` where too little is known about the user, else `scored`.
    """

    user: str
    scope: str
    as_of: str
    model_version: str
    score: float
    unclipped: float
    base: float
    baseline: str
    lines: tuple[Line, ...]
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    interval: Interval
    evidence: str
    expected_audience: float
    status: str


def status(evidence: str) -> str:
    """Say whether a score rests on enough to be called one."""
    return INSUFFICIENT if evidence == INSUFFICIENT else SCORED


def explanation(bundle: Bundle, row: pd.DataFrame, score: dict) -> Explanation:
    """Explain a score.

    Parameters
    ----------
    bundle : the model that made the score
    row : the user's feature row, a frame of one row
    score : as `Snapshot.score` gives it

    """
    made = ledger(bundle, row)
    kept = ("user", "scope", "as_of", "model_version", "evidence", "expected_audience", "status")
    return Explanation(
        **{key: score[key] for key in kept},
        score=made.score,
        unclipped=made.unclipped,
        base=made.base,
        baseline=made.baseline,
        lines=made.lines,
        reasons_for=tuple(made.reasons(+1)),
        reasons_against=tuple(made.reasons(-1)),
        interval=Interval(score["low"], score["high"], bundle.intervals.level),
    )
