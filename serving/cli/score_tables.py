"""An explanation on the terminal: a ledger that adds up, family by family.

A history on the terminal: one row per instant, with the points between and where the model changed.
What somebody earned, on the terminal: the pieces below a ledger, and whether the totals are those of the score.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from features.catalogue import CATALOGUE
from features.console import print_message, print_table, warn
from features.engagement_report import EngagementReport, Piece
from serving.review.history import History, Point
from serving.snapshots.explanation import SCORED, Explanation
from training.explanation.reasons import LEAST_POINTS, Line

MOST_OF_A_FAMILY = 4


def ledger_table(told: Explanation) -> None:
    """Print an explanation: what is missing where too little is known, else the ledger and the reasons."""
    when = f"as of {told.as_of[:10]}"
    if told.missing is not None:
        print_message(f"{told.user} has no score {when}. {told.missing} (--json gives the figures all the same.)")
        return
    lines = [[f"Where everybody starts: {told.baseline}", "", "", f"{told.base:+.2f}"]]
    for family, points in told.families.items():
        lines.append([family.capitalize(), "", "", f"{points:+.2f}"])
        lines += _of_family([line for line in told.lines if line.family == family])
    if told.clipping:
        lines.append(["Scores end at 0 and at 100", "", "", f"{told.clipping:+.2f}"])
    lines.append(["Score", "", "", f"{told.score:.2f}"])
    print_table(
        f"Why {told.user} has {told.score:.1f} points, {when}", ["", "typical of peers", "of it", "points"], lines
    )
    for title, sentences in (("For it", told.reasons_for), ("Against it", told.reasons_against)):
        if sentences:
            print_message(f"{title}: {' '.join(sentences)}")
    for held in told.held_back:
        print_message(f"Held back: {held.sentence}")
    print_message(
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


COLUMNS = ["as of", "score", "change", "people", "percentile", "model"]
MOST_NAMED = 5


def history_table(told: History) -> None:
    """Print a history; a score that rests on too little shows no number, and no change is told from or to it."""
    before = [None, *told.points[:-1]]
    rows = [_history_row(point, earlier) for point, earlier in zip(told.points, before, strict=True)]
    of = "" if told.scope == "all" else f", scope {told.scope}"
    print_table(f"The scores of {told.user}{of}: {len(rows)} of {_snapshots(told)}", COLUMNS, rows)
    if len({point.model_version for point in told.points}) > 1:
        print_message("Where the model is a new one, it moved the score as well: clout change tells how far.")
    if told.absent:
        print_message(f"No score as of {_named(told.absent)}.")
    if told.earlier is not None:
        print_message(f"There are earlier ones: clout history --to {told.earlier}")
    if told.damaged:
        warn(f"left out as damaged: {_named(told.damaged)}.")


def _history_row(point: Point, earlier: Point | None) -> list[str]:
    told = point.status == SCORED
    change = f"{point.score - earlier.score:+.1f}" if told and earlier and earlier.status == SCORED else ""
    new = earlier is not None and earlier.model_version != point.model_version
    return [
        point.as_of.removesuffix("T00:00:00Z"),
        f"{point.score:.1f}" if told else "too little known",
        change,
        f"{point.low:,} to {point.high:,}" if told else "",
        f"{point.percentile:.1f}" if told else "",
        f"{point.model_version}{' (new)' if new else ''}",
    ]


def _snapshots(told: History) -> str:
    read = len(told.points) + len(told.absent) + len(told.damaged)
    return f"{read} {'snapshot' if read == 1 else 'snapshots'}"


def _named(instants: Iterable[str]) -> str:
    days = [each.removesuffix("T00:00:00Z") for each in instants]
    more = f" and {len(days) - MOST_NAMED} more" if len(days) > MOST_NAMED else ""
    return f"{', '.join(days[:MOST_NAMED])}{more}"


BAR, ROOM = 8, 3
LONGEST_NAME = 24


def earned_table(made: EngagementReport, row: Mapping[str, float]) -> None:
    """Print the pieces that most people engaged with and the totals, held against the feature row of the score.

    People are different known ones; `unknown` are acts by unknown people.
    """
    when = f"in the {made.days} days before {made.as_of[:10]}"
    if made.pieces:
        verbs = [verb for verb in made.verbs if any(verb in piece.verbs for piece in made.pieces)]
        most = max(piece.people for piece in made.pieces)
        bar = max(BAR - 2 * max(len(verbs) - ROOM, 0), 0)
        rows = [_response_row(piece, verbs, bar / max(most, 1)) for piece in made.pieces]
        part = f"{len(rows)} of {made.drawing:,} pieces" if made.drawing > len(rows) else _some(len(rows), "piece")
        title = f"What {made.user} earned {when}: {part}, in different people"
        columns = ["piece", "", "people", *verbs, "acts", "unknown", "made", "last"]
        print_table(title, columns, rows, left=2)
    if made.engagements:
        print_message(_totals(made, when, row["credible_engagers_90d"]))
    else:
        print_message(f"Nobody engaged with {made.user} {when}.")
    _tell_agreement(made, row)


def _response_row(piece: Piece, verbs: list[str], per_person: float) -> list[str]:
    bar = "█" * max(1, round(per_person * piece.people)) if piece.people else ""
    people = [f"{piece.verbs[verb].people:,}" if verb in piece.verbs else "" for verb in verbs]
    acts = [f"{piece.engagements:,}", f"{piece.unknown:,}" if piece.unknown else ""]
    days = ["earlier" if piece.made is None else _day(piece.made), _day(piece.last)]
    return [_shortened(piece.piece), bar, f"{piece.people:,}", *people, *acts, *days]


def _day(told: str) -> str:
    return f"{datetime.fromisoformat(told):%d %b}"


def _shortened(name: str) -> str:
    """Leave out the middle of a long name: links differ at their ends."""
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"


def _totals(made: EngagementReport, when: str, credible: float) -> str:
    verbs = ", ".join(f"{held.engagements:,} {verb}" for verb, held in made.verbs.items())
    unknown = f"; {_some(made.unknown, 'act')} by unknown people" if made.unknown else ""
    return (
        f"Everything {when}: {_some(made.people, 'person')}, {_some(made.engagements, 'act')} ({verbs}){unknown}. "
        f"With content: {_some(made.on_pieces.people, 'person')}, {_some(made.on_pieces.engagements, 'act')}, "
        f"{_some(made.drawing, 'piece')}. People are counted alike here: {made.responders:,} of them responded, who "
        f"weigh as {credible:,.2f} credible ones in the score."
    )


def _some(count: int, what: str) -> str:
    """Count in words; people here are always different ones."""
    many = {"person": "different people"}.get(what, f"{what}s")
    return f"{count:,} {what if count == 1 else many}"


def _tell_agreement(made: EngagementReport, row: Mapping[str, float]) -> None:
    differing = made.differing(row)
    if not differing:
        print_message("The score was made from the same totals.")
        return
    told = "; ".join(f"{name} {both['events']:,.0f}, not {both['scored']:,.0f}" for name, both in differing.items())
    warn(f"the score was made from other totals: {told}. Are the events or identities others, or did some come late?")
