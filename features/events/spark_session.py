"""Start Spark, or connect to it; say what was found, expected and what to do where that fails."""

import re
import socket
import subprocess
import sys
from os import X_OK, access, environ
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import ibis

from features.errors import EngineError, first_line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Where the user's settings name none: spark-defaults.conf, and what spark-submit passes.
SETTINGS = {
    "spark.master": "local[*]",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.maxPlanStringLength": "10000",  # the full text of a plan of many steps exceeds the heap
}
REMOTE, REMOTE_PORT = "SPARK_REMOTE", 15_002
PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")  # read by gRPC
ANSWER_SECONDS = 10
JAVA, JAVA_SECONDS = 17, 60
JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
JAVA_GONE = "Py4JNetworkError"  # a job was running; a new request fails by a ConnectionError
JAVA_ENDED = "JAVA_GATEWAY_EXITED"
WHERE_SETTINGS_ARE = "spark-defaults.conf, PYSPARK_SUBMIT_ARGS, or what spark-submit passes"


def connect_spark() -> ibis.BaseBackend:
    """Return the session of this process, else a new one with the settings that Spark reads, as an engine.

    Raises
    ------
    EngineError : a package or Java is missing or too old, a setting is not valid, or no server answers

    """
    try:
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as error:
        raise EngineError("Spark needs a package: pip install 'clout-score[spark]', and Java 17 or newer.") from error
    try:
        return ibis.pyspark.connect(SparkSession.getActiveSession() or _new_session())
    except EngineError:
        raise
    except ImportError as error:
        raise EngineError(f"Spark Connect needs packages: pip install 'pyspark[connect]' ({error}).") from error
    except Exception as error:
        raise EngineError(f"Spark cannot be started: {_reason(error)}") from error


def _new_session() -> "SparkSession":
    """Start a session; settings that the user has made in the places where Spark looks for them come first."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    builder: Any = SparkSession.builder
    if REMOTE in environ:
        _check_remote(environ[REMOTE])
        return cast("SparkSession", builder.getOrCreate())
    SparkContext._ensure_initialized()  # starts Java, which reads the user's settings
    settings: Any = SparkConf()
    for name, value in SETTINGS.items():
        settings.setIfMissing(name, value)
    if settings.get("spark.master").startswith("local"):
        environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return cast("SparkSession", builder.config(conf=settings).appName("clout").getOrCreate())


def _check_remote(remote: str) -> None:
    """Check that a server answers: Spark itself tries again for ten minutes without a word."""
    from pyspark.sql.connect.utils import check_dependencies

    check_dependencies(__name__)
    if remote.startswith("local"):
        return
    try:
        address = urlsplit(remote)
        host, port = address.hostname, address.port or REMOTE_PORT
    except ValueError:
        host, port = None, 0
    if not remote.startswith("sc://") or host is None:
        raise EngineError(
            f"{REMOTE} is {remote!r}; expected a server of Spark Connect, such as sc://host:{REMOTE_PORT}."
        )
    if any(name in environ or name.upper() in environ for name in PROXIES):
        return
    try:
        socket.create_connection((host, port), ANSWER_SECONDS).close()
    except OSError as error:
        raise EngineError(
            f"no server of Spark Connect answers at {host}:{port}, which {REMOTE} names ({error.strerror or error}). "
            f"Start one there with Spark's sbin/start-connect-server.sh, or correct {REMOTE}."
        ) from error


def _reason(error: Exception) -> str:
    """Return why Spark does not start, and what to do."""
    home = environ.get("SPARK_HOME")
    if isinstance(error, FileNotFoundError) and home is not None and not Path(home, "bin", "spark-submit").exists():
        return f"SPARK_HOME is {home}, which has no bin/spark-submit. Unset or correct it."
    if problem := _java_problem():
        return f"{problem}; expected Java {JAVA} or newer. Install it, and let JAVA_HOME name its folder."
    if JAVA_ENDED in str(error):
        return f"its Java process ended at once, and says why above. Correct the setting, in {WHERE_SETTINGS_ARE}."
    return f"{java_cause(str(error)).removesuffix('.')}. Check the master and its settings, in {WHERE_SETTINGS_ARE}."


def _java_problem() -> str | None:
    """Return what is wrong with the Java that Spark starts; None if nothing is."""
    home = environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else which("java")
    if java is None:
        return "there is no java in PATH, and JAVA_HOME is not set"
    if not access(java, X_OK):
        return f"JAVA_HOME is {home}, which has no bin/java"
    try:
        run = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=JAVA_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{java} cannot be run ({first_line(error)})"
    version = JAVA_VERSION.search(run.stderr + run.stdout)
    if version is not None and int(version[1]) < JAVA:
        return f"{java} is Java {version[1]}"
    return None


def is_lost_connection(error: BaseException) -> bool:
    """Return whether the process of an engine does not answer any more, such as a Java process that was killed."""
    return isinstance(error, ConnectionError) or type(error).__name__ == JAVA_GONE


def java_cause(text: str) -> str:
    """Return the line that says why Java failed: the last cause, else what follows Py4J's own line, else the first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    raised = [line.removeprefix(": ") for line in lines[1:2] if line.startswith(": ")]
    return [lines[0], *raised, *causes][-1][:300]
