"""Batch scoring: scores, ranks, and points per feature."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.aggregates.materialize import TEMPORARY
from features.errors import AsOfError, OutputError
from features.events.loading import load_encoded_events
from serving import scoring
from serving.scoring import (
    collect_scored_pairs,
    percentiles,
    score_audiences,
    score_rows,
    score_to_disk,
    score_users,
    store_scores,
    write_points,
)
from serving.snapshots import feature_rows, layout
from serving.snapshots.layout import output_errors, sort_rows
from serving.snapshots.peers import audience_band
from serving.snapshots.repository import open_snapshot, publish_snapshot, write_scores, write_snapshot
from serving.snapshots.scored_rows import SCORES
from tests.serving.conftest import SELECTION_MODEL
from training.home import Home
from training.records.opt_outs import opt_out
from training.selection.pairs import read_pairs
from training.selection.selection_model import with_selection

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)


def test_one_row_per_user_and_scope_in_order(scores, rows):
    assert list(scores.columns) == SCORES
    keys = list(zip(scores["user"], scores["scope"], strict=True))
    assert keys == sorted(zip(rows["user"], rows["scope"], strict=True))
    assert scores["score"].between(0, 100).all()
    assert (scores["low"] <= scores["high"]).all()
    assert scores["low"].dtype == scores["high"].dtype == np.int64
    assert not scores.isna().any(axis=None)


def test_scores_do_not_depend_on_the_order_of_rows(bundle, scores, rows):
    shuffled = rows.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(score_rows(bundle, "3", shuffled), scores)


def test_scores_are_those_of_the_bundle(bundle, scores, rows):
    predicted = bundle.predict(rows).assign(user=rows["user"], scope=rows["scope"])
    both = scores.merge(predicted, on=["user", "scope"], suffixes=("", "_predicted"))
    for name in ("score", "expected_audience", "low", "high"):
        np.testing.assert_allclose(both[name], both[f"{name}_predicted"], rtol=1e-12)


def test_percentile_uses_middle_ranks_for_ties():
    score = pd.Series([10.0, 20.0, 20.0, 40.0])
    assert percentiles(score, [pd.Series(["all"] * 4)]).tolist() == [25.0, 62.5, 62.5, 100.0]


def test_percentile_stays_within_the_scope(scores):
    topic = scores[scores["scope"] == "topic:birds"]
    assert sorted(topic["percentile"]) == [50.0, 100.0]


def test_peer_percentile_compares_only_with_peers(scores, rows):
    frame = scores.merge(rows, on=["user", "scope"])
    everybody = frame[frame["scope"] == "all"]
    for band in (0, 2):
        peers = everybody[audience_band(everybody) == band]
        lower = [(peers["score"] < score).sum() for score in peers["score"]]
        equal = [(peers["score"] == score).sum() for score in peers["score"]]
        share = 100 * (np.array(lower) + (np.array(equal) + 1) / 2) / len(peers)
        assert peers["peer_percentile"].tolist() == pytest.approx(share)


def test_users_with_little_activity_have_less_evidence(scores):
    evidence = scores.set_index("user").loc["user0003", "evidence"]
    assert evidence == "insufficient_evidence"


def test_no_rows_give_no_scores(bundle, rows):
    nobody = score_rows(bundle, "3", rows.head(0))
    assert list(nobody.columns) == SCORES
    assert nobody.empty


@pytest.fixture
def events():
    times = [datetime(2017, 7, day, tzinfo=UTC) for day in (1, 2, 3)]
    return pa.table(
        {"time": times, "actor": ["ann", "bob", None], "verb": ["post", "like", "like"], "target": [None, "ann", "ann"]}
    )


def test_score_users_returns_scores_and_their_feature_rows(bundle, events):
    steps = []
    scores, rows = score_users(
        load_encoded_events(events),
        datetime(2017, 7, 3, tzinfo=UTC),
        bundle,
        "3",
        lambda step, share: steps.append((step, share)),
    )
    assert scores["user"].tolist() == rows["user"].tolist() == ["ann", "bob"]
    assert rows["engagers_365d"].tolist() == [1.0, 0.0]
    shares = [share for step, share in steps if step == "features"]
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert shares == sorted(shares)
    assert steps[-2:] == [("score", 0.0), ("score", 1.0)]


@pytest.mark.parametrize(
    ("as_of", "message"),
    [
        (datetime(2017, 7, 1, tzinfo=UTC), "is not after the first event"),
        (datetime(2019, 7, 1, tzinfo=UTC), "nobody acted .* the events reach from 2017-07-01 to 2017-07-03"),
    ],
)
def test_an_instant_without_users_is_refused(bundle, events, as_of, message):
    with pytest.raises(AsOfError, match=message):
        score_users(load_encoded_events(events), as_of, bundle, "3")


def test_every_scope_is_scored_and_ranked_separately(bundle, events):
    scores, _ = score_users(
        load_encoded_events(events, ["all", "network:*"]), datetime(2017, 7, 3, tzinfo=UTC), bundle, "3"
    )
    assert scores["scope"].tolist() == ["all", "network:default"] * 2
    ours, theirs = (scores[scores["scope"] == scope].drop(columns="scope") for scope in ("all", "network:default"))
    assert ours.to_numpy().tolist() == theirs.to_numpy().tolist()


def test_an_instant_in_the_future_is_refused(bundle, events):
    with pytest.raises(
        AsOfError, match=r"as_of 2199-01-01 00:00:00 lies in the future: the last event is at 2017-07-03"
    ):
        score_users(load_encoded_events(events), datetime(2199, 1, 1, tzinfo=UTC), bundle, "3")


def store_batches(bundle, rows, folder, size=130):
    """Store the scores of rows that arrive in batches."""
    rows = sort_rows(rows)
    parts = (rows[start : start + size] for start in range(0, len(rows), size))
    features = [name for name in rows if name not in ("user", "scope")]
    return store_scores(bundle, "3", features, parts, folder)


def files(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def assert_same_arrays(ours, theirs):
    for name, array in vars(ours).items():
        np.testing.assert_array_equal(array, getattr(theirs, name), err_msg=name)


class TestBatches:
    @pytest.mark.parametrize(("batch", "batches"), [(16, 2), (32, 3), (128, 2), (512, 2)])
    def test_the_snapshot_is_that_of_all_rows_at_once(
        self, tmp_path, bundle, scores, rows, monkeypatch, batch, batches
    ):
        monkeypatch.setattr(layout, "ROWS_PER_GROUP", 64)
        monkeypatch.setattr(layout, "BATCHES_AT_ONCE", batches)
        monkeypatch.setattr(feature_rows, "ROWS_PER_BATCH", batch)
        monkeypatch.setattr(scoring, "ROWS_AT_ONCE", 50)
        scored = store_batches(bundle, rows, tmp_path)
        assert (scored.rows, scored.users) == (len(rows), rows["user"].nunique())
        parts = publish_snapshot(Home(tmp_path / "parts"), AS_OF, bundle, "3", scored)
        at_once = write_snapshot(Home(tmp_path / "once"), AS_OF, bundle, "3", scores, rows)
        assert files(parts) == files(at_once)
        for contents, name in ((scored, "parts.parquet"), (scores, "once.parquet")):
            write_scores(contents, tmp_path / name)
        assert (tmp_path / "parts.parquet").read_bytes() == (tmp_path / "once.parquet").read_bytes()

    def test_later_opt_outs_are_excluded(self, tmp_path, bundle, scores, rows):
        home = Home(tmp_path / "home")
        scored = store_batches(bundle, rows, tmp_path)
        opt_out(home, "user0001")
        folder = publish_snapshot(home, AS_OF, bundle, "3", scored)
        before = files(folder)
        assert len(pd.read_parquet(folder / "scores.parquet")) == len(rows) - 2
        assert files(write_snapshot(home, AS_OF, bundle, "3", scores, rows)) == before

    def test_events_give_the_same_scores(self, tmp_path, bundle, events):
        encoded, as_of = load_encoded_events(events, ["all", "network:*"]), datetime(2017, 7, 3, tzinfo=UTC)
        scores, rows = score_users(encoded, as_of, bundle, "3")
        scored = score_to_disk(encoded, as_of, bundle, "3", tmp_path)
        assert scored.pairs is None
        assert score_audiences(bundle, scored) is None
        selecting = with_selection(bundle, SELECTION_MODEL)
        for _ in range(2):  # the second time with the cached plan
            scored = score_to_disk(encoded, as_of, selecting, "3", tmp_path)
            pd.testing.assert_frame_equal(scored.frame(SCORES), scores)
            pd.testing.assert_frame_equal(scored.frame(list(rows)), rows)
            assert_same_arrays(scored.pairs, read_pairs(encoded, as_of, rows))
        assert len(scored.pairs.engagers) > 0
        assert len(score_audiences(selecting, scored)) == len(rows)

    def test_rows_are_dropped_before_pairs_are_read(self, tmp_path, bundle, events, monkeypatch):
        def collect(tables, *rest):
            assert tables.rows.op().name not in tables.pairs.get_backend().list_tables(database=TEMPORARY)
            assert tables.pairs.op().name in tables.pairs.get_backend().list_tables(database=TEMPORARY)
            return collect_scored_pairs(tables, *rest)

        monkeypatch.setattr(scoring, "collect_scored_pairs", collect)
        selecting, as_of = with_selection(bundle, SELECTION_MODEL), datetime(2017, 7, 3, tzinfo=UTC)
        assert score_to_disk(load_encoded_events(events), as_of, selecting, "3", tmp_path).pairs is not None

    def test_an_instant_without_users_is_refused(self, tmp_path, bundle, events):
        with pytest.raises(AsOfError, match="nobody acted"):
            score_to_disk(load_encoded_events(events), datetime(2019, 7, 1, tzinfo=UTC), bundle, "3", tmp_path)

    def test_a_full_disk_is_reported(self, tmp_path, bundle, rows):
        (tmp_path / "rows.parquet").symlink_to("/dev/full")
        with pytest.raises(OutputError, match=r"rows\.parquet cannot be written: .*No space left on device"):
            store_batches(bundle, rows, tmp_path)


def test_a_lost_connection_to_the_engine_is_not_an_output_error(tmp_path):
    with pytest.raises(ConnectionRefusedError), output_errors(tmp_path):
        raise ConnectionRefusedError(111, "Connection refused")


def test_points_of_every_row_add_up_to_the_score(tmp_path, bundle, rows, scores):
    write_points(bundle, [rows[:100], rows[100:]], tmp_path / "new" / "points.parquet")
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
    write_points(bundle, [rows], tmp_path / "points.parquet", open_snapshot(home).baselines)
    row = pd.read_parquet(tmp_path / "points.parquet").set_index(["user", "scope"]).loc[("user0007", "all")]
    explanation = open_snapshot(home).explain("user0007")
    lines = [part for line in explanation.lines for part in line.parts or (line,)]
    rounding = 1e-12
    assert {line.feature: line.points for line in lines if abs(line.points) > rounding} == pytest.approx(
        {name: row[name] for name in bundle.features if abs(row[name]) > rounding}, abs=1e-9
    )
    assert explanation.base == pytest.approx(row["base"], abs=1e-9)


def test_a_folder_is_never_replaced_by_points(tmp_path, bundle, rows):
    with pytest.raises(OutputError, match="is a folder"):
        write_points(bundle, [rows], tmp_path)


def test_a_failure_leaves_no_file_of_points(tmp_path, bundle, rows, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scoring, "_table", full)
    with pytest.raises(OSError, match="No space left"):
        write_points(bundle, [rows], tmp_path / "points.parquet")
    assert list(tmp_path.iterdir()) == []
