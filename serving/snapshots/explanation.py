"""The score and the explanation of one user, in the form that API clients rely on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from typing_extensions import TypeAliasType

from features.catalogue import CATALOGUE
from features.catalogue.credible import RATE_DAYS
from features.utc import UtcText
from serving.snapshots.story import (
    Section,
    Topic,
    average,
    describe_expectation,
    describe_spread,
    pointed,
    rank,
    remainder,
    standing,
    story,
)
from training.explanation.ledger import Discount, Ledger, ledger
from training.explanation.possible_changes import ASSOCIATION, PARTS_INTERACT, UNDONE, PossibleChange
from training.explanation.reasons import (
    INSUFFICIENT,
    LEAST_POINTS,
    MOST_REASONS,
    Line,
    Reason,
    describe_evidence,
    lacking,
)
from training.model.baseline import Baseline
from training.model.bundle import Bundle, FeatureRow
from training.model.intervals import Interval

Evidence = TypeAliasType("Evidence", Literal["insufficient_evidence", "some", "strong"])
Status = TypeAliasType("Status", Literal["scored", "insufficient_evidence"])
SCORED: Status = "scored"
CREDIBLE_ENGAGERS = "credible_engagers"
MOST_IF_NEEDED = 5


class ScoreRow(TypedDict):
    """One score: the columns of scores.parquet, and the facts of the snapshot and the status that go with them.

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
    released: bool
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
    released : whether the model was ever the champion
    horizon_days : how far ahead the audience is counted
    score : in points, 0 to 100
    percentile, peer_percentile : as in ScoreRow
    users_below : share of the scope's active users with a lower score, 0 to 1, rounded down to 0.001; of all its users
        where fewer than 30 are active
    unclipped : the score before it is limited to 0 to 100
    base : points of the average active user of the scope
    baseline : what `base` is, in words
    clipping : `score - unclipped`
    families : the sums of the lines' points by family
    lines : one per feature, by points, largest first
    story : what to read, in this order: what the score is and means, what raises and lowers it most, what everything
        else adds, what does not count in full, how sure it is, what would change it, and what the words mean
    reasons_for, reasons_against : at most three sentences together, strongest first, and up to five while all other
        facts outweigh the weakest; none with too little evidence
    reasons : the same with their points and the features behind them
    held_back : responses that do not count in full, with what they would have added
    possible_changes : one or two changes that would raise the score, or the statement that none would
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
    released: bool
    horizon_days: int
    score: float
    percentile: float
    peer_percentile: float
    users_below: float
    unclipped: float
    base: float
    baseline: str
    clipping: float
    families: dict[str, float]
    lines: tuple[Line, ...]
    story: tuple[Section, ...]
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    reasons: tuple[Reason, ...]
    held_back: tuple[Discount, ...]
    possible_changes: tuple[PossibleChange, ...]
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


def explanation(
    bundle: Bundle, row: FeatureRow, score: ScoreRow, baseline: Baseline, users_below: float
) -> Explanation:
    """Explain a score, from its model, the user's features, `Snapshot.score` and `Snapshot.baseline`.

    `users_below` is the share of the scope's active users with a lower score, 0 to 1; of all users where the baseline
    is not of the scope or does not hold the active users' scores.
    """
    parts = ledger(bundle, row, baseline)
    unscored = score["status"] == INSUFFICIENT
    pro, contra = ([], []) if unscored else _main_reasons(parts)
    held_back, changes = ((), ()) if unscored else (parts.held_back, parts.possible_changes)
    sentences: dict[Topic, Sequence[str]] = {
        **({} if unscored else _why(parts, pro, contra, row)),
        "not_counted": _not_counted(row, held_back, [reason.sentence for reason in (*pro, *contra)]),
        "change": [*(change.sentence for change in changes), *_estimate(changes, contra)],
    }
    return Explanation(
        user=score["user"],
        scope=score["scope"],
        as_of=score["as_of"],
        model_version=score["model_version"],
        released=score["released"],
        horizon_days=score["horizon_days"],
        score=parts.score,
        percentile=score["percentile"],
        peer_percentile=score["peer_percentile"],
        users_below=users_below,
        unclipped=parts.unclipped,
        base=parts.base,
        baseline=parts.baseline,
        clipping=parts.clipping,
        families=parts.families,
        lines=parts.lines,
        story=story(sentences | _frame(bundle, row, score, parts, baseline, users_below), bundle.most_from_anybody),
        reasons_for=tuple(reason.sentence for reason in pro),
        reasons_against=tuple(reason.sentence for reason in contra),
        reasons=(*pro, *contra),
        held_back=held_back,
        possible_changes=changes,
        interval=interval(score),
        evidence=score["evidence"],
        expected_audience=score["expected_audience"],
        status=score["status"],
        missing=lacking(row) if unscored else None,
    )


def _main_reasons(parts: Ledger) -> tuple[list[Reason], list[Reason]]:
    """Return the reasons for and against, each side strongest first.

    There are three at most together, and up to five while all others outweigh the weakest.
    """
    sides = parts.reasons(MOST_IF_NEEDED)
    strongest = sorted((*sides[0], *sides[1]), key=lambda reason: -abs(reason.points))
    count = min(MOST_REASONS, len(strongest))
    while count < min(MOST_IF_NEEDED, len(strongest)) and _outweighed(parts, strongest[:count]):
        count += 1
    pro, contra = ([reason for reason in side if reason in strongest[:count]] for side in sides)
    return pro, contra


def _outweighed(parts: Ledger, reasons: Sequence[Reason]) -> bool:
    """Say whether what is not among the reasons moves the score by more than the weakest of them."""
    others = parts.unclipped - parts.base - sum(reason.points for reason in reasons)
    return abs(others) > abs(reasons[-1].points)


def _why(parts: Ledger, pro: Sequence[Reason], contra: Sequence[Reason], row: FeatureRow) -> dict[Topic, list[str]]:
    """Return the reasons with their points, and what everything else adds, of figures that add up as printed."""
    lines = {line.feature: line for line in parts.lines}
    raising, lowering = (
        [pointed(r.sentence, r.points, average([lines[name] for name in r.features], row)) for r in side]
        for side in (pro, contra)
    )
    shown = [parts.base, *(reason.points for reason in (*pro, *contra))]
    others = round(parts.unclipped, 1) - sum(round(points, 1) for points in shown)
    return {"for": raising, "against": lowering, "rest": remainder(others, parts.unclipped, parts.score)}


def _estimate(changes: Sequence[PossibleChange], contra: Sequence[Reason]) -> list[str]:
    """Say how sure points are, and why undoing something gains other points than it costs, where both are shown.

    Where nothing would change a score, there is nothing to say.
    """
    if all(abs(change.points) < LEAST_POINTS for change in changes):
        return []
    costs = {name: -reason.points for reason in contra for name in reason.features}
    differing = [
        abs(change.points - costs[UNDONE[change.kind]]) >= LEAST_POINTS
        for change in changes
        if change.kind in UNDONE and UNDONE[change.kind] in costs
    ]
    return [f"{ASSOCIATION} {PARTS_INTERACT}" if any(differing) else ASSOCIATION]


def _not_counted(row: FeatureRow, held_back: Sequence[Discount], reasons: Sequence[str]) -> list[str]:
    """Say how many people responded and count, unless a reason does, and what they would add if counted in full."""
    if not held_back:
        return []
    rate = next(name for name in RATE_DAYS if name in row)
    responders = CATALOGUE[rate].describe(row[rate], row)
    shown = [] if any(reason.startswith(responders) for reason in reasons) else [responders]
    if len(held_back) > 1 and max(discount.points for discount in held_back) < LEAST_POINTS:
        return [*shown, "If everybody who responded counted in full, the score would be hardly any higher."]
    return [*shown, *(discount.sentence for discount in held_back)]


def _frame(
    bundle: Bundle, row: FeatureRow, score: ScoreRow, parts: Ledger, baseline: Baseline, users_below: float
) -> dict[Topic, Sequence[str]]:
    """Return the sentences on what a score is and means, and on how sure it is."""
    if score["status"] == INSUFFICIENT:
        return {"score": [f"{score['user']} has no score as of {score['as_of'][:10]}."], "evidence": [lacking(row)]}
    return {
        "score": [
            standing(score["user"], score["score"], score["as_of"]),
            rank(users_below, parts.base, baseline, score["scope"]),
            expectation(score, bundle),
        ],
        "evidence": [describe_evidence(score["evidence"], row), spread(score, bundle)],
    }


def expectation(score: ScoreRow, bundle: Bundle) -> str:
    """Say how many people a score stands for, as `describe_expectation` does."""
    return describe_expectation(
        score["expected_audience"], score["horizon_days"], bundle.scale, bundle.label == CREDIBLE_ENGAGERS
    )


def spread(score: ScoreRow, bundle: Bundle) -> str:
    """Say how far users like this one differ, as `describe_spread` does."""
    return describe_spread(score["low"], score["high"], score["level"], score["horizon_days"], bundle.scale)
