"""Plot of an attack report: what each attack gains by the score and by the best baseline, and its limit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from features.atomic_files import publish, scratch_dir
from features.errors import OutputError
from training.reports.plots import ACCENT, INK, PALE
from training.robustness.attack_report import SCORING, TRAINING, AttackReport, AttackResult, HonestAuc, in_words

EXCEEDED = "#c92a2a"
TITLES = {SCORING: "attacks at scoring time", TRAINING: "model trained among attackers"}
LABEL: dict[str, Any] = {"va": "center", "fontsize": 8, "color": INK}
HEIGHT = 0.38


def plot_attacks(report: AttackReport) -> Figure:
    """Plot the median gain of every attack, one panel per mode.

    A red bar exceeds its limit. The line across both bars is the largest gain that is allowed: the limit, or a third of
    the best baseline's gain if that is less.
    """
    by_mode = {mode: [result for result in report.attacks if result.mode == mode] for mode in TITLES}
    by_mode = {mode: results for mode, results in by_mode.items() if results}
    tallest = max(len(results) for results in by_mode.values())
    figure = Figure(figsize=(1 + 6.5 * len(by_mode) + 1.5, 0.5 * tallest + 1.9), layout="constrained", dpi=110)
    figure.suptitle("What an ordinary member gains by attacking", x=0.01, ha="left", color=INK)
    panels = figure.subplots(1, len(by_mode), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (mode, results) in zip(panels, by_mode.items(), strict=True):
        quality = _auc_line(report.honest_auc) if mode == TRAINING and report.honest_auc else ""
        _plot_mode(axes, TITLES[mode] + quality, results, report.best_baseline)
    handles = _legend_handles(report.best_baseline)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _plot_mode(axes: Axes, title: str, results: Sequence[AttackResult], best: str) -> None:
    rows = np.arange(len(results))
    gains, baseline_gains = [result.gain_median for result in results], [result.baselines[best] for result in results]
    colors = [ACCENT if result.within_limit else EXCEEDED for result in results]
    axes.barh(rows - HEIGHT / 2, gains, HEIGHT, color=colors, zorder=2)
    axes.barh(rows + HEIGHT / 2, baseline_gains, HEIGHT, color=PALE, zorder=2)
    allowed = [result.allowed for result in results]
    axes.vlines(allowed, rows - 1.15 * HEIGHT, rows + 1.15 * HEIGHT, color=INK, linewidth=1.8, zorder=3)
    for row, gain, most in zip(rows, gains, allowed, strict=True):
        text = f"{round(gain, 1) + 0.0:+.1f}"
        axes.annotate(text, (max(gain, most, 0), row - HEIGHT / 2), (4, 0), textcoords="offset points", **LABEL)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_title(title, loc="left", color=INK, fontsize=10)
    axes.set_xlabel("median gain (points)")
    axes.set_yticks(rows, [in_words(result.attack) for result in results])
    axes.set_ylim(len(results) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.tick_params("y", length=0)
    axes.grid(axis="x", color=PALE, alpha=0.4, linewidth=0.6, zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _auc_line(quality: HonestAuc) -> str:
    verdict = "within limit" if quality.within_limit else "EXCEEDS limit"
    return f"\nAUC over honest users {quality.clean:.3f}, then {quality.poisoned:.3f}: {verdict}"


def _legend_handles(best: str) -> list[Artist]:
    line: dict[str, Any] = {"color": INK, "linewidth": 1.8, "marker": "|", "linestyle": "none", "markersize": 12}
    return [
        Patch(color=ACCENT, label="score, within limit"),
        Patch(color=EXCEEDED, label="score, EXCEEDS limit"),
        Patch(color=PALE, label=f"best baseline, {best.replace('_', ' ')}"),
        Line2D([], [], **line, label="largest allowed gain"),
    ]


def check_plot_name(out: Path) -> None:
    """Require a name that ends in .png.

    Raises
    ------
    OutputError : the name ends otherwise

    """
    if out.suffix.lower() != ".png":
        raise OutputError(f"--plot is {out}; expected a name that ends in .png.")


def save_attack_plot(report: AttackReport, out: Path) -> None:
    """Write the plot of a report to a PNG file atomically.

    Raises
    ------
    OutputError : the file cannot be written

    """
    with scratch_dir(out) as scratch:
        plot_attacks(report).savefig(scratch / out.name)
        publish(scratch / out.name, out, scratch)
