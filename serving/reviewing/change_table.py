"""Changes on the terminal: one user's ledger, part by part, and a community's movements."""

from features.terminal import say, table
from serving.reviewing.changes import Change
from serving.reviewing.movements import Movements
from training.change_told import ChangeLine
from training.reasons import LEAST_POINTS

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
        say(f"Note: {remark}")
    if told.missing is not None:
        say(f"No change of {told.user}'s score can be told {days}. {told.missing} (--json gives the figures.)")
        return
    rows = [[f"Score as of {told.before.as_of[:10]}", "", f"{told.before.score:.2f}"]]
    for part, points in told.parts.items():
        lines = [line for line in told.lines if line.part == part]
        if lines or part in ("own", "others"):
            rows.append([TITLES[part], "", f"{points:+.2f}"])
            rows += _of_part(lines) if part not in TITLED else []
    rows.append([f"Score as of {told.after.as_of[:10]}", "", f"{told.after.score:.2f}"])
    table(f"Why {told.user} went {told.change:+.1f} points {days}", ["", "of it", "points"], rows)
    for title, sentences in (("Up", told.reasons_up), ("Down", told.reasons_down)):
        if sentences:
            say(f"{title}: {' '.join(sentences)}")
    ends = [f"{side.expected_audience:.1f}" for side in (told.before, told.after)]
    models = _models(told.before.model_version, told.after.model_version)
    say(f"Expected audience {ends[0]} -> {ends[1]} people; {models}.")


def movements_table(told: Movements) -> None:
    """Print how a community's scores changed: how far, by which part, and who moved most."""
    days = f"from {told.before[:10]} to {told.after[:10]}"
    for remark in told.remarks:
        say(f"Note: {remark}")
    bins = [
        [f"{each.low:+g} to {each.high:+g}", f"{each.users:,}", _share(each.users, told.judged)]
        for each in told.histogram
    ]
    say(f"Changes of score {days}, scope {told.scope}: {told.judged:,} users.")
    table("How far", ["points", "users", "share"], bins)
    sizes = [[TITLES[part], f"{held.mean:+.2f}", f"{held.size:.2f}"] for part, held in told.parts.items()]
    table("By what, in points", ["", "mean", "mean size"], sizes)
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
    table("Who moved most", ["user", "mostly because", "before", "after", "points"], movers, 2)
    say(
        f"{told.share:.1%} moved by more than {told.points:g} points, the median by {told.median:+.2f}; "
        f"{_models(*told.model_versions)}."
    )
    say(
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
