"""The beeswarm plot: dots lie at the users' points, and unknown values differ from low ones."""

import re

import numpy as np
import pytest

from serving.pages.swarm import DOTS, HEIGHT, swarm, value_kinds
from serving.review.feature_effects import FeatureEffect, FeatureEffects


def effects(points, values):
    effect = FeatureEffect("days_of_absence", float(np.abs(points).mean()), -1.0, 1.0, points, values)
    return FeatureEffects(len(points), len(points), "the average", (effect,))


def test_dots_lie_at_their_points():
    chart = swarm(effects(np.array([-10.0, 0.0, 5.0, 15.0]), np.array([0.0, 1.0, np.nan, 9.0])))
    assert chart.marks == ((-10, 0.0), (-5, 20.0), (0, 40.0), (5, 60.0), (10, 80.0), (15, 100.0))
    row = chart.rows[0]
    assert row.paths == {"low": "M0 22h0", "middle": "M400 22h0", "high": "M1000 22h0", "unknown": "M600 22h0"}


def test_dots_of_the_same_points_are_stacked_within_the_row():
    row = swarm(effects(np.zeros(1000), np.arange(1000.0))).rows[0]
    heights = [float(y) for path in row.paths.values() for y in re.findall(r"M\d+ ([\d.]+)h0", path)]
    assert len(heights) == DOTS
    assert 0 < min(heights) < max(heights) < HEIGHT


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ([0, 0, 0, 5], ["low", "low", "low", "high"]),
        ([1, 2, 3], ["low", "middle", "high"]),
        ([4, 4], ["middle", "middle"]),
        ([np.nan, np.nan], ["unknown", "unknown"]),
        ([0, 9, 9, 9], ["low", "high", "high", "high"]),
    ],
)
def test_values_are_low_middle_or_high(values, kinds):
    assert value_kinds(np.array(values, dtype=float)) == kinds
