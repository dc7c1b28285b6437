"""Changes on the terminal: one user's ledger, part by part, and a community's movements.

What would change a score, on the terminal.
"""

from features.console import print_message, print_table
from serving.review.community_change import CommunityChange
from serving.review.score_change import Change
from serving.review.what_if import WhatIf
from training.explanation.counterfactuals import Change as WhatIfChange
from training.explanation.counterfactuals import ScenarioOutcome
from training.explanation.reasons import LEAST_POINTS
from training.explanation.score_change import ChangeLine

TITLES = {
    "own": "What the person did",
    "others": "How others responded",
    "time": "The account grew older",
    "model": "A new model",
    "scale": "A new scale",
    "clipping": "Scores end at 0 and at 100",
}
MOST_OF_A_PART = 5
TITLED = ("scale", "clipping")


def change_table(told: Change) -> None:
    """Print a change: what is missing where too little is known at either instant, else the ledger and the reasons."""
    days = f"from {told.before.as_of[:10]} to {told.after.as_of[:10]}"
    for remark in told.remarks:
        print_message(f"Note: {remark}")
    if told.missing is not None:
        print_message(
            f"No change of {told.user}'s score can be told {days}. {told.missing} (--json gives the figures.)"
        )
        return
    rows = [[f"Score as of {told.before.as_of[:10]}", "", f"{told.before.score:.2f}"]]
    for part, points in told.parts.items():
        lines = [line for line in told.lines if line.part == part]
        if lines or part in ("own", "others"):
            rows.append([TITLES[part], "", f"{points:+.2f}"])
            rows += _of_part(lines) if part not in TITLED else []
    rows.append([f"Score as of {told.after.as_of[:10]}", "", f"{told.after.score:.2f}"])
    print_table(f"Why {told.user} went {told.change:+.1f} points {days}", ["", "of it", "points"], rows)
    for title, sentences in (("Up", told.reasons_up), ("Down", told.reasons_down)):
        if sentences:
            print_message(f"{title}: {' '.join(sentences)}")
    ends = [f"{side.expected_audience:.1f}" for side in (told.before, told.after)]
    models = _models(told.before.model_version, told.after.model_version)
    print_message(f"Expected audience {ends[0]} -> {ends[1]} people; {models}.")


def movements_table(told: CommunityChange) -> None:
    """Print how a community's scores changed: how far, by which part, and who moved most."""
    days = f"from {told.before[:10]} to {told.after[:10]}"
    for remark in told.remarks:
        print_message(f"Note: {remark}")
    bins = [
        [f"{each.low:+g} to {each.high:+g}", f"{each.users:,}", _share(each.users, told.judged)]
        for each in told.histogram
    ]
    print_message(f"Changes of score {days}, scope {told.scope}: {told.judged:,} users.")
    print_table("How far", ["points", "users", "share"], bins)
    sizes = [[TITLES[part], f"{held.mean:+.2f}", f"{held.size:.2f}"] for part, held in told.parts.items()]
    print_table("By what, in points", ["", "mean", "mean size"], sizes)
    movers = [
        [
            each.user,
            " ".join(_why(each.change, each.reasons_up, each.reasons_down)),
            f"{each.before:.1f}",
            f"{each.after:.1f}",
            f"{each.change:+.1f}",
        ]
        for each in told.largest
    ]
    print_table("Who moved most", ["user", "mostly because", "before", "after", "points"], movers, 2)
    print_message(
        f"{told.share:.1%} moved by more than {told.points:g} points, the median by {told.median:+.2f}; "
        f"{_models(*told.model_versions)}."
    )
    print_message(
        f"{told.users:,} users have a score at both instants ({told.insufficient_evidence:,} of them with too little "
        f"evidence at one, not judged here), {told.only_before:,} only at the first, {told.only_after:,} only at the "
        "second."
    )


def _of_part(lines: list[ChangeLine]) -> list[list[str]]:
    """Show the strongest lines of a part that move half a point, then the others together."""
    shown = [line for line in lines[:MOST_OF_A_PART] if abs(line.points) >= LEAST_POINTS]
    rows = [[f"  {line.sentence}", f"{line.points:+.2f}", ""] for line in shown]
    others = lines[len(shown) :]
    if others:
        which = ("other" if shown else "small one") + ("" if len(others) == 1 else "s")
        rows.append([f"  {len(others)} {which} (--json lists them)", f"{sum(line.points for line in others):+.2f}", ""])
    return rows


def _why(points: float, up: tuple[str, ...], down: tuple[str, ...]) -> tuple[str, ...]:
    """Give the two strongest reasons on the side to which the score moved."""
    return (up if points > 0 else down)[:2]


def _share(users: int, of: int) -> str:
    return f"{users / of:.1%}" if of else ""


def _models(before: str, after: str) -> str:
    return f"both by model version {after}" if before == after else f"model version {before} -> {after}"


MOST_FOLLOWING = 4


def what_if_table(told: WhatIf) -> None:
    """Print what would change a score, each outcome with the interval of its audience, and what it is worth."""
    title = "What would change" if told.asked is None else "What a change does to"
    now = ["Now", "", f"{told.score:.1f}", "", _audience(told.expected_audience, told.interval.low, told.interval.high)]
    rows = [now, *(line for outcome in _outcomes(told) for line in _lines(outcome, told))]
    columns = ["", "asks", "score", "points", "audience"]
    print_table(f"{title} the score of {told.user}, as of {told.as_of[:10]}", columns, rows)
    print_message(
        f"Audience: people expected to engage within {told.horizon_days} days, and the {told.interval.level:.0%} "
        "interval. What a change asks: the share of peers that it passes."
    )
    for note in told.notes:
        print_message(note)
    print_message(
        f"{told.association} Evidence: {told.evidence}; {told.peers:,} peers; model version {told.model_version}."
    )


def _outcomes(told: WhatIf) -> list[ScenarioOutcome]:
    return [outcome for outcome in (told.asked, *told.in_own_hands, told.in_others_hands) if outcome is not None]


def _lines(outcome: ScenarioOutcome, told: WhatIf) -> list[list[str]]:
    """Show an outcome: what was asked for on top, and what follows below, where it moves half a point."""
    asked = [_told(change) for change in outcome.changes if change.asked]
    away = [] if told.away_days is None else [f"{told.away_days} days of doing nothing."]
    whose = "" if outcome.in_own_hands else " (in others' hands)"
    what = " And: ".join([*away, *asked]) or "Nothing changes."
    audience = _audience(outcome.expected_audience, outcome.low, outcome.high)
    lines = [[what + whose, f"{outcome.asks:.0%}", f"{outcome.score:.1f}", f"{outcome.gain:+.1f}", audience]]
    return lines + _parts(outcome) if told.asked is not None else lines


def _parts(outcome: ScenarioOutcome) -> list[list[str]]:
    moving = [change for change in outcome.changes if abs(change.points) >= LEAST_POINTS]
    strongest = sorted(moving, key=lambda change: -abs(change.points))[:MOST_FOLLOWING]
    parts = [(f"  of it: {_told(change)}", change.points) for change in strongest]
    rest = outcome.gain - sum(change.points for change in strongest)
    parts += [("  of it: other lines, and ending at 0 and 100", rest)] if abs(rest) >= LEAST_POINTS / 10 else []
    return [[text, "", "", f"{points:+.1f}", ""] for text, points in parts]


def _told(change: WhatIfChange) -> str:
    before = "unknown" if change.before is None else f"{change.before:,.2f}".removesuffix(".00")
    return f"{change.sentence} (now {before})"


def _audience(expected: float, low: int, high: int) -> str:
    return f"{expected:.1f} ({low} to {high})"
