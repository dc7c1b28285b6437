"""Pictures of the community view: beeswarm, dependence and interaction, as `shap` draws them, in points."""

from collections.abc import Mapping, Sequence
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
from training.reports.plots import INK, drawing, framed, is_share, label, meaning, swarm

CENTRED: dict[str, Any] = {"fontsize": 9, "ha": "center", "va": "center"}
PANELS, CROSSED, SHOWN_PAIRS = 6, 8, 4
ROUND = (0, *(k * 10**power for power in range(-2, 8) for k in (1, 3)))
READING = (
    "Ticks at the left edge: value not known. Grey dots: value of the colour not known. Grey bars: where users are. "
    "Scales rise by ln(1 + value), shares evenly."
)
GREY = "#777777"


def pictures(views: Mapping[str, View], seed: int = 0) -> dict[str, Figure]:
    """Draw every view: `beeswarm` and `dependence`, named by the scope unless it is `all`, which has pairs as well."""
    drawn: dict[str, Figure] = {}
    for scope, view in views.items():
        name = "" if scope == ALL else f"-{file_name(scope)}"
        drawn |= {f"beeswarm{name}": beeswarm(view, seed), f"dependence{name}": dependence(view, seed)}
        if scope == ALL and view.strongest_pairs:
            drawn |= {"interaction": interaction(view), "pairs": pairs(view, seed)}
    return drawn


def beeswarm(view: View, seed: int = 0) -> Figure:
    """Plot the points of every feature, one dot a user of the sample."""
    return swarm(view.points, view.rows, f"Points each feature gives: {_dots(view, len(view.rows))}", seed)


def dependence(view: View, seed: int = 0, panels: int = PANELS) -> Figure:
    """Plot points against value for the strongest features, coloured by the one that each interacts with most."""
    shown = list(view.strength.index[:panels])
    figure, places = _panels(f"Strongest features, with their mean |points|: {_dots(view, len(view.rows))}", len(shown))
    with drawing(seed) as shap:
        for axes, name in zip(places, shown, strict=True):
            other = view.partner(name)
            _scatter(shap, axes, view.points[name].to_numpy(), view.rows, name, other)
            axes.set_ylabel("points on the score", fontsize=9)
            axes.set_title(f"{label(name)}: {view.strength[name]:.1f} points", fontsize=10, loc="left")
    return figure


def pairs(view: View, seed: int = 0, most: int = SHOWN_PAIRS) -> Figure:
    """Plot what the strongest pairs give only together against the value of one, coloured by that of the other."""
    shown, rows = view.strongest_pairs[:most], view.rows.iloc[: view.paired]
    figure, places = _panels(
        f"Strongest pairs, with the mean |points| that they give only together: {_dots(view, len(rows))}", len(shown), 2
    )
    with drawing(seed) as shap:
        for axes, (one, other, mean) in zip(places, shown, strict=True):
            _scatter(shap, axes, view.halves(one, other), rows, one, other)
            axes.set_ylabel("points only together", fontsize=9)
            axes.set_title(f"{label(one)}\nwith {label(other)}: {mean:.2f} points", fontsize=9.5, loc="left")
    return figure


def interaction(view: View, most: int = CROSSED) -> Figure:
    """Plot a heat map of mean |interaction| of the strongest features, both halves added up.

    In italics, on the diagonal, is what each gives alone.
    """
    shown = list(view.strength.index[:most])
    mean = view.together.loc[shown, shown].to_numpy()
    places = np.arange(len(shown))
    title = f"Mean |points| that two features give only together: {_dots(view, view.paired)}"
    figure, axes = framed(title, "", "", size=(10, 6))
    apart = np.where(places[:, None] > places, mean, np.nan)
    most_points = max(float(np.nanmax(apart, initial=0.0)), 1e-9)
    cells = axes.imshow(apart, cmap="Blues", vmin=0, vmax=most_points, aspect="auto")
    for row, line in enumerate(mean.tolist()):
        for column, value in enumerate(line[: row + 1]):
            dark, style = row != column and value > 0.6 * most_points, "italic" if row == column else "normal"
            axes.text(column, row, f"{value:.2f}", color="white" if dark else INK, style=style, **CENTRED)
    axes.set_yticks(places, [f"{label(name)}  {k}" for k, name in enumerate(shown, 1)])
    axes.set_xticks(places, [str(k) for k in places + 1])
    axes.set_xlabel("feature, by its number; in italics: what it gives alone")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(cells, ax=axes, label="mean |points|", aspect=40).outline.set_visible(False)
    return figure


def waterfall(base: float, lines: Sequence[Line], most: int = 12) -> Figure:
    """Plot how the lines of one ledger lead from the base to the score before clipping, the strongest on top.

    `shap` lays it out for `savefig(..., bbox_inches="tight")`, as notebooks do.
    """
    points, values = np.array([line.points for line in lines]), [line.value for line in lines]
    data = np.array([np.nan if value is None else round(value, 2) for value in values])
    with drawing(0) as shap:
        told = shap.Explanation(points, base, data, feature_names=[label(line.feature) for line in lines])
        axes = shap.plots.waterfall(told, max_display=most, show=False)
    return axes.figure


def _scatter(shap: Any, axes: Axes, points: np.ndarray, rows: pd.DataFrame, name: str, other: str | None) -> None:
    """Let `shap` plot points against one feature's value, coloured by another's, and say both in words."""
    values, tint = _spread(rows, name), {}
    if other is not None:
        tint["color"] = shap.Explanation(points, data=_spread(rows, other), feature_names=other)
    told = shap.Explanation(points, data=values, feature_names=name)
    shap.plots.scatter(told, **tint, x_jitter=0, dot_size=9, hist=False, show=False, ax=axes)
    _crowd(axes, values)
    if other is not None:
        _colourless(axes, points, values, np.isnan(tint["color"].data))
    axes.set_xlabel(fill(meaning(name), 62), fontsize=8.5)
    axes.tick_params(labelsize=8.5)
    _say(axes.xaxis, name, axes.get_xlim())
    bar = axes.collections[0].colorbar
    if bar is not None and other is not None:
        bar.set_label(fill(label(other), 44), size=8.5)
        bar.ax.tick_params(labelsize=8)
        _say(bar.ax.yaxis, other, bar.ax.get_ylim())


def _colourless(axes: Axes, points: np.ndarray, values: np.ndarray, where: np.ndarray) -> None:
    """Draw in grey whom `shap` leaves out: those of whom the value that colours is not known."""
    edge, unknown = axes.get_xlim(), np.isnan(values)
    axes.scatter(values[where & ~unknown], points[where & ~unknown], s=9, color=GREY, linewidth=0)
    left = points[where & unknown]
    axes.scatter(np.full(len(left), edge[0]), left, marker=MarkerStyle(TICKRIGHT), color=GREY)
    axes.set_xlim(edge)


def _crowd(axes: Axes, values: np.ndarray) -> None:
    """Draw behind the dots where users are: a bar over the whole height would be all of them."""
    behind = axes.twinx()
    behind.hist(values[~np.isnan(values)], bins=50, color="black", alpha=0.1)
    behind.set_ylim(0, max(len(values), 1))
    behind.set_axis_off()


def _spread(rows: pd.DataFrame, name: str) -> np.ndarray:
    """Return values where they are drawn: shares as they are, all else as ln(1 + value), since few people have much."""
    values = rows[name].to_numpy(float, na_value=np.nan)
    return values if is_share(name) else np.sign(values) * np.log1p(np.abs(values))


def _say(axis: Any, name: str, limits: tuple[float, float]) -> None:
    """Label an axis with values as they are, in percent or in round numbers."""
    share = is_share(name)
    low, high = np.maximum(limits, 0) if share else np.expm1(np.maximum(limits, 0))
    marks = [mark for mark in ROUND if low <= mark <= high and not 0 < mark < min(high / 10, 1)]
    if share or len(marks) < 3:
        marks = [mark for mark in MaxNLocator(4).tick_values(low, high) if low <= mark <= high]
    told = [f"{100 * mark:.0f} %" if share else f"{mark:,.3g}" if mark < 1_000 else f"{mark:,.0f}" for mark in marks]
    axis.set_ticks(marks if share else np.log1p(marks), labels=told)
    axis.set_minor_locator(NullLocator())


def _panels(title: str, count: int, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels, at most so many beside each other."""
    columns = min(columns, max(count, 1))
    lines = max(-(-count // columns), 1)
    figure = Figure(figsize=(5.2 * columns, 4.1 * lines + 0.5), layout="constrained", dpi=90)
    figure.suptitle(title, color=INK, x=0.01, ha="left")
    figure.supxlabel(READING, color=INK, x=0.01, ha="left", fontsize=8.5)
    places = list(figure.subplots(lines, columns, squeeze=False).ravel())
    for spare in places[count:]:
        spare.set_axis_off()
    return figure, places[:count]


def _dots(view: View, shown: int) -> str:
    """Say whose dots they are."""
    return f"{shown:,} of {view.users:,} users" + ("" if view.scope == ALL else f" of {view.scope}")
