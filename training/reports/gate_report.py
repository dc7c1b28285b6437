"""The gate's report: the verdict, every finding, who moves furthest and why, and what each attack gains."""

from training.evaluation.report import NotMeasured
from training.model.bundle import Bundle
from training.release.gate import Churn, GateInput, MoveReason, Verdict
from training.reports.markdown import document, table
from training.robustness.attack_report import AttackReport


def gate_report(bundle: Bundle, measured: GateInput, verdict: Verdict) -> str:
    """Write the report of a gate, in Markdown.

    Parameters
    ----------
    bundle : the challenger
    measured, verdict : as `judge` takes and gives them

    """
    rows = [[each.name.replace("_", " "), each.word, each.message] for each in verdict.findings]
    sections = {
        f"Gate of the model of {bundle.facts['as_of'][:10]}": [_outcome(verdict)],
        "Findings": table(["finding", "", "what was found"], rows, 3),
    }
    if not isinstance(measured.churn, NotMeasured):
        sections["Who moves furthest"] = _moves(measured.churn)
    if not isinstance(measured.attacks, NotMeasured):
        sections["Attacks"] = _attacks(measured.attacks)
    return document(sections)


def _outcome(verdict: Verdict) -> str:
    if verdict.passed:
        return "**Passed**: it becomes the champion."
    names = ", ".join(each.name.replace("_", " ") for each in verdict.findings if each.passed is False)
    if verdict.forced is None:
        return f"**Failed** ({names}): it stays a challenger, and the champion, if there is one, stays champion."
    return f"**Failed** ({names}), and promoted all the same, by force. The reason given: {verdict.forced}"


def _moves(churn: Churn) -> list[str]:
    heading = (
        f"From version {churn.version} to this one, at the end of the training: the median of {churn.users:,} "
        f"active users moves by {churn.median:+.1f} points, the place where all start by {churn.base:+.1f}."
    )
    rows = [
        [f"{move.before:.1f}", f"{move.after:.1f}", move.user, " ".join(map(_reason, move.reasons))]
        for move in churn.largest
    ]
    if not rows:
        return [f"{heading} Nobody's score moves."]
    return [heading, "", *table(["before", "after", "user", "features whose points differ most"], rows, 4)]


def _reason(reason: MoveReason) -> str:
    return f"{reason.sentence} ({reason.before:+.1f} -> {reason.after:+.1f})"


def _attacks(report: AttackReport) -> list[str]:
    rows = [
        [
            attack.description,
            f"{attack.gain_median:+.1f}",
            f"{attack.limit:g}",
            f"{attack.end_score_median:.1f}",
            "held" if attack.within_limit else "NOT held",
        ]
        for attack in report.attacks
    ]
    return [
        f"What an ordinary member gains in the median; the median active user has {report.median_active:.1f} points.",
        "",
        *table(["attack", "points gained", "limit", "ends at", ""], rows),
        "",
        f"Measured as of {report.as_of:%Y-%m-%d}; the model is not trained again on the attacks.",
    ]
