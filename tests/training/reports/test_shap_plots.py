"""The pictures of the community view show what the view holds, in words."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE
from training.explanation.global_view import file_name, look, views
from training.explanation.ledger import ledger
from training.model.feature_row import feature_row
from training.reports.plots import label, meaning
from training.reports.shap_plots import beeswarm, dependence, interaction, pairs, pictures, waterfall


@pytest.fixture(scope="module")
def seen(bundle, rows):
    return look(bundle, rows, paired=80)


def drawn(figure):
    """Draw a figure to the end, so that whatever would warn does; return its axes."""
    figure.savefig(io.BytesIO())
    return figure.axes


def panels(figure):
    return [axes for axes in drawn(figure) if axes.get_title("left")]


def dots(axes):
    """Return where the dots are, coloured and grey, those of unknown value left out, ordered."""
    coloured, _, grey, _ = (held.get_offsets().tolist() for held in axes.collections)
    return np.array(sorted([place for place in coloured if None not in place] + grey))


def said(axes):
    return " ".join(axes.get_xlabel().split())


class TestDependence:
    def test_a_panel_a_feature_with_its_points_by_value(self, seen):
        found = panels(dependence(seen, panels=4))
        assert len(found) == 4
        for axes, (name, mean) in zip(found, seen.strength.items(), strict=False):
            values, points = seen.rows[name].to_numpy(float), seen.points[name].to_numpy()
            known = ~np.isnan(values)
            places = values if CATALOGUE[name].unit == "share" else np.log1p(values)
            assert dots(axes) == pytest.approx(np.array(sorted(zip(places[known], points[known], strict=True))))
            assert axes.get_title("left") == f"{label(name)}: {mean:.1f} points"
            assert said(axes) == meaning(name)

    def test_the_colour_is_the_feature_it_interacts_with_most(self, seen):
        name = seen.strength.index[0]
        axes = panels(dependence(seen, panels=1))[0]
        bar = axes.collections[0].colorbar.ax
        assert " ".join(bar.get_ylabel().split()) == label(seen.partner(name))

    def test_who_has_no_colour_is_grey_and_not_left_out(self, bundle, rows):
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

    def test_axes_tell_values_as_they_are(self, seen):
        axes = panels(dependence(seen, panels=1))[0]
        for place, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True):
            told = text.get_text()
            value = (
                float(told.removesuffix(" %")) / 100 if told.endswith("%") else np.log1p(float(told.replace(",", "")))
            )
            assert place == pytest.approx(value, abs=0.01)

    def test_seeded_and_nothing_is_left_open(self, seen):
        state, before = np.random.get_state()[1].tolist(), plt.get_fignums()  # noqa: NPY002
        one, same = io.BytesIO(), io.BytesIO()
        for file in (one, same):
            dependence(seen, seed=4, panels=2).savefig(file)
        assert one.getvalue() == same.getvalue()
        assert plt.get_fignums() == before
        assert np.random.get_state()[1].tolist() == state  # noqa: NPY002

    @pytest.mark.parametrize("count", [0, 1, 2, 5])
    def test_few_people(self, bundle, rows, count):
        few = look(bundle, rows.iloc[:count])
        assert len(panels(dependence(few, panels=3))) == min(3, len(few.strength))
        drawn(pairs(few))
        if few.strongest_pairs:
            drawn(interaction(few))

    def test_a_feature_of_whom_nothing_is_known(self, bundle, rows):
        unknown = rows.iloc[:50].assign(repeated_share_90d=np.nan, account_age_days=np.nan)
        drawn(dependence(look(bundle, unknown), panels=8))


class TestInteraction:
    def test_cells_are_the_mean_of_what_two_give_only_together(self, seen):
        axes = drawn(interaction(seen, most=3))[0]
        names = list(seen.strength.index[:3])
        cells = [seen.together.loc[one, other] for k, one in enumerate(names) for other in names[: k + 1]]
        assert [text.get_text() for text in axes.texts] == [f"{value:.2f}" for value in cells]
        assert [text.get_style() for text in axes.texts] == ["italic", *["normal", "italic"], *["normal"] * 2, "italic"]
        ticks = [text.get_text() for text in axes.get_yticklabels()]
        assert ticks == [f"{label(name)}  {k}" for k, name in enumerate(names, 1)]
        shown = axes.images[0].get_array()
        assert shown.mask.tolist() == np.triu(np.ones((3, 3), bool)).tolist()

    def test_pairs_show_both_halves(self, seen):
        (one, other, mean), *_ = seen.strongest_pairs
        axes = panels(pairs(seen, most=2))[0]
        known = seen.rows[one].iloc[: seen.paired].notna().to_numpy()
        assert sorted(dots(axes)[:, 1]) == pytest.approx(sorted(seen.halves(one, other)[known]))
        assert axes.get_title("left") == f"{label(one)}\nwith {label(other)}: {mean:.2f} points"


class TestPictures:
    def test_a_waterfall_leads_from_the_base_to_the_score(self, bundle, rows):
        before, told = plt.get_fignums(), ledger(bundle, feature_row(rows.iloc[[3]]))
        figure = waterfall(told.base, told.lines, 5)
        ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert any(label(told.lines[0].feature) in text for text in ticks)
        assert f"{len(told.lines) - 4} other features" in ticks
        assert any(
            f"{told.unclipped:.3f}" in text.get_text() for axes in figure.axes for text in axes.get_xticklabels()
        )
        assert plt.get_fignums() == before

    def test_a_model_that_tells_nobody_apart_has_no_pairs(self, bundle, rows):
        alike = look(bundle, rows.iloc[:5])
        alike.__dict__["points"] = alike.points * 0
        assert list(pictures({"all": alike})) == ["beeswarm", "dependence"]

    def test_a_beeswarm_in_words(self, seen):
        axes = drawn(beeswarm(seen))[0]
        ticks = {text.get_text() for text in axes.get_yticklabels()}
        assert {label(name) for name in seen.strength.index[:8]} <= ticks
        assert axes.get_title("left") == f"Points each feature gives: {seen.users:,} of {seen.users:,} users"

    def test_names_and_number(self, bundle, rows):
        many = pd.concat([rows.assign(scope=scope) for scope in ("all", "topic:C++", "topic:0", "topic:1")])
        names = list(pictures(views(bundle, many)))
        assert names[:4] == ["beeswarm", "dependence", "interaction", "pairs"]
        parts = ("topic-0", "topic-1", file_name("topic:C++"))
        assert sorted(names[4:]) == sorted(f"{kind}-{part}" for part in parts for kind in ("beeswarm", "dependence"))

    def test_a_scope_is_named_on_its_pictures(self, bundle, rows):
        part = views(bundle, rows.iloc[:350].assign(scope="topic:cats"))
        figures = pictures(part)
        assert list(figures) == ["beeswarm-topic-cats", "dependence-topic-cats"]
        assert figures["dependence-topic-cats"].get_suptitle().endswith("350 of 350 users of topic:cats")
