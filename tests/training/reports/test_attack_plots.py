"""The picture of an attack report says what the report says."""

import pytest
from matplotlib.colors import to_hex

from features.errors import OutputError
from training.reports.attack_plots import BROKEN, attacks, check_picture, draw
from training.reports.plots import ACCENT


def entry(name, mode="scoring", gain=1.0, given=9.0, allowed=2.0):
    held = gain <= allowed
    return {
        "attack": name,
        "mode": mode,
        "gain_median": gain,
        "baselines": {"engagers": given},
        "allowed": allowed,
        "held": held,
    }


REPORT = {"best_baseline": "engagers", "attacks": [entry("pod"), entry("old_accounts", gain=4.0)]}


def test_bars_limits_and_colours():
    (axes,) = attacks(REPORT).axes
    assert [bar.get_width() for bar in axes.patches] == [1.0, 4.0, 9.0, 9.0]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches[:2]] == [ACCENT, BROKEN]
    assert [line[0][0] for line in axes.collections[0].get_segments()] == [2.0, 2.0]
    assert [text.get_text() for text in axes.texts] == ["+1.0", "+4.0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["pod", "old accounts"]


def test_both_modes_stand_side_by_side():
    quality = {"clean": 0.9, "poisoned": 0.85, "limit": 0.01, "held": False}
    report = REPORT | {"attacks": [*REPORT["attacks"], entry("pod", mode="training")], "honest_auc": quality}
    scoring, training = attacks(report).axes
    assert "0.900, then 0.850: NOT held" in training.get_title(loc="left")
    assert "AUC" not in scoring.get_title(loc="left")
    assert len(training.patches) == 2


def test_only_png(tmp_path):
    with pytest.raises(OutputError, match=r"--plot is attacks\.svg; expected a name that ends in \.png"):
        check_picture(tmp_path.joinpath("attacks.svg").relative_to(tmp_path))
    check_picture(tmp_path / "attacks.PNG")
    draw(REPORT, tmp_path / "attacks.png")
    assert [file.name for file in tmp_path.iterdir()] == ["attacks.png"]
