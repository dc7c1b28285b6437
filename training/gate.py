"""The gate: whether a challenger becomes the champion."""

from dataclasses import dataclass

from training.metrics import RANKING


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger passes, and the findings that say why, one sentence each."""

    passed: bool
    findings: tuple[str, ...]


def judge(evaluation: dict) -> Verdict:
    """Pass a challenger that is, out of time, not worse than the best baseline on any ranking metric.

    Worse means that the whole 95 % bootstrap interval of its lead lies below zero.

    Parameters
    ----------
    evaluation : of the challenger's recipe on the newest complete horizon, as `evaluate` gives it

    """
    findings = []
    for metric in RANKING:
        margin = evaluation["margins"][metric]
        worse = margin["high"] < 0
        findings.append(
            f"{metric} is {margin['margin']:+.3f} [{margin['low']:+.3f}, {margin['high']:+.3f}] against the best "
            f"baseline, {margin['best_baseline']}: {'worse' if worse else 'not worse'}"
        )
    return Verdict(all(evaluation["margins"][metric]["high"] >= 0 for metric in RANKING), tuple(findings))
