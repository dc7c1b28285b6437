"""Terminal output on changes: of one user, of a community, and what would change a score."""

from collections.abc import Iterable, Sequence
from math import nan
from typing import TYPE_CHECKING

from features.catalogue import CATALOGUE
from features.catalogue.wording import count_of, pointed, points_of
from features.console import print_points, print_table, print_text
from serving.snapshots.comparisons import value_shown
from serving.snapshots.facts import ENDS, label
from serving.snapshots.story import expectations
from training.explanation.feature_constraints import ABSENT
from training.explanation.inactivity import AT_THE_SAME_RATE
from training.explanation.reasons import LEAST_POINTS

if TYPE_CHECKING:
    from serving.review.community_change import CommunityChange, Mover
    from serving.review.score_change import ScoreChange
    from serving.review.what_if import WhatIf
    from training.explanation.counterfactuals import FeatureChange, ScenarioOutcome
    from training.explanation.score_change import ChangeLine
    from training.model.bundle import FeatureRow
    from training.model.intervals import Interval

TITLES = {
    "own": "Absence and repeated posts",
    "others": "Responses of others",
    "time": "Time in the community",
    "model": "A new model",
    "scale": "A new scale",
    "clipping": ENDS,
}
MOST_FOLLOWING = 4


def change_table(change: "ScoreChange") -> None:
    """Print a change: what moved the score, then its ledger; what is missing where evidence is insufficient."""
    before, after = change.before, change.after
    days = _span((before.as_of, after.as_of), (before.model_version, after.model_version))
    if change.missing is not None:
        print_text(f"How the score of {change.user} changed {days} is not known.")
        print_points("Why not", [change.missing])
        print_points("Please note", change.remarks)
        print_text("--json gives the figures anyway.")
        return
    moved = round(after.score, 1) - round(before.score, 1)
    print_text(f"The score of {change.user} {_went(moved)} {days}: {before.score:.1f}, then {after.score:.1f}.")
    print_text(expectations(*((score.expected_audience, score.chance) for score in (before, after))))
    raised, lowered = ([reason for reason in change.reasons if sign * reason.points > 0] for sign in (1, -1))
    for title, reasons in (("What raised it", raised), ("What lowered it", lowered)):
        print_points(title, (pointed(reason.sentence, reason.points) for reason in reasons))
    print_points("Please note", change.remarks)
    print_text(_models(before.model_version, after.model_version))
    print_text("")
    print_table("The points of the change", ["", "of it", "points"], _ledger_rows(change))


def _ledger_rows(change: "ScoreChange") -> list[list[str]]:
    """Return the score before, the points of each part of the change and of its features, and the score after."""
    before, after = change.before, change.after
    first, last = (
        f"Score as of {score.as_of[:10]}" if before.as_of != after.as_of else f"Score by version {score.model_version}"
        for score in (before, after)
    )
    rows = [[first, "", f"{before.score:.2f}"]]
    for part, points in change.parts.items():
        lines = [line for line in change.lines if line.part == part]
        if lines or part in ("own", "others"):
            rows.append([TITLES[part], "", f"{points:+.2f}"])
            rows += _line_rows(lines) if part not in ("scale", "clipping") else []
    return [*rows, [last, "", f"{after.score:.2f}"]]


def _line_rows(lines: "Sequence[ChangeLine]") -> list[list[str]]:
    """Return the lines that move half a point or more, by what they are of, then one row for the others."""
    strongest = [line for line in lines if abs(line.points) >= LEAST_POINTS]
    rows = [
        [f"  {label(line.feature) if line.feature else line.sentence}", f"{line.points:+.2f}", ""] for line in strongest
    ]
    others = lines[len(strongest) :]
    if others:
        smaller = count_of(len(others), "smaller fact")
        rows.append([f"  {smaller} (see --json)", f"{sum(line.points for line in others):+.2f}", ""])
    return rows


def _span(instants: tuple[str, str], versions: tuple[str, str]) -> str:
    """Return from when to when a change goes; of one instant, from which model version to which."""
    days = [instant[:10] for instant in instants]
    if instants[0] == instants[1]:
        return f"from version {versions[0]} to version {versions[1]} as of {days[0]}"
    return f"from {days[0]} to {days[1]}"


def _went(points: float) -> str:
    if abs(points) < 0.05:
        return "hardly moved"
    return f"{'rose' if points > 0 else 'fell'} by {abs(points):.1f} points"


def movements_table(community: "CommunityChange") -> None:
    """Print how a community's scores changed: how far, by which part, and which users moved most."""
    days = _span((community.before, community.after), community.model_versions)
    total = community.judged
    print_text(
        f"{community.share:.1%} of {total:,} users moved by more than {points_of(community.points)} {days}, scope "
        f"{community.scope}. The median user moved by {community.median:+.1f} points."
    )
    print_points("Not compared", _not_compared(community))
    print_points("Please note", community.remarks)
    print_text(_models(*community.model_versions))
    bins = [
        [f"{bar.low:+g} to {bar.high:+g}", f"{bar.users:,}", f"{bar.users / total:.1%}" if total else ""]
        for bar in community.histogram
    ]
    print_table("How far", ["points", "users", "share"], bins)
    sizes = [[TITLES[part], f"{size.mean:+.2f}", f"{size.size:.2f}"] for part, size in community.parts.items()]
    print_table("What moved them, in points", ["", "mean", "mean size"], sizes)
    for title, movers in (("Who rose most:", community.risen), ("Who fell most:", community.fallen)):
        if movers:
            print_text(title)
        for mover in movers:
            print_points(_mover_title(mover), _mover_reasons(mover))


def _not_compared(community: "CommunityChange") -> list[str]:
    return [
        f"{community.insufficient_evidence:,} of the {community.users:,} users with a score at both instants had too "
        "little evidence at one of them.",
        f"Only at the first instant: {count_of(community.only_before, 'user')}; only at the second: "
        f"{count_of(community.only_after, 'user')}.",
    ]


def _mover_title(mover: "Mover") -> str:
    return f"{mover.user} {_went(mover.change)}, from {mover.before:.1f} to {mover.after:.1f}"


def _mover_reasons(mover: "Mover") -> Iterable[str]:
    """Return the two strongest reasons in the direction in which the score moved."""
    return (mover.reasons_up if mover.change > 0 else mover.reasons_down)[:2]


def _models(before: str, after: str) -> str:
    if before == after:
        return f"Both scores are of model version {after}."
    return f"The first score is of model version {before}, the second of version {after}."


def what_if_table(report: "WhatIf", row: "FeatureRow") -> None:
    """Print what would change a score: in sentences, then each outcome with its points and audience.

    `row` holds the user's features.
    """
    if report.asked is None:
        print_text(f"{report.user} has {report.score:.1f} of 100 points, as of {report.as_of[:10]}.")
        print_points("What would change it", [change.sentence for change in report.possible_changes])
        outcomes = report.in_own_hands
        title = "What is in the user's own hands"
    else:
        outcomes = (report.asked,)
        title = f"What a change does to the score of {report.user}, as of {report.as_of[:10]}"
        ends = f"{report.score:.1f} now, {report.asked.score:.1f} then"
        verb = f"would {_would(report.asked.gain)}"
        if AT_THE_SAME_RATE in report.notes:
            print_text(f"By the absence alone, the score of {report.user} {verb}: {ends}.")
            print_text("--events EVENTS counts the responses that the user would lose as well.")
        else:
            print_text(f"The score of {report.user} {verb}: {ends}.")
    print_points("How to read this", [report.association, *report.notes])
    peers = count_of(report.peers, "user")
    print_text(f"Model version {report.model_version}; ranges are those of {peers} with a similar audience.")
    if not any(outcome.changes for outcome in outcomes):
        return
    print_text("")
    rows = [["Now", f"{report.score:.1f}", "", _audience(report.expected_audience, report.interval)]]
    for outcome in outcomes:
        rows += [_outcome_row(outcome, report, row), *(_effect_rows(outcome, row) if report.asked else [])]
    audience = f"people in {report.horizon_days} days ({report.interval.level:.0%} range)"
    print_table(title, ["", "score", "points", audience], rows)


def _would(gain: float) -> str:
    if abs(gain) < 0.05:
        return "hardly move"
    return f"{'rise' if gain > 0 else 'fall'} by {points_of(abs(gain))}"


def _outcome_row(outcome: "ScenarioOutcome", report: "WhatIf", row: "FeatureRow") -> list[str]:
    away = [] if report.away_days is None else [f"After {count_of(report.away_days, 'day')} without activity"]
    requested = [change for change in outcome.changes if change.asked and not (away and change.feature == ABSENT)]
    whose = "" if outcome.in_own_hands else " (in others' hands)"
    title = ("; ".join([*away, *_value_changes(requested, outcome, row)]) or "Nothing changes") + whose
    audience = _audience(outcome.expected_audience, outcome.interval)
    gain = round(outcome.score, 1) - round(report.score, 1)
    return [title, f"{outcome.score:.1f}", f"{gain:+.1f}", audience]


def _effect_rows(outcome: "ScenarioOutcome", row: "FeatureRow") -> list[list[str]]:
    """Return the strongest changes that move half a point, and the rest in one row."""
    moving = [change for change in outcome.changes if abs(change.points) >= LEAST_POINTS]
    strongest = sorted(moving, key=lambda change: -abs(change.points))[:MOST_FOLLOWING]
    texts = _value_changes(strongest, outcome, row)
    parts = [(f"  of it: {text}", change.points) for text, change in zip(texts, strongest, strict=True)]
    rest = outcome.gain - sum(change.points for change in strongest)
    parts += [("  of it: the rest", rest)] if abs(rest) >= LEAST_POINTS / 10 else []
    return [[text, "", f"{points:+.1f}", ""] for text, points in parts]


def _value_changes(changes: "Sequence[FeatureChange]", outcome: "ScenarioOutcome", row: "FeatureRow") -> list[str]:
    """Return what each change is of, and the figure now and then."""
    then = {**row, **{change.feature: _number(change.after) for change in outcome.changes}}
    return [
        f"{label(change.feature)}: {_figure(change.feature, change.before, row)} -> "
        f"{_figure(change.feature, change.after, then)}"
        for change in changes
    ]


def _number(value: float | None) -> float:
    return nan if value is None else value


def _figure(feature: str, value: float | None, row: "FeatureRow") -> str:
    """Return a figure as the facts of a score show it; of features without one there, the number."""
    shown = value_shown(feature, value, row)
    if shown or value is None:
        return shown or "none"
    return f"{value:.0%}" if CATALOGUE[feature].unit == "share" else f"{value:,.1f}".removesuffix(".0")


def _audience(expected: float, interval: "Interval") -> str:
    return f"{expected:,.1f} ({interval.low:,} to {interval.high:,})"
