"""A change in words: a line for everything that moved, and the few reasons that say most of it."""

from dataclasses import dataclass

import pandas as pd

from features.catalogue import CATALOGUE
from training.bundle import Bundle
from training.change import BASE, CLIPPING, MODEL, SCALE, Changes, part_of
from training.explanation import base_points
from training.reasons import Line, Reason, reasons

UNKNOWN = "unknown"


@dataclass(frozen=True)
class ChangeLine:
    """One line of a change.

    `part` is one of PARTS. Of what moved (`own`, `others`, `time`), `before` and `after` are the feature's values, None
    where unknown; of the `model`, both are the later one, or the points where everybody starts; of the `scale`, the
    points of the same expected audience; of the `clipping`, what it added. `feature` and `family` are
    None where a line is of none.
    """

    part: str
    feature: str | None
    family: str | None
    before: float | None
    after: float | None
    points: float
    sentence: str


def change_lines(before: Bundle, made: Changes, old: pd.DataFrame, new: pd.DataFrame) -> list[ChangeLine]:
    """Return the lines of one user's change, largest first within each part; what moves nothing has none.

    Parameters
    ----------
    before : the old model
    made, old, new : as `changes` gives and takes them, of one row

    """
    figures = made.figures.iloc[0]
    lines = [_moved(str(name), old, new, points) for name, points in made.moved.iloc[0].items() if points != 0.0]
    if (made.model.to_numpy() != 0.0).any():
        lines += _remodelled(before, made.model.iloc[0], new)
    if figures[SCALE] != 0.0:
        ends = (float(figures["unclipped_to"] - figures[SCALE]), float(figures["unclipped_to"]))
        told = f"On the new scale, the same expected audience is {ends[1]:.1f} points and no longer {ends[0]:.1f}."
        lines.append(ChangeLine(SCALE, None, None, *ends, float(figures[SCALE]), told))
    if figures[CLIPPING] != 0.0:
        was, is_ = (float(figures[f"score_{side}"] - figures[f"unclipped_{side}"]) for side in ("from", "to"))
        told = "Scores end at 0 and at 100."
        lines.append(ChangeLine(CLIPPING, None, None, was, is_, float(figures[CLIPPING]), told))
    return sorted(lines, key=lambda line: -abs(line.points))


def change_reasons(lines: list[ChangeLine], sign: int) -> list[Reason]:
    """Return up to four reasons why a score rose (+1) or fell (-1), strongest first, as `reasons` chooses them.

    What a new model and a new scale do by themselves is one reason each, whatever features they do it by.
    """
    told = [
        Line(line.feature, line.family or line.part, line.after, line.points, line.sentence)
        for line in lines
        if line.feature and line.part != MODEL
    ]
    for part, why in ((MODEL, "A new model expects"), (SCALE, "A new scale alone gives")):
        points = sum(line.points for line in lines if line.part == part)
        told.append(Line(part, part, None, points, _by_itself(why, points)))
    return reasons(told, sign)


def _by_itself(why: str, points: float) -> str:
    return f"{why} {abs(points):.1f} points {'more' if points > 0 else 'less'} for the same facts."


def _moved(name: str, old: pd.DataFrame, new: pd.DataFrame, points: float) -> ChangeLine:
    was, is_ = (_value(rows, name) for rows in (old, new))
    feature = CATALOGUE[name]
    told = feature.sentence.format(value=f"{_said(was, feature.unit)} -> {_said(is_, feature.unit)}")
    return ChangeLine(part_of(name), name, feature.family, was, is_, float(points), told[0].upper() + told[1:])


def _remodelled(before: Bundle, points: pd.Series, row: pd.DataFrame) -> list[ChangeLine]:
    """Tell the features that count for more or less, and where everybody starts."""
    lines = []
    for name, moved in ((str(name), float(moved)) for name, moved in points.items() if moved != 0.0):
        if name == BASE:
            was, is_ = base_points(before), base_points(before) + moved
            told = f"Where everybody starts is at {is_:.1f} points and no longer at {was:.1f}."
            lines.append(ChangeLine(MODEL, None, None, was, is_, moved, told))
        else:
            value, feature = _value(row, name), CATALOGUE[name]
            told = f"The new model makes {'more' if moved > 0 else 'less'} of this: {feature.tell(value)}"
            lines.append(ChangeLine(MODEL, name, feature.family, value, value, moved, told))
    return lines


def _value(rows: pd.DataFrame, name: str) -> float | None:
    value = float(rows[name].iloc[0])
    return None if value != value else value


def _said(value: float | None, unit: str) -> str:
    if value is None:
        return UNKNOWN
    if unit == "share":
        return f"{value:.0%}"
    return f"{value:,.0f}" if abs(value - round(value)) < 1e-9 or abs(value) >= 100 else f"{value:,.2f}"
