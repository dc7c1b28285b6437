from itertools import pairwise

import numpy as np
import pytest

from training.interval import EDGES, MIN_BAND, Band, Intervals, fit_intervals

LEVEL = 0.9


def draw(kind: str, seed: int, rows: int = 6_000):
    rng = np.random.default_rng(seed)
    expected = rng.lognormal(-0.5, 1.8, rows)
    if kind == "poisson":
        return expected, rng.poisson(expected).astype(float)
    return expected, rng.negative_binomial(1.5, 1.5 / (1.5 + expected)).astype(float)


def test_by_hand():
    audience = np.arange(100.0)
    intervals = fit_intervals(np.full(100, 4.0), audience, LEVEL)
    # ceil(101 * 0.95) = 96: the 96th smallest audience is 95, the 96th largest is 4; spread is sqrt(4)
    assert intervals == Intervals(LEVEL, (Band(0.0, 0.0, (95 - 4) / 2),))
    assert [end.tolist() for end in intervals.around(np.array([4.0]))] == [[4.0], [95.0]]


def test_too_few_rows_for_the_level_take_the_widest():
    intervals = fit_intervals(np.ones(10), np.arange(10.0), 0.99)
    assert intervals.bands == (Band(0.0, -1.0, 8.0),)


def test_ends_are_whole_people_rounded_outwards():
    intervals = Intervals(LEVEL, (Band(0.0, -0.5, 0.75),))
    low, high = intervals.around(np.array([4.0, 9.0, 0.01]))
    assert low.tolist() == [3.0, 7.0, 0.0]
    assert high.tolist() == [6.0, 12.0, 1.0]


def test_never_below_nobody_and_low_never_above_high():
    low, high = Intervals(LEVEL, (Band(0.0, -9.0, -8.0),)).around(np.array([1.0, 100.0]))
    assert low.tolist() == [0.0, 10.0]
    assert high.tolist() == [0.0, 20.0]


def test_each_band_has_its_own():
    intervals = Intervals(LEVEL, (Band(0.0, 0.0, 0.0), Band(1.0, 0.0, 2.0)))
    low, high = intervals.around(np.array([0.25, 1.0, 4.0]))
    assert low.tolist() == [0.0, 1.0, 4.0]
    assert high.tolist() == [1.0, 3.0, 8.0]


class TestBands:
    def test_bands_with_few_rows_join_the_band_below(self):
        expected = np.r_[np.full(200, 0.02), np.full(MIN_BAND, 0.05), np.full(MIN_BAND - 2, 2.0), [50.0]]
        edges = [band.edge for band in fit_intervals(expected, expected * 0, LEVEL).bands]
        assert edges == [0.0, 0.03]

    def test_the_last_band_keeps_enough_rows_as_well(self):
        expected = np.r_[np.full(MIN_BAND - 1, 0.02), np.full(200, 0.05)]
        assert [band.edge for band in fit_intervals(expected, expected, LEVEL).bands] == [0.0]

    def test_enough_rows_everywhere_keep_every_edge(self):
        expected = np.repeat([*EDGES[1:], 0.01], MIN_BAND)
        assert tuple(band.edge for band in fit_intervals(expected, expected, LEVEL).bands) == EDGES


@pytest.mark.parametrize("kind", ["poisson", "negative binomial"])
@pytest.mark.parametrize("level", [0.8, 0.9])
def test_coverage_out_of_sample(kind, level):
    intervals = fit_intervals(*draw(kind, 1), level)
    expected, audience = draw(kind, 2)
    low, high = intervals.around(expected)
    inside = (audience >= low) & (audience <= high)
    assert inside.mean() >= level - 0.03
    edges = [*EDGES, np.inf]
    for bottom, top in pairwise(edges):
        band = (expected >= bottom) & (expected < top)
        if band.sum() >= 300:
            assert inside[band].mean() >= level - 0.03, bottom
    assert (low == np.floor(low)).all()
    assert (high == np.floor(high)).all()
    assert (low >= 0).all()
    assert (low <= high).all()


def test_intervals_are_not_idle():
    expected, audience = draw("poisson", 1)
    low, high = fit_intervals(expected, audience, LEVEL).around(np.array([30.0]))
    assert 15 < low[0] < 26
    assert 35 < high[0] < 46
