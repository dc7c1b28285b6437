"""The picture of an attack report: what each attack gains by the score and by the best baseline, against its limit."""

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
from training.robustness.attack_suite import SCORING, TRAINING

BROKEN = "#c92a2a"
TITLES = {SCORING: "attacked while scoring", TRAINING: "attackers were there while it was trained"}
LABEL: dict[str, Any] = {"va": "center", "fontsize": 8, "color": INK}
HEIGHT = 0.38


def attacks(report: dict) -> Figure:
    """Plot the median gains of every attack, one panel a mode, as `attack_suite` or `poisoned_suite` reports them.

    A bar that is not held is red. The line across both bars is the largest gain that would be held: the limit, or a
    third of the best baseline's where that is less.
    """
    modes = {mode: [each for each in report["attacks"] if each["mode"] == mode] for mode in TITLES}
    shown = {mode: found for mode, found in modes.items() if found}
    tallest = max(len(found) for found in shown.values())
    figure = Figure(figsize=(1 + 6.5 * len(shown) + 1.5, 0.5 * tallest + 1.9), layout="constrained", dpi=110)
    figure.suptitle("What an ordinary member gains by attacking", x=0.01, ha="left", color=INK)
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (mode, found) in zip(panels, shown.items(), strict=True):
        quality = report.get("honest_auc") if mode == TRAINING else None
        _panel(axes, TITLES[mode] + (_told(quality) if quality else ""), found, report["best_baseline"])
    figure.legend(
        handles=_keys(report["best_baseline"]), loc="outside lower center", ncols=4, frameon=False, fontsize=9
    )
    return figure


def _panel(axes: Axes, title: str, found: Sequence[dict], best: str) -> None:
    places = np.arange(len(found))
    gains, given = [each["gain_median"] for each in found], [each["baselines"][best] for each in found]
    colors = [ACCENT if each["held"] else BROKEN for each in found]
    axes.barh(places - HEIGHT / 2, gains, HEIGHT, color=colors, zorder=2)
    axes.barh(places + HEIGHT / 2, given, HEIGHT, color=PALE, zorder=2)
    allowed = [each["allowed"] for each in found]
    axes.vlines(allowed, places - 1.15 * HEIGHT, places + 1.15 * HEIGHT, color=INK, linewidth=1.8, zorder=3)
    for place, gain, most in zip(places, gains, allowed, strict=True):
        text = f"{round(gain, 1) + 0.0:+.1f}"
        axes.annotate(text, (max(gain, most, 0), place - HEIGHT / 2), (4, 0), textcoords="offset points", **LABEL)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_title(title, loc="left", color=INK, fontsize=10)
    axes.set_xlabel("points gained in the median")
    axes.set_yticks(places, [each["attack"].replace("_", " ") for each in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.tick_params("y", length=0)
    axes.grid(axis="x", color=PALE, alpha=0.4, linewidth=0.6, zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _told(quality: dict) -> str:
    verdict = "held" if quality["held"] else "NOT held"
    return f"\nAUC over honest people {quality['clean']:.3f}, then {quality['poisoned']:.3f}: {verdict}"


def _keys(best: str) -> list[Artist]:
    return [
        Patch(color=ACCENT, label="by the score, held"),
        Patch(color=BROKEN, label="by the score, NOT held"),
        Patch(color=PALE, label=f"by the best baseline, {best.replace('_', ' ')}"),
        Line2D(
            [], [], color=INK, linewidth=1.8, marker="|", linestyle="none", markersize=12, label="most that is allowed"
        ),
    ]


def check_picture(out: Path) -> None:
    """Refuse a name that does not end in .png.

    Raises
    ------
    OutputError : says what was found

    """
    if out.suffix.lower() != ".png":
        raise OutputError(f"--plot is {out}; expected a name that ends in .png.")


def draw(report: dict, out: Path) -> None:
    """Write the picture of a report to a PNG file, whole or not at all.

    Raises
    ------
    OutputError : nothing can be written there

    """
    with scratch_dir(out) as scratch:
        attacks(report).savefig(scratch / out.name)
        publish(scratch / out.name, out, scratch)
