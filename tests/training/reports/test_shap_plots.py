"""Plots of the global view show its figures, labelled in words."""

import io
from datetime import UTC, datetime

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE
from training.explanation.global_view import file_name, look, views
from training.explanation.ledger import ledger
from training.model.bundle import feature_row
from training.reports.plots import label, meaning
from training.reports.shap_plots import beeswarm, dependence, interaction, pairs, view_plots, waterfall

AS_OF = datetime(2025, 9, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def view(bundle, rows):
    return look(bundle, rows, paired=80)


def render(figure):
    """Render a figure completely, so that all warnings appear; return its axes."""
    figure.savefig(io.BytesIO())
    return figure.axes


def panels(figure):
    return [axes for axes in render(figure) if axes.get_title("left")]


def dots(axes):
    """Return the positions of dots, coloured and grey, sorted, without those of unknown value."""
    coloured, _, grey, _ = (dots.get_offsets().tolist() for dots in axes.collections)
    return np.array(sorted([dot for dot in coloured if None not in dot] + grey))


def axis_label(axes):
    return " ".join(axes.get_xlabel().split())


class TestDependence:
    def test_dependence_has_a_panel_per_feature(self, view):
        panes = panels(dependence(view, panels=4))
        assert len(panes) == 4
        for axes, (name, mean) in zip(panes, view.strength.items(), strict=False):
            values, points = view.rows[name].to_numpy(float), view.points[name].to_numpy()
            is_known = ~np.isnan(values)
            plotted = values if CATALOGUE[name].unit == "share" else np.log1p(values)
            assert dots(axes) == pytest.approx(np.array(sorted(zip(plotted[is_known], points[is_known], strict=True))))
            assert axes.get_title("left") == f"{label(name)}: {mean:.1f} points"
            assert axis_label(axes) == meaning(name)

    def test_dependence_is_coloured_by_the_strongest_partner(self, view):
        name = view.strength.index[0]
        axes = panels(dependence(view, panels=1))[0]
        bar = axes.collections[0].colorbar.ax
        assert " ".join(bar.get_ylabel().split()) == label(view.partner(name))

    def test_users_of_unknown_colour_are_grey(self, bundle, rows):
        view = look(bundle, rows.iloc[:60])
        assert view.points.shape == (60, len(bundle.features))
        name = view.strength.index[0]
        partner = view.partner(name)
        few = view.rows.reset_index(drop=True)
        few.loc[few.index % 2 == 0, partner] = np.nan
        few[name] = np.where(few.index < 20, np.nan, 1.0)
        object.__setattr__(view, "rows", few)
        coloured, _, grey, ticks = panels(dependence(view, panels=1))[0].collections
        assert (len(grey.get_offsets()), len(ticks.get_offsets())) == (20, 10)
        assert coloured.get_offsets()[:, 0].count() == 20

    def test_axes_are_labelled_with_original_values(self, view):
        axes = panels(dependence(view, panels=1))[0]
        for tick, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True):
            tick_label = text.get_text()
            is_percent, number = tick_label.endswith("%"), float(tick_label.removesuffix(" %").replace(",", ""))
            value = number / 100 if is_percent else np.log1p(number)
            assert tick == pytest.approx(value, abs=0.01)

    def test_plots_are_seeded_and_close_their_figures(self, view):
        state, before = np.random.get_state()[1].tolist(), plt.get_fignums()  # noqa: NPY002
        one, same = io.BytesIO(), io.BytesIO()
        for file in (one, same):
            dependence(view, seed=4, panels=2).savefig(file)
        assert one.getvalue() == same.getvalue()
        assert plt.get_fignums() == before
        assert np.random.get_state()[1].tolist() == state  # noqa: NPY002

    @pytest.mark.parametrize("count", [0, 1, 2, 5])
    def test_few_users(self, bundle, rows, count):
        few = look(bundle, rows.iloc[:count])
        assert len(panels(dependence(few, panels=3))) == min(3, len(few.strength))
        render(pairs(few))
        if few.strongest_pairs:
            render(interaction(few))

    def test_unknown_features(self, bundle, rows):
        unknown = rows.iloc[:50].assign(repeated_share_90d=np.nan, account_age_days=np.nan)
        render(dependence(look(bundle, unknown), panels=8))


class TestInteraction:
    def test_interaction_cells_are_mean_interactions(self, view):
        axes = render(interaction(view, most=3))[0]
        names = list(view.strength.index[:3])
        cells = [view.pair_strength.loc[one, other] for k, one in enumerate(names) for other in names[: k + 1]]
        assert [text.get_text() for text in axes.texts] == [f"{value:.2f}" for value in cells]
        assert [text.get_style() for text in axes.texts] == ["italic", *["normal", "italic"], *["normal"] * 2, "italic"]
        ticks = [text.get_text() for text in axes.get_yticklabels()]
        assert ticks == [f"{label(name)}  {k}" for k, name in enumerate(names, 1)]
        cells = axes.images[0].get_array()
        assert cells.mask.tolist() == np.triu(np.ones((3, 3), bool)).tolist()

    def test_pairs_add_both_halves(self, view):
        (one, other, mean), *_ = view.strongest_pairs
        axes = panels(pairs(view, most=2))[0]
        is_known = view.rows[one].iloc[: view.paired].notna().to_numpy()
        assert sorted(dots(axes)[:, 1]) == pytest.approx(sorted(view.halves(one, other)[is_known]))
        assert axes.get_title("left") == f"{label(one)}\nwith {label(other)}: {mean:.2f} points"


class TestViewPlots:
    def test_waterfall_leads_from_base_to_score(self, bundle, rows):
        before, report = plt.get_fignums(), ledger(bundle, feature_row(rows.iloc[[3]]))
        figure = waterfall(report.base, report.lines, 5)
        ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert any(label(report.lines[0].feature) in text for text in ticks)
        assert f"{len(report.lines) - 4} other features" in ticks
        shown = f"{report.unclipped:.3f}".rstrip("0")  # in the number format of shap
        assert any(shown in text.get_text() for axes in figure.axes for text in axes.get_xticklabels())
        assert plt.get_fignums() == before

    def test_constant_model_has_no_pairs(self, bundle, rows):
        alike = look(bundle, rows.iloc[:5])
        alike.__dict__["points"] = alike.points * 0
        assert list(view_plots({"all": alike})) == ["beeswarm", "dependence"]

    def test_beeswarm_labels(self, view):
        axes = render(beeswarm(view))[0]
        ticks = {text.get_text() for text in axes.get_yticklabels()}
        assert {label(name) for name in view.strength.index[:8]} <= ticks
        assert axes.get_title("left") == f"Points of each feature: {view.users:,} of {view.users:,} users"

    def test_view_plots_names(self, bundle, rows):
        many = pd.concat([rows.assign(scope=scope) for scope in ("all", "topic:C++", "topic:0", "topic:1")])
        names = list(view_plots(views(bundle, many, AS_OF)))
        assert names[:4] == ["beeswarm", "dependence", "interaction", "pairs"]
        parts = ("topic-0", "topic-1", file_name("topic:C++"))
        assert sorted(names[4:]) == sorted(f"{kind}-{part}" for part in parts for kind in ("beeswarm", "dependence"))

    def test_view_plots_name_the_scope(self, bundle, rows):
        part = views(bundle, rows.iloc[:350].assign(scope="topic:cats"), AS_OF)
        figures = view_plots(part)
        assert list(figures) == ["beeswarm-topic-cats", "dependence-topic-cats"]
        assert figures["dependence-topic-cats"].get_suptitle().endswith("350 of 350 users of topic:cats")
