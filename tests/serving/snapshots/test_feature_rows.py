"""Stored feature rows are read one at a time and equal those written."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from serving.snapshots import feature_rows
from serving.snapshots.feature_rows import map_rows, write_row_batches


def write_rows(rows, file, rows_per_part=7):
    table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None)
    write_row_batches(table.to_batches(rows_per_part), table.schema, file)


def people(count):
    rng = np.random.default_rng(0)
    values = np.where(rng.random((count, 3)) < 0.3, np.nan, rng.lognormal(0, 3, (count, 3)))
    users = pd.DataFrame({"user": [f"u{k}" for k in range(count)], "scope": "all"})
    return users.join(pd.DataFrame(values, columns=["a", "b", "c"]))


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 10, 23])
def test_rows_round_trip_bit_identically(tmp_path, monkeypatch, count):
    monkeypatch.setattr(feature_rows, "ROWS_PER_BATCH", 5)
    rows = people(count)
    write_rows(rows, tmp_path / "rows.arrow")
    file = map_rows(tmp_path / "rows.arrow")
    assert len(file) == count
    for k in range(count):
        row, expected = pd.Series(file.row(k)), rows[["a", "b", "c"]].iloc[k].astype(float)
        pd.testing.assert_series_equal(row, expected, check_names=False, check_exact=True)
    columns = file.columns(["scope", "c"])
    pd.testing.assert_frame_equal(columns, rows[["scope", "c"]], check_exact=True, check_dtype=count > 0)


@pytest.mark.parametrize("indices", [[], [0], [22], [0, 3, 4, 5, 9, 10, 22], [7, 1, 1, 20], list(range(23))])
def test_several_rows_are_read_at_once(tmp_path, monkeypatch, indices):
    monkeypatch.setattr(feature_rows, "ROWS_PER_BATCH", 5)
    rows = people(23)
    write_rows(rows, tmp_path / "rows.arrow")
    selection = map_rows(tmp_path / "rows.arrow").rows(np.array(indices, int), ["c", "a"])
    pd.testing.assert_frame_equal(selection, rows[["c", "a"]].iloc[indices].reset_index(drop=True), check_exact=True)


def test_the_same_rows_give_the_same_bytes_in_any_parts(tmp_path):
    for name, rows_per_part in (("one", 50), ("other", 3)):
        write_rows(people(50), tmp_path / name, rows_per_part)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_integers_and_concatenated_frames_can_be_written(tmp_path):
    rows = pd.concat([people(3), people(2)]).assign(c=7)
    write_rows(rows, tmp_path / "rows.arrow")
    file = map_rows(tmp_path / "rows.arrow")
    assert len(file) == 5
    assert file.row(4)["c"] == 7.0
