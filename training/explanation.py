"""Explanation: points per feature that add up to the score exactly."""

from dataclasses import dataclass

import pandas as pd

from features.catalogue import CATALOGUE
from training.bundle import Bundle

LEAST_POINTS = 0.5
MOST_REASONS = 4


@dataclass(frozen=True)
class Line:
    """One feature's part in a score: its value (None: unknown), its points and the sentence a reviewer reads."""

    feature: str
    family: str
    value: float | None
    points: float
    sentence: str


@dataclass(frozen=True)
class Ledger:
    """How one score comes about: `base + sum(points) = unclipped`, and `clip(unclipped, 0, 100) = score`."""

    score: float
    unclipped: float
    base: float
    baseline: str
    lines: tuple[Line, ...]

    @property
    def clipping(self) -> float:
        """Points that clipping to 0..100 adds or takes."""
        return self.score - self.unclipped

    def reasons(self, sign: int) -> list[str]:
        """Return up to four sentences for (+1) or against (-1) the score, strongest first, each worth half a point."""
        moved = [line for line in self.lines if sign * line.points >= LEAST_POINTS]
        return [line.sentence for line in sorted(moved, key=lambda line: -abs(line.points))[:MOST_REASONS]]


def base_points(bundle: Bundle) -> float:
    """Return the points of the baseline: of the average training row, before any feature of the person is known."""
    anybody = pd.DataFrame([dict.fromkeys(bundle.features, 0.0)])
    return float(bundle.scale.unclipped(bundle.shap_values(anybody)[0, -1]))


def contributions(bundle: Bundle, rows: pd.DataFrame) -> pd.DataFrame:
    """Split scores into points per feature: SHAP values of the margin, in nats, times points per nat.

    Returns
    -------
    one column per feature, in points; with `base_points` each row adds up to the unclipped score within 1e-6

    """
    if rows.empty:
        return pd.DataFrame(columns=list(bundle.features), index=rows.index, dtype=float)
    nats = bundle.shap_values(rows)[:, :-1]
    return pd.DataFrame(nats * bundle.scale.points_per_nat, columns=list(bundle.features), index=rows.index)


def ledger(bundle: Bundle, row: pd.DataFrame) -> Ledger:
    """Explain one score.

    Parameters
    ----------
    bundle : the model that made the score
    row : the person's feature row, a frame of one row

    Returns
    -------
    the ledger, its lines ordered by points, largest first; a feature that the model does not use has no line

    """
    points = contributions(bundle, row).iloc[0]
    predicted = bundle.predict(row).iloc[0]
    used = [name for name in bundle.features if points[name] != 0.0]
    lines = [_line(name, row[name].iloc[0], points[name]) for name in sorted(used, key=lambda name: -abs(points[name]))]
    return Ledger(
        float(predicted["score"]), float(predicted["unclipped"]), base_points(bundle), bundle.baseline, tuple(lines)
    )


def _line(name: str, value: float, points: float) -> Line:
    known = None if pd.isna(value) else float(value)
    feature = CATALOGUE[name]
    return Line(name, feature.family, known, float(points), feature.tell(known))
