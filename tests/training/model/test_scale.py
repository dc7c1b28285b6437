import numpy as np
import pytest

from features.errors import ConfigError, TooSmallError
from training.model.scale import Scale, frozen_scale, make_scale


def test_scale_by_hand():
    scale = make_scale(np.arange(101.0))
    assert scale.points_per_nat == pytest.approx(30 / 45)
    assert scale.anchor == pytest.approx(20 - 50 * 30 / 45)


def test_the_median_gets_20_and_the_95th_percentile_50():
    margins = np.random.default_rng(0).normal(-1, 2, 5_001)
    points = make_scale(margins).points(np.quantile(margins, [0.5, 0.95]))
    assert points == pytest.approx([20, 50])


def test_the_highest_gets_90_where_more_would_leave_no_room():
    """The median is 10 nats, the 95th percentile 19, the highest 70: 30 / 9 points per nat would give it 220."""
    margins = np.r_[np.arange(20.0), 70.0]
    scale = make_scale(margins)
    assert scale.points_per_nat == pytest.approx(70 / 60)
    assert scale.points(np.array([10.0, 19.0, 70.0])) == pytest.approx([20, 20 + 9 * 70 / 60, 90])
    assert scale.p95_points == pytest.approx(20 + 9 * 70 / 60)
    assert make_scale(np.arange(101.0)).p95_points == 50


def test_anchor_is_the_points_of_an_expected_audience_of_one():
    assert Scale(12.5, 7.0).points(np.log([1.0, np.e])) == pytest.approx([12.5, 19.5])


def test_only_unclipped_points_exceed_0_and_100():
    scale = Scale(20.0, 10.0)
    margin = np.array([-9.0, -2.0, 0.0, 8.0, 99.0])
    assert list(scale.points(margin)) == [0.0, 0.0, 20.0, 100.0, 100.0]
    assert list(scale.unclipped(margin)) == [-70.0, 0.0, 20.0, 100.0, 1010.0]


@pytest.mark.parametrize("margins", [np.zeros(50), np.r_[np.zeros(99), 5.0]])
def test_equal_margins_are_refused(margins):
    with pytest.raises(TooSmallError, match="the median active user and the 95th percentile have the same expected"):
        make_scale(margins)


def test_points_in_people():
    scale = Scale(anchor=20.0, points_per_nat=10.0)
    assert scale.people(20.0) == pytest.approx(1.0)
    assert scale.people(30.0) == pytest.approx(np.e) == pytest.approx(scale.factor_per_10_points)


def test_conversion_of_points_between_scales():
    here, there = Scale(20.0, 10.0), Scale(30.0, 5.0)
    assert here.from_other(there, 30.0) == pytest.approx(20.0)
    assert here.from_other(there, 35.0) == pytest.approx(30.0)
    assert here.from_other(here, 47.0) == pytest.approx(47.0)


def test_a_scale_is_only_for_one_horizon_and_one_label():
    scale = Scale(20.0, 10.0)
    assert frozen_scale(None, 28, "engagers") is None
    assert frozen_scale((scale, 28, "engagers"), 28, "engagers") == scale
    with pytest.raises(ConfigError, match=r"audiences within 28 days, and \[outcome\] horizon_days is 7: .* --rescale"):
        frozen_scale((scale, 28, "engagers"), 7, "engagers")
    with pytest.raises(ConfigError, match=r"of engagers, and \[outcome\] label is credible_engagers: .* --rescale"):
        frozen_scale((scale, 28, "engagers"), 28, "credible_engagers")
