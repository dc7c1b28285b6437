"""The score and the explanation of one user, in the form that API clients rely on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

from typing_extensions import TypeAliasType

from features.utc import UtcText
from training.explanation.ledger import Discount, ledger
from training.explanation.reasons import INSUFFICIENT, Line, Reason, lacking
from training.model.bundle import Bundle, FeatureRow
from training.model.intervals import Interval

Evidence = TypeAliasType("Evidence", Literal["insufficient_evidence", "some", "strong"])
Status = TypeAliasType("Status", Literal["scored", "insufficient_evidence"])
SCORED: Status = "scored"


class ScoreRow(TypedDict):
    """One score: the columns of scores.parquet, and the instant, horizon, level and status that go with them.

    `score` is in points (0-100), `expected_audience`, `low` and `high` in people, both percentiles in 0-100. `level` is
    that of the interval from `low` to `high`.
    """

    user: str
    scope: str
    score: float
    expected_audience: float
    low: int
    high: int
    percentile: float
    peer_percentile: float
    evidence: Evidence
    model_version: str
    as_of: str
    horizon_days: int
    level: float
    status: Status


@dataclass(frozen=True)
class Explanation:
    """The parts of one score: `base + sum(points) = unclipped` within 1e-6, and `clip(unclipped, 0, 100) = score`.

    Parameters
    ----------
    user : id of the user
    scope : the part of the activity: all, network:NAME or topic:NAME
    as_of : the instant of the snapshot
    model_version : version of the model in the registry
    score : in points, 0 to 100
    unclipped : the score before it is limited to 0 to 100
    base : points of the average training row
    baseline : what `base` is, in words
    clipping : `score - unclipped`
    families : the sums of the lines' points by family
    lines : one per feature, by points, largest first
    reasons_for, reasons_against : up to four sentences, strongest first; none with too little evidence
    reasons : the same with their points and the features behind them
    held_back : what lowered the score, such as responses that do not count
    interval : of the audience
    evidence : how much is known about the user
    expected_audience : distinct people expected to engage within the horizon
    status : insufficient_evidence where too little is known, else scored
    missing : what evidence is missing, None where there is enough

    """

    user: str
    scope: str
    as_of: UtcText
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
    evidence: Evidence
    expected_audience: float
    status: Status
    missing: str | None


def interval(score: ScoreRow) -> Interval:
    """Return the interval of a score."""
    return Interval(score["low"], score["high"], score["level"])


def status(evidence: str) -> Status:
    """Return `scored`, or `insufficient_evidence` for a score with too little evidence."""
    return INSUFFICIENT if evidence == INSUFFICIENT else SCORED


def explanation(bundle: Bundle, row: FeatureRow, score: ScoreRow, medians: Mapping[str, float | None]) -> Explanation:
    """Explain a score, from its model, the user's features, `Snapshot.score` and `PeerMedians.of`."""
    parts = ledger(bundle, row, medians)
    unscored = score["status"] == INSUFFICIENT
    pro, contra = ([], []) if unscored else (parts.reasons(+1), parts.reasons(-1))
    return Explanation(
        user=score["user"],
        scope=score["scope"],
        as_of=score["as_of"],
        model_version=score["model_version"],
        score=parts.score,
        unclipped=parts.unclipped,
        base=parts.base,
        baseline=parts.baseline,
        clipping=parts.clipping,
        families=parts.families,
        lines=parts.lines,
        reasons_for=tuple(reason.sentence for reason in pro),
        reasons_against=tuple(reason.sentence for reason in contra),
        reasons=(*pro, *contra),
        held_back=() if unscored else parts.held_back,
        interval=interval(score),
        evidence=score["evidence"],
        expected_audience=score["expected_audience"],
        status=score["status"],
        missing=lacking(row) if unscored else None,
    )
