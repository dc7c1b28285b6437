import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from training.evaluation.evaluate import bands
from training.evaluation.metrics import rank_retention
from training.evaluation.report_types import Band, Slice
from training.reports.plots import against_audience, coverage, retention, slices


def render(figure):
    """Render a figure completely, so that all warnings appear; return its axes."""
    figure.savefig(io.BytesIO())
    return figure.axes


def make_band(share=0.95, **fields):
    return replace(
        Band(0.0, 0.1, users=7, expected=0.05, audience=0.0, coverage=share, width=1.0, interval_score=1.0), **fields
    )


def make_slice(**fields):
    group = Slice("evidence", "some", 9, 0.5, 1.0, 1.0, total=1.0, auc=0.8, r2_log=0.5, coverage=0.9, width=2.0)
    return replace(group, **fields)


class TestAgainstAudience:
    def test_summary_per_five_points(self):
        points = np.repeat([2.0, 20.0, 51.0, 100.0], 10)
        audience = np.repeat([0.0, 1.0, 20.0, 300.0], 10)
        (axes,) = render(against_audience(points, audience))
        dots, mean, median, *_ = axes.lines
        assert len(dots.get_xdata()) == 40
        assert median.get_xdata().tolist() == [2, 20, 51, 100]
        assert median.get_ydata().tolist() == mean.get_ydata().tolist() == [0, 1, 20, 300]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "3", "10", "30", "100", "300"]
        legend = axes.get_legend().get_title().get_text()
        assert legend.splitlines() == [
            "20 points: mean 1.0 people, 90 % between 1 and 1",
            "50 points: mean 20.0 people, 90 % between 20 and 20",
            "80 points: nobody",
        ]

    @pytest.mark.parametrize(
        ("points", "audience"),
        [
            ([37.0] * 50, [0] * 50),
            ([37.0] * 50, range(50)),
            ([0.0, 100.0], [0, 0]),
            ([1.0], [4]),
            ([-20.0, 130], [0, 9]),
        ],
    )
    def test_degenerate_communities(self, points, audience):
        (axes,) = render(against_audience(np.array(points), np.array(audience)))
        assert len(axes.lines[2].get_xdata()) == len({min(max(point, 0), 100) for point in points})

    def test_dots_are_seeded_and_bounded(self):
        points, audience = np.random.default_rng(0).uniform(0, 100, 9_000), np.random.default_rng(1).poisson(3, 9_000)
        one, same = (against_audience(points, audience).axes[0].lines[0].get_xydata() for _ in range(2))
        assert len(one) == 4_000
        assert one.tolist() == same.tolist()
        assert (one[:, 1] >= 0).all()


class TestCoverage:
    @pytest.mark.parametrize("count", [1, 2, 6])
    def test_coverage_has_a_dot_and_a_bar_per_band(self, count):
        covered, wide = render(coverage([make_band()] * (count - 1) + [make_band(upper=None)], 0.9))
        level, dots = covered.lines
        assert level.get_xdata() == [0.9, 0.9]
        assert len(dots.get_xdata()) == len(wide.patches) == count
        assert covered.get_yticklabels()[-1].get_text() == "0 and more\n7 users"

    def test_low_coverage_is_inside_the_axis(self):
        covered, wide = render(coverage([make_band(0.0, width=0.0)], 0.9))
        assert covered.get_xlim()[0] == 0
        assert wide.get_xlim()[1] > 0

    def test_coverage_without_audience(self):
        predicted = pd.DataFrame({"expected_audience": [0.01] * 5, "low": 0.0, "high": 0.0})
        covered, _ = render(coverage(bands(np.zeros(5), predicted, 0.9), 0.9))
        assert covered.lines[1].get_xdata() == [1.0]


class TestRetention:
    def test_retention_bars_add_up_to_one(self):
        earlier = pd.DataFrame({"user": range(400), "score": np.arange(400.0)})
        later = pd.DataFrame({"user": range(100, 390), "score": np.arange(290.0)})
        (axes,) = render(retention(rank_retention(earlier, later)))
        assert len(axes.patches) == 12
        for row in range(4):
            assert sum(axes.patches[row + 4 * part].get_width() for part in range(3)) == pytest.approx(1)
        *_, chance = axes.collections
        assert [segment[0][0] for segment in chance.get_segments()] == [0.01, 0.05, 0.1, 0.25]
        assert axes.get_title("left") == "Top users one horizon later: rank correlation 1.00 over 290 users"

    def test_equal_users(self):
        alike = pd.DataFrame({"user": ["a", "b"], "score": 1.0})
        (axes,) = render(retention(rank_retention(alike, alike)))
        assert axes.get_title("left") == "Top users one horizon later: rank correlation not defined over 2 users"
        assert [text.get_text() for text in axes.texts] == ["100 % retained"] * 4


class TestSlices:
    def test_slices_are_named_under_their_grouping(self):
        groups = [
            make_slice(),
            make_slice(group="strong", users=4_000),
            make_slice(grouping="scope", group="all", auc=None),
        ]
        total, ranked = render(slices(groups))
        for axes in (total, ranked):
            (dots,) = axes.collections
            assert len(dots.get_offsets()) == 3
        names = [label.get_text() for label in total.get_yticklabels()]
        assert names == ["some (9)", "strong (4,000)", "all (9)", "evidence", "scope"]
        assert total.get_yticks().tolist() == [1, 2, 4, 0, 3]

    def test_slices_without_audience_or_outside_the_axis(self):
        total, ranked = render(slices([make_slice(auc=None, total=0.0), make_slice(group="x", auc=None, total=99.0)]))
        assert total.collections[0].get_offsets()[:, 0].tolist() == [0.25, 4]
        assert ranked.get_xlim() == (0.4, 1)

    def test_auc_below_chance_is_inside_the_axis(self):
        _, ranked = render(slices([make_slice(auc=0.1)]))
        assert ranked.get_xlim()[0] <= 0.1
