"""`clout serve` in its own process, on a port that the system chooses."""

import gc
import json
import re
import socket
import subprocess
import sys
import time

import httpx
import pytest
from typer.testing import CliRunner

from features.errors import CloutError
from serving.app import serve
from serving.cli import main as command
from tests import preloaded
from training.home import Home

SERVE = """
import sys
from pathlib import Path
from serving.app import serve
from training.home import Home
serve(Home(Path(sys.argv[1])), "127.0.0.1", 0)
"""


def address(process):
    """Read the log, JSON lines, up to the line with the port."""
    for line in process.stderr:
        assert json.loads(line)["level"] in ("info", "warning")
        if match := re.search(r"Listening on (http://127\.0\.0\.1:\d+),", line):
            return match[1]
    raise AssertionError(f"the service ended with {process.wait()}")


@pytest.fixture
def server(home):
    command = [sys.executable, "-c", SERVE, str(home.folder)]
    with preloaded.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            process.address = address(process)
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_it_answers_over_http(server):
    with httpx.Client(base_url=server.address, trust_env=False, timeout=20) as client:
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/ready").status_code == 503
        assert client.get("/v1/users/a%2Fb/score").json()["user"] == "a/b"
        assert client.get("/v1/users/%C3%BCn%C3%AF%2F%C3%A7%C3%B8d%C3%A9%20%F0%9F%99%82/explanation").status_code == 200
        for path in ("/v1/users/%FF/score", "/v1/users/%00/score", "/v1/users//score"):
            assert client.get(path).json()["type"] == "urn:clout:problem:unknown-user"


def test_a_head_request_gets_no_body(server):
    address = httpx.URL(server.address)
    with socket.create_connection((address.host, address.port), timeout=20) as connection:
        for path in ("/health", "/v1/users/user0001/score", "/v1/nowhere", "/docs"):
            connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: clout\r\n\r\n".encode())
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65_536)
            assert received.startswith(b"HTTP/1.1 404" if path == "/v1/nowhere" else b"HTTP/1.1 200")
            assert received.endswith(b"\r\n\r\n")


def test_persistent_connection_is_answered_without_delay(server):
    """Nagle's algorithm would delay the second packet of each answer by up to 40 ms."""
    with httpx.Client(base_url=server.address, trust_env=False, timeout=20) as client:
        seconds = []
        for _ in range(40):
            began = time.perf_counter()
            client.get("/health")
            seconds.append(time.perf_counter() - began)
    assert sorted(seconds)[len(seconds) // 2] < 0.03


def test_its_log_is_json_lines_without_ids(server):
    with httpx.Client(base_url=server.address, trust_env=False, timeout=20) as client:
        client.get("/v1/users/user0001/score", headers={"X-Request-ID": "mine"})
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        client.get("/v1/users/user0001/explanation", headers=upgrade | {"Sec-WebSocket-Key": "x" * 22 + "=="})
    server.terminate()
    written = server.stderr.read()
    lines = [json.loads(line) for line in written.splitlines()]
    routes = {line["request_id"]: line["route"] for line in lines if line["logger"] == "clout.requests"}
    assert routes["mine"] == "/v1/users/{user}/score"
    assert "user0001" not in written


def test_a_port_in_use_is_reported():
    with socket.create_server(("127.0.0.1", 0)) as seconds:
        port = seconds.getsockname()[1]
        with pytest.raises(CloutError, match=f"cannot listen on 127.0.0.1 port {port}: .*Choose another"):
            serve(Home("nowhere"), "127.0.0.1", port)


@pytest.mark.parametrize("host", ["::1", "[::1]", "127.0.0.1"])
def test_the_command_prints_its_address(home, host):
    run = [sys.executable, "-c", "from serving.cli.main import main; main()", "serve", "--host", host, "--port", "0"]
    with subprocess.Popen([*run, "--home", str(home.folder)], stderr=subprocess.PIPE, text=True) as process:
        try:
            literal = "[::1]" if ":" in host else host
            printed = re.compile(
                rf"Pages for reviewers: \S+, API documentation: (http://{re.escape(literal)}:[1-9]\d*)/docs"
            )
            address = next(match[1] for line in process.stderr if (match := printed.match(line)))
            with httpx.Client(base_url=address, trust_env=False, timeout=20) as client:
                assert client.get("/health").status_code == 200
        finally:
            process.terminate()
            process.communicate(timeout=20)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 65_536), ("256.0.0.1", 0)])
def test_an_invalid_address_is_reported(host, port):
    with pytest.raises(CloutError, match="cannot listen on"):
        serve(Home("nowhere"), host, port)


def test_garbage_collection_is_on_after_the_start(home, champion, monkeypatch):
    started = []

    class Server:
        def __init__(self, config):
            started.append(config.app)

        def run(self, **_):
            started.append(gc.isenabled())

    monkeypatch.setattr("serving.app.uvicorn.Server", Server)
    monkeypatch.setattr("serving.app.dictConfig", lambda *_: None)  # the logging of the tests must not change
    answer = CliRunner().invoke(command.app, ["serve", "--port", "0", "--home", str(home.folder)])
    assert answer.exit_code == 0, answer.output
    assert started[1:] == [True]
    gc.unfreeze()


def test_garbage_collection_is_on_after_a_failed_start(tmp_path):
    answer = CliRunner().invoke(command.app, ["serve", "--workers", "0", "--home", str(tmp_path)])
    assert isinstance(answer.exception, CloutError)
    assert gc.isenabled()
