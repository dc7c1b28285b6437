"""The explanation of one score: the form that machines rely on."""

from collections.abc import Mapping
from dataclasses import dataclass

from training.explanation.ledger import Discount, ledger
from training.explanation.reasons import INSUFFICIENT, Line, Reason, lacking
from training.model.bundle import Bundle
from training.model.feature_row import FeatureRow

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

    `lines` are ordered by points, largest first, and `families` are their sums; `clipping` is `score - unclipped`;
    `baseline` says in words what `base` is. `reasons_for` and `reasons_against` are sentences, strongest first, and
    `reasons` are the same with their points and the features that each speaks of; `held_back` is what did not count.
    Where too little is known about the user, `status` is `insufficient_evidence`, else `scored`; there are then no
    reasons, and `missing` says what is.
    """

    user: str
    scope: str
    as_of: str
    model_version: str
    score: float
    unclipped: float
    base: float
    baseline: str
    clipping: float
    families: dict[str, float]
    lines: tuple[Line, ...]
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    reasons: tuple[Reason, ...]
    held_back: tuple[Discount, ...]
    interval: Interval
    evidence: str
    expected_audience: float
    status: str
    missing: str | None


def status(evidence: str) -> str:
    """Say whether a score rests on enough to be called one."""
    return INSUFFICIENT if evidence == INSUFFICIENT else SCORED


def explanation(bundle: Bundle, person: FeatureRow, score: dict, typical: Mapping[str, float | None]) -> Explanation:
    """Explain a score.

    Parameters
    ----------
    bundle : the model that made the score
    person : the user's features
    score : as `Snapshot.score` gives it
    typical : as `Typical.of` gives it

    """
    made = ledger(bundle, person, typical)
    kept = ("user", "scope", "as_of", "model_version", "evidence", "expected_audience", "status")
    unknown = score["status"] == INSUFFICIENT
    pro, contra = ([], []) if unknown else (made.reasons(+1), made.reasons(-1))
    return Explanation(
        **{key: score[key] for key in kept},
        score=made.score,
        unclipped=made.unclipped,
        base=made.base,
        baseline=made.baseline,
        clipping=made.clipping,
        families=made.families,
        lines=made.lines,
        reasons_for=tuple(reason.sentence for reason in pro),
        reasons_against=tuple(reason.sentence for reason in contra),
        reasons=(*pro, *contra),
        held_back=() if unknown else made.held_back,
        interval=Interval(score["low"], score["high"], bundle.intervals.level),
        missing=lacking(person) if unknown else None,
    )
