"""The plot of an attack report shows the figures of the report."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from matplotlib.colors import to_hex

from features.errors import OutputError
from training.reports.attack_plots import EXCEEDED, check_plot_name, plot_attacks, save_attack_plot
from training.reports.plots import ACCENT
from training.robustness.attack_report import AttackReport, AttackResult, HonestAuc


def result(name, mode="scoring", gain=1.0, baseline_gain=9.0, allowed=2.0):
    return AttackResult(
        attack=name,
        description=name,
        mode=mode,
        members=20,
        accounts=1,
        acts=1_000,
        gain_median=gain,
        gain_p95=gain,
        gain_low=gain,
        end_score_median=30.0,
        gain_per_1000_acts=gain,
        baselines={"engagers": baseline_gain},
        baselines_per_1000_acts={"engagers": baseline_gain},
        limit=allowed,
        of_best_baseline=gain / baseline_gain,
        allowed=allowed,
        within_limit=gain <= allowed,
    )


AS_OF = datetime(2025, 8, 1, tzinfo=UTC)
REPORT = AttackReport(AS_OF, "engagers", 22.5, (result("pod"), result("old_accounts", gain=4.0)))


def test_bars_limits_and_colors():
    (axes,) = plot_attacks(REPORT).axes
    assert [bar.get_width() for bar in axes.patches] == [1.0, 4.0, 9.0, 9.0]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches[:2]] == [ACCENT, EXCEEDED]
    assert [line[0][0] for line in axes.collections[0].get_segments()] == [2.0, 2.0]
    assert [text.get_text() for text in axes.texts] == ["+1.0", "+4.0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["pod", "old accounts"]


def test_one_panel_per_mode():
    attacks = (*REPORT.attacks, result("pod", mode="training"))
    report = replace(REPORT, attacks=attacks, honest_auc=HonestAuc(0.9, 0.85, 0.01))
    scoring, training = plot_attacks(report).axes
    assert "0.900, then 0.850: EXCEEDS limit" in training.get_title(loc="left")
    assert "AUC" not in scoring.get_title(loc="left")
    assert len(training.patches) == 2


def test_plot_name_must_end_in_png(tmp_path):
    with pytest.raises(OutputError, match=r"--plot is attacks\.svg; expected a name that ends in \.png"):
        check_plot_name(tmp_path.joinpath("attacks.svg").relative_to(tmp_path))
    check_plot_name(tmp_path / "attacks.PNG")
    save_attack_plot(REPORT, tmp_path / "attacks.png")
    assert [file.name for file in tmp_path.iterdir()] == ["attacks.png"]
