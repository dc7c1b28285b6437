"""The ledger of a score: points per feature that add up to the score exactly.

Discounts are what did not count, or counted against a score, because it was mutual, new or repeated. They are not lines
of the ledger, because the score was computed without them. They state what the model would have given if they had
counted, in plain words and without a judgement: most newcomers and most mutual engagement are genuine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from features.catalogue.wording import count_of, members, people, responders, singular_or_plural
from training.explanation.feature_constraints import engager_effects
from training.explanation.reasons import LEAST_POINTS, Line, Reason, reasons
from training.model.bundle import Bundle, FeatureRow

Kind = Literal["new", "exchange", "repetition"]
SENTENCES = {
    "new": "{people} responded in the last year and {count} as {members}, because few established members respond to "
    "them. Counted in full: about {points:.1f} points more.",
    "exchange": "The user and some who responded answer each other. That counts for {less} less until it has lasted 90 "
    "days. Counted in full: about {points:.1f} points more.",
    "repetition": "{posts} of the last 90 days {repeat} an earlier one. Without that: about {points:.1f} points more.",
}

DISCOUNT_FEATURES: dict[Kind, str] = {
    "new": "uncounted_new_365d",
    "exchange": "uncounted_exchange_365d",
    "repetition": "repetitions_90d",
}


@dataclass(frozen=True)
class Discount:
    """Something that lowered a score.

    Parameters
    ----------
    kind : responses by newcomers, exchanged responses, or repeated content
    value : how much of it there was
    points : what it would have added
    sentence : what a reviewer reads

    """

    kind: Kind
    value: float
    points: float
    sentence: str


def discounts(bundle: Bundle, row: FeatureRow) -> tuple[Discount, ...]:
    """Return what lowered a score by half a point or more, largest first; `row` has the unscored features as well."""
    return _discounts(bundle, row, _margins(bundle, row, bundle.vector(row)))


def _margins(bundle: Bundle, row: FeatureRow, vector: np.ndarray) -> np.ndarray:
    """Return the margins, in nats, of the user's features and of those without each kind of discount.

    One call for all: a call costs more than its rows.
    """
    added = [_added(row, kind) for kind in _kinds(row)]
    others = [vector + [more.get(name, 0.0) for name in bundle.features] for more in added]
    return bundle.margin(np.array([vector, *others]))


def _discounts(bundle: Bundle, row: FeatureRow, margins: np.ndarray) -> tuple[Discount, ...]:
    """Return `discounts` from the result of `_margins`."""
    score, *others = bundle.scale.points(margins).tolist()
    items = []
    for kind, other in zip(_kinds(row), others, strict=True):
        value, points = row[DISCOUNT_FEATURES[kind]], other - score
        if points >= LEAST_POINTS:
            items.append(Discount(kind, value, points, _sentence(kind, value, points, row)))
    return tuple(sorted(items, key=lambda item: -item.points))


def _sentence(kind: Kind, value: float, points: float, row: FeatureRow) -> str:
    """Say what did not count: how many people, and what they count as; how many posts."""
    weight = row["credible_engagers_365d"]
    count = responders(row, weight, 365) or value
    return SENTENCES[kind].format(
        people=people(count),
        count=singular_or_plural(count, "counts", "count together"),
        members=members(weight),
        less=members(value),
        posts=count_of(value, "post"),
        repeat=singular_or_plural(value, "repeats", "repeat"),
        points=points,
    )


def _kinds(row: FeatureRow) -> list[Kind]:
    return [kind for kind, name in DISCOUNT_FEATURES.items() if row.get(name, 0.0) > 0]


def _added(row: FeatureRow, kind: str) -> dict[str, float]:
    """Return by how much features would rise if it had counted; within the last 28 days, as if spread evenly."""
    if kind == "repetition":
        return {"repetitions_90d": -row["repetitions_90d"]}
    return engager_effects(row, row[f"uncounted_{kind}_28d"], row[f"uncounted_{kind}_365d"])


@dataclass(frozen=True)
class Ledger:
    """The parts of one score: `base + sum(points) = unclipped`, and `clip(unclipped, 0, 100) = score`.

    `held_back` lists what did not count, and what it would have added; it is not part of the sum.
    """

    score: float
    unclipped: float
    base: float
    baseline: str
    lines: tuple[Line, ...]
    held_back: tuple[Discount, ...] = ()

    @property
    def clipping(self) -> float:
        """The points that clipping to 0..100 adds or takes."""
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
    """Return the points of the baseline: of the average training row, before any feature of the user is known."""
    zeros = np.zeros((1, len(bundle.features)))
    return float(bundle.scale.unclipped(bundle.shap_values(zeros)[0, -1]))


def contributions(bundle: Bundle, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the points per feature of scores: SHAP values of the margin, in nats, times points per nat.

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

    Both frames have the same columns: a feature that a model does not use gives no points in it.
    """
    frames = [contributions(bundle, rows) for bundle in (one, other)]
    names = list(dict.fromkeys(name for points in frames for name in points))
    first, second = (points.reindex(columns=names, fill_value=0.0) for points in frames)
    return first, second


def ledger(bundle: Bundle, row: FeatureRow, typical: Mapping[str, float | None] = MappingProxyType({})) -> Ledger:
    """Explain one score.

    Its lines are ordered by points, largest first; a feature that the model does not use has no line. `typical` maps
    features to the median among peers, None where unknown.

    Raises
    ------
    CatalogueError : a feature is missing

    """
    scale, vector = bundle.scale, bundle.vector(row)
    *nats, average = bundle.shap_values(vector[np.newaxis])[0].tolist()
    margins = _margins(bundle, row, vector)
    lines = [
        _line(name, value, nat * scale.points_per_nat, typical.get(name), row)
        for name, value, nat in zip(bundle.features, vector.tolist(), nats, strict=True)
        if nat != 0.0
    ]
    lines.sort(key=lambda line: -abs(line.points))
    score, unclipped = float(scale.points(margins[0])), float(scale.unclipped(margins[0]))
    base = float(scale.unclipped(average))
    return Ledger(score, unclipped, base, bundle.baseline, tuple(lines), _discounts(bundle, row, margins))


def _line(name: str, value: float, points: float, typical: float | None, row: FeatureRow) -> Line:
    known_value = None if value != value else value
    feature = CATALOGUE[name]
    return Line(name, feature.family, known_value, points, feature.describe(known_value, row), typical)
