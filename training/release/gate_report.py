"""The gate's report: the verdict, every finding, the largest score changes and the gain of each result."""

from training.evaluation.report_types import NotMeasured
from training.model.bundle import Bundle
from training.release.gate import Churn, GateInput, MoveReason, Verdict
from training.release.markdown import bullets, document, table
from training.release.shortfalls import shortfalls, suggestions
from training.robustness.attack_report import AttackReport

LOOK = "Look at it meanwhile: `clout score EVENTS --version VERSION` scores with it, marked as not released."


def gate_report(bundle: Bundle, measured: GateInput, verdict: Verdict) -> str:
    """Write the report of a gate, in Markdown.

    Parameters
    ----------
    bundle : the challenger
    measured, verdict : input and result of `evaluate_gate`

    """
    rows = [[finding.name.replace("_", " "), finding.word, finding.message] for finding in verdict.findings]
    sections = {
        f"Gate of the model of {bundle.facts['as_of'][:10]}": [_outcome(verdict)],
        "Findings": table(["check", "verdict", "result"], rows, 3),
    }
    if not verdict.passed:
        sections["What fell short"] = bullets(shortfalls(measured, verdict))
        sections["What to try"] = bullets([*suggestions(bundle, verdict), LOOK])
    if not isinstance(measured.churn, NotMeasured):
        sections["Largest score changes"] = _moves(measured.churn)
    if not isinstance(measured.attacks, NotMeasured):
        sections["Attacks"] = _attacks(measured.attacks)
    return document(sections)


def _outcome(verdict: Verdict) -> str:
    if verdict.passed:
        return "**Passed**: it becomes the champion."
    names = ", ".join(finding.name.replace("_", " ") for finding in verdict.findings if finding.passed is False)
    if verdict.forced is None:
        return f"**Failed** ({names}): it stays a challenger, and the champion, if there is one, stays champion."
    return f"**Failed** ({names}), but promoted by --force. Reason: {verdict.forced}"


def _moves(churn: Churn) -> list[str]:
    heading = (
        f"From version {churn.version} to this one, at the end of the training: the median of {churn.users:,} "
        f"users who acted in the last year moves by {churn.median:+.1f} points, the base of all scores by "
        f"{churn.base:+.1f}."
    )
    rows = [
        [f"{move.before:.1f}", f"{move.after:.1f}", move.user, " ".join(map(_reason, move.reasons))]
        for move in churn.largest
    ]
    if not rows:
        return [f"{heading} No score moves."]
    return [heading, "", *table(["before", "after", "user", "facts whose points differ most"], rows, 4)]


def _reason(reason: MoveReason) -> str:
    return f"{reason.sentence} ({reason.before:+.1f} -> {reason.after:+.1f})"


def _attacks(report: AttackReport) -> list[str]:
    rows = []
    for result in report.attacks:
        points = [f"{result.gain_median:+.1f}", f"{result.limit:g}", f"{result.end_score_median:.1f}"]
        rows.append([result.description, *points, "within limit" if result.within_limit else "EXCEEDED"])
    return [
        f"Medians over ordinary members: what they gain, and the score they end with. The median active user has "
        f"{report.median_active:.1f} points.",
        "",
        *table(["attack", "points gained", "limit", "end score", "verdict"], rows),
        "",
        f"Measured as of {report.as_of:%Y-%m-%d}; the model is not trained again on the attacks.",
    ]
