"""Errors when Spark starts. Each test starts Spark in its own process, because this one may have a session."""

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

from features.errors import EngineError
from features.events import spark_session
from tests.conftest import free_port

pytest.importorskip("pyspark")
OPEN = "from features.events.engines import open_engine\nopen_engine('spark')"


def start(program=OPEN, **environment):
    """Return the last line printed by a process that opens Spark with additional environment variables."""
    run = subprocess.run([sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True)
    return run.stderr.splitlines()[-1]


def fake_java(folder, text):
    """Write a program `bin/java` that prints a text and fails; return the Java home."""
    java = folder / "bin" / "java"
    java.parent.mkdir(exist_ok=True)
    java.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit 1\n")
    java.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("text", "release"), [('openjdk version "11.0.2" 2019-01-15', "11"), ('java version "1.8.0_202"', "8")]
)
def test_a_java_that_is_too_old_is_reported(tmp_path, text, release):
    home = fake_java(tmp_path, text)
    assert start(JAVA_HOME=str(home)).endswith(
        f"EngineError: Spark cannot be started: {home}/bin/java is Java {release}; expected Java 17 or newer. Install "
        "it, and let JAVA_HOME name its folder."
    )


def test_an_absent_java_is_reported(tmp_path, monkeypatch):
    assert "Spark cannot be started: JAVA_HOME is /nosuch, which has no bin/java; expected Java 17" in start(
        JAVA_HOME="/nosuch"
    )
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert spark_session._java_problem() == "there is no java in PATH, and JAVA_HOME is not set"


def test_a_java_that_cannot_run_is_reported(tmp_path, monkeypatch):
    home = fake_java(tmp_path, "")
    (home / "bin" / "java").write_text("no program")
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert "bin/java cannot be run ([Errno 8] Exec format error" in spark_session._java_problem()


def test_an_absent_spark_home_is_reported():
    assert start(SPARK_HOME="/nosuch").endswith(
        "Spark cannot be started: SPARK_HOME is /nosuch, which has no bin/spark-submit. Unset or correct it."
    )


def test_an_invalid_setting_is_reported():
    assert "Spark cannot be started: Unrecognized option: --mastr. Correct the setting, in" in start(
        PYSPARK_SUBMIT_ARGS="--mastr foo pyspark-shell"
    )


@pytest.mark.parametrize("process", ["driver", "executor"])
def test_too_little_memory_is_reported(process):
    error = RuntimeError(f"[INVALID_{process.upper()}_MEMORY] System memory 314572800 must be at least 471859200.")
    assert spark_session._reason(error, spark_session.JavaMessages()) == (
        f"spark.{process}.memory gives it 300 MiB; expected 450 at least, and 2g or more for many users. Raise it, in "
        "spark-defaults.conf, PYSPARK_SUBMIT_ARGS, or what spark-submit passes."
    )


class TestConnect:
    def test_missing_packages_are_reported(self):
        program = f"import sys\nsys.modules['grpc'] = None\n{OPEN}"
        assert "EngineError: Spark Connect needs packages: pip install 'pyspark[connect]'" in start(
            program, SPARK_REMOTE="sc://127.0.0.1:1"
        )

    def test_an_unreachable_server_is_reported(self):
        pytest.importorskip("grpc")
        with pytest.raises(
            EngineError, match=r"no server of Spark Connect answers at 127\.0\.0\.1:\d+, which SPARK_REMOTE"
        ):
            spark_session._check_remote(f"sc://127.0.0.1:{free_port()}/;user_id=me")

    @pytest.mark.parametrize("remote", ["foo", "spark://host:7077", "sc://", "sc://host:port"])
    def test_an_invalid_address_is_reported(self, remote):
        pytest.importorskip("grpc")
        with pytest.raises(
            EngineError, match=f"SPARK_REMOTE is '{remote}'; expected a server of Spark Connect, such as"
        ):
            spark_session._check_remote(remote)


class TestMaster:
    def test_no_master_answers(self):
        port = free_port()
        arguments = f"--conf {spark_session.ANSWER_SETTING}=1s --master spark://127.0.0.1:{port} pyspark-shell"
        assert start(PYSPARK_SUBMIT_ARGS=arguments).endswith(
            f"EngineError: no master of Spark answers at 127.0.0.1:{port} within 1 seconds (Connection refused); "
            f"spark.master is spark://127.0.0.1:{port}. Start it there, or correct spark.master, in "
            "spark-defaults.conf, PYSPARK_SUBMIT_ARGS, or what spark-submit passes. To wait longer, set "
            "spark.rpc.io.connectionCreationTimeout, such as 60s."
        )

    def test_one_of_several_answers(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            spark_session._check_master(f"spark://127.0.0.1:{free_port()},127.0.0.1:{server.getsockname()[1]}", 1)

    def test_a_master_that_starts_meanwhile_is_waited_for(self):
        port = free_port()
        with ThreadPoolExecutor() as pool:
            later = pool.submit(lambda: sleep(0.5) or socket.create_server(("127.0.0.1", port)))
            spark_session._check_master(f"spark://127.0.0.1:{port}", 20)
            later.result().close()

    @pytest.mark.parametrize("scheme", ["", "http://", "https://"])
    def test_no_kubernetes_answers(self, scheme, monkeypatch):
        for name in spark_session.PROXIES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        with pytest.raises(EngineError, match=r"^no Kubernetes answers at 127\.0\.0\.1:\d+ within 1 seconds"):
            spark_session._check_master(f"k8s://{scheme}127.0.0.1:{free_port()}", 1)

    @pytest.mark.parametrize("master", ["local[2]", "yarn", "spark://host", "spark://host:port", "k8s://"])
    def test_a_master_without_an_address_is_not_tried(self, master):
        spark_session._check_master(master, 1)

    def test_no_configuration_of_hadoop(self, monkeypatch):
        for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"):
            monkeypatch.delenv(name, raising=False)
        assert start(PYSPARK_SUBMIT_ARGS="--master yarn pyspark-shell") == (
            "features.errors.EngineError: Spark cannot be started: When running with master 'yarn' either "
            "HADOOP_CONF_DIR or YARN_CONF_DIR must be set in the environment. Correct the setting, in "
            "spark-defaults.conf, PYSPARK_SUBMIT_ARGS, or what spark-submit passes."
        )
