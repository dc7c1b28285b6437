"""Plots of a model: calibration, cumulative gain and a beeswarm of SHAP values; and labels of features in plots."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from features.catalogue import CATALOGUE
from training.explanation.ledger import contributions
from training.explanation.reasons import subject
from training.model.bundle import Bundle

INK, ACCENT, PALE = "#1f2933", "#0b7285", "#adb5bd"
SAMPLE = 2_000


def calibration(audience: np.ndarray, expected: np.ndarray, groups: int = 15) -> Figure:
    """Plot mean expected against mean real audience in groups of equal size; a mean of zero is on the lower edge."""
    frame = pd.DataFrame({"expected": expected, "audience": audience}).sort_values("expected")
    means = frame.groupby(np.arange(len(frame)) * groups // len(frame)).mean()
    figure, axes = make_figure(
        "Calibration: expected against real audience", "mean expected audience (people)", "mean real audience (people)"
    )
    low, high = 0.5 * means["expected"].min(), 2 * means.max().max()
    axes.plot([low, high], [low, high], color=PALE, linewidth=1, label="perfect")
    axes.plot(
        means["expected"],
        means["audience"].clip(lower=low),
        "o-",
        color=ACCENT,
        label=f"{groups} groups of users, by expected audience",
        clip_on=False,
    )
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.legend(frameon=False)
    return figure


def gain(audience: np.ndarray, signals: pd.DataFrame) -> Figure:
    """Plot the share of all audience that the top share of users has, ranked by each signal."""
    figure, axes = make_figure("Cumulative gain", "share of users, highest first", "share of all audience")
    shares = np.linspace(0, 1, len(audience) + 1)
    for name in signals:
        signal = signals[name].to_numpy(float)
        cumulative = np.cumsum(audience[np.argsort(-signal, kind="stable")])
        reached = np.concatenate([[0], cumulative]) / max(audience.sum(), 1)
        style = {"color": ACCENT, "linewidth": 2.2, "zorder": 3} if name == "score" else {"linewidth": 1, "alpha": 0.8}
        axes.plot(shares, reached, label=name, **style)
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle=":", label="chance")
    axes.legend(frameon=False, fontsize=8)
    return figure


def beeswarm(bundle: Bundle, rows: pd.DataFrame, seed: int = 0) -> Figure:
    """Plot the points of every feature for up to 2,000 users with `shap`."""
    sample = rows.sample(min(SAMPLE, len(rows)), random_state=seed)
    return swarm(contributions(bundle, sample), sample, seed=seed)


def swarm(
    points: pd.DataFrame, rows: pd.DataFrame, title: str = "Points of each feature, one dot per user", seed: int = 0
) -> Figure:
    """Plot points, one column per feature, coloured by the values in `rows`; the seed spreads the dots."""
    figure, axes = make_figure(title, "points on the score", "", size=(10, 6.5))
    with shap_plotting(seed) as shap:
        names = [str(name) for name in points]
        data = rows[names].to_numpy(float, na_value=np.nan)
        explanation = shap.Explanation(points.to_numpy(), data=data, feature_names=[label(name) for name in names])
        shap.plots.beeswarm(explanation, max_display=15, show=False, plot_size=None, ax=axes)
    axes.set_xlabel("points on the score", fontsize="medium")
    axes.tick_params("y", length=0, labelsize=10)
    figure.axes[1].set_ylabel("value of the feature", fontsize="medium")
    return figure


@contextmanager
def shap_plotting(seed: int) -> Iterator[Any]:
    """Yield `shap` with warnings off and random numbers seeded; close the pyplot figures it leaves open."""
    with warnings.catch_warnings(), _seeded(seed):
        warnings.simplefilter("ignore")
        import matplotlib.pyplot as plt
        import shap

        before = set(plt.get_fignums())
        yield shap
        for number in set(plt.get_fignums()) - before:
            plt.close(number)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, with which `shap` shuffles dots, and restore its state at the end."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def make_figure(title: str, x: str, y: str, size: tuple[float, float] = (6.5, 5)) -> tuple[Figure, Axes]:
    """Return an empty figure with one pair of axes, a title and axis labels in the style of all plots."""
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    axes = figure.subplots()
    axes.set_title(title, loc="left", color=INK)
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


WINDOW = {"d": "days", "w": "weeks"}


def label(feature: str) -> str:
    """Return a short label: `credible_engagers_decayed_28d` is `credible engagers, decayed, 28 days`."""
    quantity = re.sub("_days$", ", days", subject(feature))
    window = re.sub(r"(\d+)([dw])$", lambda match: f"{match[1]} {WINDOW[match[2]]}", feature[len(subject(feature)) :])
    return ", ".join(part for part in (quantity.replace("_", " "), *window.split("_")) if part)


def meaning(feature: str) -> str:
    """Return a feature's meaning in the catalogue up to the first semicolon; other features get their label."""
    return CATALOGUE[feature].meaning.partition(";")[0] if feature in CATALOGUE else label(feature)


def is_share(feature: str) -> bool:
    """Return whether a feature is a share, which plots show in percent."""
    return feature in CATALOGUE and CATALOGUE[feature].unit == "share"
