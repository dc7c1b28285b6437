import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.model.intervals import EDGES, MIN_BAND, ROUNDING, Band, Intervals, fit_intervals

LEVEL = 0.9
NATS = np.log1p


def of_people(*people):
    """Ends as quantiles give them."""
    return NATS(np.array(people, float))


def inside(intervals, expected, low, high, audience):
    lowest, highest = intervals.around(expected, low, high)
    return (lowest <= audience) & (audience <= highest)


class TestEnds:
    def test_round_to_the_nearest_number_of_people(self):
        unmoved = Intervals(LEVEL, (Band(0.0, 0.0),))
        low, high = unmoved.around(np.array([4.0, 4.0, 4.0]), of_people(2.4, 2.6, 3.9), of_people(7.4, 7.6, 4.1))
        assert low.tolist() == [2.0, 3.0, 4.0]
        assert high.tolist() == [7.0, 8.0, 4.0]

    def test_move_outwards_by_the_margin_in_nats(self):
        low, high = Intervals(LEVEL, (Band(0.0, np.log(2)),)).around(np.array([5.0]), of_people(5), of_people(9))
        assert (low.tolist(), high.tolist()) == ([2.0], [19.0])

    def test_bands_have_their_own_margins(self):
        intervals = Intervals(LEVEL, (Band(0.0, 0.0), Band(1.0, np.log(2))))
        _, high = intervals.around(np.array([0.99, 1.0]), of_people(0, 0), of_people(3, 3))
        assert high.tolist() == [3.0, 7.0]

    def test_contain_the_expected_audience_and_never_fall_below_zero(self):
        tight = Intervals(LEVEL, (Band(0.0, -9.0),))
        low, high = tight.around(np.array([0.2, 3.4, 3.6]), of_people(0, 1, 1), of_people(1, 9, 9))
        assert low.tolist() == [0.0, 3.0, 4.0]
        assert high.tolist() == [0.0, 3.0, 4.0]
        low, _ = Intervals(LEVEL, (Band(0.0, 9.0),)).around(np.array([2.0]), of_people(1), of_people(3))
        assert low.tolist() == [0.0]


class TestMargin:
    def test_by_hand(self):
        # Ends at 1 and 3 people; what lies between needs nothing, 7 people need the upper end at 6.5
        audience = np.array([2.0] * 80 + [7.0] * 20)
        ends = of_people(*[1] * 100), of_people(*[3] * 100)
        intervals = fit_intervals(np.full(100, 2.0), *ends, audience, LEVEL)
        # ceil(101 * 0.9) = 91: the 91st smallest margin is that of 7 people
        assert intervals.bands == (Band(0.0, pytest.approx(np.log(7.5 / 4) + ROUNDING)),)
        assert intervals.around(np.array([2.0]), ends[0][:1], ends[1][:1])[1].tolist() == [7.0]

    def test_ends_that_are_too_wide_move_inwards(self):
        audience = np.full(100, 5.0)
        intervals = fit_intervals(audience, of_people(*[1] * 100), of_people(*[30] * 100), audience, LEVEL)
        assert intervals.bands[0].margin < 0
        assert [end[0] for end in intervals.around(np.array([5.0]), of_people(1), of_people(30))][1] < 30

    def test_too_few_rows_for_the_level_take_the_widest(self):
        audience = np.arange(10.0)
        intervals = fit_intervals(np.ones(10), of_people(*[0] * 10), of_people(*[0] * 10), audience, 0.99)
        assert inside(intervals, np.ones(10), of_people(*[0] * 10), of_people(*[0] * 10), audience).all()

    @settings(max_examples=60)
    @given(
        seed=st.integers(0, 10_000),
        rows=st.integers(MIN_BAND, 400),
        level=st.sampled_from([0.5, 0.8, 0.9]),
        width=st.floats(0.0, 2.0),
    )
    def test_intervals_cover_their_share_of_the_calibration_rows(self, seed, rows, level, width):
        rng = np.random.default_rng(seed)
        expected = rng.lognormal(0, 1.5, rows)
        audience = rng.poisson(expected * rng.gamma(2, 0.5, rows)).astype(float)
        low, high = NATS(expected) - width, NATS(expected) + width
        covered = inside(fit_intervals(expected, low, high, audience, level), expected, low, high, audience)
        assert covered.mean() >= level - 1e-12


class TestBands:
    def edges(self, expected):
        ends = np.zeros(len(expected))
        return [band.edge for band in fit_intervals(expected, ends, ends, ends, LEVEL).bands]

    def test_bands_with_few_rows_join_the_band_below(self):
        expected = np.r_[np.full(200, 0.02), np.full(MIN_BAND, 0.15), np.full(MIN_BAND - 2, 2.0), [50.0]]
        assert self.edges(expected) == [0.0, 0.1]

    def test_the_last_band_keeps_enough_rows_as_well(self):
        assert self.edges(np.r_[np.full(MIN_BAND - 1, 0.02), np.full(200, 0.15)]) == [0.0]

    def test_enough_rows_everywhere_keep_every_edge(self):
        assert tuple(self.edges(np.repeat([*EDGES[1:], 0.01], MIN_BAND))) == EDGES


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_coverage_out_of_sample_where_the_spread_is_the_ends_to_know(level):
    """Half the users scatter widely, half narrowly; ends that know who does are narrow where they may be."""

    def draw(seed, rows=8_000):
        rng = np.random.default_rng(seed)
        expected, loose = rng.lognormal(0.5, 1.2, rows), rng.random(rows) < 0.5
        audience = rng.poisson(expected * np.where(loose, rng.gamma(1.0, 1.0, rows), 1.0)).astype(float)
        spread = np.where(loose, 1.0, 0.4)
        return expected, NATS(expected) - spread, NATS(expected) + spread, audience, loose

    *fitted, _ = draw(1)
    intervals = fit_intervals(*fitted, level)
    expected, low, high, audience, loose = draw(2)
    covered = inside(intervals, expected, low, high, audience)
    assert covered.mean() >= level - 0.01
    assert level - 0.03 <= covered[expected >= 1].mean() <= level + 0.05
    lowest, highest = intervals.around(expected, low, high)
    several = (expected > 5) & (expected < 8)
    widths = [(highest - lowest)[several & of].mean() for of in (loose, ~loose)]
    assert widths[0] > 1.5 * widths[1]
