"""The score and the explanation of one user, in the form that API clients rely on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from training.explanation.ledger import Discount, ledger
from training.explanation.reasons import INSUFFICIENT, Line, Reason, lacking
from training.model.bundle import Bundle, FeatureRow

SCORED = "scored"


class ScoreRow(TypedDict):
    """One score: the columns of scores.parquet, and the instant, horizon and status that go with them.

    `score` is in points (0-100), `expected_audience`, `low` and `high` in people, both percentiles in 0-100.
    """

    user: str
    scope: str
    score: float
    expected_audience: float
    low: int
    high: int
    percentile: float
    peer_percentile: float
    evidence: str
    model_version: str
    as_of: str
    horizon_days: int
    status: str


@dataclass(frozen=True)
class Interval:
    """The expected audience in whole people: it contains the true audience of a share `level` of users."""

    low: int
    high: int
    level: float


@dataclass(frozen=True)
class Explanation:
    """The parts of one score: `base + sum(points) = unclipped` within 1e-6, and `clip(unclipped, 0, 100) = score`.

    `lines` are ordered by points, largest first, and `families` are their sums; `clipping` is `score - unclipped`;
    `baseline` describes `base` in words. `reasons_for` and `reasons_against` are sentences, strongest first, and
    `reasons` are the same with their points and the features behind them; `held_back` is what did not count.
    With too little evidence about the user, `status` is `insufficient_evidence`, else `scored`; there are then no
    reasons, and `missing` says what evidence is missing.
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
        interval=Interval(score["low"], score["high"], bundle.intervals.level),
        evidence=score["evidence"],
        expected_audience=score["expected_audience"],
        status=score["status"],
        missing=lacking(row) if unscored else None,
    )
