"""DuckDB, Spark and PostgreSQL compute the same features from the same definitions."""

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import CATALOGUE
from features.catalogue.plan import plan_features
from features.errors import EngineError, EventsError, OutputError
from features.events.encoding import cached
from features.events.engines import engine_error, open_engine
from features.events.event_table import VERBS
from features.events.loading import load_encoded_events, load_events
from features.feature_table import KEYS, feature_rows, ordered_batches

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
NAMES = ["time", "actor", "verb", "target", "object", "result", "network", "topics", "content_hash", "links"]
PEOPLE = ["ann", "bob", "çelik 🙂", "d'Arc", "", "o\\'x", "日本", None]
EXCLUDED = frozenset(["ann", "d'Arc", "", "star", "nobody"])
ACCOUNTS = pd.DataFrame({"account": ["u2", "u4"], "person": ["star", "u3"]})
SCOPES = ["all", "network:*", "topic:tea"]
DAY = 86_400_000_000


def difficult_events(rng, rows):
    """Difficult events: equal times, window edges, own targets, duplicates, nulls, unusual ids, extreme counts."""
    edges = np.array([1, 7, 28, 62, 84, 90, 168, 364, 365]) * DAY
    ages = np.where(rng.random(rows) < 0.3, rng.choice(edges, rows), rng.integers(1, 400 * DAY, rows))
    ages += np.where(rng.random(rows) < 0.2, rng.choice([0, 1], rows), 0)
    pick = lambda values: np.array(values, dtype=object)[rng.integers(0, len(values), rows)]  # noqa: E731
    table = pd.DataFrame({"time": [AS_OF - timedelta(microseconds=int(age)) for age in ages]})
    crowd = [*PEOPLE, *(f"u{k}" for k in range(40))]
    table["actor"], table["target"] = pick(crowd), pick([*crowd, *["star"] * 20])
    table["verb"] = pick([*VERBS, *["like"] * 6, *["post", "reply"] * 3])
    pieces = [None, "", *(f"p{k}" for k in range(60))]
    table["object"], table["result"] = pick(pieces), pick(pieces)
    table["network"] = pick(["sea", "land", None])
    table["topics"] = pick([None, ["tea"], ["tea", "rum"], ["ärger"]])
    table["content_hash"] = pick([None, "h1", "h2", "h3"])
    table["links"] = pd.array(rng.choice([0, 1, 2], rows), dtype="Int64")
    return pd.concat([table, table.sample(rows // 10, random_state=1)], ignore_index=True)[NAMES]


def assert_alike(ours, theirs):
    ours, theirs = (rows.sort_values(KEYS, ignore_index=True) for rows in (ours, theirs))
    assert theirs[KEYS].to_numpy().tolist() == ours[KEYS].to_numpy().tolist()
    for name in ours.columns.difference(KEYS):
        one, other = ours[name].to_numpy(float), theirs[name].to_numpy(float)
        same = np.isclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True)
        assert same.all(), f"{name} of {ours['user'][~same].iloc[0]!r}: {one[~same][0]} and {other[~same][0]}"


def acts_of(events, engine=None):
    """Return the counted events in order."""
    table = load_events(events, ACCOUNTS, engine, EXCLUDED).select("verb", "actor", "target", "object")
    return sorted((tuple(event.values()) for event in table.to_pyarrow().to_pylist()), key=str)


def assert_few_features_alike(events, engine, plans=None):
    """Compute one feature of each set of relations alone, and compare it with its column of the full table.

    Features that need the same relations differ only by an expression, which the comparison of full tables covers.
    Features are computed one at a time, or combined into the given number of plans with different relations.
    """
    full = feature_rows(load_encoded_events(events), AS_OF)
    names = list({plan_features([name]).relations: name for name in CATALOGUE.names}.values())
    with cached(load_encoded_events(events, engine=engine)) as shared:
        for start in range(plans or len(names)):
            few = names[start :: plans or len(names)]
            assert_alike(full[[*KEYS, *few]], feature_rows(shared, AS_OF, features=few))


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    file = tmp_path_factory.mktemp("nasty") / "events.parquet"
    difficult_events(np.random.default_rng(3), 4_000).to_parquet(file, index=False, coerce_timestamps="us")
    return file


CHANGES = {
    "replaced": lambda file: difficult_events(np.random.default_rng(4), 100).to_parquet(file, coerce_timestamps="us"),
    "removed": Path.unlink,
    "truncated": lambda file: os.truncate(file, 5_000),
}


KILLED_SPARK = """
import ibis
from features.events.engines import engine_error, open_engine
engine = open_engine("spark")
context = engine._session.sparkContext
settings = context.getConf()
print(*(settings.get(f"spark.{name}") for name in ("master", "sql.shuffle.partitions", "ui.enabled", "app.name")))
table = engine.create_view("rows", ibis.memtable({"a": [1]}))
java = context._gateway.proc
java.kill()
java.wait()
try:
    table.count().execute()
except Exception as error:
    print(engine_error(error))
"""


@pytest.fixture(scope="module")
def killed_spark(need, tmp_path_factory):
    """Return the output of a process that starts Spark with settings from a folder and whose Java process is killed.

    It is a separate process because Spark cannot start twice in one process.
    """
    need(find_spec("pyspark") is not None, "Spark is not installed: pip install 'clout-score[spark]'")
    folder = tmp_path_factory.mktemp("settings")
    (folder / "spark-defaults.conf").write_text("spark.master local[1]\nspark.sql.shuffle.partitions 3\n")
    environment = os.environ | {"SPARK_CONF_DIR": str(folder)}
    run = subprocess.run([sys.executable, "-c", KILLED_SPARK], env=environment, capture_output=True, text=True)
    assert len(run.stdout.splitlines()) == 2, run.stderr
    return run.stdout.splitlines()


@pytest.mark.filterwarnings("ignore")  # warnings of Spark about pandas, sockets and deprecations
class TestSpark:
    def test_difficult_events_give_the_same_features(self, spark, events):
        ours = feature_rows(load_encoded_events(events, SCOPES), AS_OF)
        assert_alike(ours, feature_rows(load_encoded_events(events, SCOPES, engine=spark), AS_OF))

    def test_settings_come_from_where_spark_reads_them(self, killed_spark):
        assert killed_spark[0].split() == ["local[1]", "3", "false", "clout"]

    def test_few_features_equal_their_columns(self, spark, events):
        """Four plans suffice: every engine computes the same relations, and Spark takes a second per plan."""
        assert_few_features_alike(events, spark, plans=4)

    def test_excluded_users_give_the_same_features(self, spark, events):
        ours = acts_of(events)
        assert 1_000 < len(ours) < 3_500
        assert not {user for event in ours for user in event[1:3]} & (EXCLUDED | {"u2", "u4"})
        assert acts_of(events, spark) == ours

    @pytest.mark.parametrize("change", CHANGES)
    def test_events_that_change_while_they_are_read(self, spark, events, tmp_path, change):
        file = Path(shutil.copy(events, tmp_path))
        encoded = load_encoded_events(file, engine=spark)
        CHANGES[change](file)
        with (
            pytest.raises(EventsError, match=rf"^the events changed while they were read: {file} was"),
            cached(encoded),
        ):
            pass

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                "removed",
                r"a file of the events was removed while they were read \(/.*events\.parquet: .* not exist\)\. N",
            ),
            (
                "truncated",
                r"a file of the events is damaged \(/.*events\.parquet: .*not a Parquet file.*\)\. Replace it",
            ),
        ],
    )
    def test_a_file_that_cannot_be_read(self, spark, events, tmp_path, change, message):
        file = Path(shutil.copy(events, tmp_path))
        rows = load_encoded_events(file, engine=spark).rows
        CHANGES[change](file)
        with pytest.raises(Exception, match="FAILED_READ_FILE") as raised:
            rows.actor.max().execute()
        assert re.match(message, str(engine_error(raised.value)))

    def test_a_file_that_is_no_parquet(self, spark, tmp_path):
        (tmp_path / "events.parquet").write_bytes(bytes(100))
        with pytest.raises(EventsError, match=r"events\.parquet cannot be read as Parquet: .*is not a Parquet file"):
            load_encoded_events(tmp_path / "events.parquet", engine=spark)

    @pytest.mark.real
    def test_real_community_gives_the_same_features(self, spark, slicer):
        as_of = datetime(2026, 7, 24, tzinfo=UTC)
        ours = feature_rows(load_encoded_events(slicer), as_of)
        assert_alike(ours, feature_rows(load_encoded_events(slicer, engine=spark), as_of))


class TestDatabases:
    def test_difficult_events_on_postgresql(self, postgres, events):
        ours, engine = feature_rows(load_encoded_events(events, SCOPES), AS_OF), open_engine(postgres)
        assert_alike(ours, feature_rows(load_encoded_events(events, SCOPES, engine=engine), AS_OF))
        engine.disconnect()

    def test_single_features_on_postgresql(self, postgres, events):
        engine = open_engine(postgres)
        assert_few_features_alike(events, engine)
        engine.disconnect()

    def test_excluded_users_on_postgresql(self, postgres, events):
        engine = open_engine(postgres)
        assert acts_of(events, engine) == acts_of(events)
        engine.disconnect()

    @settings(max_examples=3, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), rows=st.integers(11, 300))
    def test_random_events_by_database_url(self, tmp_path_factory, seed, rows):
        events = difficult_events(np.random.default_rng(seed), rows)
        url = f"duckdb://{tmp_path_factory.mktemp('database') / 'acts.duckdb'}"
        engine = open_engine(url)
        engine.create_table("acts", events.drop(columns="topics").assign(topics=events["topics"]))
        assert_alike(
            feature_rows(load_encoded_events(events), AS_OF),
            feature_rows(load_encoded_events("acts", engine=engine), AS_OF),
        )


class TestErrors:
    """Errors of engines in general; `tests/serving/test_spark_scoring.py` has real ones."""

    class FailedJobError(Exception):
        __module__ = "pyspark.errors"

    @pytest.mark.parametrize(
        ("text", "kind", "message"),
        [
            (
                "Job aborted\nCaused by: org.apache.SparkException: task\nCaused by: java.io.IOException: lost",
                EngineError,
                "Spark failed half way: java.io.IOException: lost. Nothing was changed",
            ),
            (
                "An error occurred while calling o1.count.\n: java.lang.IllegalStateException: stopped\n\tat x",
                EngineError,
                "Spark failed half way: java.lang.IllegalStateException: stopped. Nothing was changed",
            ),
            ("x\nModuleNotFoundError: No module named 'serving'\n", EngineError, "executors of Spark lack the package"),
            (
                "[PYTHON_VERSION_MISMATCH] Python in worker has different version: 3.12 than that in driver: 3.11",
                EngineError,
                "executors of Spark run Python 3.12: install Python 3.11, as this process has, and clout-score",
            ),
            (
                'Caused by: java.io.IOException: Cannot run program "/opt/python": error=2, No such file or directory',
                EngineError,
                "executors of Spark find no program /opt/python: install Python and this version of clout-score",
            ),
            (
                "Caused by: java.io.IOException: No space left on device",
                OutputError,
                "a disk that Spark writes to is full (No space left on device): that of its temporary files, which",
            ),
            (
                "[TASK_WRITE_FAILED] Task failed while writing rows to file:/home/c/rows. SQLSTATE: 58030\nCaused by: "
                "java.io.IOException: No space left on device",
                OutputError,
                "is full (No space left on device): the one of /home/c/rows, or that of its temporary files, which",
            ),
            ("Caused by: java.lang.OutOfMemoryError: Java heap space", EngineError, "more: spark.driver.memory"),
            (
                "x\n: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 2.0 failed 4 "
                "times, most recent failure: Lost task 0.3 in stage 2.0 (TID 6) (10.0.0.2 executor 4): "
                "ExecutorLostFailure (executor 4 exited caused by one of the running tasks) Reason: Command exited "
                "with code 137\nDriver",
                EngineError,
                "executors of Spark ended again and again (Command exited with code 137), killed or out of memory. "
                "Give them more: spark.executor.memory, and",
            ),
            (
                "Job aborted due to stage failure: Master removed our application: FAILED",
                EngineError,
                "ended again and again (Master removed our application), killed or out of memory. Give them more",
            ),
            (
                "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)\nCaused by: "
                "java.io.EOFException",
                EngineError,
                "ended again and again (Python worker exited unexpectedly), killed or out of memory. Give them more",
            ),
        ],
    )
    def test_errors_of_an_engine_say_what_to_do(self, text, kind, message):
        error = engine_error(self.FailedJobError(text))
        assert type(error) is kind
        assert message in str(error)

    def test_java_killed_during_a_job(self):
        lost = type("Py4JNetworkError", (Exception,), {"__module__": "py4j.protocol"})
        assert str(engine_error(lost("Error while sending or receiving"))) == (
            "Spark failed half way: its Java process has ended (Error while sending or receiving), killed or out of "
            "memory, of which spark.driver.memory gives more. Nothing was changed; start the command again."
        )

    def test_other_errors_are_internal_errors(self):
        assert engine_error(KeyError("users")) is None
        assert engine_error(ConnectionRefusedError(111, "Connection refused")) is None

    def test_a_killed_java_process_is_reported(self, killed_spark):
        assert re.fullmatch(
            r"Spark failed half way: its Java process has ended \(.*\), killed or out of memory, of which "
            r"spark\.driver\.memory gives more\. Nothing was changed; start the command again\.",
            killed_spark[1],
        )

    def test_a_database_that_stops_during_the_computation_is_reported(self, postgres, events):
        engine = open_engine(postgres)
        encoded = load_encoded_events(events, engine=engine)
        with engine.con.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (process,) = cursor.fetchone()
        other = open_engine(postgres)
        other.raw_sql(f"SELECT pg_terminate_backend({process})").close()
        other.disconnect()
        with pytest.raises(Exception, match="terminating connection") as raised:
            feature_rows(encoded, AS_OF)
        assert "PostgreSQL failed half way: terminating connection" in str(engine_error(raised.value))

    def test_a_database_that_stops_during_the_upload_is_reported(self, postgres, events):
        engine = open_engine(postgres)
        engine.con.close()
        with pytest.raises(Exception, match="connection is closed") as raised:
            load_encoded_events(events, engine=engine)
        assert "PostgreSQL failed half way: the connection is closed" in str(engine_error(raised.value))

    def test_a_database_that_stops_while_rows_are_read_is_reported(self, postgres):
        engine = open_engine(postgres)
        rows = engine.create_table("ordered_rows", pd.DataFrame({"user": ["é", "b", "a"], "scope": "all"}), temp=True)
        assert [user for part in ordered_batches(rows) for user in part["user"]] == ["a", "b", "é"]

        def batches():
            yield from rows.to_pyarrow_batches()
            engine.con.close()
            yield from rows.to_pyarrow_batches()

        reader = pa.RecordBatchReader.from_batches(rows.schema().to_pyarrow(), batches())
        interrupted = SimpleNamespace(get_backend=lambda: engine, to_pyarrow_batches=lambda: reader)
        with pytest.raises(Exception, match="connection is closed") as raised:
            list(ordered_batches(interrupted))
        assert "PostgreSQL failed half way: the connection is closed" in str(engine_error(raised.value))

    def test_a_dead_java_process_is_not_reported_as_an_error_of_events(self, events):
        class StoppedEngine:
            """Spark after its Java process was killed."""

            name = "pyspark"

            def read_parquet(self, *_, **__):
                raise ConnectionRefusedError(111, "Connection refused")

        with pytest.raises(ConnectionRefusedError):
            load_encoded_events(events, engine=StoppedEngine())

    def test_a_database_that_cannot_store_events_is_reported(self, tmp_path, events):
        engine = open_engine(f"sqlite://{tmp_path / 'base.db'}")
        with pytest.raises(EngineError, match="sqlite cannot hold the events: Array types aren't supported in SQLite"):
            load_encoded_events(events, engine=engine)


class TestInvalidEngines:
    def test_unknown_engine_is_rejected(self):
        with pytest.raises(
            EngineError, match=r"'dask' is not a valid engine; expected duckdb, spark, or a URL such as postgres:"
        ):
            open_engine("dask")

    @pytest.mark.parametrize("url", ["postgre://me:secret@place/base", "postgre://place/base?password=secret"])
    def test_unknown_url_scheme_is_rejected(self, url):
        with pytest.raises(EngineError) as raised:
            open_engine(url)
        assert str(raised.value).startswith(
            "'postgre://place/base' is not a valid engine (did you mean 'postgres'?); expected duckdb, spark, or "
        )
        assert "secret" not in str(raised.value)

    @pytest.mark.parametrize("name", ["Spark", "spark ", "sparc"])
    def test_a_mistyped_name_is_suggested(self, name):
        with pytest.raises(EngineError, match=rf"'{name}' is not a valid engine \(did you mean 'spark'\?\); expected"):
            open_engine(name)

    @pytest.mark.parametrize("master", ["spark://host:7077", "local[2]", "local", "yarn", "sc://host", "pyspark://"])
    def test_a_spark_master_url_is_rejected(self, master):
        with pytest.raises(EngineError, match=r"is a master of Spark; expected --engine spark\. Name the master by"):
            open_engine(master)

    def test_a_missing_package_of_an_engine_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "ibis.backends.mysql", None)
        with pytest.raises(EngineError, match=r"mysql needs a package: pip install 'ibis-framework\[mysql\]'"):
            open_engine("mysql://me:secret@place/base")

    @pytest.mark.parametrize("options", ["", "?password=secret"])
    def test_unreachable_server_is_reported(self, options):
        pytest.importorskip("psycopg")
        with pytest.raises(
            EngineError, match=r"postgres://127\.0\.0\.1:1/base cannot be reached: .*\. Start it"
        ) as raised:
            open_engine(f"postgres://me:secret@127.0.0.1:1/base{options}")
        assert "secret" not in str(raised.value)

    def test_missing_database_table_is_reported(self, tmp_path):
        engine = open_engine(f"duckdb://{tmp_path / 'empty.duckdb'}")
        with pytest.raises(EventsError, match="no events at acts"):
            load_encoded_events("acts", engine=engine)
