"""Terminal tables about changes: of one user, of a community, and what would change a score."""

from typing import TYPE_CHECKING

from features.console import print_message, print_table
from serving.cli.score_tables import line_rows, print_reasons
from training.explanation.reasons import LEAST_POINTS

if TYPE_CHECKING:
    from serving.review.community_change import CommunityChange, Mover
    from serving.review.score_change import ScoreChange
    from serving.review.what_if import WhatIf
    from training.explanation.counterfactuals import FeatureChange, ScenarioOutcome

TITLES = {
    "own": "What the person did",
    "others": "How others responded",
    "time": "The account grew older",
    "model": "A new model",
    "scale": "A new scale",
    "clipping": "Scores end at 0 and at 100",
}
MOST_OF_A_PART = 5


def change_table(change: "ScoreChange") -> None:
    """Print a change: the ledger and the reasons, or what is missing where evidence is insufficient at either end."""
    before, after = change.before, change.after
    days = f"from {before.as_of[:10]} to {after.as_of[:10]}"
    for remark in change.remarks:
        print_message(f"Note: {remark}")
    if change.missing is not None:
        print_message(
            f"The change of {change.user}'s score {days} is unknown. {change.missing} (--json gives the figures.)"
        )
        return
    rows = [[f"Score as of {before.as_of[:10]}", "", f"{before.score:.2f}"]]
    for part, points in change.parts.items():
        lines = [line for line in change.lines if line.part == part]
        if lines or part in ("own", "others"):
            rows.append([TITLES[part], "", f"{points:+.2f}"])
            rows += line_rows(lines, MOST_OF_A_PART) if part not in ("scale", "clipping") else []
    rows.append([f"Score as of {after.as_of[:10]}", "", f"{after.score:.2f}"])
    print_table(f"Why {change.user} went {change.change:+.1f} points {days}", ["", "of it", "points"], rows)
    print_reasons(("Up", change.reasons_up), ("Down", change.reasons_down))
    models = _models(before.model_version, after.model_version)
    print_message(
        f"Expected audience {before.expected_audience:.1f} -> {after.expected_audience:.1f} people; {models}."
    )


def movements_table(community: "CommunityChange") -> None:
    """Print how a community's scores changed: how far, by which part, and which users moved most."""
    days = f"from {community.before[:10]} to {community.after[:10]}"
    for remark in community.remarks:
        print_message(f"Note: {remark}")
    total = community.judged
    bins = [
        [f"{bar.low:+g} to {bar.high:+g}", f"{bar.users:,}", f"{bar.users / total:.1%}" if total else ""]
        for bar in community.histogram
    ]
    print_message(f"Changes of score {days}, scope {community.scope}: {community.judged:,} users.")
    print_table("How far", ["points", "users", "share"], bins)
    sizes = [[TITLES[part], f"{size.mean:+.2f}", f"{size.size:.2f}"] for part, size in community.parts.items()]
    print_table("By what, in points", ["", "mean", "mean size"], sizes)
    movers = [_mover_row(mover) for mover in community.largest]
    print_table("Who moved most", ["user", "mostly because", "before", "after", "points"], movers, 2)
    print_message(
        f"{community.share:.1%} moved by more than {community.points:g} points, the median by {community.median:+.2f}; "
        f"{_models(*community.model_versions)}."
    )
    print_message(
        f"{community.users:,} users have a score at both instants ({community.insufficient_evidence:,} of them with "
        f"too little evidence at one, not counted here), {community.only_before:,} only at the first, "
        f"{community.only_after:,} only at the second."
    )


def _mover_row(mover: "Mover") -> list[str]:
    """Return a row with the two strongest reasons in the direction in which the score moved."""
    reasons = (mover.reasons_up if mover.change > 0 else mover.reasons_down)[:2]
    return [mover.user, " ".join(reasons), f"{mover.before:.1f}", f"{mover.after:.1f}", f"{mover.change:+.1f}"]


def _models(before: str, after: str) -> str:
    return f"both by model version {after}" if before == after else f"model version {before} -> {after}"


MOST_FOLLOWING = 4


def what_if_table(report: "WhatIf") -> None:
    """Print what would change a score: each outcome with its effort, points and audience interval."""
    title = "What would change" if report.asked is None else "What a change does to"
    audience = _audience(report.expected_audience, report.interval.low, report.interval.high)
    rows = [["Now", "", f"{report.score:.1f}", "", audience]]
    for outcome in (report.asked, *report.in_own_hands, report.in_others_hands):
        if outcome is not None:
            rows += [_outcome_row(outcome, report.away_days), *(_effect_rows(outcome) if report.asked else [])]
    columns = ["", "asks", "score", "points", "audience"]
    print_table(f"{title} the score of {report.user}, as of {report.as_of[:10]}", columns, rows)
    print_message(
        f"Audience: people expected to engage within {report.horizon_days} days, and the {report.interval.level:.0%} "
        "interval. What a change asks: the share of peers that it passes."
    )
    for note in report.notes:
        print_message(note)
    print_message(
        f"{report.association} Evidence: {report.evidence}; {report.peers:,} peers; model version "
        f"{report.model_version}."
    )


def _outcome_row(outcome: "ScenarioOutcome", away_days: int | None) -> list[str]:
    requested = [_value_change(change) for change in outcome.changes if change.asked]
    away = [] if away_days is None else [f"{away_days} days of doing nothing."]
    whose = "" if outcome.in_own_hands else " (in others' hands)"
    title = (" And: ".join([*away, *requested]) or "Nothing changes.") + whose
    audience = _audience(outcome.expected_audience, outcome.interval.low, outcome.interval.high)
    return [title, f"{outcome.asks:.0%}", f"{outcome.score:.1f}", f"{outcome.gain:+.1f}", audience]


def _effect_rows(outcome: "ScenarioOutcome") -> list[list[str]]:
    """Return the strongest changes that move half a point, and the rest in one row."""
    moving = [change for change in outcome.changes if abs(change.points) >= LEAST_POINTS]
    strongest = sorted(moving, key=lambda change: -abs(change.points))[:MOST_FOLLOWING]
    parts = [(f"  of it: {_value_change(change)}", change.points) for change in strongest]
    rest = outcome.gain - sum(change.points for change in strongest)
    parts += [("  of it: other lines, and ending at 0 and 100", rest)] if abs(rest) >= LEAST_POINTS / 10 else []
    return [[text, "", "", f"{points:+.1f}", ""] for text, points in parts]


def _value_change(change: "FeatureChange") -> str:
    before = "unknown" if change.before is None else f"{change.before:,.2f}".removesuffix(".00")
    return f"{change.sentence} (now {before})"


def _audience(expected: float, low: int, high: int) -> str:
    return f"{expected:.1f} ({low} to {high})"
