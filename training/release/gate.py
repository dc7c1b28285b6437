"""The gate: whether a challenger becomes the champion."""

from dataclasses import asdict, dataclass, replace

from features.errors import CloutError
from training.config import Forecast, Gate
from training.evaluation.metrics import RANKING


class GateError(CloutError):
    """The gate stands in the way of what is asked, or is to be passed by force without a reason."""


@dataclass(frozen=True)
class Finding:
    """One thing that the gate looked at: what was found, with its limit, in one sentence.

    Parameters
    ----------
    name : the same in every report, such as `coverage`
    told : the sentence, without its full stop
    passed : whether the limit is kept; None where it was not measured, or proves nothing

    """

    name: str
    told: str
    passed: bool | None

    @property
    def word(self) -> str:
        """Whether it passed, in words."""
        return {True: "passed", False: "FAILED", None: "not judged"}[self.passed]


@dataclass(frozen=True)
class Verdict:
    """The findings, and the reason for which a challenger that fails is promoted all the same, if one was given."""

    findings: tuple[Finding, ...]
    forced: str | None = None

    @property
    def passed(self) -> bool:
        """Whether no finding failed; what was not measured does not stand in the way."""
        return all(finding.passed is not False for finding in self.findings)

    @property
    def promotes(self) -> bool:
        """Whether the challenger becomes the champion."""
        return self.passed or self.forced is not None

    def forced_by(self, reason: str | None) -> "Verdict":
        """Return the verdict with the reason for which it is overruled; one that passes needs none."""
        return self if self.passed else replace(self, forced=reason)

    def as_json(self) -> dict:
        """Return `passed`, `forced` and `findings`, a dict each."""
        return {"passed": self.passed, "forced": self.forced, "findings": [asdict(each) for each in self.findings]}


def evaluate_gate(evaluation: dict, measured: dict, limits: Gate) -> Verdict:
    """Hold a challenger against the baselines, the champion and the limits.

    Parameters
    ----------
    evaluation : of the challenger's recipe on the newest complete horizon, as `rehearse` gives it
    measured : of the challenger itself: `churn` as `measure_churn` and `attacks` as `measure_attacks` give them
    limits : of the calibration, the coverage and the churn

    """
    findings = [*against_baselines(evaluation), *_against_champion(evaluation["champion"])]
    findings += [*forecast(evaluation, limits), _churn(measured["churn"], limits), _attacks(measured["attacks"])]
    return Verdict(tuple(findings))


def against_baselines(evaluation: dict) -> list[Finding]:
    """Hold the score against the best baseline on each ranking metric.

    Worse means that the whole 95 % bootstrap interval of its lead lies below zero.
    """
    findings = []
    for metric in RANKING:
        lead = evaluation["margins"][metric]
        told = _lead(metric, lead, f"the best baseline, {lead['best_baseline']}")
        findings.append(Finding(f"baseline_{metric}", told, not _worse(lead)))
    return findings


def forecast(evaluation: dict, limits: Forecast) -> list[Finding]:
    """Hold the expected over the real audience, and the coverage of the intervals, against limits."""
    total, coverage = (evaluation["metrics"]["score"][name] for name in ("total", "coverage"))
    asked = f"(limits {limits.total_low:g} to {limits.total_high:g})"
    held = f"intervals hold {coverage:.1%} of users (limit {100 * limits.coverage:g}%)"
    return [
        Finding(
            "calibration",
            f"expected over real audience is {total:.2f} {asked}",
            limits.total_low <= total <= limits.total_high,
        ),
        Finding("coverage", held, coverage >= limits.coverage),
    ]


def _against_champion(contest: dict) -> list[Finding]:
    """Hold the score against the champion's; one that has seen the horizon is not lost against."""
    if "not_measured" in contest:
        return [Finding("champion", f"not held against the champion: {contest['not_measured']}", None)]
    findings = []
    for metric in RANKING:
        lead, told = contest["margins"][metric], f"the champion, version {contest['version']}"
        if contest["in_sample"]:
            told += ", which has learnt from this horizon, so that a loss proves nothing"
        passed = None if contest["in_sample"] and _worse(lead) else not _worse(lead)
        findings.append(Finding(f"champion_{metric}", _lead(metric, lead, told), passed))
    return findings


def _worse(lead: dict) -> bool:
    return lead["high"] < 0


def _lead(metric: str, lead: dict, other: str) -> str:
    found = f"{metric} is {lead['margin']:+.3f} [{lead['low']:+.3f}, {lead['high']:+.3f}] against {other}"
    return f"{found}: {'worse' if _worse(lead) else 'not worse'}"


def _attacks(report: dict) -> Finding:
    """Name each attack that is past its limit."""
    if "not_measured" in report:
        return Finding("attacks", f"attacks were not measured: {report['not_measured']}", None)
    found = report["attacks"]
    past = [_past(attack, report["median_active"]) for attack in found if not attack["held"]]
    if past or not report["limits_held"]:
        return Finding("attacks", f"{len(past)} of {len(found)} attacks pass their limit: {'; '.join(past)}", False)
    most = max(found, key=lambda attack: attack["gain_median"] - attack["limit"])
    told = f"{most['attack']} comes nearest to its limit, {most['gain_median']:+.1f} points (limit {most['limit']:g})"
    return Finding("attacks", f"the limits of all {len(found)} attacks are held; {told}", True)


def _past(attack: dict, median_active: float) -> str:
    gained = f"{attack['attack']} gains {attack['gain_median']:+.1f} points (limit {attack['limit']:g})"
    if attack["gain_median"] > attack["limit"]:
        return gained
    end = f"ends at {attack['end_score_median']:.1f}, limit {median_active:.1f}, the median active user"
    return f"{attack['attack']} {end}"


def _churn(churn: dict, limits: Gate) -> Finding:
    """Hold the share of users who moved against its limit."""
    if "not_measured" in churn:
        return Finding("churn", f"how far users move was not measured: {churn['not_measured']}", None)
    share, users = churn["share"], churn["users"]
    told = f"{share:.1%} of {users:,} active users move by more than {churn['points']:g} points"
    limit = f"(limit {100 * limits.moved_share:g}%)"
    return Finding("churn", f"{told} from version {churn['version']} {limit}", share <= limits.moved_share)


def normalize_override_reason(reason: str | None) -> str | None:
    """Return the reason for passing the gate by force in one line; None where no force is asked for.

    Raises
    ------
    GateError : the reason is blank

    """
    if reason is not None and not reason.strip():
        raise GateError("--force is given a blank reason; say why the gate is overruled: it is kept with the version.")
    return None if reason is None else " ".join(reason.split())
