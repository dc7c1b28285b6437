"""Pictures of the score itself: what points mean in people, whom intervals hold, who stays on top, groups."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from training.evaluation.evaluate import band_name
from training.evaluation.report import Band, RankRetention, Slice
from training.evaluation.slices import BANDS, FAIR
from training.reports.plots import ACCENT, INK, PALE, make_figure

LANDMARKS = (20, 50, 80)
BIN = 5
MANY, FEW = 4_000, 5
WIDEST = (0.25, 4.0)


def against_audience(points: np.ndarray, audience: np.ndarray, seed: int = 0) -> Figure:
    """Plot the real audience against the score (0-100): median, mean and the middle 90 % per 5 points, and some dots.

    Dots are up to 4,000 users drawn by the seed, spread by up to 0.35 people so that equal ones do not hide each other.
    """
    frame = pd.DataFrame({"points": np.clip(points, 0, 100), "audience": np.asarray(audience, float)})
    figure, axes = make_figure("What points meant in people", "score (points)", "real audience (people)", size=(8, 5))
    dots = frame.sample(min(MANY, len(frame)), random_state=seed)
    spread = np.random.default_rng(seed).uniform(-0.35, 0.35, len(dots))
    axes.plot(dots["points"], (dots["audience"] + spread).clip(lower=0), ".", color=PALE, markersize=2.5, alpha=0.6)
    told = _by_points(frame)
    axes.fill_between(told.index, told["low"], told["high"], color=ACCENT, alpha=0.15, label="middle 90 % of users")
    axes.plot(told.index, told["mean"], "--", color=INK, linewidth=1.2, label="mean")
    axes.plot(told.index, told["median"], "o-", color=ACCENT, markersize=4, label="median")
    _people_axis(axes, frame["audience"].max())
    for mark in LANDMARKS:
        axes.axvline(mark, color=INK, linewidth=0.7, linestyle=":", alpha=0.6, zorder=0, ymax=0.72)
    axes.set_xlim(-1, 101)
    axes.legend(frameon=False, loc="upper left", title=_landmarks(frame), alignment="left", title_fontsize=9)
    return figure


def _by_points(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the audience per 5 points, by the mean points of those in the bin; few users have no middle 90 %."""
    bins = np.minimum(frame["points"] // BIN, 100 // BIN - 1)
    grouped = frame.groupby(bins)["audience"]
    told = pd.DataFrame({"median": grouped.median(), "mean": grouped.mean()})
    enough = grouped.size() >= FEW
    told["low"], told["high"] = (grouped.quantile(share).where(enough) for share in (0.05, 0.95))
    return told.set_index(frame["points"].groupby(bins).mean().to_numpy())


def _landmarks(frame: pd.DataFrame) -> str:
    """Say in words what users within 2.5 points of 20, 50 and 80 drew."""
    lines = []
    for mark in LANDMARKS:
        near = frame.loc[(frame["points"] - mark).abs() <= BIN / 2, "audience"]
        drawn = f"mean {near.mean():.1f} people, 90 % between {near.quantile(0.05):.0f} and {near.quantile(0.95):.0f}"
        lines.append(f"{mark} points: {drawn if len(near) else 'nobody'}")
    return "\n".join(lines)


def _people_axis(axes: Axes, most: float) -> None:
    """Set the y axis to ln(1 + people), with round numbers of people from 0 to the most on it."""
    steps = [0] + [k * 10**power for power in range(1 + int(math.log10(max(most, 1)))) for k in (1, 3)]
    axes.set_yscale("function", functions=(np.log1p, np.expm1))
    axes.set_ylim(0, max(most, 1) * 1.3)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks([step for step in steps if step <= max(most, 1) * 1.3])
    axes.yaxis.set_major_formatter("{x:,.0f}")


def coverage(bands: Sequence[Band], level: float) -> Figure:
    """Plot which share of users the interval holds, and how wide it is, per band of expected audience.

    Parameters
    ----------
    bands : as `evaluation.bands` gives them
    level : the share that the intervals are made to hold

    """
    figure = Figure(figsize=(9, max(0.45 * len(bands) + 1.8, 3.5)), layout="constrained", dpi=110)
    held, wide = figure.subplots(1, 2, sharey=True)
    figure.suptitle("Intervals by band of expected audience", color=INK, x=0.01, ha="left")
    shares, widths = [band.coverage for band in bands], [band.width for band in bands]
    places = range(len(bands))
    held.axvline(level, color=INK, linewidth=1, linestyle="--")
    held.hlines(places, level, shares, color=ACCENT, linewidth=2)
    held.plot(shares, places, "o", color=ACCENT, clip_on=False)
    for share, place in zip(shares, places, strict=True):
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        held.text(share, place + 0.22, f"{100 * share:.0f} %", ha="center", fontsize=8, bbox=clear)
    held.set(xlabel=f"share of users held (dashed: made to hold {100 * level:.0f} %)")
    held.set(ylabel="expected audience (people)", xlim=(min(0.5, *shares, level), 1))
    held.set_yticks(
        places, [f"{band_name(band.lower, band.upper)}\n{band.users:,} users" for band in bands], fontsize=8
    )
    held.set_ylim(-0.6, len(bands) - 0.4)
    bars = wide.barh(places, widths, height=0.5, color=ACCENT, alpha=0.7)
    wide.bar_label(bars, [f"{width:,.1f}" for width in widths], padding=3, fontsize=8)
    wide.set(xlabel="mean width (people)", xlim=(0, 1.2 * max(*widths, 1)))
    for axes in (held, wide):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def retention(kept: RankRetention) -> Figure:
    """Plot which share of the highest stayed among the highest one horizon later, as `rank_retention` gives it."""
    told = "not defined" if kept.spearman is None else f"{kept.spearman:.2f}"
    title = f"Who stays on top: rank correlation {told} over {kept.both:,} users"
    figure, axes = make_figure(title, "share of those on top one horizon earlier", "", size=(8, 3.6))
    top = kept.top
    places = np.arange(len(top))[::-1]
    stayed, gone = [row.retained for row in top], [row.departed for row in top]
    between = 1 - np.array(stayed) - np.array(gone)
    axes.barh(places, stayed, 0.55, color=ACCENT, label="still there")
    axes.barh(places, between, 0.55, left=stayed, color=PALE, alpha=0.55, label="still scored, lower")
    axes.barh(places, gone, 0.55, left=1 - np.array(gone), color=INK, alpha=0.55, label="no longer scored")
    axes.vlines([row.share for row in top], places - 0.36, places + 0.36, color=INK, linewidth=1.5, label="chance")
    for row, place in zip(top, places, strict=True):
        axes.text(1.01, place, f"{100 * row.retained:.0f} % stayed", color=ACCENT, va="center", fontsize=9)
    axes.set_yticks(places, [f"top {100 * row.share:.0f} %\n{row.users:,} users" for row in top])
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.18), fontsize=8)
    return figure


def slices(found: Sequence[Slice]) -> Figure:
    """Plot expected over real audience and AUC of every group of users, as `slices.slices` judges them.

    A larger dot is a larger group. A group in which all or nobody is heard has no AUC; a total beyond the axis lies on
    its edge. Groups of like expected audience are pale: within them the AUC has little left to tell apart.
    """
    frame = pd.DataFrame([vars(each) for each in found]).astype({"auc": float})
    first = ~frame["grouping"].duplicated()
    place = np.arange(len(frame)) + first.cumsum().to_numpy()
    size = 10 + 70 * np.sqrt(frame["users"] / frame["users"].max())
    figure = Figure(figsize=(9.5, 0.24 * place[-1] + 1.6), layout="constrained", dpi=110)
    figure.suptitle("Does it hold for every group?", color=INK, x=0.01, ha="left")
    total, ranked = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.08})
    total.axvspan(*FAIR, color=PALE, alpha=0.25)
    total.axvline(1, color=INK, linewidth=1, linestyle="--")
    total.scatter(frame["total"].clip(*WIDEST), place, s=size, color=ACCENT, zorder=3, clip_on=False)
    total.set(xscale="log", xlim=WIDEST, xlabel="expected / real audience (shaded: 0.67 to 1.5)")
    total.set_xticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
    total.xaxis.set_minor_locator(NullLocator())
    ranked.axvline(0.5, color=INK, linewidth=1, linestyle="--")
    color = np.where(frame["grouping"] == BANDS, PALE, ACCENT)
    ranked.scatter(frame["auc"], place, s=size, color=color, zorder=3, clip_on=False)
    ranked.set(xlim=(np.fmin(0.4, frame["auc"].min()), 1), xlabel="AUC (dashed: chance; pale: alike by their making)")
    _group_axis(total, frame, place, first)
    for axes in (total, ranked):
        axes.tick_params("y", length=0)
        axes.grid(axis="y", color=PALE, alpha=0.4, linewidth=0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _group_axis(axes: Axes, frame: pd.DataFrame, place: np.ndarray, first: pd.Series) -> None:
    """Name the groups from the top down, each grouping under its heading."""
    names = [f"{group} ({users:,})" for group, users in zip(frame["group"], frame["users"], strict=True)]
    headings = frame.loc[first, "grouping"].tolist()
    ticks = [*place, *(place[first] - 1)]
    axes.set_yticks(ticks, [*names, *headings], fontsize=8)
    for label in axes.get_yticklabels()[len(names) :]:
        label.set(fontweight="bold", color=INK)
    axes.set_ylim(place[-1] + 0.7, -0.7)
