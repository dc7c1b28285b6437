import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.model.intervals import KNOTS, NEAREST, Intervals, Knot, fit_intervals

LEVEL = 0.9
UNMOVED = Intervals(LEVEL, (Knot(1.0, 0.0, 0.0),))


def away(expected, *people):
    """Quantiles as boosters return them."""
    return np.log1p(np.array(people, float)) - np.log1p(np.asarray(expected, float))


def inside(intervals, expected, low, high, audience):
    lowest, highest = intervals.around(expected, low, high)
    return (lowest <= audience) & (audience <= highest)


class TestEnds:
    def test_round_to_the_nearest_number_of_people(self):
        expected = np.array([4.0, 4.0, 4.0])
        low, high = UNMOVED.around(expected, away(expected, 2.4, 2.6, 3.9), away(expected, 7.4, 7.6, 4.1))
        assert low.tolist() == [2.0, 3.0, 4.0]
        assert high.tolist() == [7.0, 8.0, 4.0]

    def test_ends_move_by_separate_numbers_of_nats(self):
        moved = Intervals(LEVEL, (Knot(1.0, np.log(0.5), np.log(3.0)),))
        low, high = moved.around(np.array([5.0]), away(5, 5), away(5, 9))
        assert (low.tolist(), high.tolist()) == ([2.0], [29.0])  # 6 / 2 and 10 * 3, less one

    def test_between_knots_logarithms_are_interpolated(self):
        intervals = Intervals(LEVEL, (Knot(1.0, 0.0, 0.0), Knot(100.0, 0.0, np.log(4.0))))
        expected = np.array([0.5, 10.0, 1000.0])
        _, high = intervals.around(expected, np.zeros(3), np.zeros(3))
        assert high.tolist() == [1.0, 21.0, 4003.0]  # 11 * 2 and 1001 * 4, less one

    def test_contain_the_expected_audience_and_never_fall_below_zero(self):
        tight = Intervals(LEVEL, (Knot(1.0, 9.0, -9.0),))
        low, high = tight.around(np.array([0.2, 3.4, 3.6]), np.zeros(3), np.zeros(3))
        assert low.tolist() == [0.0, 3.0, 4.0]
        assert high.tolist() == [0.0, 3.0, 4.0]
        low, _ = Intervals(LEVEL, (Knot(1.0, -9.0, 0.0),)).around(np.array([2.0]), np.zeros(1), np.zeros(1))
        assert low.tolist() == [0.0]

    @settings(max_examples=25)
    @given(st.lists(st.tuples(st.floats(1e-4, 1e4), st.floats(-5, 5), st.floats(-5, 5)), min_size=1, max_size=30))
    def test_are_plausible_for_any_quantiles(self, rows):
        expected, low, high = np.array(rows).T
        lowest, highest = UNMOVED.around(expected, low, high)
        assert (lowest >= 0).all()
        assert (lowest <= np.rint(expected)).all()
        assert (np.rint(expected) <= highest).all()

    def test_rise_with_the_expected_audience_where_quantiles_are_alike(self):
        rng = np.random.default_rng(0)
        expected = np.sort(rng.lognormal(0.5, 1.5, 5_000))
        zeros, audience = np.zeros(5_000), rng.poisson(expected * rng.gamma(2, 0.5, 5_000)).astype(float)
        ends = fit_intervals(expected, zeros, zeros, audience, LEVEL).around(expected, zeros, zeros)
        for end in ends:
            assert (np.diff(end) >= -0.1 * end[1:] - 1).all()  # but for the noise of 300 neighbours
            assert end[-1] > 5 * end[len(end) // 2]


class TestEarlierVersions:
    """Quantiles are logarithms of 1 + people, and each band has one margin for both ends."""

    intervals = Intervals(LEVEL, (Knot(0.0, 0.0, 0.0), Knot(1.0, -np.log(2), np.log(2))), relative=False)

    def test_bands_reach_up_to_the_next_edge(self):
        people = np.log1p(np.array([3.0, 3.0]))
        low, high = self.intervals.around(np.array([0.99, 1.0]), people - 9, people)
        assert low.tolist() == [0.0, 0.0]
        assert high.tolist() == [3.0, 7.0]

    def test_both_ends_move_outwards_by_the_margin(self):
        low, high = self.intervals.around(np.array([5.0]), np.log1p([5.0]), np.log1p([9.0]))
        assert (low.tolist(), high.tolist()) == ([2.0], [19.0])


class TestCalibration:
    def test_by_hand(self):
        # 5 of 100 users have nobody and 6 have 30 people where 10 are expected, all others 8
        audience = np.array([0.0] * 5 + [8.0] * 89 + [30.0] * 6)
        expected, zeros = np.full(100, 10.0), np.zeros(100)
        intervals = fit_intervals(expected, zeros, zeros, audience, LEVEL)
        # ceil(101 * 0.95) = 96: the 96th from below has 30 people and the 96th from above none
        assert intervals.knots == (Knot(pytest.approx(10.0), *map(pytest.approx, away(10.0, 0.0, 30.0))),)
        assert [end.tolist() for end in intervals.around(expected[:1], zeros[:1], zeros[:1])] == [[0.0], [30.0]]

    def test_ends_that_are_too_wide_move_inwards(self):
        expected = np.full(100, 5.0)
        low, high = away(expected, *[1] * 100), away(expected, *[30] * 100)
        (knot,) = fit_intervals(expected, low, high, expected, LEVEL).knots
        assert knot.low_shift > 0 > knot.high_shift

    def test_too_few_rows_for_the_level_take_the_widest(self):
        audience, zeros = np.arange(10.0), np.zeros(10)
        intervals = fit_intervals(np.ones(10), zeros, zeros, audience, 0.99)
        assert inside(intervals, np.ones(10), zeros, zeros, audience).all()

    @settings(max_examples=25)
    @given(
        seed=st.integers(0, 10_000),
        rows=st.integers(50, NEAREST),
        level=st.sampled_from([0.5, 0.8, 0.9]),
        width=st.floats(0.0, 2.0),
    )
    def test_intervals_cover_their_share_of_the_neighbours(self, seed, rows, level, width):
        rng = np.random.default_rng(seed)
        expected = rng.lognormal(0, 1.5, rows)
        audience = rng.poisson(expected * rng.gamma(2, 0.5, rows)).astype(float)
        low, high = np.full(rows, -width), np.full(rows, width)
        covered = inside(fit_intervals(expected, low, high, audience, level), expected, low, high, audience)
        assert covered.mean() >= level - 2 / rows  # each end by itself rounds to a whole user


class TestKnots:
    def knots(self, count):
        expected, zeros = np.exp(np.linspace(-4, 4, count)), np.zeros(count)
        return fit_intervals(expected, zeros, zeros, np.rint(expected), LEVEL).knots

    def test_few_rows_have_one(self):
        assert len(self.knots(NEAREST)) == 1

    def test_knots_lie_closest_at_the_largest_audiences(self):
        knots = self.knots(20_000)
        steps = np.diff(np.log([knot.expected for knot in knots]))
        assert len(knots) <= KNOTS
        assert (steps > 0).all()
        assert steps[-1] < steps[0] / 10

    def test_equal_expected_audiences_share_one(self):
        zeros = np.zeros(1_000)
        assert len(fit_intervals(np.ones(1_000), zeros, zeros, zeros, LEVEL).knots) <= 2


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_coverage_out_of_sample_where_the_spread_is_the_ends_to_know(level):
    """Half the users scatter widely, half narrowly; ends that know who does are narrow where they may be."""

    def draw(seed, rows=8_000):
        rng = np.random.default_rng(seed)
        expected, loose = rng.lognormal(0.5, 1.2, rows), rng.random(rows) < 0.5
        audience = rng.poisson(expected * np.where(loose, rng.gamma(1.0, 1.0, rows), 1.0)).astype(float)
        spread = np.where(loose, 1.0, 0.4)
        return expected, -spread, spread, audience, loose

    *fitted, _ = draw(1)
    intervals = fit_intervals(*fitted, level)
    expected, low, high, audience, loose = draw(2)
    covered = inside(intervals, expected, low, high, audience)
    assert covered.mean() >= level - 0.01
    # more where few people are expected: more than 5 % have nobody, so the lower end is 0
    assert level - 0.03 <= covered[expected >= 1].mean() <= level + 0.1
    assert level - 0.03 <= covered[expected >= 10].mean() <= level + 0.05
    lowest, highest = intervals.around(expected, low, high)
    several = (expected > 5) & (expected < 8)
    widths = [(highest - lowest)[several & of].mean() for of in (loose, ~loose)]
    assert widths[0] > 1.5 * widths[1]
