"""Start Spark, or connect to it; say what was found, expected and what to do where that fails."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from os import X_OK, access, environ
from pathlib import Path
from shutil import which
from threading import Lock, Thread
from time import monotonic, sleep
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
ANSWER_SETTING = "spark.rpc.io.connectionCreationTimeout"
MASTERS = {"spark": "master of Spark", "k8s": "Kubernetes"}
HTTP_PORTS = {"https": 443, "http": 80}
LITTLE_MEMORY = re.compile(r"\[INVALID_(DRIVER|EXECUTOR)_MEMORY\]\D*(\d+)\D*(\d+)")
STOPPED = "Cannot call methods on a stopped SparkContext"
JAVA, JAVA_SECONDS = 17, 60
JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
JAVA_GONE = "Py4JNetworkError"  # a job was running; a new request fails by a ConnectionError
JAVA_ENDED = "JAVA_GATEWAY_EXITED"
JAVA_REASON = re.compile(rb'(?:Exception in thread "main" [\w.$]+: |Error: |(?=Invalid |Unrecognized ))(.+)')
JAVA_END_SECONDS = 5
STANDARD_ERROR = 2
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
    messages = JavaMessages()
    try:
        return ibis.pyspark.connect(SparkSession.getActiveSession() or _new_session(messages))
    except EngineError:
        raise
    except ImportError as error:
        raise EngineError(f"Spark Connect needs packages: pip install 'pyspark[connect]' ({error}).") from error
    except Exception as error:
        raise EngineError(f"Spark cannot be started: {_reason(error, messages)}") from error


def _new_session(messages: "JavaMessages") -> "SparkSession":
    """Start a session; settings that the user has made in the places where Spark looks for them come first."""
    from pyspark.sql import SparkSession

    builder: Any = SparkSession.builder
    if REMOTE in environ:
        _check_remote(environ[REMOTE])
        return cast("SparkSession", builder.getOrCreate())
    settings = _start_java(messages)
    for name, value in SETTINGS.items():
        settings.setIfMissing(name, value)
    master = settings.get("spark.master")
    if master.startswith("local"):
        environ.setdefault("PYSPARK_PYTHON", sys.executable)
    _check_master(master, settings._jconf.getTimeAsSeconds(ANSWER_SETTING, f"{ANSWER_SECONDS}s"))
    session = builder.config(conf=settings).appName("clout").getOrCreate()
    messages.pass_on()
    return cast("SparkSession", session)


class JavaMessages:
    """What Java prints to standard error: collected until Spark has started, then passed on.

    Where Spark does not start, stack traces are left out, and the error says why.
    """

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._collects, self._lock = True, Lock()
        self._reader = Thread(target=self._read, daemon=True)

    @contextmanager
    def collected(self) -> Iterator[int]:
        """Collect from now on; yield the descriptor to which a process that is started writes."""
        self._output, descriptor = os.pipe()
        self._reader.start()
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _read(self) -> None:
        """Read lines until Java ends."""
        with os.fdopen(self._output, "rb") as lines:
            for line in lines:
                with self._lock:
                    self._lines.append(line)
                    if not self._collects:
                        self._print()

    def pass_on(self) -> None:
        """Print what is collected, and from now on what comes."""
        with self._lock:
            self._collects = False
            self._print()

    def _print(self) -> None:
        with suppress(OSError):
            os.write(STANDARD_ERROR, b"".join(self._lines))
        self._lines.clear()

    def reason(self) -> str:
        """Return why Java has ended; where it has not said so in a known form, print what it says."""
        self._reader.join(JAVA_END_SECONDS)
        with self._lock:
            reason = next(filter(None, map(JAVA_REASON.match, self._lines)), None)
        if reason is None:
            self.pass_on()
            return "its Java process ended at once, and says why above"
        return reason[1].decode(errors="replace").strip()


def _start_java(messages: JavaMessages) -> Any:
    """Start Java unless it runs, and return the settings that it has read."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway

    launch: Any = launch_gateway
    if not SparkContext._gateway:
        with messages.collected() as descriptor:
            gateway = launch(popen_kwargs={"stderr": descriptor})
            SparkContext._ensure_initialized(gateway=gateway)
    return SparkConf()


def _check_master(master: str, seconds: float) -> None:
    """Check that the master of a cluster answers: Spark tries for a minute, and then says that it was stopped.

    Raises
    ------
    EngineError : it does not

    """
    kind, _, rest = master.partition("://")
    if kind not in MASTERS or (kind == "k8s" and _has_proxy()):
        return
    addresses = [_address(one) for one in (rest.split(",") if kind == "spark" else [rest])]
    if None in addresses:
        return  # Spark says that the address is not valid
    if error := _refusal([address for address in addresses if address], seconds):
        raise EngineError(
            f"no {MASTERS[kind]} answers at {' or '.join(f'{host}:{port}' for host, port in filter(None, addresses))} "
            f"within {seconds:g} seconds ({error.strerror or error}); spark.master is {master}. Start it there, or "
            f"correct spark.master, in {WHERE_SETTINGS_ARE}. To wait longer, set {ANSWER_SETTING}, such as 60s."
        )


def _address(text: str) -> tuple[str, int] | None:
    """Return host and port of `host:port` or of a URL; None where it has none."""
    try:
        address = urlsplit(text if "://" in text else f"https://{text}")
        port = address.port or (HTTP_PORTS.get(address.scheme) if "://" in text else None)
    except ValueError:
        return None
    return (address.hostname, port) if address.hostname and port else None


def _refusal(addresses: Sequence[tuple[str, int]], seconds: float) -> OSError | None:
    """Try for some seconds to connect to one of some addresses; return why none answers, and None if one does."""
    end = monotonic() + seconds
    while True:
        for address in addresses:
            try:
                socket.create_connection(address, max((end - monotonic()) / len(addresses), 1.0)).close()
            except OSError as error:
                refusal = error
            else:
                return None
        if monotonic() + 1.0 > end:
            return refusal
        sleep(1.0)


def _has_proxy() -> bool:
    return any(name in environ or name.upper() in environ for name in PROXIES)


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
    if _has_proxy():
        return
    try:
        socket.create_connection((host, port), ANSWER_SECONDS).close()
    except OSError as error:
        raise EngineError(
            f"no server of Spark Connect answers at {host}:{port}, which {REMOTE} names ({error.strerror or error}). "
            f"Start one there with Spark's sbin/start-connect-server.sh, or correct {REMOTE}."
        ) from error


def _reason(error: Exception, messages: JavaMessages) -> str:
    """Return why Spark does not start, and what to do."""
    home = environ.get("SPARK_HOME")
    if isinstance(error, FileNotFoundError) and home is not None and not Path(home, "bin", "spark-submit").exists():
        return f"SPARK_HOME is {home}, which has no bin/spark-submit. Unset or correct it."
    if problem := _java_problem():
        return f"{problem}; expected Java {JAVA} or newer. Install it, and let JAVA_HOME name its folder."
    if JAVA_ENDED in str(error):
        return f"{messages.reason().removesuffix('.')}. Correct the setting, in {WHERE_SETTINGS_ARE}."
    if little := LITTLE_MEMORY.search(str(error)):
        process, present, least = little[1].lower(), int(little[2]) >> 20, int(little[3]) >> 20
        return (
            f"spark.{process}.memory gives it {present} MiB; expected {least} at least, and 2g or more for many users. "
            f"Raise it, in {WHERE_SETTINGS_ARE}."
        )
    if STOPPED in str(error):
        return (
            f"a program answers at {_master()}, but did not take this application: expected a master of Spark "
            f"{_version()}. Correct spark.master, whose port is 7077 unless set (its web page has another one), in "
            f"{WHERE_SETTINGS_ARE}; or install its version of pyspark here."
        )
    return f"{java_cause(str(error)).removesuffix('.')}. Check the master and its settings, in {WHERE_SETTINGS_ARE}."


def _master() -> str:
    from pyspark import SparkConf

    return str(SparkConf().get("spark.master"))


def _version() -> str:
    from pyspark import __version__

    return __version__


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
