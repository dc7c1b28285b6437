"""What would change a score, on the terminal."""

from features.terminal import say, table
from serving.reviewing.what_if import WhatIf
from training.reasons import LEAST_POINTS
from training.what_if import Change, Outcome

MOST_FOLLOWING = 4


def what_if_table(told: WhatIf) -> None:
    """Print what would change a score, each outcome with the interval of its audience, and what it is worth."""
    title = "What would change" if told.asked is None else "What a change does to"
    now = ["Now", "", f"{told.score:.1f}", "", _audience(told.expected_audience, told.interval.low, told.interval.high)]
    rows = [now, *(line for outcome in _outcomes(told) for line in _lines(outcome, told))]
    columns = ["", "asks", "score", "points", "audience"]
    table(f"{title} the score of {told.user}, as of {told.as_of[:10]}", columns, rows)
    say(
        f"Audience: people expected to engage within {told.horizon_days} days, and the {told.interval.level:.0%} "
        "interval. What a change asks: the share of peers that it passes."
    )
    for note in told.notes:
        say(note)
    say(f"{told.association} Evidence: {told.evidence}; {told.peers:,} peers; model version {told.model_version}.")


def _outcomes(told: WhatIf) -> list[Outcome]:
    return [outcome for outcome in (told.asked, *told.in_own_hands, told.in_others_hands) if outcome is not None]


def _lines(outcome: Outcome, told: WhatIf) -> list[list[str]]:
    """Show an outcome: what was asked for on top, and what follows below, where it moves half a point."""
    asked = [_told(change) for change in outcome.changes if change.asked]
    away = [] if told.away_days is None else [f"{told.away_days} days of doing nothing."]
    whose = "" if outcome.in_own_hands else " (in others' hands)"
    what = " And: ".join([*away, *asked]) or "Nothing changes."
    audience = _audience(outcome.expected_audience, outcome.low, outcome.high)
    lines = [[what + whose, f"{outcome.asks:.0%}", f"{outcome.score:.1f}", f"{outcome.gain:+.1f}", audience]]
    return lines + _parts(outcome) if told.asked is not None else lines


def _parts(outcome: Outcome) -> list[list[str]]:
    moving = [change for change in outcome.changes if abs(change.points) >= LEAST_POINTS]
    strongest = sorted(moving, key=lambda change: -abs(change.points))[:MOST_FOLLOWING]
    parts = [(f"  of it: {_told(change)}", change.points) for change in strongest]
    rest = outcome.gain - sum(change.points for change in strongest)
    parts += [("  of it: other lines, and ending at 0 and 100", rest)] if abs(rest) >= LEAST_POINTS / 10 else []
    return [[text, "", "", f"{points:+.1f}", ""] for text, points in parts]


def _told(change: Change) -> str:
    before = "unknown" if change.before is None else f"{change.before:,.2f}".removesuffix(".00")
    return f"{change.sentence} (now {before})"


def _audience(expected: float, low: int, high: int) -> str:
    return f"{expected:.1f} ({low} to {high})"
