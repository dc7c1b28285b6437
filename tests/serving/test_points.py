"""Everybody's points in one file."""

import numpy as np
import pandas as pd
import pytest

from features.errors import OutputError
from serving import scoring
from serving.scoring import write_points


def test_every_row_adds_up_to_the_score(tmp_path, bundle, rows, scores, monkeypatch):
    monkeypatch.setattr(scoring, "ROWS_AT_ONCE", 100)
    write_points(bundle, rows, tmp_path / "new" / "points.parquet")
    points = pd.read_parquet(tmp_path / "new" / "points.parquet")
    assert list(points) == ["user", "scope", "base", *bundle.features, "unclipped", "score"]
    assert points[["user", "scope"]].to_numpy().tolist() == rows[["user", "scope"]].to_numpy().tolist()
    added = points["base"] + points[list(bundle.features)].sum(axis=1)
    assert np.abs(added - points["unclipped"]).max() < 1e-9
    both = points.merge(scores, on=["user", "scope"])
    assert len(both) == len(rows)
    assert (both["score_x"] - both["score_y"]).abs().max() == 0
    assert (both["unclipped"].clip(0, 100) - both["score_x"]).abs().max() == 0


def test_points_equal_single_explanations(tmp_path, bundle, rows, home):
    from serving.snapshots.repository import open_snapshot

    write_points(bundle, rows, tmp_path / "points.parquet")
    row = pd.read_parquet(tmp_path / "points.parquet").set_index(["user", "scope"]).loc[("user0007", "all")]
    explanation = open_snapshot(home).explain("user0007")
    assert {line.feature: line.points for line in explanation.lines} == pytest.approx(
        {name: row[name] for name in bundle.features if row[name] != 0}, abs=1e-9
    )
    assert explanation.base == pytest.approx(row["base"], abs=1e-9)


def test_a_folder_is_never_replaced(tmp_path, bundle, rows):
    with pytest.raises(OutputError, match="is a folder"):
        write_points(bundle, rows, tmp_path)


def test_a_failure_leaves_no_file(tmp_path, bundle, rows, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scoring, "_table", full)
    with pytest.raises(OSError, match="No space left"):
        write_points(bundle, rows, tmp_path / "points.parquet")
    assert list(tmp_path.iterdir()) == []
