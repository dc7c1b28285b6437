"""Held back: what did not count, or counted against a score, because it was exchanged, new or repeated.

These are no lines of the ledger: the score was made without them. They say what a model would have given had they
counted, in plain words and without a judgement: most newcomers and most exchanges are what they seem to be.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.bundle import Bundle
from training.reasons import LEAST_POINTS
from training.together import AGE, heard_by

SENTENCES = {
    "new": "People who responded within a year count for {value:,.1f} fewer, as few established people respond to them "
    "as yet. Counted in full, they would make about {points:.1f} points more.",
    "exchange": "People to whom the person responds as well count for {value:,.1f} fewer, until it has lasted 90 days. "
    "Counted in full, they would make about {points:.1f} points more.",
    "repetition": "{value:,.0f} of the pieces of the last 90 days repeat an earlier one. Without that, the score would "
    "be about {points:.1f} points higher.",
}

TOLD_BY = {
    "new": "uncounted_new_365d",
    "exchange": "uncounted_exchange_365d",
    "repetition": "repetitions_90d",
}


@dataclass(frozen=True)
class HeldBack:
    """Something that held a score down: `new`, `exchange` or `repetition`; `points` is what it would have added."""

    kind: str
    value: float
    points: float
    sentence: str


def held_back(bundle: Bundle, row: pd.DataFrame) -> tuple[HeldBack, ...]:
    """Tell what held a score down by half a point or more, most first.

    Parameters
    ----------
    bundle : the model that made the score
    row : the person's feature row, a frame of one row, with the features that are shown and not scored

    """
    values = {kind: float(row[name].iloc[0]) if name in row else 0.0 for kind, name in TOLD_BY.items()}
    kinds = [kind for kind, value in values.items() if value > 0]
    if not kinds:
        return ()
    person = bundle.matrix(row)
    added = [_added(row, kind) for kind in kinds]
    others = [person + [more.get(name, 0.0) for name in bundle.features] for more in added]
    score, *without = bundle.scale.points(bundle.margin(np.concatenate([person, *others]))).tolist()
    found = [_told(kind, values[kind], other - score) for kind, other in zip(kinds, without, strict=True)]
    return tuple(sorted((each for each in found if each.points >= LEAST_POINTS), key=lambda each: -each.points))


def _told(kind: str, value: float, points: float) -> HeldBack:
    return HeldBack(kind, value, points, SENTENCES[kind].format(value=value, points=points))


def _added(row: pd.DataFrame, kind: str) -> dict[str, float]:
    """Return by how much features would differ had it counted; of the last 28 days, as if it had come evenly."""
    if kind == "repetition":
        return {"repetitions_90d": -float(row["repetitions_90d"].iloc[0])}
    person = {name: float(row[name].iloc[0]) for name in (AGE, *(f"uncounted_{kind}_{days}d" for days in (28, 365)))}
    return heard_by(person, person[f"uncounted_{kind}_28d"], person[f"uncounted_{kind}_365d"])
