"""Pictures for people who would rather look than read: calibration, cumulative gain and a beeswarm of SHAP values.

Words: what stands in a picture for a feature's name.
"""

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
    """Plot mean expected against mean real audience in groups of equal size; a mean of zero lies on the lower edge."""
    frame = pd.DataFrame({"expected": expected, "audience": audience}).sort_values("expected")
    means = frame.groupby(np.arange(len(frame)) * groups // len(frame)).mean()
    figure, axes = framed(
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
    """Plot which share of all audience the first share of users, ranked by each signal, holds."""
    figure, axes = framed("Cumulative gain", "share of users, highest first", "share of all audience")
    shares = np.linspace(0, 1, len(audience) + 1)
    for name in signals:
        signal = signals[name].to_numpy(float)
        reached = np.concatenate([[0], np.cumsum(audience[np.argsort(-signal, kind="stable")])]) / max(
            audience.sum(), 1
        )
        style = {"color": ACCENT, "linewidth": 2.2, "zorder": 3} if name == "score" else {"linewidth": 1, "alpha": 0.8}
        axes.plot(shares, reached, label=name, **style)
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle=":", label="chance")
    axes.legend(frameon=False, fontsize=8)
    return figure


def beeswarm(bundle: Bundle, rows: pd.DataFrame, seed: int = 0) -> Figure:
    """Plot the points of every feature for up to 2,000 users, as `shap` draws it."""
    sample = rows.sample(min(SAMPLE, len(rows)), random_state=seed)
    return swarm(contributions(bundle, sample), sample, seed=seed)


def swarm(
    points: pd.DataFrame, rows: pd.DataFrame, title: str = "Points each feature gives, one dot a user", seed: int = 0
) -> Figure:
    """Plot points, one column a feature, coloured by the values in `rows`; the seed moves dots apart."""
    figure, axes = framed(title, "points on the score", "", size=(10, 6.5))
    with drawing(seed) as shap:
        names = [str(name) for name in points]
        data = rows[names].to_numpy(float, na_value=np.nan)
        told = shap.Explanation(points.to_numpy(), data=data, feature_names=[label(name) for name in names])
        shap.plots.beeswarm(told, max_display=15, show=False, plot_size=None, ax=axes)
    axes.set_xlabel("points on the score", fontsize="medium")
    axes.tick_params("y", length=0, labelsize=10)
    figure.axes[1].set_ylabel("value of the feature", fontsize="medium")
    return figure


@contextmanager
def drawing(seed: int) -> Iterator[Any]:
    """Yield `shap`, quiet and seeded, and close what figures it left open in pyplot."""
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
    """Seed NumPy's global generator, from which `shap` shuffles its dots, and put it back at the end."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def framed(title: str, x: str, y: str, size: tuple[float, float] = (6.5, 5)) -> tuple[Figure, Axes]:
    """Return an empty figure with its one pair of axes, titled and labelled as all pictures are."""
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    axes = figure.subplots()
    axes.set_title(title, loc="left", color=INK)
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


WINDOW = {"d": "days", "w": "weeks"}


def label(feature: str) -> str:
    """Return a short label: `credible_engagers_decayed_28d` is `credible engagers, decayed, 28 days`."""
    counted = re.sub("_days$", ", days", subject(feature))
    window = re.sub(r"(\d+)([dw])$", lambda found: f"{found[1]} {WINDOW[found[2]]}", feature[len(subject(feature)) :])
    return ", ".join(part for part in (counted.replace("_", " "), *window.split("_")) if part)


def meaning(feature: str) -> str:
    """Return what the catalogue says that a feature is, up to the first semicolon; its name where it is not there."""
    return CATALOGUE[feature].meaning.partition(";")[0] if feature in CATALOGUE else label(feature)


def is_share(feature: str) -> bool:
    """Tell whether a feature is a share, told in percent."""
    return feature in CATALOGUE and CATALOGUE[feature].unit == "share"
