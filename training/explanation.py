"""Explanation: points per feature that add up to the score exactly."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from training.bundle import Bundle
from training.held_back import HeldBack, had_it_counted, told
from training.person import Person
from training.reasons import Line, Reason, reasons

UNKNOWN: Mapping[str, float | None] = MappingProxyType({})


@dataclass(frozen=True)
class Ledger:
    """How one score comes about: `base + sum(points) = unclipped`, and `clip(unclipped, 0, 100) = score`.

    `held_back` says what did not count, and what it would have added; it is no part of the sum.
    """

    score: float
    unclipped: float
    base: float
    baseline: str
    lines: tuple[Line, ...]
    held_back: tuple[HeldBack, ...] = ()

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


def ledger(bundle: Bundle, person: Person, typical: Mapping[str, float | None] = UNKNOWN) -> Ledger:
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
    return Line(name, feature.family, known, points, feature.tell(known), typical)
