"""Explanation: points per feature that add up to the score exactly.

Held back: what did not count, or counted against a score, because it was exchanged, new or repeated.

These are no lines of the ledger: the score was made without them. They say what a model would have given had they
counted, in plain words and without a judgement: most newcomers and most exchanges are what they seem to be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from training.explanation.feature_constraints import engager_effects
from training.explanation.reasons import LEAST_POINTS, Line, Reason, reasons
from training.model.bundle import Bundle
from training.model.feature_row import FeatureRow

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
class Discount:
    """Something that held a score down: `new`, `exchange` or `repetition`; `points` is what it would have added."""

    kind: str
    value: float
    points: float
    sentence: str


def discounts(bundle: Bundle, person: FeatureRow) -> tuple[Discount, ...]:
    """Tell what held a score down by half a point or more, most first.

    Parameters
    ----------
    bundle : the model that made the score
    person : whose score, with the features that are shown and not scored

    """
    others = had_it_counted(bundle, person)
    return told(bundle, person, bundle.margin(np.array([bundle.vector(person), *others.values()]))) if others else ()


def had_it_counted(bundle: Bundle, person: FeatureRow) -> dict[str, np.ndarray]:
    """Return, by kind of what did not count, the features that the person would have, shape (features,)."""
    vector, added = bundle.vector(person), {kind: _added(person, kind) for kind in _kinds(person)}
    return {kind: vector + [more.get(name, 0.0) for name in bundle.features] for kind, more in added.items()}


def told(bundle: Bundle, person: FeatureRow, margins: np.ndarray) -> tuple[Discount, ...]:
    """Tell what held a score down by half a point or more, most first.

    Parameters
    ----------
    bundle, person : as in `discounts`
    margins : of the person, and of each of `had_it_counted`, in order; nats

    """
    score, *others = bundle.scale.points(margins).tolist()
    gained = zip(_kinds(person), others, strict=True)
    found = [_told(kind, person[TOLD_BY[kind]], other - score) for kind, other in gained]
    return tuple(sorted((each for each in found if each.points >= LEAST_POINTS), key=lambda each: -each.points))


def _kinds(person: FeatureRow) -> list[str]:
    return [kind for kind, name in TOLD_BY.items() if person.get(name, 0.0) > 0]


def _told(kind: str, value: float, points: float) -> Discount:
    return Discount(kind, value, points, SENTENCES[kind].format(value=value, points=points))


def _added(person: FeatureRow, kind: str) -> dict[str, float]:
    """Return by how much features would differ had it counted; of the last 28 days, as if it had come evenly."""
    if kind == "repetition":
        return {"repetitions_90d": -person["repetitions_90d"]}
    return engager_effects(person, person[f"uncounted_{kind}_28d"], person[f"uncounted_{kind}_365d"])


UNKNOWN: Mapping[str, float | None] = MappingProxyType({})


@dataclass(frozen=True)
class Ledger:
    """How one score comes about: `base + sum(points) = unclipped`, and `clip(unclipped, 0, 100) = score`.

    `discounts` says what did not count, and what it would have added; it is no part of the sum.
    """

    score: float
    unclipped: float
    base: float
    baseline: str
    lines: tuple[Line, ...]
    held_back: tuple[Discount, ...] = ()

    @property
    def clipping(self) -> float:
        """Points that clipping to 0..100 adds or takes."""
        return self.score - self.unclipped

    @property
    def families(self) -> dict[str, float]:
        """Points by family, largest first; with the base they add up to the unclipped score as the lines do."""
        points: dict[str, float] = {}
        for line in self.lines:
            points[line.family] = points.get(line.family, 0.0) + line.points
        return dict(sorted(points.items(), key=lambda item: -abs(item[1])))

    def reasons(self, sign: int) -> list[Reason]:
        """Return up to four reasons for (+1) or against (-1) the score, strongest first."""
        return reasons(self.lines, sign)


def base_points(bundle: Bundle) -> float:
    """Return the points of the baseline: of the average training row, before any feature of the person is known."""
    anybody = np.zeros((1, len(bundle.features)))
    return float(bundle.scale.unclipped(bundle.shap_values(anybody)[0, -1]))


def contributions(bundle: Bundle, rows: pd.DataFrame) -> pd.DataFrame:
    """Split scores into points per feature: SHAP values of the margin, in nats, times points per nat.

    Returns
    -------
    one column per feature, in points; with `base_points` each row adds up to the unclipped score within 1e-6

    """
    if rows.empty:
        return pd.DataFrame(columns=list(bundle.features), index=rows.index, dtype=float)
    points = bundle.shap_values(bundle.matrix(rows))[:, :-1]
    points *= bundle.scale.points_per_nat
    return pd.DataFrame(points, columns=list(bundle.features), index=rows.index, copy=False)


def side_by_side(one: Bundle, other: Bundle, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the contributions of the same rows under two models, in the points of each.

    Both frames have the same columns: a feature that a model does not see gives no points in it.
    """
    found = [contributions(bundle, rows) for bundle in (one, other)]
    names = list(dict.fromkeys(name for held in found for name in held))
    first, second = (held.reindex(columns=names, fill_value=0.0) for held in found)
    return first, second


def ledger(bundle: Bundle, person: FeatureRow, typical: Mapping[str, float | None] = UNKNOWN) -> Ledger:
    """Explain one score.

    Parameters
    ----------
    bundle : the model that made the score
    person : whose score
    typical : feature -> the middle value among peers, None where unknown

    Returns
    -------
    the ledger, its lines ordered by points, largest first; a feature that the model does not use has no line

    Raises
    ------
    CatalogueError : a feature is missing

    """
    scale, vector = bundle.scale, bundle.vector(person)
    *nats, average = bundle.shap_values(vector[np.newaxis])[0].tolist()
    # The person and who they would be had all counted go through the trees together: a call costs more than its rows.
    margins = bundle.margin(np.array([vector, *had_it_counted(bundle, person).values()]))
    lines = [
        _line(name, value, nat * scale.points_per_nat, typical.get(name))
        for name, value, nat in zip(bundle.features, vector.tolist(), nats, strict=True)
        if nat != 0.0
    ]
    lines.sort(key=lambda line: -abs(line.points))
    score, unclipped = float(scale.points(margins[0])), float(scale.unclipped(margins[0]))
    base, why = float(scale.unclipped(average)), told(bundle, person, margins)
    return Ledger(score, unclipped, base, bundle.baseline, tuple(lines), why)


def _line(name: str, value: float, points: float, typical: float | None) -> Line:
    known = None if value != value else value
    feature = CATALOGUE[name]
    return Line(name, feature.family, known, points, feature.describe(known), typical)
