"""The beeswarm: every user of a sample as a dot, feature by feature, at the points that the feature gives them."""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from features.catalogue import CATALOGUE
from serving.review.feature_effects import FeatureEffect, FeatureEffects

MOST_FEATURES = 12
DOTS = 400
WIDTH, HEIGHT = 1000, 44
COLUMNS = 125
DOT_GAP = 3.5
MARKS = 5
KINDS = ("low", "middle", "high", "unknown")


@dataclass(frozen=True)
class SwarmRow:
    """A feature of the beeswarm.

    Parameters
    ----------
    feature, meaning : its name and definition
    size, low, high : mean |points|, and the 5th and 95th percentile of the points
    paths : the dots as an SVG path by kind of value: low, middle, high or unknown

    """

    feature: str
    meaning: str
    size: float
    low: float
    high: float
    paths: dict[str, str]


@dataclass(frozen=True)
class Swarm:
    """The rows, strongest feature first, and the marks of the axis: points, and where they lie in percent."""

    users: int
    sampled: int
    dots: int
    baseline: str
    rows: tuple[SwarmRow, ...]
    marks: tuple[tuple[int, float], ...]


def swarm(effects: FeatureEffects) -> Swarm:
    """Arrange feature effects as a beeswarm of the strongest features."""
    strongest = effects.features[:MOST_FEATURES]
    points = np.concatenate([[0.0], *(effect.points[:DOTS] for effect in strongest)])
    low, high = 5 * floor(points.min() / 5), 5 * ceil(points.max() / 5)
    high = max(high, low + 5)
    step = 5 * max(ceil((high - low) / MARKS / 5), 1)
    marks = range(step * ceil(low / step), high + 1, step)
    return Swarm(
        users=effects.users,
        sampled=effects.sampled,
        dots=min(effects.sampled, DOTS),
        baseline=effects.baseline,
        rows=tuple(_row(effect, low, high) for effect in strongest),
        marks=tuple((mark, round(100 * (mark - low) / (high - low), 2)) for mark in marks),
    )


def _row(effect: FeatureEffect, low: float, high: float) -> SwarmRow:
    x = (effect.points[:DOTS] - low) / (high - low) * WIDTH
    kinds = value_kinds(effect.values)[:DOTS]
    dots = list(zip(x.tolist(), _heights(x), kinds, strict=True))
    return SwarmRow(
        feature=effect.feature,
        meaning=CATALOGUE[effect.feature].meaning,
        size=effect.size,
        low=effect.low,
        high=effect.high,
        paths={
            kind: "".join(f"M{at:.0f} {height:g}h0" for at, height, of_kind in dots if of_kind == kind)
            for kind in KINDS
            if kind in kinds
        },
    )


def value_kinds(values: np.ndarray) -> list[str]:
    """Return for each value whether it is in the low, middle or high third of the known ones, or unknown."""
    present = values[~np.isnan(values)]
    if not len(present):
        return ["unknown"] * len(values)
    lower, upper = np.quantile(present, [1 / 3, 2 / 3])
    is_low, is_high = (values <= lower) & (values < present.max()), (values >= upper) & (values > present.min())
    return list(map(str, np.select([np.isnan(values), is_low, is_high], ["unknown", "low", "high"], "middle")))


def _heights(x: np.ndarray) -> list[float]:
    """Stack the dots that lie close to each other around the middle of the row; shape (dots,)."""
    columns = np.floor(x / WIDTH * COLUMNS).astype(int)
    heights = np.empty(len(x))
    for column in np.unique(columns):
        dots = np.flatnonzero(columns == column)
        gap = min(DOT_GAP, (HEIGHT - 2 * DOT_GAP) / len(dots))
        heights[dots] = HEIGHT / 2 + gap * (np.arange(len(dots)) - (len(dots) - 1) / 2)
    return list(map(float, np.round(heights, 1)))
