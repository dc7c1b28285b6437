"""The ledger of a score: points per feature that add up to the score exactly.

Discounts are responses that did not count in full, because they were mutual or came from newcomers. They are not lines
of the ledger, because the score was computed without them. They state what the model would have given if they had
counted, in plain words and without a judgement: most newcomers and most mutual engagement are genuine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from features.catalogue.wording import points_of
from training.explanation.feature_constraints import engager_effects
from training.explanation.possible_changes import (
    COUNTS,
    PossibleChange,
    alternative_rows,
    more_members,
    own_changes,
    possible_changes,
)
from training.explanation.reasons import LEAST_POINTS, Line, Reason, reasons
from training.model.baseline import Baseline
from training.model.bundle import Bundle, FeatureRow

Kind = Literal["new", "exchange"]
ANYBODY = "responses_from_anybody"
DISCOUNT_FEATURES: dict[Kind, str] = {"new": "uncounted_new_365d", "exchange": "uncounted_exchange_365d"}


@dataclass(frozen=True)
class Discount:
    """Responses that did not count in full.

    Parameters
    ----------
    kind : responses by newcomers, or exchanged responses
    value : by how many people fewer they count
    points : what they would have added
    sentence : what a reviewer reads

    """

    kind: Kind
    value: float
    points: float
    sentence: str


@dataclass(frozen=True)
class Alternatives:
    """What the model gives a user with other values of features.

    Parameters
    ----------
    margin : the present one, nats, shape (1,)
    discounts : what would have added half a point or more if it had counted, most first
    possible_changes : one or two that would raise the score; see `possible_changes`

    """

    margin: np.ndarray
    discounts: tuple[Discount, ...]
    possible_changes: tuple[PossibleChange, ...]


def alternatives(bundle: Bundle, row: FeatureRow, vector: np.ndarray | None = None) -> Alternatives:
    """Compute the alternatives of one user; `row` has the unscored features as well, `vector` the model's.

    One prediction for all: a call costs more than its rows.
    """
    vector = bundle.vector(row) if vector is None else vector
    counted, own = _counted_in_full(row), own_changes(row)
    single = [*counted.values(), *own.values()]
    margins = bundle.margin(alternative_rows(bundle, vector, single, more_members(row, COUNTS)))
    points = bundle.scale.points(margins)
    gains = points[1:] - points[0]
    gain_of = dict(zip((*counted, *own), gains.tolist(), strict=False))
    return Alternatives(
        margin=margins[:1],
        discounts=_discounts(row, {kind: gain_of[kind] for kind in counted}),
        possible_changes=possible_changes(
            float(points[0]), {kind: gain_of[kind] for kind in own}, gains[len(single) :]
        ),
    )


def _counted_in_full(row: FeatureRow) -> dict[Kind, dict[str, float]]:
    """Return the features if what did not count had counted; within the last 28 days, as if spread evenly."""
    kinds = [kind for kind, name in DISCOUNT_FEATURES.items() if row.get(name, 0.0) > 0]
    effects = {
        kind: engager_effects(row, row[f"uncounted_{kind}_28d"], row[f"uncounted_{kind}_365d"]) for kind in kinds
    }
    return {kind: {name: row[name] + rise for name, rise in rises.items()} for kind, rises in effects.items()}


def _discounts(row: FeatureRow, points: Mapping[Kind, float]) -> tuple[Discount, ...]:
    items = [
        Discount(kind, row[DISCOUNT_FEATURES[kind]], gain, _sentence(DISCOUNT_FEATURES[kind], gain, row))
        for kind, gain in points.items()
        if gain >= LEAST_POINTS
    ]
    return tuple(sorted(items, key=lambda item: -item.points))


def _sentence(feature: str, points: float, row: FeatureRow) -> str:
    """Say by how many fewer the people who responded count, why, and what they would add."""
    fewer = CATALOGUE[feature].describe(row[feature], row)
    return f"{fewer} Counted in full, they would add about {points_of(points)}."


@dataclass(frozen=True)
class Ledger:
    """The parts of one score: `base + sum(points) = unclipped`, and `clip(unclipped, 0, 100) = score`.

    `held_back` lists what did not count, and what it would have added, and `possible_changes` what would raise the
    score; they are not part of the sum.
    """

    score: float
    unclipped: float
    base: float
    baseline: str
    lines: tuple[Line, ...]
    held_back: tuple[Discount, ...] = ()
    possible_changes: tuple[PossibleChange, ...] = ()

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
        """Return up to three reasons for (+1) or against (-1) the score, strongest first."""
        return reasons(self.lines, sign)


def base_points(bundle: Bundle, baseline: Baseline | None = None) -> float:
    """Return the points of a baseline, by default the bundle's own, before any feature of the user is known."""
    zeros = np.zeros((1, len(bundle.features)))
    return float(bundle.scale.unclipped(bundle.shap_values(zeros, baseline)[0, -1]))


def contributions(bundle: Bundle, rows: pd.DataFrame, baseline: Baseline | None = None) -> pd.DataFrame:
    """Return the points per feature of scores: SHAP values of the margin, in nats, times points per nat.

    They are relative to a baseline, by default the bundle's own.

    Returns
    -------
    one column per feature, in points; with `base_points` each row adds up to the unclipped score within 1e-6

    """
    if rows.empty:
        return pd.DataFrame(columns=list(bundle.features), index=rows.index, dtype=float)
    points = bundle.shap_values(bundle.matrix(rows), baseline)[:, :-1]
    points *= bundle.scale.points_per_nat
    return pd.DataFrame(points, columns=list(bundle.features), index=rows.index, copy=False)


def side_by_side(
    bundles: tuple[Bundle, Bundle], baselines: tuple[Baseline, Baseline], rows: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the contributions of the same rows under two models, in the points of each.

    Both frames have the same columns: a feature that a model does not use gives no points in it.
    """
    frames = [contributions(bundle, rows, baseline) for bundle, baseline in zip(bundles, baselines, strict=True)]
    names = list(dict.fromkeys(name for points in frames for name in points))
    first, second = (points.reindex(columns=names, fill_value=0.0) for points in frames)
    return first, second


def ledger(bundle: Bundle, row: FeatureRow, baseline: Baseline | None = None) -> Ledger:
    """Explain one score, relative to a baseline, by default the bundle's own.

    Its lines are ordered by points, largest first; a feature that the model does not use has no line. The bounded term
    is one line, with its features as parts.

    Raises
    ------
    CatalogueError : a feature is missing

    """
    baseline = baseline or bundle.baseline
    scale, vector = bundle.scale, bundle.vector(row)
    *nats, average = bundle.shap_values(vector[np.newaxis], baseline)[0].tolist()
    others = alternatives(bundle, row, vector)
    by_feature = [
        _line(name, value, nat * scale.points_per_nat, baseline.typical.get(name), row)
        for name, value, nat in zip(bundle.features, vector.tolist(), nats, strict=True)
        if nat != 0.0
    ]
    by_feature.sort(key=lambda line: -abs(line.points))
    parts = tuple(line for line in by_feature if line.feature in bundle.bounded_features)
    lines = [line for line in by_feature if line not in parts]
    if parts:
        lines.append(_bounded_line(bundle, parts))
        lines.sort(key=lambda line: -abs(line.points))
    score, unclipped = float(scale.points(others.margin[0])), float(scale.unclipped(others.margin[0]))
    base = float(scale.unclipped(average))
    held_back, changes = others.discounts, others.possible_changes
    return Ledger(score, unclipped, base, baseline.description, tuple(lines), held_back, changes)


def _bounded_line(bundle: Bundle, parts: tuple[Line, ...]) -> Line:
    """Return the line of responses from anybody, established or not."""
    points = sum(line.points for line in parts)
    sentence = (
        f"Counting responses from anybody, established or not, {'adds' if points > 0 else 'takes'} "
        f"{points_of(abs(points))}; such responses can move a score by {points_of(bundle.most_from_anybody)} at most."
    )
    return Line(ANYBODY, "reach", None, points, sentence, parts=parts)


def _line(name: str, value: float, points: float, typical: float | None, row: FeatureRow) -> Line:
    known_value = None if value != value else value
    feature = CATALOGUE[name]
    return Line(name, feature.family, known_value, points, feature.describe(known_value, row), typical)
