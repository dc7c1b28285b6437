"""Held back: what did not count, or counted against a score, because it was exchanged, new or repeated.

These are no lines of the ledger: the score was made without them. They say what a model would have given had they
counted, in plain words and without a judgement: most newcomers and most exchanges are what they seem to be.
"""

from dataclasses import dataclass

import numpy as np

from training.bundle import Bundle
from training.person import Person
from training.reasons import LEAST_POINTS
from training.together import heard_by

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


def held_back(bundle: Bundle, person: Person) -> tuple[HeldBack, ...]:
    """Tell what held a score down by half a point or more, most first.

    Parameters
    ----------
    bundle : the model that made the score
    person : whose score, with the features that are shown and not scored

    """
    others = had_it_counted(bundle, person)
    return told(bundle, person, bundle.margin(np.array([bundle.vector(person), *others.values()]))) if others else ()


def had_it_counted(bundle: Bundle, person: Person) -> dict[str, np.ndarray]:
    """Return, by kind of what did not count, the features that the person would have, shape (features,)."""
    vector, added = bundle.vector(person), {kind: _added(person, kind) for kind in _kinds(person)}
    return {kind: vector + [more.get(name, 0.0) for name in bundle.features] for kind, more in added.items()}


def told(bundle: Bundle, person: Person, margins: np.ndarray) -> tuple[HeldBack, ...]:
    """Tell what held a score down by half a point or more, most first.

    Parameters
    ----------
    bundle, person : as in `held_back`
    margins : of the person, and of each of `had_it_counted`, in order; nats

    """
    score, *others = bundle.scale.points(margins).tolist()
    gained = zip(_kinds(person), others, strict=True)
    found = [_told(kind, person[TOLD_BY[kind]], other - score) for kind, other in gained]
    return tuple(sorted((each for each in found if each.points >= LEAST_POINTS), key=lambda each: -each.points))


def _kinds(person: Person) -> list[str]:
    return [kind for kind, name in TOLD_BY.items() if person.get(name, 0.0) > 0]


def _told(kind: str, value: float, points: float) -> HeldBack:
    return HeldBack(kind, value, points, SENTENCES[kind].format(value=value, points=points))


def _added(person: Person, kind: str) -> dict[str, float]:
    """Return by how much features would differ had it counted; of the last 28 days, as if it had come evenly."""
    if kind == "repetition":
        return {"repetitions_90d": -person["repetitions_90d"]}
    return heard_by(person, person[f"uncounted_{kind}_28d"], person[f"uncounted_{kind}_365d"])
