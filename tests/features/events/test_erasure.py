"""Erasure: events and stores become what they would be without the erased users."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import EventsError
from features.events import erasure
from features.events.erasure import count_rows_of_users, erase_users
from features.events.loading import load_encoded_events
from features.events.store import add_to_store, read_manifest
from features.feature_table import feature_rows

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
NAMES = ["time", "actor", "verb", "target", "object"]
IDS = st.sampled_from(["ann", "bob", "çelik 🙂", "", "o'x", "'; DROP TABLE x", None])
PAIRS = st.lists(st.tuples(IDS, IDS), max_size=30)
GONE = st.frozensets(st.sampled_from(["ann", "çelik 🙂", "o'x", "'; DROP TABLE x", ""]), min_size=1)
ACTS = [(1, "zoe", "like", "bob", "o1"), (2, "bob", "post", None, "o1")]
THEIRS = [(0, "ann", "like", "bob", "o1"), (3, "bob", "like", "ann", "o2"), (400, "ann", "post", None, "o2")]


def table(events):
    return pd.DataFrame([(AS_OF - timedelta(days=event[0], seconds=1), *event[1:]) for event in events], columns=NAMES)


def files(folder):
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file() and file.name != ".lock"}


@given(pairs=PAIRS, gone=GONE)
def test_erasure_preserves_other_rows_in_order(tmp_path_factory, pairs, gone):
    file = tmp_path_factory.mktemp("events") / "events.parquet"
    texts = pa.schema([("actor", pa.string()), ("target", pa.string()), ("extra", pa.int64())])
    rows = [{"actor": actor, "target": target, "extra": k} for k, (actor, target) in enumerate(pairs)]
    pq.write_table(pa.Table.from_pylist(rows, schema=texts), file, row_group_size=7)
    expected = [row for row in rows if row["actor"] not in gone and row["target"] not in gone]
    assert count_rows_of_users(file, gone) == len(rows) - len(expected)
    erase_users(file, gone)
    assert pq.read_table(file).to_pylist() == expected
    assert pq.read_schema(file) == texts
    assert count_rows_of_users(file, gone) == 0


def test_numeric_and_dictionary_ids_are_erased(tmp_path):
    texts = pa.array(["7", "8", None]).dictionary_encode()
    pq.write_table(pa.table({"actor": pa.array([1, None, 7]), "target": texts}), tmp_path / "events.parquet")
    erase_users(tmp_path / "events.parquet", ["7"])
    assert pq.read_table(tmp_path / "events.parquet").to_pylist() == [{"actor": None, "target": "8"}]


@pytest.mark.parametrize("compression", ["NONE", "snappy", "zstd", "gzip"])
def test_erasure_preserves_compression_and_schema(tmp_path, compression):
    file = tmp_path / "events.parquet"
    written = pa.Table.from_pandas(table(ACTS + THEIRS)).replace_schema_metadata({"a": "b"})
    pq.write_table(written, file, compression=compression)
    before = pq.ParquetFile(file)
    erase_users(file, ["ann"])
    after = pq.ParquetFile(file)
    kinds = [parquet.metadata.row_group(0).column(0).compression for parquet in (before, after)]
    assert kinds[0] == kinds[1]
    assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)


def test_other_file_formats_are_rejected_unchanged(tmp_path):
    (tmp_path / "events.parquet").write_bytes(b"not this")
    with pytest.raises(EventsError, match=r"events\.parquet cannot be read as Parquet"):
        erase_users(tmp_path / "events.parquet", ["ann"])
    assert (tmp_path / "events.parquet").read_bytes() == b"not this"
    with pytest.raises(EventsError, match="no events at"):
        erase_users(tmp_path / "absent", ["ann"])


def test_symlink_to_events_is_preserved(tmp_path):
    pq.write_table(pa.Table.from_pandas(table(ACTS + THEIRS)), tmp_path / "real.parquet")
    (tmp_path / "events.parquet").symlink_to(tmp_path / "real.parquet")
    erase_users(tmp_path / "events.parquet", ["ann"])
    assert (tmp_path / "events.parquet").is_symlink()
    assert count_rows_of_users(tmp_path / "real.parquet", ["ann"]) == 0


def test_erased_store_equals_a_store_without_the_users(tmp_path):
    for events in (ACTS + THEIRS[:2], [*THEIRS[2:], ACTS[0], (5, "bob", "post", None, "o3")]):
        add_to_store(table(events), tmp_path / "full")
    add_to_store(table([(9, "cid", "post", None, "o4")]), tmp_path / "full")
    names = [part.name for part in read_manifest(tmp_path / "full").parts]
    erase_users(tmp_path / "full", ["ann"])
    parts = read_manifest(tmp_path / "full").parts
    assert [part.name for part in parts] == ["part-00000.1", "part-00001.1", names[2]]
    assert [(part.acts, part.people) for part in parts] == [(2, 2), (2, 0), (1, 1)]
    for part in parts[:2]:
        assert part.last.startswith("2025-05-3")
    rest = [*ACTS, ACTS[0], (5, "bob", "post", None, "o3"), (9, "cid", "post", None, "o4")]
    expected = feature_rows(load_encoded_events(table(rest)), AS_OF)
    assert feature_rows(load_encoded_events(tmp_path / "full"), AS_OF).equals(expected)
    assert count_rows_of_users(tmp_path / "full", ["ann"]) == 0
    before = files(tmp_path / "full")
    erase_users(tmp_path / "full", ["ann"])
    assert files(tmp_path / "full") == before
    with pytest.raises(EventsError, match="these events are in the store"):
        add_to_store(table(ACTS), tmp_path / "full")  # the events of the first part without the erased users
    add_to_store(table([(6, "zoe", "post", None, "o5")]), tmp_path / "full")


@pytest.mark.parametrize("step", ["store.write_manifest", "erasure._remove_unlisted_parts", "erasure._erase_accounts"])
def test_interrupted_erasure_is_completed_by_the_next_call(tmp_path, monkeypatch, step):
    add_to_store(table(ACTS + THEIRS), tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"features.events.{step}", killed)
        with pytest.raises(KeyboardInterrupt):
            erase_users(tmp_path, ["ann"])
    assert sum(part.acts for part in read_manifest(tmp_path).parts) in (2, 5)
    erase_users(tmp_path, ["ann"])
    assert files(tmp_path) == {"store.json", "acts/part-00000.1.parquet", "people/part-00000.1.parquet"}
    assert count_rows_of_users(tmp_path, ["ann"]) == 0


def test_rows_are_rewritten_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(erasure, "BATCH_ROWS", 100)
    frame = pd.DataFrame({"actor": [f"u{k % 50}" for k in range(5_000)], "target": None})
    frame.to_parquet(tmp_path / "events.parquet", index=False)
    erase_users(tmp_path / "events.parquet", ["u7"])
    parquet = pq.ParquetFile(tmp_path / "events.parquet")
    assert parquet.metadata.num_rows == 4_900
    assert max(parquet.metadata.row_group(k).num_rows for k in range(parquet.num_row_groups)) <= 100
