"""Plots of a model: calibration, gain, points, coverage, rank retention and groups of users; labels of features."""

import math
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from features.catalogue import CATALOGUE
from training.evaluation.evaluate import band_name
from training.evaluation.report_types import Band, RankRetention, Slice
from training.evaluation.slices import BANDS, FAIR
from training.explanation.reasons import subject

INK, ACCENT, PALE = "#1f2933", "#0b7285", "#adb5bd"
LANDMARKS = (20, 50, 80)
BIN = 5
MAX_DOTS, MIN_USERS = 4_000, 5
TOTAL_LIMITS = (0.25, 4.0)
WINDOW = {"d": "days", "w": "weeks"}


def make_figure(title: str, x: str, y: str, size: tuple[float, float] = (6.5, 5)) -> tuple[Figure, Axes]:
    """Return an empty figure with one pair of axes, a title and axis labels in the style of all plots."""
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    axes = figure.subplots()
    axes.set_title(title, loc="left", color=INK)
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def calibration(audience: np.ndarray, expected: np.ndarray, groups: int = 15) -> Figure:
    """Plot mean expected against mean real audience in groups of equal size; a mean of zero is on the lower edge."""
    frame = pd.DataFrame({"expected": expected, "audience": audience}).sort_values("expected")
    means = frame.groupby(np.arange(len(frame)) * groups // len(frame)).mean()
    title = "Calibration: expected against real audience"
    figure, axes = make_figure(title, "mean expected audience (people)", "mean real audience (people)")
    low, high = 0.5 * means["expected"].min(), 2 * means.max().max()
    axes.plot([low, high], [low, high], color=PALE, linewidth=1, label="perfect")
    real, name = means["audience"].clip(lower=low), f"{groups} groups of users, by expected audience"
    axes.plot(means["expected"], real, "o-", color=ACCENT, label=name, clip_on=False)
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


def against_audience(points: np.ndarray, audience: np.ndarray, seed: int = 0) -> Figure:
    """Plot the real audience against the score (0-100): median, mean and the middle 90 % per 5 points, and some dots.

    Dots are up to 4,000 users drawn by the seed, spread by up to 0.35 people so that equal ones do not hide each other.
    """
    frame = pd.DataFrame({"points": np.clip(points, 0, 100), "audience": np.asarray(audience, float)})
    figure, axes = make_figure("Real audience by score", "score (points)", "real audience (people)", size=(8, 5))
    dots = frame.sample(min(MAX_DOTS, len(frame)), random_state=seed)
    spread = np.random.default_rng(seed).uniform(-0.35, 0.35, len(dots))
    axes.plot(dots["points"], (dots["audience"] + spread).clip(lower=0), ".", color=PALE, markersize=2.5, alpha=0.6)
    bins = _by_points(frame)
    axes.fill_between(bins.index, bins["low"], bins["high"], color=ACCENT, alpha=0.15, label="middle 90 % of users")
    axes.plot(bins.index, bins["mean"], "--", color=INK, linewidth=1.2, label="mean")
    axes.plot(bins.index, bins["median"], "o-", color=ACCENT, markersize=4, label="median")
    _people_axis(axes, frame["audience"].max())
    for mark in LANDMARKS:
        axes.axvline(mark, color=INK, linewidth=0.7, linestyle=":", alpha=0.6, zorder=0, ymax=0.72)
    axes.set_xlim(-1, 101)
    axes.legend(frameon=False, loc="upper left", title=_landmarks(frame), alignment="left", title_fontsize=9)
    return figure


def _by_points(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the audience per 5 points, by the mean points of the bin; small bins lack the 90 % range."""
    points = np.minimum(frame["points"] // BIN, 100 // BIN - 1)
    grouped = frame.groupby(points)["audience"]
    bins = pd.DataFrame({"median": grouped.median(), "mean": grouped.mean()})
    enough = grouped.size() >= MIN_USERS
    bins["low"], bins["high"] = (grouped.quantile(share).where(enough) for share in (0.05, 0.95))
    return bins.set_index(frame["points"].groupby(points).mean().to_numpy())


def _landmarks(frame: pd.DataFrame) -> str:
    """Describe the audience of users within 2.5 points of 20, 50 and 80."""
    lines = []
    for mark in LANDMARKS:
        near = frame.loc[(frame["points"] - mark).abs() <= BIN / 2, "audience"]
        low, high = near.quantile([0.05, 0.95])
        text = f"mean {near.mean():.1f} people, 90 % between {low:.0f} and {high:.0f}"
        lines.append(f"{mark} points: {text if len(near) else 'nobody'}")
    return "\n".join(lines)


def _people_axis(axes: Axes, most: float) -> None:
    """Set the y axis to ln(1 + people), with ticks at round numbers of people from 0 to the largest."""
    steps = [0] + [k * 10**power for power in range(1 + int(math.log10(max(most, 1)))) for k in (1, 3)]
    axes.set_yscale("function", functions=(np.log1p, np.expm1))
    axes.set_ylim(0, max(most, 1) * 1.3)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks([step for step in steps if step <= max(most, 1) * 1.3])
    axes.yaxis.set_major_formatter("{x:,.0f}")


def coverage(bands: Sequence[Band], level: float) -> Figure:
    """Plot the share of users inside the interval and its width, by band of expected audience.

    Parameters
    ----------
    bands : of an evaluation
    level : the target share

    """
    figure = Figure(figsize=(9, max(0.45 * len(bands) + 1.8, 3.5)), layout="constrained", dpi=110)
    covered, wide = figure.subplots(1, 2, sharey=True)
    figure.suptitle("Intervals by band of expected audience", color=INK, x=0.01, ha="left")
    shares, widths = [band.coverage for band in bands], [band.width for band in bands]
    rows = range(len(bands))
    covered.axvline(level, color=INK, linewidth=1, linestyle="--")
    covered.hlines(rows, level, shares, color=ACCENT, linewidth=2)
    covered.plot(shares, rows, "o", color=ACCENT, clip_on=False)
    for share, row in zip(shares, rows, strict=True):
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        covered.text(share, row + 0.22, f"{100 * share:.0f} %", ha="center", fontsize=8, bbox=clear)
    covered.set(xlabel=f"share of users inside the interval (dashed: target, {100 * level:.0f} %)")
    covered.set(ylabel="expected audience (people)", xlim=(min(0.5, *shares, level), 1))
    names = [f"{band_name(band.lower, band.upper)}\n{band.users:,} users" for band in bands]
    covered.set_yticks(rows, names, fontsize=8)
    covered.set_ylim(-0.6, len(bands) - 0.4)
    bars = wide.barh(rows, widths, height=0.5, color=ACCENT, alpha=0.7)
    wide.bar_label(bars, [f"{width:,.1f}" for width in widths], padding=3, fontsize=8)
    wide.set(xlabel="mean width (people)", xlim=(0, 1.2 * max(*widths, 1)))
    for axes in (covered, wide):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def retention(ranks: RankRetention) -> Figure:
    """Plot the share of the top users that are still top users one horizon later."""
    spearman = "not defined" if ranks.spearman is None else f"{ranks.spearman:.2f}"
    title = f"Top users one horizon later: rank correlation {spearman} over {ranks.both:,} users"
    figure, axes = make_figure(title, "share of the top users one horizon earlier", "", size=(8, 3.6))
    top = ranks.top
    rows = np.arange(len(top))[::-1]
    retained, departed = [share.retained for share in top], [share.departed for share in top]
    lower = 1 - np.array(retained) - np.array(departed)
    axes.barh(rows, retained, 0.55, color=ACCENT, label="still top")
    axes.barh(rows, lower, 0.55, left=retained, color=PALE, alpha=0.55, label="still scored, lower")
    axes.barh(rows, departed, 0.55, left=1 - np.array(departed), color=INK, alpha=0.55, label="no longer scored")
    axes.vlines([share.share for share in top], rows - 0.36, rows + 0.36, color=INK, linewidth=1.5, label="chance")
    for share, row in zip(top, rows, strict=True):
        axes.text(1.01, row, f"{100 * share.retained:.0f} % retained", color=ACCENT, va="center", fontsize=9)
    axes.set_yticks(rows, [f"top {100 * share.share:.0f} %\n{share.users:,} users" for share in top])
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.18), fontsize=8)
    return figure


def slices(groups: Sequence[Slice]) -> Figure:
    """Plot expected over real audience and AUC of every group of users.

    A larger dot is a larger group. A group in which all or no users have an audience has no AUC; a total outside the
    axis is on its edge. Groups by expected audience are pale: their users are similar, so their AUC is low.
    """
    frame = pd.DataFrame([vars(group) for group in groups]).astype({"auc": float})
    first = ~frame["grouping"].duplicated()
    position = np.arange(len(frame)) + first.cumsum().to_numpy()
    size = 10 + 70 * np.sqrt(frame["users"] / frame["users"].max())
    figure = Figure(figsize=(9.5, 0.24 * position[-1] + 1.6), layout="constrained", dpi=110)
    figure.suptitle("Accuracy by group of users", color=INK, x=0.01, ha="left")
    total, ranked = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.08})
    total.axvspan(*FAIR, color=PALE, alpha=0.25)
    total.axvline(1, color=INK, linewidth=1, linestyle="--")
    total.scatter(frame["total"].clip(*TOTAL_LIMITS), position, s=size, color=ACCENT, zorder=3, clip_on=False)
    total.set(xscale="log", xlim=TOTAL_LIMITS, xlabel="expected / real audience (shaded: 0.67 to 1.5)")
    total.set_xticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
    total.xaxis.set_minor_locator(NullLocator())
    ranked.axvline(0.5, color=INK, linewidth=1, linestyle="--")
    color = np.where(frame["grouping"] == BANDS, PALE, ACCENT)
    ranked.scatter(frame["auc"], position, s=size, color=color, zorder=3, clip_on=False)
    ranked.set(xlabel="AUC (dashed: chance; pale: groups by expected audience)")
    ranked.set(xlim=(np.fmin(0.4, frame["auc"].min()), 1))
    _group_axis(total, frame, position, first)
    for axes in (total, ranked):
        axes.tick_params("y", length=0)
        axes.grid(axis="y", color=PALE, alpha=0.4, linewidth=0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _group_axis(axes: Axes, frame: pd.DataFrame, position: np.ndarray, first: pd.Series) -> None:
    """Name the groups from the top down, each grouping under its heading."""
    names = [f"{group} ({users:,})" for group, users in zip(frame["group"], frame["users"], strict=True)]
    headings = frame.loc[first, "grouping"].tolist()
    ticks = [*position, *(position[first] - 1)]
    axes.set_yticks(ticks, [*names, *headings], fontsize=8)
    for label in axes.get_yticklabels()[len(names) :]:
        label.set(fontweight="bold", color=INK)
    axes.set_ylim(position[-1] + 0.7, -0.7)


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
