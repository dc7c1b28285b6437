"""What somebody earned, on the terminal: the pieces below a ledger, and whether the totals are those of the score."""

from collections.abc import Mapping
from datetime import datetime

from features.earned import Earned, Piece
from features.terminal import say, table, warn

BAR, ROOM = 8, 3
LONGEST_NAME = 24


def earned_table(made: Earned, row: Mapping[str, float]) -> None:
    """Print the pieces that most people engaged with and the totals, held against the feature row of the score.

    People are different known ones; `unknown` are acts by unknown people.
    """
    when = f"in the {made.days} days before {made.as_of[:10]}"
    if made.pieces:
        verbs = [verb for verb in made.verbs if any(verb in piece.verbs for piece in made.pieces)]
        most = max(piece.people for piece in made.pieces)
        bar = max(BAR - 2 * max(len(verbs) - ROOM, 0), 0)
        rows = [_row(piece, verbs, bar / max(most, 1)) for piece in made.pieces]
        part = f"{len(rows)} of {made.drawing:,} pieces" if made.drawing > len(rows) else _some(len(rows), "piece")
        title = f"What {made.user} earned {when}: {part}, in different people"
        columns = ["piece", "", "people", *verbs, "acts", "unknown", "made", "last"]
        table(title, columns, rows, left=2)
    if made.engagements:
        say(_totals(made, when, row["credible_engagers_90d"]))
    else:
        say(f"Nobody engaged with {made.user} {when}.")
    _tell_agreement(made, row)


def _row(piece: Piece, verbs: list[str], per_person: float) -> list[str]:
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


def _totals(made: Earned, when: str, credible: float) -> str:
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


def _tell_agreement(made: Earned, row: Mapping[str, float]) -> None:
    differing = made.differing(row)
    if not differing:
        say("The score was made from the same totals.")
        return
    told = "; ".join(f"{name} {both['events']:,.0f}, not {both['scored']:,.0f}" for name, both in differing.items())
    warn(f"the score was made from other totals: {told}. Are the events or identities others, or did some come late?")
