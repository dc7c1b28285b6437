"""Plots of the global view with `shap`, in points: beeswarm, dependence, interaction; and the waterfall of a ledger."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import TICKRIGHT, MarkerStyle
from matplotlib.ticker import MaxNLocator, NullLocator

from features.events.scopes import ALL
from training.explanation.global_view import View, file_name
from training.explanation.reasons import Line
from training.reports.plots import INK, is_share, label, make_figure, meaning

CENTRED: dict[str, Any] = {"fontsize": 9, "ha": "center", "va": "center"}
PANELS, HEATMAP_FEATURES, MAX_PAIRS = 6, 8, 4
ROUND_NUMBERS = (0, *(k * 10**power for power in range(-2, 8) for k in (1, 3)))
CAPTION = (
    "Ticks at the left edge: value unknown. Grey dots: value of the colour unknown. Grey bars: distribution of users. "
    "Scales are ln(1 + value), and linear for shares."
)
GREY = "#777777"


def view_plots(views: Mapping[str, View], seed: int = 0) -> dict[str, Figure]:
    """Plot every view: `beeswarm` and `dependence`, suffixed by the scope unless it is `all`, which also has pairs."""
    figures: dict[str, Figure] = {}
    for scope, view in views.items():
        name = "" if scope == ALL else f"-{file_name(scope)}"
        figures |= {f"beeswarm{name}": beeswarm(view, seed), f"dependence{name}": dependence(view, seed)}
        if scope == ALL and view.strongest_pairs:
            figures |= {"interaction": interaction(view), "pairs": pairs(view, seed)}
    return figures


def beeswarm(view: View, seed: int = 0) -> Figure:
    """Plot the points of every feature, one dot per user, coloured by value; the seed spreads the dots."""
    title = f"Points of each feature: {_user_count(view, len(view.rows))}"
    figure, axes = make_figure(title, "points on the score", "", size=(10, 6.5))
    names = [str(name) for name in view.points]
    data = view.rows[names].to_numpy(float, na_value=np.nan)
    with shap_plotting(seed) as shap:
        explanation = shap.Explanation(view.points.to_numpy(), data=data, feature_names=[label(name) for name in names])
        shap.plots.beeswarm(explanation, max_display=15, show=False, plot_size=None, ax=axes)
    axes.set_xlabel("points on the score", fontsize="medium")
    axes.tick_params("y", length=0, labelsize=10)
    figure.axes[1].set_ylabel("value of the feature", fontsize="medium")
    return figure


def dependence(view: View, seed: int = 0, panels: int = PANELS) -> Figure:
    """Plot points against value for the strongest features, coloured by the one that each interacts with most."""
    names = list(view.strength.index[:panels])
    title = f"Strongest features, with their mean |points|: {_user_count(view, len(view.rows))}"
    figure, panes = _panels(title, len(names))
    with shap_plotting(seed) as shap:
        for axes, name in zip(panes, names, strict=True):
            other = view.partner(name)
            _scatter(shap, axes, view.points[name].to_numpy(), view.rows, name, other)
            axes.set_ylabel("points on the score", fontsize=9)
            axes.set_title(f"{label(name)}: {view.strength[name]:.1f} points", fontsize=10, loc="left")
    return figure


def pairs(view: View, seed: int = 0, most: int = MAX_PAIRS) -> Figure:
    """Plot the interaction of the strongest pairs against the value of one feature, coloured by that of the other."""
    strongest, rows = view.strongest_pairs[:most], view.rows.iloc[: view.paired]
    title = f"Strongest pairs, with the mean |points| of their interaction: {_user_count(view, len(rows))}"
    figure, panes = _panels(title, len(strongest), 2)
    with shap_plotting(seed) as shap:
        for axes, (one, other, mean) in zip(panes, strongest, strict=True):
            _scatter(shap, axes, view.halves(one, other), rows, one, other)
            axes.set_ylabel("points of the interaction", fontsize=9)
            axes.set_title(f"{label(one)}\nwith {label(other)}: {mean:.2f} points", fontsize=9.5, loc="left")
    return figure


def interaction(view: View, most: int = HEATMAP_FEATURES) -> Figure:
    """Plot a heat map of mean |interaction| of the strongest features, both halves added up.

    The diagonal, in italics, has the main effect of each feature.
    """
    names = list(view.strength.index[:most])
    mean = view.pair_strength.loc[names, names].to_numpy()
    positions = np.arange(len(names))
    title = f"Mean |points| of the interaction of two features: {_user_count(view, view.paired)}"
    figure, axes = make_figure(title, "", "", size=(10, 6))
    off_diagonal = np.where(positions[:, None] > positions, mean, np.nan)
    most_points = max(float(np.nanmax(off_diagonal, initial=0.0)), 1e-9)
    cells = axes.imshow(off_diagonal, cmap="Blues", vmin=0, vmax=most_points, aspect="auto")
    for row, line in enumerate(mean.tolist()):
        for column, value in enumerate(line[: row + 1]):
            dark, style = row != column and value > 0.6 * most_points, "italic" if row == column else "normal"
            axes.text(column, row, f"{value:.2f}", color="white" if dark else INK, style=style, **CENTRED)
    axes.set_yticks(positions, [f"{label(name)}  {k}" for k, name in enumerate(names, 1)])
    axes.set_xticks(positions, [str(k) for k in positions + 1])
    axes.set_xlabel("feature, by its number; in italics: its main effect")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(cells, ax=axes, label="mean |points|", aspect=40).outline.set_visible(False)
    return figure


def waterfall(base: float, lines: Sequence[Line], most: int = 12) -> Figure:
    """Plot how the lines of one ledger lead from the base to the score before clipping, the strongest line on top.

    `shap` lays it out for `savefig(..., bbox_inches="tight")`, which notebooks use.
    """
    points, values = np.array([line.points for line in lines]), [line.value for line in lines]
    data = np.array([np.nan if value is None else round(value, 2) for value in values])
    with shap_plotting(0) as shap:
        explanation = shap.Explanation(points, base, data, feature_names=[label(line.feature) for line in lines])
        figure: Figure = shap.plots.waterfall(explanation, max_display=most, show=False).figure
    return figure


@contextmanager
def shap_plotting(seed: int) -> Iterator[Any]:
    """Yield `shap` with warnings off and NumPy's global generator, with which it shuffles dots, seeded.

    The generator's state is restored, and the pyplot figures that `shap` leaves open are closed.
    """
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import matplotlib.pyplot as plt
        import shap

        before = set(plt.get_fignums())
        try:
            yield shap
        finally:
            np.random.set_state(state)  # noqa: NPY002
            for number in set(plt.get_fignums()) - before:
                plt.close(number)


def _scatter(shap: Any, axes: Axes, points: np.ndarray, rows: pd.DataFrame, name: str, other: str | None) -> None:
    """Plot points against one feature's value with `shap`, coloured by another's, and label both in words."""
    values, tint = _plotted_values(rows, name), {}
    if other is not None:
        tint["color"] = shap.Explanation(points, data=_plotted_values(rows, other), feature_names=other)
    explanation = shap.Explanation(points, data=values, feature_names=name)
    shap.plots.scatter(explanation, **tint, x_jitter=0, dot_size=9, hist=False, show=False, ax=axes)
    _plot_distribution(axes, values)
    if other is not None:
        _plot_uncoloured(axes, points, values, np.isnan(tint["color"].data))
    axes.set_xlabel(fill(meaning(name), 62), fontsize=8.5)
    axes.tick_params(labelsize=8.5)
    _label_axis(axes.xaxis, name, axes.get_xlim())
    bar = axes.collections[0].colorbar
    if bar is not None and other is not None:
        bar.set_label(fill(label(other), 44), size=8.5)
        bar.ax.tick_params(labelsize=8)
        _label_axis(bar.ax.yaxis, other, bar.ax.get_ylim())


def _plot_uncoloured(axes: Axes, points: np.ndarray, values: np.ndarray, where: np.ndarray) -> None:
    """Plot in grey the users that `shap` omits because the value of the colour is unknown."""
    edge, unknown = axes.get_xlim(), np.isnan(values)
    axes.scatter(values[where & ~unknown], points[where & ~unknown], s=9, color=GREY, linewidth=0)
    omitted = points[where & unknown]
    axes.scatter(np.full(len(omitted), edge[0]), omitted, marker=MarkerStyle(TICKRIGHT), color=GREY)
    axes.set_xlim(edge)


def _plot_distribution(axes: Axes, values: np.ndarray) -> None:
    """Plot the distribution of users behind the dots; a bar of full height is all users."""
    behind = axes.twinx()
    behind.hist(values[~np.isnan(values)], bins=50, color="black", alpha=0.1)
    behind.set_ylim(0, max(len(values), 1))
    behind.set_axis_off()


def _plotted_values(rows: pd.DataFrame, name: str) -> np.ndarray:
    """Return plotted values: shares as they are, others as ln(1 + value), because few users have large values."""
    values = rows[name].to_numpy(float, na_value=np.nan)
    return values if is_share(name) else np.sign(values) * np.log1p(np.abs(values))


def _label_axis(axis: Any, name: str, limits: tuple[float, float]) -> None:
    """Label an axis with the original values, in percent or in round numbers."""
    share = is_share(name)
    low, high = np.maximum(limits, 0) if share else np.expm1(np.maximum(limits, 0))
    marks = [mark for mark in ROUND_NUMBERS if low <= mark <= high and not 0 < mark < min(high / 10, 1)]
    if share or len(marks) < 3:
        marks = [mark for mark in MaxNLocator(4).tick_values(low, high) if low <= mark <= high]
    labels = [f"{100 * mark:.0f} %" if share else f"{mark:,.3g}" if mark < 1_000 else f"{mark:,.0f}" for mark in marks]
    axis.set_ticks(marks if share else np.log1p(marks), labels=labels)
    axis.set_minor_locator(NullLocator())


def _panels(title: str, count: int, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels, at most `columns` in a row."""
    columns = min(columns, max(count, 1))
    lines = max(-(-count // columns), 1)
    figure = Figure(figsize=(5.2 * columns, 4.1 * lines + 0.5), layout="constrained", dpi=90)
    figure.suptitle(title, color=INK, x=0.01, ha="left")
    figure.supxlabel(CAPTION, color=INK, x=0.01, ha="left", fontsize=8.5)
    panes = list(figure.subplots(lines, columns, squeeze=False).ravel())
    for spare in panes[count:]:
        spare.set_axis_off()
    return figure, panes[:count]


def _user_count(view: View, count: int) -> str:
    """Return how many users of which scope the dots are."""
    return f"{count:,} of {view.users:,} users" + ("" if view.scope == ALL else f" of {view.scope}")
