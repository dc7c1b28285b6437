"""An explanation on the terminal: a ledger that adds up, family by family."""

from features.catalogue import CATALOGUE
from features.terminal import say, table
from serving.snapshots.explanations import Explanation
from training.reasons import LEAST_POINTS, Line

MOST_OF_A_FAMILY = 4


def ledger_table(told: Explanation) -> None:
    """Print an explanation: what is missing where too little is known, else the ledger and the reasons."""
    when = f"as of {told.as_of[:10]}"
    if told.missing is not None:
        say(f"{told.user} has no score {when}. {told.missing} (--json gives the figures all the same.)")
        return
    lines = [[f"Where everybody starts: {told.baseline}", "", "", f"{told.base:+.2f}"]]
    for family, points in told.families.items():
        lines.append([family.capitalize(), "", "", f"{points:+.2f}"])
        lines += _of_family([line for line in told.lines if line.family == family])
    if told.clipping:
        lines.append(["Scores end at 0 and at 100", "", "", f"{told.clipping:+.2f}"])
    lines.append(["Score", "", "", f"{told.score:.2f}"])
    table(f"Why {told.user} has {told.score:.1f} points, {when}", ["", "typical of peers", "of it", "points"], lines)
    for title, sentences in (("For it", told.reasons_for), ("Against it", told.reasons_against)):
        if sentences:
            say(f"{title}: {' '.join(sentences)}")
    for held in told.held_back:
        say(f"Held back: {held.sentence}")
    say(
        f"Expected audience {told.expected_audience:.1f} people, {told.interval.level:.0%} interval "
        f"{told.interval.low} to {told.interval.high}; evidence: {told.evidence}; model version {told.model_version}."
    )


def _of_family(lines: list[Line]) -> list[list[str]]:
    """Show the strongest lines of a family that move half a point, then the others together."""
    shown = [line for line in lines[:MOST_OF_A_FAMILY] if abs(line.points) >= LEAST_POINTS]
    told = [[f"  {line.sentence}", _typical(line), f"{line.points:+.2f}", ""] for line in shown]
    others = lines[len(shown) :]
    if others:
        which = "others" if shown else "small ones"
        rest = sum(line.points for line in others)
        told.append([f"  {len(others)} {which} (--json lists them)", "", f"{rest:+.2f}", ""])
    return told


def _typical(line: Line) -> str:
    if line.typical is None:
        return ""
    if CATALOGUE[line.feature].unit == "share":
        return f"{line.typical:.0%}"
    return f"{line.typical:,.2f}".removesuffix(".00")
