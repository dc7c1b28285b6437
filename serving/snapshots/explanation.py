"""The score and the explanation of one user, in the form that API clients rely on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
from typing_extensions import TypeAliasType

from features.catalogue.credible_wording import WHY_FEWER
from features.utc import UtcText
from serving.snapshots.facts import Fact, facts_of
from serving.snapshots.story import (
    PERSON,
    Section,
    Topic,
    describe_certainty,
    describe_expectation,
    describe_factor,
    describe_spread,
    rank,
    remainder,
    standing,
    start,
    story,
)
from training.explanation.ledger import Discount, Ledger, higher, ledger
from training.explanation.possible_changes import UNDONE, PossibleChange
from training.explanation.reasons import (
    INSUFFICIENT,
    LEAST_POINTS,
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
LEAST_DIFFERENCE = 0.15  # points
CREDIBLE_ENGAGERS = "credible_engagers"


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
    facts : those of the reasons, strongest first, and last all others together; their points add up to the score as
        printed
    story : what to read, in this order: what the score is and means, what raises and lowers it most, what everything
        else adds, what does not count in full, how sure it is, what would change it, and what the words mean
    reasons_for, reasons_against : the three strongest facts of half a point or more, all of a point, and others if less
        than two points are left with them, strongest first; none with too little evidence
    reasons : the same with their points and the features behind them
    held_back : responses that do not count in full, with what they would have added at least
    possible_changes : one or two changes that would raise the score, or the statement that none would
    interval : of the audience
    evidence : how much is known about the user
    expected_audience : distinct people expected to engage within the horizon
    chance : share of past users with such an expected audience with whom anybody engaged, 0 to 1; None where about one
        person or more are expected, and for models that do not know it
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
    facts: tuple[Fact, ...]
    story: tuple[Section, ...]
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    reasons: tuple[Reason, ...]
    held_back: tuple[Discount, ...]
    possible_changes: tuple[PossibleChange, ...]
    interval: Interval
    evidence: Evidence
    expected_audience: float
    chance: float | None
    status: Status
    missing: str | None

    @property
    def main_facts(self) -> tuple[Fact, ...]:
        """The facts that make the reasons, strongest first; none with too little evidence."""
        return () if self.missing is not None else tuple(fact for fact in self.facts if fact.is_distinct)

    @property
    def clipped(self) -> float:
        """The points that the ends of the scale add, of figures that add up as printed."""
        return round(round(self.score, 1) - round(self.base, 1) - sum(fact.points for fact in self.facts), 1)


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
    merged = facts_of(parts, row, baseline.percentiles)
    unscored = score["status"] == INSUFFICIENT
    main = [] if unscored else [fact for fact in merged if fact.is_distinct]
    pro, contra = ([fact for fact in main if sign * fact.points > 0] for sign in (+1, -1))
    free_days = baseline.free_days if baseline.scope == score["scope"] else None
    held_back, changes = ((), ()) if unscored else (parts.held_back, _known_changes(parts, free_days))
    sentences: dict[Topic, Sequence[str]] = {
        "for": [fact.pointed for fact in pro],
        "against": [fact.pointed for fact in contra],
        "rest": [] if unscored else _rest(parts, merged),
        "not_counted": [sentence for discount in held_back for sentence in _not_counted(discount, main)],
        "change": [_with_others(change, main, parts) for change in changes],
        **_frame(bundle, row, score, parts, baseline, users_below),
    }
    line_of = {line.feature: line for outer in parts.lines for line in (outer, *outer.parts)}
    reasons = [_reason(fact, line_of) for fact in (*pro, *contra)]
    return Explanation(
        user=score["user"],
        scope=score["scope"],
        as_of=score["as_of"],
        model_version=score["model_version"],
        released=score["released"],
        horizon_days=score["horizon_days"],
        score=score["score"],
        percentile=score["percentile"],
        peer_percentile=score["peer_percentile"],
        users_below=users_below,
        unclipped=parts.unclipped,
        base=parts.base,
        baseline=parts.baseline,
        clipping=parts.clipping,
        families=parts.families,
        lines=parts.lines,
        facts=merged,
        story=story(
            sentences,
            lowered=bool(main) and main[0].points < 0,
            free_days=free_days,
        ),
        reasons_for=tuple(reason.sentence for reason in reasons if reason.points > 0),
        reasons_against=tuple(reason.sentence for reason in reasons if reason.points < 0),
        reasons=tuple(reasons),
        held_back=held_back,
        possible_changes=changes,
        interval=interval(score),
        evidence=score["evidence"],
        expected_audience=score["expected_audience"],
        chance=chance(score["expected_audience"], bundle),
        status=score["status"],
        missing=lacking(row) if unscored else None,
    )


def _reason(fact: Fact, line_of: Mapping[str, Line]) -> Reason:
    """Return a fact as a reason, with exact points and the family of its strongest line."""
    lines = [line_of[feature] for feature in fact.features]
    strongest = max(lines, key=lambda line: abs(line.points))
    return Reason(fact.sentence, sum(line.points for line in lines), strongest.family, fact.features)


def _rest(parts: Ledger, merged: Sequence[Fact]) -> list[str]:
    """Return what everything else adds, of figures that add up as printed."""
    others = next((fact for fact in merged if not fact.is_distinct), None)
    return remainder(others, round(parts.base, 1) + sum(fact.points for fact in merged), parts.score)


def _not_counted(discount: Discount, main: Sequence[Fact]) -> list[str]:
    """Return what would have counted in full and why it does not, unless a fact does or it matters little."""
    if discount.points < LEAST_POINTS:
        return []
    if not any(f", because {WHY_FEWER[discount.kind]}." in fact.sentence for fact in main):
        return [discount.sentence]
    return [f"If those who responded counted in full, {higher(discount.points)}."]


def _known_changes(parts: Ledger, free_days: float | None) -> tuple[PossibleChange, ...]:
    """Leave out an absence where it is not known after how many days it begins, in a scope with few active users."""
    changes = parts.possible_changes
    return changes if free_days is not None else tuple(change for change in changes if change.kind != "absence")


def _with_others(change: PossibleChange, main: Sequence[Fact], parts: Ledger) -> str:
    """Say what would change a score, and that other facts change with it if they visibly do."""
    costs = [-fact.points for fact in main if UNDONE.get(change.kind) in fact.features]
    gain = max(parts.unclipped + sum(costs), 0.0) - parts.score
    if not costs or abs(gain - change.points) < LEAST_DIFFERENCE:
        return change.sentence
    return f"{change.sentence.removesuffix('.')} (this includes changes in other points)."


def _frame(
    bundle: Bundle, row: FeatureRow, score: ScoreRow, parts: Ledger, baseline: Baseline, users_below: float
) -> dict[Topic, Sequence[str]]:
    """Return the sentences on what a score is, means and is compared with, and on how sure it is."""
    if score["status"] == INSUFFICIENT:
        return {"score": [f"{score['user']} has no score as of {score['as_of'][:10]}."], "evidence": [lacking(row)]}
    ranked = rank(users_below, baseline, score["scope"], score["score"], parts.base)
    return {
        "score": [
            standing(score["user"], score["score"], score["as_of"]),
            expectation(score, bundle),
            ranked,
            start(parts.base, baseline, score["scope"], ranked),
            *describe_factor(score["expected_audience"], bundle.scale),
        ],
        "evidence": [
            describe_certainty(interval(score), score["horizon_days"], bundle.scale),
            describe_evidence(score["evidence"], row),
        ],
    }


def expectation(score: ScoreRow, bundle: Bundle) -> str:
    """Say how many people a score stands for, as `describe_expectation` does."""
    return describe_expectation(
        score["expected_audience"],
        chance(score["expected_audience"], bundle),
        score["horizon_days"],
        bundle.label == CREDIBLE_ENGAGERS,
    )


def chance(expected: float, bundle: Bundle) -> float | None:
    """Return the chance that anybody engages, 0 to 1; None where a person is expected, or the model has no chances."""
    return float(bundle.chance.of(np.array(expected))) if bundle.chance is not None and expected < PERSON else None


def spread(score: ScoreRow) -> str:
    """Say how far users like this one differ, as `describe_spread` does."""
    return describe_spread(interval(score), score["horizon_days"])
