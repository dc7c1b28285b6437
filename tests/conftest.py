"""Settings that hold for all tests."""

import asyncio
import gc
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from threading import current_thread, main_thread

import duckdb
import hypothesis
import pytest
from filelock import FileLock

from tests import preloaded

DATABASES = {}  # connections that last as long as the process


def _connect_with_one_thread(connect, database=":memory:", *values, config=None, **options):
    """Connect to a database in memory that connections with equal settings share: a new one takes 10 ms.

    Tables of Clout are temporary, so each connection has its own. Settings belong to the database, so connections of
    other threads than the main one do not share it.
    """
    config = {"threads": 1} | (config or {})
    if database != ":memory:" or current_thread() is not main_thread():
        return connect(database, *values, config=config, **options)
    name = f":memory:{sorted(config.items())}"
    if name not in DATABASES:
        DATABASES[name] = connect(name, config=config)
    return connect(name, *values, config=config, **options)


# Threads of the booster that wait in a busy loop slow each other down thirtyfold on a machine that others use as well.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers use all cores already
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    duckdb.connect = partial(_connect_with_one_thread, duckdb.connect)
# Java that ends soon: it compiles little, and does not verify the classes of Spark, a fifth of what its start costs.
QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
os.environ.setdefault("SPARK_SUBMIT_OPTS", QUICK_JAVA)
# Hundreds of processes import the package, and each run rewrites the assertions of the tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
for size in ("COLUMNS", "LINES"):  # of the caller's terminal; a console would keep it for good
    os.environ.pop(size, None)

hypothesis.settings.register_profile(
    "clout",
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
hypothesis.settings.register_profile("nightly", hypothesis.settings.get_profile("clout"), derandomize=False)
hypothesis.settings.load_profile("clout")
NIGHTLY_FACTOR = 20


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Run folders on all cores and single files in this process, unless `-n` says otherwise.

    One worker more than there are cores: workers wait for servers and browsers at times. With `--cov` say `-n` as well:
    pytest-cov decides before any hook of a conftest how it measures.
    """
    if not config.pluginmanager.hasplugin("xdist") or config.option.numprocesses is not None:
        return
    is_worker, has_coverage = hasattr(config, "workerinput"), bool(getattr(config.option, "cov_source", None))
    if any(Path(argument).is_dir() for argument in config.args) and not (is_worker or has_coverage):
        config.option.numprocesses = len(os.sched_getaffinity(0)) + 1
        config.option.dist = "loadfile"


def pytest_xdist_make_scheduler(config, log):
    """Give whole files to workers, in the order of the tests: fixtures of a module are set up once."""
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "Spark" if file in SPARK_FILES else file

    config.option.loadscopereorder = False
    return Scheduling(config, log)


REAL_PARTS = {"postgresql", "postgres", "database", "spark", "browser"}
# Files whose tests train models, search, start services or run notebooks, one after another.
SLOW_FILES = {
    f"test_{name}.py"
    for name in (
        "absence", "bundle_files", "checks", "cli", "commands", "contract", "counterfactuals", "dockerfile", "docs",
        "engagement_report", "exclusions", "faults", "generated_client", "how_to", "independent_features", "limits",
        "main", "materialize", "mlflow", "notebooks", "real_path", "reference", "serve", "shap_plots", "store", "train",
        "true_sentences", "workers",
    )
}  # fmt: skip
FAST_TESTS_PER_FILE = 3
# One worker starts Spark for these.
SPARK_FILES = (
    "tests/features/events/test_engines.py",
    "tests/serving/test_spark_scoring.py",
    "tests/training/dataset/test_sampling.py",
)
# The longest first, so that all workers end at the same time.
LONG_FILES = (
    *SPARK_FILES,
    "tests/test_real_path.py",
    "tests/docs/test_commands.py",
    "tests/serving/pages/test_browser.py",
    "tests/test_notebooks.py",
    "tests/serving/test_faults.py",
    "tests/features/test_feature_table.py",
    "tests/training/robustness/test_attack_suite.py",
    "tests/training/test_train.py",
    "tests/training/test_cli.py",
    "tests/serving/runtime/test_workers.py",
    "tests/features/aggregates/test_credibility.py",
    "tests/features/importers/test_fuzz.py",
    "tests/serving/snapshots/test_true_sentences.py",
    "tests/features/importers/test_activitystreams.py",
    "tests/features/test_independent_features.py",
    "tests/features/importers/test_tables.py",
    "tests/training/release/test_promotion.py",
    "tests/features/test_engagement_report.py",
    "tests/serving/test_mlflow.py",
    "tests/serving/api/test_contract.py",
)


def pytest_collection_modifyitems(config, items):
    """Order the files of tests, and mark those tests that are fast."""
    ranks = {file: rank for rank, file in enumerate(LONG_FILES)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(ranks)))
    _mark_fast(items)
    if is_nightly(config):
        for test in {getattr(item.obj, "__func__", item.obj) for item in items}:
            if hypothesis.is_hypothesis_test(test):
                _take_more_examples(test)


def _mark_fast(items):
    """Mark as `fast` the first case of the first tests of each file.

    Tests with real parts or random examples, and those of slow files, are not fast.
    """
    functions_by_file = defaultdict(set)
    for item in items:
        function, fast = item.nodeid.partition("[")[0], functions_by_file[item.path]
        slow = (
            hypothesis.is_hypothesis_test(item.obj)
            or item.path.name in SLOW_FILES
            or REAL_PARTS.intersection(item.fixturenames)
        )
        if slow or item.get_closest_marker("real"):
            continue
        if function not in fast and len(fast) < FAST_TESTS_PER_FILE:
            fast.add(function)
            item.add_marker("fast")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection():
    """Collect no garbage while tests are imported, and less often later.

    Importing takes a fifth less time so. Later collections, a third of a second each, leave out packages and tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 10, 10)
        gc.enable()


def is_nightly(config):
    return config.getoption("--hypothesis-profile", None) == "nightly"


def _take_more_examples(test):
    """Let a test take as many more random examples as the nightly run has time for, however few it takes by itself."""
    usual = getattr(test, "_hypothesis_internal_use_settings", hypothesis.settings.get_profile("clout"))
    more = hypothesis.settings(usual, derandomize=False, max_examples=NIGHTLY_FACTOR * usual.max_examples)
    test._hypothesis_internal_use_settings = more


@pytest.fixture(scope="session")
def need():
    """Skip without a real part, except where the gate runs: there it has to be."""

    def need(there, reason):
        if not there:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)

    return need


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Return a folder that is filled once in a run, by the worker that asks for it first."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name, fill):
        folder, filled = shared / name, shared / f"{name}.filled"
        with FileLock(shared / f"{name}.lock"):
            if not filled.exists():
                folder.mkdir()
                fill(folder)
                filled.touch()
        return folder

    return once


@pytest.fixture(scope="session", autouse=True)
def new_stores(once):
    """Let MLflow create one store in a run, which homes of all workers and of processes that are forked copy."""
    from training.registry import embedded_store

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(preloaded.STORE, str(once("store", lambda _: None)))
        patch.setattr(embedded_store, "_create", embedded_store._create)  # restored at the end
        preloaded.copy_new_stores(Path(os.environ[preloaded.STORE]))
        yield


REAL_COMMUNITIES = Path(__file__).parents[2] / "shared" / "data"
IMPORTS = {
    "slicer": "table slicer_forum/events.csv.gz --map time=ts --map verb=type --verb topic_reply=reply",
    "travel": "stackexchange travel_stackexchange",
}
CLOUT = "import sys; from serving.cli.main import main; sys.argv[0] = 'clout'; main()"


@pytest.fixture(scope="session")
def import_once(once):
    """Import a real community by the command; return its event table and the report."""

    def import_once(name):
        if not REAL_COMMUNITIES.is_dir():
            pytest.skip(f"the real communities are not at {REAL_COMMUNITIES}")

        def fill(folder):
            words = ["import", *IMPORTS[name].split(), "--out", folder / "events.parquet", "--json"]
            command = [sys.executable, "-c", CLOUT, *map(str, words)]
            run = preloaded.run(command, cwd=REAL_COMMUNITIES, capture_output=True, text=True)
            assert run.returncode == 0, run.stderr
            (folder / "report.json").write_text(run.stdout)

        folder = once(name, fill)
        return folder / "events.parquet", json.loads((folder / "report.json").read_text())

    return import_once


@pytest.fixture(scope="session")
def slicer(import_once):
    """The event table of a real forum."""
    return import_once("slicer")[0]


# Small tables: compiling code for a query and spreading it over tasks take longer than its rows.
SMALL_SPARK = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.python.daemon.module": "preloaded_daemon",  # a worker takes two seconds to import the packages
}


@pytest.fixture(scope="module")
def spark(spark_context):
    """An engine: a local Spark in this process."""
    from features.events.engines import open_engine

    return open_engine("spark")


@pytest.fixture(scope="session")
def spark_context(need, tmp_path_factory, request):
    """Let Spark find settings for small tables, in the nightly run those of users; at the end stop what runs.

    A test that stops Spark makes the next one start another.
    """
    need(find_spec("pyspark") is not None, "Spark is not installed: pip install 'clout-score[spark]'")
    need(shutil.which("java"), "Spark needs Java, which is not installed")
    from pyspark import SparkContext

    settings = {} if is_nightly(request.config) else SMALL_SPARK
    folder = tmp_path_factory.mktemp("spark_settings")
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(folder))
        patch.setenv("PYSPARK_DRIVER_PYTHON", sys.executable)  # Spark Connect starts it for functions in Python
        patch.setenv("PYTHONPATH", str(Path(__file__).with_name("spark")), prepend=os.pathsep)  # of preloaded_daemon
        yield
    if SparkContext._active_spark_context is not None:
        SparkContext._active_spark_context.stop()


class PostgreSQL:
    """A server of its own on loopback, as an unprivileged user where the tests run as root."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._names = (f"test_{k}" for k in count())
        if self._as:
            shutil.chown(folder, "postgres")
        self._run("initdb", "--no-sync", "-D", folder / "data", "-A", "trust", "-U", "clout")

    def start(self):
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", self.folder / "data", "-o", options, "-l", self.folder / "log", "-w", "start")

    def stop(self):
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def url(self, database="postgres", scheme="postgresql"):
        return f"{scheme}://clout@127.0.0.1:{self.port}/{database}"

    def new_database(self):
        """Make an empty database and return its URL."""
        name = next(self._names)
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "clout", name)
        return self.url(name)

    def _run(self, tool, *arguments):
        command = [*self._as, _server_tool(tool), *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder)


def _server_tool(name):
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(debian[-1]) if debian else None)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def postgresql(need):
    """A PostgreSQL for all tests; who stops it starts it again."""
    need(find_spec("psycopg"), "psycopg is not installed: pip install 'clout-score[postgres]'")
    need(_server_tool("initdb") and _server_tool("pg_ctl"), "PostgreSQL's server is not installed")
    folder = Path(mkdtemp(prefix="clout-pg-", dir="/tmp"))  # short: the path of its socket may hold 107 characters
    server = PostgreSQL(folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(postgresql):
    """The URL of the database that is there from the start, as Ibis writes it."""
    return postgresql.url(scheme="postgres")


@pytest.fixture
def database(postgresql):
    """The URL of an empty database of a test's own."""
    return postgresql.new_database()


@pytest.fixture(scope="session")
def browser(need):
    """Debian's Chromium."""
    executable = shutil.which("chromium")
    need(executable, "Chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def run_async(coroutine):
    """Run a coroutine in a thread of its own: the browser's loop runs in the main thread for the rest of a worker."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
