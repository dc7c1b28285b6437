"""The gate report in Markdown."""

import dataclasses
from datetime import UTC, datetime

import pytest

from training.evaluation.report_types import NotMeasured
from training.release.gate import Churn, Finding, GateInput, Move, MoveReason, Verdict
from training.release.gate_report import gate_report
from training.robustness.attack_report import AttackReport, AttackResult

REASON = MoveReason("acts_28d", "Acted 3 times.", -1.25, 2.0)
MOVE = Move("a|b", 20.0, 31.0, (REASON, dataclasses.replace(REASON, sentence="Heard by 2.")))
CHURN = Churn("3", points=5.0, users=1_200, share=0.1, median=0.14, base=-0.26, largest=(MOVE,))
ATTACK = AttackResult(
    "a pod",
    "a pod",
    mode="scoring",
    members=30,
    accounts=1,
    acts=10,
    gain_median=4.14,
    gain_p95=9.0,
    gain_low=0.0,
    end_score_median=24.0,
    gain_per_1000_acts=None,
    baselines={},
    baselines_per_1000_acts={},
    limit=4.0,
    of_best_baseline=None,
    allowed=4.0,
    within_limit=False,
)
ATTACKS = AttackReport(datetime(2025, 8, 1, tzinfo=UTC), "followers", 22.5, (ATTACK,))
UNMEASURED = NotMeasured("no need")


@pytest.fixture
def report(bundle):
    def write(*passed, forced=None, churn=UNMEASURED, attacks=UNMEASURED):
        findings = tuple(Finding(f"finding_{k}", f"told {k}", passed_) for k, passed_ in enumerate(passed))
        return gate_report(bundle, GateInput(None, churn, attacks), Verdict(findings, forced))

    return write


def test_verdict_and_findings(report, bundle):
    lines = report(True, None).splitlines()
    assert lines[0] == f"# Gate of the model of {bundle.facts['as_of'][:10]}"
    assert lines[1] == "**Passed**: it becomes the champion."
    assert "| finding 0 | passed | told 0 |" in lines
    assert "| finding 1 | not judged | told 1 |" in lines


def test_failed_findings_are_named(report):
    text = report(True, False, False)
    assert "**Failed** (finding 1, finding 2): it stays a challenger" in text
    assert "| finding 1 | FAILED | told 1 |" in text


def test_override_states_its_reason(report):
    text = report(False, forced="the old one is broken")
    assert "but promoted by --force. Reason: the old one is broken\n" in text


def test_largest_score_changes(report):
    text = report(True, churn=CHURN)
    assert "From version 3 to this one" in text
    moved = "the median of 1,200 users who acted in the last year moves by +0.1 points"
    assert f"{moved}, the base of all scores by -0.3." in text
    assert r"| 20.0 | 31.0 | a\|b | Acted 3 times. (-1.2 -> +2.0) Heard by 2. (-1.2 -> +2.0) |" in text
    assert report(True, churn=dataclasses.replace(CHURN, largest=())).endswith("by -0.3. No score moves.\n")
    assert "Largest score changes" not in report(True)


def test_attacks(report):
    text = report(True, attacks=ATTACKS)
    assert "| a pod | +4.1 | 4 | 24.0 | EXCEEDED |" in text
    assert "The median active user has 22.5 points" in text
    assert "## Attacks" not in report(True)
