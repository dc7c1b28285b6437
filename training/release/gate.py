"""The gate: decides whether a challenger becomes the champion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from features.errors import CloutError
from training.config import Forecast, Gate
from training.evaluation.metrics import FIGURES, RANKING
from training.evaluation.report_types import (
    BacktestReport,
    BaselineLead,
    ChampionComparison,
    ChampionLead,
    EvaluationReport,
    NotMeasured,
    Report,
)
from training.robustness.attack_report import AllianceResult, AttackReport, AttackResult, in_words

Result = TypeVar("Result", AttackResult, AllianceResult)

DIGITS = 3  # of figures in messages


class GateError(CloutError):
    """The gate refuses what was requested, or is to be overridden without a reason."""


@dataclass(frozen=True)
class Finding(Report):
    """One check of the gate: what was measured, with its limit, in one sentence.

    Parameters
    ----------
    name : the same in every report, such as `coverage`
    message : the sentence, without its full stop
    passed : whether the limit is met; None if it was not measured, or is inconclusive

    """

    name: str
    message: str
    passed: bool | None

    @property
    def word(self) -> str:
        """Whether it passed, in words."""
        return {True: "passed", False: "FAILED", None: "not judged"}[self.passed]


@dataclass(frozen=True)
class Verdict(Report):
    """The findings, and the reason for which a challenger that fails is promoted anyway, if one was given."""

    findings: tuple[Finding, ...]
    forced: str | None = None

    @property
    def passed(self) -> bool:
        """Whether no finding failed; what was not measured does not count as a failure."""
        return all(finding.passed is not False for finding in self.findings)

    @property
    def promotes(self) -> bool:
        """Whether the challenger becomes the champion."""
        return self.passed or self.forced is not None

    def override(self, reason: str | None) -> "Verdict":
        """Return the verdict with the reason for which it is overridden; one that passes needs none."""
        return self if self.passed else replace(self, forced=reason)

    def as_json(self) -> dict[str, Any]:
        """Return the fields and `passed`."""
        return {"passed": self.passed, **super().as_json()}


@dataclass(frozen=True)
class MoveReason(Report):
    """A fact whose points differ between two models: its first feature, its sentence, and its points under each."""

    feature: str
    sentence: str
    before: float
    after: float


@dataclass(frozen=True)
class Move(Report):
    """A user whose score differs between two models, and the features that differ most."""

    user: str
    before: float
    after: float
    reasons: tuple[MoveReason, ...]


@dataclass(frozen=True)
class Churn(Report):
    """How far users' scores move from a version of the champion to the challenger.

    Parameters
    ----------
    version : of the champion
    points : the threshold: users have moved if their scores differ by more than this
    users : how many have a score and acted in the last 365 days
    share : of them who moved
    median : of the moves, points, signed
    base : the change of the base points, from which every score starts
    largest : the users who move most

    """

    version: str
    points: float
    users: int
    share: float
    median: float
    base: float
    largest: tuple[Move, ...]


@dataclass(frozen=True)
class GateInput:
    """What the gate decides on.

    Parameters
    ----------
    evaluation : of the challenger's recipe on the newest complete horizon, from `backtest`
    churn : of the challenger itself, from `measure_churn`
    attacks : on the challenger itself, from `measure_attacks`

    """

    evaluation: BacktestReport
    churn: Churn | NotMeasured
    attacks: AttackReport | NotMeasured

    def as_json(self) -> dict[str, Any]:
        """Return `churn` and `attacks`; the evaluation is a document of its own."""
        return {"churn": self.churn.as_json(), "attacks": self.attacks.as_json()}


def evaluate_gate(measured: GateInput, limits: Gate) -> Verdict:
    """Compare a challenger with the baselines, the champion and the limits."""
    evaluation = measured.evaluation
    findings = [*against_baselines(evaluation), *_against_champion(evaluation.champion)]
    findings += [*forecast(evaluation, limits), _churn(measured.churn, limits)]
    findings += [_attacks(measured.attacks), *_alliances(measured.attacks)]
    return Verdict(tuple(findings))


def against_baselines(evaluation: EvaluationReport) -> list[Finding]:
    """Compare the score with the best baseline on each ranking metric.

    Worse means that the 95 % bootstrap interval of its lead lies entirely below zero.
    """
    findings = []
    for metric in RANKING:
        lead = evaluation.margins[metric]
        message = _lead(metric, lead, f"the best baseline, {in_words(lead.best_baseline)}")
        findings.append(Finding(f"baseline_{metric}", message, not _is_worse(lead)))
    return findings


def forecast(evaluation: EvaluationReport, limits: Forecast) -> list[Finding]:
    """Compare the expected over the real audience, and the coverage of the intervals, with their limits."""
    total, coverage = (evaluation.score_metric(name) for name in ("total", "coverage"))
    calibration = (
        f"the model expects {total:.2f} times the real audience (limits {limits.total_low:g} to {limits.total_high:g})"
    )
    covered = f"{coverage:.1%} of users are inside their interval (limit {100 * limits.coverage:g}%)"
    return [
        Finding("calibration", calibration, limits.total_low <= total <= limits.total_high),
        Finding("coverage", covered, coverage >= limits.coverage),
    ]


def _against_champion(comparison: ChampionComparison | NotMeasured) -> list[Finding]:
    """Compare with the champion. A loss does not count if the champion was trained on this horizon."""
    if isinstance(comparison, NotMeasured):
        return [Finding("champion", f"not compared with the champion: {comparison.reason}", None)]
    other = f"the champion, version {comparison.version}"
    remark = "; the champion was trained on this horizon, so a deficit proves nothing" if comparison.in_sample else ""
    findings = []
    for metric in RANKING:
        lead = comparison.margins[metric]
        passed = None if comparison.in_sample and _is_worse(lead) else not _is_worse(lead)
        findings.append(Finding(f"champion_{metric}", _lead(metric, lead, other) + remark, passed))
    return findings


def _is_worse(lead: BaselineLead | ChampionLead) -> bool:
    """Whether the whole interval lies below zero, as printed: a model of the same data differs by less."""
    return round(lead.high, DIGITS) < 0


def _lead(metric: str, lead: BaselineLead | ChampionLead, other: str) -> str:
    margin, low, high = (round(figure, DIGITS) + 0.0 for figure in (lead.margin, lead.low, lead.high))  # no -0.0
    if low > 0:
        return f"{FIGURES[metric]} leads {other}, by {margin:.{DIGITS}f} ({low:.{DIGITS}f} to {high:.{DIGITS}f})"
    if high < 0:
        return f"{FIGURES[metric]} trails {other}, by {-margin:.{DIGITS}f} ({-high:.{DIGITS}f} to {-low:.{DIGITS}f})"
    difference = f"{margin:+.{DIGITS}f} ({low:+.{DIGITS}f} to {high:+.{DIGITS}f})"
    return f"{FIGURES[metric]} does not differ clearly from that of {other}: the difference is {difference}"


def _attacks(report: AttackReport | NotMeasured) -> Finding:
    """Name each attack whose gain exceeds its limit with its whole interval."""
    if isinstance(report, NotMeasured):
        return Finding("attacks", f"attacks were not measured: {report.reason}", None)
    results = report.attacks
    if finding := _over_limits("attack", results, lambda result: _past_limit(result, report.median_active)):
        return finding
    nearest = max(results, key=lambda result: result.gain_median / result.limit)
    message = (
        f"all {len(results)} attacks stay within their limits; {in_words(nearest.attack)} comes nearest, "
        f"{nearest.gain_median:+.1f} points (limit {nearest.limit:g})"
    )
    return Finding("attacks", "; ".join([message, *report.omission_reasons]), True)


def _alliances(report: AttackReport | NotMeasured) -> list[Finding]:
    """Name each alliance whose median exceeds its limit with its whole interval; no finding where none was tried.

    In a history shorter than 360 days alliances gain more, whatever the model, so they are named and not judged.
    """
    if isinstance(report, NotMeasured) or not report.alliances:
        return []
    results = report.alliances
    if finding := _over_limits("alliance", results, _people_gain):
        if finding.passed is False and report.young_history_days is not None:
            history = f"the history is {report.young_history_days:.0f} days long"
            message = f"{history}, and alliances gain more in the first 360: {finding.message}"
            return [replace(finding, message=message, passed=None)]
        return [finding]
    nearest = max(results, key=lambda result: result.people_gain_median / result.people_limit)
    message = f"all {len(results)} alliances stay within their limits; nearest: {_people_gain(nearest)}"
    return [Finding("alliances", message, True)]


def _over_limits(kind: str, results: Sequence[Result], describe: Callable[[Result], str]) -> Finding | None:
    """Name each result that exceeds its limit with its whole interval, else in the median; None where none does."""
    over = [result for result in results if result.exceeds]
    if over:
        past = "; ".join(map(describe, over))
        return Finding(f"{kind}s", f"{len(over)} of {len(results)} {kind}s exceed their limit: {past}", False)
    if in_median := "; ".join(describe(result) for result in results if not result.within_limit):
        return Finding(
            f"{kind}s", f"no {kind} exceeds its limit beyond chance; these exceed it in the median: {in_median}", True
        )
    return None


def _people_gain(result: AllianceResult) -> str:
    people = f"{result.people_gain_median:+.2f} people expected, limit {result.people_limit:g}"
    return f"{result.description} ({people}{'' if result.points_limit is None else f'; {result.points} points'})"


def _past_limit(result: AttackResult, median_active: float) -> str:
    if result.gain_median > result.limit:
        return f"{in_words(result.attack)} gains {result.gain_median:+.1f} points (limit {result.limit:g})"
    if result.gain_median > result.allowed:
        most = f"limit {result.allowed:.1f}, a third of what the best baseline gives"
        return f"{in_words(result.attack)} gains {result.gain_median:+.1f} points ({most})"
    end = f"{result.end_score_median:.1f}, limit {median_active:.1f}, the median active user"
    return f"{in_words(result.attack)} ends at {end}"


def _churn(churn: Churn | NotMeasured, limits: Gate) -> Finding:
    """Compare the share of users who moved with its limit."""
    if isinstance(churn, NotMeasured):
        return Finding("churn", f"how far users move was not measured: {churn.reason}", None)
    message = (
        f"{churn.share:.1%} of {churn.users:,} users who acted in the last year move by more than {churn.points:g} "
        f"points from version {churn.version} (limit {100 * limits.moved_share:g}%)"
    )
    return Finding("churn", message, churn.share <= limits.moved_share)


def normalize_override_reason(reason: str | None) -> str | None:
    """Return the reason for overriding the gate in one line; None where there is no override.

    Raises
    ------
    GateError : the reason is blank

    """
    if reason is None:
        return None
    if not reason.strip():
        raise GateError("--force has a blank reason; say why the gate is overridden: the version stores the reason.")
    return " ".join(reason.split())
