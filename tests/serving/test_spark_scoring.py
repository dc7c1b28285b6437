"""Scoring on Spark gives the same snapshot as DuckDB; after a failure the earlier snapshot is unchanged."""

import json
import os
import re
import resource
import shutil
import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import EngineError
from features.events.engines import engine_error
from features.events.event_table import connect
from features.events.loading import load_encoded_events
from serving import spark_scoring
from serving.scoring import percentiles, score_audiences, score_to_disk
from serving.snapshots.audience_files import map_audiences
from serving.snapshots.repository import list_snapshots, open_snapshot
from serving.snapshots.scored_rows import RANKS, SCORES
from serving.spark_scoring import with_ranks
from tests import preloaded
from tests.conftest import free_port
from tests.serving.conftest import SELECTION_MODEL
from training.home import Home
from training.registry.model_registry import register
from training.selection.selection_model import with_selection

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)


def test_ranks_of_an_engine_equal_the_percentiles():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "scope": rng.choice(["all", "topic:tea"], 3_000),
            "band": rng.integers(0, 5, 3_000).astype("int32"),
            "score": np.round(rng.lognormal(1, 1, 3_000).clip(0, 100), 3),
        }
    )
    engine = connect()
    ranked = with_ranks(engine.create_table("scores", frame.assign(row=range(3_000)))).to_pandas().sort_values("row")
    assert len(ranked) == len(frame)
    groups = [[frame["scope"]], [frame["scope"], frame["band"]]]
    for name, group in zip(RANKS, groups, strict=True):
        assert ranked[name].tolist() == percentiles(frame["score"], group).tolist()


def test_files_of_the_executors_are_read_one_row_group_at_a_time(tmp_path):
    rng, files = np.random.default_rng(0), [tmp_path / name for name in ("part-0.parquet", "part-1.parquet")]
    for file in files:
        pq.write_table(pa.table({"score": rng.random(400_000)}), file, row_group_size=10_000)
    before, rows, most = pa.total_allocated_bytes(), 0, 0
    for batch in spark_scoring._read(files, ["score"]):
        rows += len(batch)
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 800_000
    assert most < files[0].stat().st_size / 2


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Events of sixty users, of several kinds, within a year."""
    rng = np.random.default_rng(4)
    count = 3_000
    users = np.array([f"u{k:02}" for k in range(57)] + ["ünï 🙂", "Zoë", "a'b"], dtype=object)
    frame = pd.DataFrame(
        {
            "time": pd.Timestamp(AS_OF) - pd.to_timedelta(rng.integers(1, 400 * 86_400, count), unit="s"),
            "actor": rng.choice(users, count),
            "verb": rng.choice(["post", "reply", "like", "follow"], count),
            "target": rng.choice(users, count),
            "object": [f"p{k}" for k in rng.integers(0, 300, count)],
            "network": rng.choice(["sea", "land"], count),
        }
    )
    file = tmp_path_factory.mktemp("events") / "events.parquet"
    frame.to_parquet(file, index=False, coerce_timestamps="us", allow_truncated_timestamps=True)
    return file


@pytest.fixture(scope="module")
def home(registry, bundle, tmp_path_factory):
    """A home with an unpromoted version 3 that can select groups."""
    home = Home(shutil.copytree(registry.folder, tmp_path_factory.mktemp("spark") / "home"))
    register(home, with_selection(bundle, SELECTION_MODEL), {}, {}, {}, {}, tags={"gate": "passed"})
    return home


def assert_same_audiences(ours, theirs):
    for name, values in ours.items():
        if name == "pools":
            assert values == theirs[name]
        else:
            np.testing.assert_allclose(values, theirs[name], rtol=1e-6, atol=1e-9, err_msg=name)  # stored as float32


def score(clout, home, events, *words):
    """Score by version 3; return the finished run and all files of the snapshots."""
    run = clout(home, "score", str(events), "--version", "3", "--as-of", "2017-07-30", *words)
    files = {file: file.read_bytes() for file in home.snapshots.rglob("*") if file.is_file()}
    return run, files


@contextmanager
def full_disk(engine):
    """Limit the files written by an engine's Java process to 4 KB."""
    java = engine._session.sparkContext._gateway.proc.pid
    soft, hard = resource.prlimit(java, resource.RLIMIT_FSIZE)
    resource.prlimit(java, resource.RLIMIT_FSIZE, (4_096, hard))
    try:
        yield
    finally:
        resource.prlimit(java, resource.RLIMIT_FSIZE, (soft, hard))


def python(folder, command):
    """Write a program that runs Python for executors with a given command; return its path."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    return program


def spark_connect(engine):
    """Let an engine's Java process serve Spark Connect; return its address."""
    context, port = engine._session.sparkContext, free_port()
    context._jsc.sc().conf().set("spark.connect.grpc.binding.port", str(port))
    context._jvm.org.apache.spark.sql.connect.service.SparkConnectService.start(context._jsc.sc())
    return f"sc://127.0.0.1:{port}"


@pytest.mark.filterwarnings("ignore")  # warnings of Spark about pandas, sockets and deprecations
class TestSpark:
    @pytest.mark.usefixtures("spark")
    def test_the_snapshot_equals_that_of_duckdb(self, clout, home, events):
        scopes = ["--scope", "all", "--scope", "network:*"]
        frames, baselines, audiences = [], [], []
        for engine in ("duckdb", "spark"):
            run, _ = score(clout, home, events, *scopes, "--engine", engine)
            assert run.returncode == 0, run.stderr
            (folder,) = list_snapshots(home)
            assert open_snapshot(home).users == 60
            frames.append(
                [
                    pd.read_parquet(folder / "scores.parquet"),
                    pd.read_feather(folder / "features.arrow"),
                ]
            )
            audiences.append(vars(map_audiences(folder)))
            baselines.append(json.loads((folder / "baselines.json").read_text()))
        for ours, theirs in zip(*frames, strict=True):
            pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9, atol=1e-9)
        ours, theirs = (pd.json_normalize(by_scope).T[0].to_dict() for by_scope in baselines)
        assert ours.keys() == theirs.keys()
        for name, values in ours.items():
            assert values == pytest.approx(theirs[name], abs=1e-9), name
        assert_same_audiences(*audiences)

    @pytest.mark.real
    def test_scores_of_a_real_community_equal_those_of_duckdb(self, spark, bundle, slicer, tmp_path):
        as_of = datetime(2026, 7, 24, tzinfo=UTC)
        ours, theirs = load_encoded_events(slicer), load_encoded_events(slicer, engine=spark)
        bundle = with_selection(bundle, SELECTION_MODEL)
        scored = [
            score(events, as_of, bundle, "1", folder)
            for score, events, folder in (
                (score_to_disk, ours, tmp_path),
                (spark_scoring.score_on_spark, theirs, tmp_path / "spark"),
            )
        ]
        names = [*SCORES, *scored[0].features]
        pd.testing.assert_frame_equal(*(rows.frame(names) for rows in scored), rtol=1e-9, atol=1e-9)
        assert_same_audiences(*(vars(score_audiences(bundle, rows)) for rows in scored))
        assert scored[0].rows > 900

    def test_executors_without_the_package_are_reported(self, spark, clout, home, events, tmp_path, monkeypatch):
        """The error comes before any feature is computed."""
        monkeypatch.setattr(spark._session.sparkContext, "pythonExec", str(python(tmp_path, f"{sys.executable} -S")))
        monkeypatch.setattr(spark_scoring, "feature_table_and_pairs", None)
        before = {file: file.read_bytes() for file in home.snapshots.rglob("*") if file.is_file()}
        run, files = score(clout, home, events, "--engine", "spark")
        assert run.returncode == 2
        assert re.search(
            "error: the executors of Spark lack the package .*: install this version of clout-score, with what it "
            "needs, on every worker",
            run.stderr,
        )
        assert files == before

    def test_executors_with_another_version_are_reported(self, spark, tmp_path, monkeypatch):
        facts = tmp_path / "clout_score-0.0.7.dist-info" / "METADATA"
        facts.parent.mkdir()
        facts.write_text("Metadata-Version: 2.1\nName: clout-score\nVersion: 0.0.7\n")
        command = python(tmp_path, f"env -C {tmp_path} PYTHONPATH={tmp_path}:$PYTHONPATH {sys.executable}")
        monkeypatch.setattr(spark._session.sparkContext, "pythonExec", str(command))
        with pytest.raises(EngineError, match=r"executors of Spark have clout-score 0\.0\.7, and this process has "):
            spark_scoring.check_executors(spark)

    @pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits the files of another process")
    def test_a_disk_that_fills_during_scoring_is_reported(self, spark, clout, home, events, monkeypatch):
        """After executors wrote their scores, the Java process can write only 4 KB per file."""
        before = {file: file.read_bytes() for file in home.snapshots.rglob("*") if file.is_file()}
        with ExitStack() as stack:

            def fill(scored):
                stack.enter_context(full_disk(spark))
                return with_ranks(scored)

            monkeypatch.setattr(spark_scoring, "with_ranks", fill)
            run, files = score(clout, home, events, "--engine", "spark")
        assert run.returncode == 2
        assert run.stderr.splitlines()[-1] == (
            "error: a disk that Spark writes to is full (File too large): that of its temporary files, which "
            "spark.local.dir or SPARK_LOCAL_DIRS names, by default /tmp. Free space there. Nothing was changed."
        )
        assert files == before
        assert not [*home.snapshots.rglob("part-*"), *home.snapshots.rglob("_temporary")]

    @pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits the files of another process")
    def test_a_full_disk_of_executors_is_reported(self, spark, tmp_path):
        frame = spark._session.range(100_000).selectExpr("id", "rand() AS value")
        with full_disk(spark), pytest.raises(Exception, match="Task failed while writing rows") as raised:
            spark_scoring._write(frame, tmp_path / "rows")
        assert str(engine_error(raised.value)).startswith(
            f"a disk that Spark writes to is full (File too large): the one of {tmp_path}/rows, or that of"
        )

    def test_executors_that_write_to_other_disks_are_reported(self, spark, tmp_path, monkeypatch):
        table = spark.create_view("numbers_to_write", ibis.memtable({"row": range(10)}))
        (file, *_) = spark_scoring._write_ordered(table, ["row"], tmp_path / "shared")
        assert pq.read_metadata(file).num_rows
        monkeypatch.setattr(spark_scoring, "_url", lambda folder: (tmp_path / "of_executors" / folder.name).as_uri())
        with pytest.raises(EngineError, match=r"wrote 10 rows to .*/rows, and this process finds 0 .* disk that all"):
            spark_scoring._write_ordered(table, ["row"], tmp_path / "rows")

    def test_no_rows_are_written(self, spark, tmp_path):
        table = spark.create_view("no_numbers", ibis.memtable({"row": [0]}).filter(ibis._.row > 0))
        files = spark_scoring._write_ordered(table, ["row"], tmp_path / "rows")
        assert sum(pq.read_metadata(file).num_rows for file in files) == 0

    def test_spark_connect_gives_the_scores_of_duckdb(self, spark, clout, home, events, need, tmp_path):
        """The Java process of this session serves Spark Connect to another process."""
        need(find_spec("grpc") is not None, "Spark Connect is not installed: pip install 'pyspark[connect]'")
        words = ["score", str(events), "--version", "3", "--as-of", "2017-07-30", "--out"]
        ours, theirs = (tmp_path / f"{name}.parquet" for name in ("duckdb", "connect"))
        assert clout(home, *words, str(ours)).returncode == 0
        command = [sys.executable, Path(sys.executable).with_name("clout"), *words, theirs, "--engine", "spark"]
        remote = {"SPARK_REMOTE": spark_connect(spark), "CLOUT_HOME": str(home.folder)}
        run = preloaded.run(command, env=os.environ | remote, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        pd.testing.assert_frame_equal(*(pd.read_parquet(file) for file in (ours, theirs)), rtol=1e-9, atol=1e-9)

    def test_an_engine_that_stops_during_scoring_is_reported(self, spark, clout, home, events, monkeypatch):
        """Runs last, because it ends the session."""

        def stop(scored):
            spark._session.stop()
            return with_ranks(scored)

        before = {file: file.read_bytes() for file in home.snapshots.rglob("*") if file.is_file()}
        monkeypatch.setattr(spark_scoring, "with_ranks", stop)
        run, files = score(clout, home, events, "--engine", "spark")
        assert run.returncode == 2
        assert "error: Spark failed half way: " in run.stderr
        assert "start the command again" in run.stderr
        assert files == before
