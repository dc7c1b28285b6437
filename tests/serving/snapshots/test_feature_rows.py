"""Kept rows come back one at a time, as they were."""

import numpy as np
import pandas as pd
import pytest

from serving.snapshots import feature_rows
from serving.snapshots.feature_rows import map_rows, write_rows


def people(count):
    rng = np.random.default_rng(0)
    values = np.where(rng.random((count, 3)) < 0.3, np.nan, rng.lognormal(0, 3, (count, 3)))
    users = pd.DataFrame({"user": [f"u{k}" for k in range(count)], "scope": "all"})
    return users.join(pd.DataFrame(values, columns=["a", "b", "c"]))


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 10, 23])
def test_every_row_to_the_last_bit(tmp_path, monkeypatch, count):
    monkeypatch.setattr(feature_rows, "ROWS_PER_BATCH", 5)
    rows = people(count)
    write_rows(rows, tmp_path / "rows.arrow")
    kept = map_rows(tmp_path / "rows.arrow")
    assert len(kept) == count
    for place in range(count):
        found, expected = pd.Series(kept.row(place)), rows[["a", "b", "c"]].iloc[place].astype(float)
        pd.testing.assert_series_equal(found, expected, check_names=False, check_exact=True)
    columns = kept.columns(["scope", "c"])
    pd.testing.assert_frame_equal(columns, rows[["scope", "c"]], check_exact=True, check_dtype=count > 0)


@pytest.mark.parametrize("places", [[], [0], [22], [0, 3, 4, 5, 9, 10, 22], [7, 1, 1, 20], list(range(23))])
def test_many_rows_at_once(tmp_path, monkeypatch, places):
    monkeypatch.setattr(feature_rows, "ROWS_PER_BATCH", 5)
    rows = people(23)
    write_rows(rows, tmp_path / "rows.arrow")
    found = map_rows(tmp_path / "rows.arrow").rows(np.array(places, int), ["c", "a"])
    pd.testing.assert_frame_equal(found, rows[["c", "a"]].iloc[places].reset_index(drop=True), check_exact=True)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        write_rows(people(50), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_whole_numbers_and_frames_put_together_are_kept_as_well(tmp_path):
    rows = pd.concat([people(3), people(2)]).assign(c=7)
    write_rows(rows, tmp_path / "rows.arrow")
    kept = map_rows(tmp_path / "rows.arrow")
    assert len(kept) == 5
    assert kept.row(4)["c"] == 7.0
