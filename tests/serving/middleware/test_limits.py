"""Limits of requests: size, duration and rate; exceeding one is a problem that states the limit."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from serving.api.routes import users
from serving.app import create_app
from serving.middleware.api_keys import add_key
from serving.middleware.rate_limit import MOST_CALLERS, Buckets, RateLimitMiddleware
from serving.middleware.request_limits import LONGEST_ADDRESS, LONGEST_HEADERS, Limits
from tests import preloaded

SERVE = """
import sys
from pathlib import Path
from serving.app import serve
from serving.middleware.request_limits import Limits
from training.home import Home
serve(Home(Path(sys.argv[1])), "127.0.0.1", 0, Limits(body_bytes=1000, body_seconds=1))
"""
JSON = {"content-type": "application/json"}


@pytest.fixture
def client_with(home, champion):
    def make(**settings):
        return TestClient(create_app(home, limits=Limits(**settings)), raise_server_exceptions=False)

    return make


def problem(answer, status):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    return answer.json()["detail"]


def body_of(size):
    return json.dumps({"users": ["x" * (size - len('{"users": [""]}'))]}).encode()


def test_a_body_up_to_the_limit_is_accepted(client_with):
    client = client_with(body_bytes=1000)
    assert client.post("/v1/scores", content=body_of(1000), headers=JSON).status_code == 200
    message = problem(client.post("/v1/scores", content=body_of(1001), headers=JSON), 413)
    assert message == "the body holds 1,001 bytes, expected 1,000 at most; send it in several requests."


@pytest.mark.parametrize("length", [None, "10", "0", "9" * 30])
def test_a_body_without_or_with_a_false_length_is_counted(client_with, length):
    client = client_with(body_bytes=1000)
    headers = JSON if length is None else JSON | {"content-length": length}

    def pieces(size):
        body = body_of(size)
        yield from (body[k : k + 100] for k in range(0, size, 100))

    assert client.post("/v1/scores", content=pieces(1000), headers=headers).status_code == 200
    assert "expected 1,000 at most" in problem(client.post("/v1/scores", content=pieces(1001), headers=headers), 413)


def test_the_largest_batch_fits_the_default_limit(client_with):
    ids = [f"user{k:0>60}" for k in range(10_000)]
    assert client_with().post("/v1/scores", json={"users": ids}).status_code == 200
    assert "8,388,608" in problem(client_with().post("/v1/scores", content=b" " * (8 << 20) + b"{}"), 413)


@pytest.mark.parametrize(
    "body", [b"[" * n + b"]" * n for n in (100, 100_000, 1_000_000)] + [b'{"users": ["\xff"]}', b"\xff\xfe"], ids=len
)
def test_deeply_nested_or_undecodable_json_is_a_problem(client_with, body):
    answer = client_with().post("/v1/scores", content=body, headers=JSON)
    assert problem(answer, 422)
    assert answer.json()["errors"][0]["where"].startswith("body")


def test_long_urls_and_headers_are_refused(client_with):
    client = client_with()
    room = LONGEST_ADDRESS - len("/v1/users//score")
    assert problem(client.get(f"/v1/users/{'x' * room}/score"), 404)
    for path in (f"/v1/users/{'x' * (room + 1)}/score", f"/v1/model?{'x' * LONGEST_ADDRESS}", "/" + "%2F" * 3000):
        assert "expected 8,192 at most" in problem(client.get(path), 414)
    assert "expected 16,384 at most" in problem(client.get("/v1/model", headers={"x": "y" * LONGEST_HEADERS}), 431)
    assert client.get("/v1/model", headers={"x": "y" * (LONGEST_HEADERS - 1000)}).status_code == 200


def test_a_token_bucket_by_hand():
    now = [0.0]
    buckets = Buckets(2.0, clock=lambda: now[0])  # the bucket holds 4 tokens
    assert [buckets.take("ann") for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert buckets.take("bob") == 0
    now[0] = 0.25
    assert buckets.take("ann") == pytest.approx(0.25)
    now[0] = 0.5
    assert [buckets.take("ann"), buckets.take("ann")] == [0, 0.5]
    now[0] = 1e6
    assert [buckets.take("ann") for _ in range(5)] == [0, 0, 0, 0, 0.5]


def test_a_slow_rate_allows_the_first_request():
    now = [0.0]
    buckets = Buckets(0.1, clock=lambda: now[0])
    assert [buckets.take("ann"), buckets.take("ann")] == [0, pytest.approx(10)]
    now[0] = 10.0
    assert buckets.take("ann") == 0


def test_the_number_of_remembered_clients_is_limited():
    buckets = Buckets(1.0, clock=lambda: 0.0)
    for k in range(3 * MOST_CALLERS):
        buckets.take(str(k))
    assert len(buckets._buckets) == MOST_CALLERS


def test_keys_have_separate_rates(home, champion):
    ann, bob = (add_key(home, name, "read") for name in ("ann", "bob"))
    client = TestClient(create_app(home, limits=Limits(rate=0.5)), raise_server_exceptions=False)

    def ask(key):
        return client.get("/v1/catalogue", headers={"Authorization": f"Bearer {key}"})

    assert ask(ann).status_code == 200
    answer = ask(ann)
    assert "more than 0.5 requests a second came from this caller" in problem(answer, 429)
    assert answer.headers["retry-after"] == "2"
    assert ask(bob).status_code == 200
    assert ask("wrong").status_code == 401
    assert {client.get("/health").status_code for _ in range(5)} == {200}


def test_without_keys_rates_are_per_address(client_with):
    client = client_with(rate=0.5)
    assert [client.get("/v1/catalogue").status_code for _ in range(3)] == [200, 429, 429]
    assert {client.get("/ready").status_code for _ in range(3)} == {200}
    unlimited = client_with()
    assert {unlimited.get("/v1/catalogue").status_code for _ in range(500)} == {200}


@pytest.mark.parametrize(("rate", "keys", "addresses"), [(None, 200, None), (0, None, None), (5, 5, 5)])
def test_default_rates(rate, keys, addresses):
    rates = RateLimitMiddleware(None, rate)
    assert (rates._keys and rates._keys.rate, rates._addresses and rates._addresses.rate) == (keys, addresses)


@pytest.fixture
def server(home):
    command = [sys.executable, "-c", SERVE, str(home.folder)]
    with preloaded.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield int(next(match[1] for line in process.stderr if (match := re.search(r"127\.0\.0\.1:(\d+),", line))))
        finally:
            process.terminate()
            process.communicate(timeout=20)


def answer_to(port, *parts, pause=0.0):
    """Send the parts of a request with pauses in between; read until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for k, part in enumerate(parts):
            time.sleep(pause if k else 0)
            connection.sendall(part)
        return b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode("latin-1")


HEAD = b"POST /v1/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def test_limits_of_a_real_service(server):
    message = answer_to(server, HEAD + b"Content-Length: 1000000\r\n\r\n")
    assert message.startswith("HTTP/1.1 413 ")
    chunks = b"".join(b"64\r\n" + b" " * 100 + b"\r\n" for _ in range(11))
    message = answer_to(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert message.startswith("HTTP/1.1 413 ")
    start = time.monotonic()
    message = answer_to(server, HEAD + b"Content-Length: 500\r\n\r\n{")
    assert message.startswith("HTTP/1.1 408 ")
    assert "the body did not arrive within 1 seconds" in message
    assert time.monotonic() - start < 10
    assert "x-content-type-options: nosniff" in message
    message = answer_to(server, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert message.startswith("HTTP/1.1 200 ")


def test_a_slow_body_does_not_extend_its_timeout(server):
    start = time.monotonic()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        answer_to(server, HEAD + b"Content-Length: 500\r\n\r\n", *[b" "] * 100, pause=0.1)
    assert time.monotonic() - start < 5


def test_a_lifespan_scope_passes(home, champion):
    with TestClient(create_app(home)) as client:
        assert client.get("/health").status_code == 200


GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_connection_answers_several_requests(server):
    answers = answer_to(server, GET, GET, GET[:20], GET[20:-2] + b"Connection: close\r\n\r\n", pause=0.7)
    assert answers.count("HTTP/1.1 200 ") == 3


@pytest.mark.parametrize("sent", [b"hello\r\n\r\n", b"\x16\x03\x01" * 9 + b"\r\n\r\n"])
def test_bytes_that_are_not_http_are_refused(server, sent):
    assert answer_to(server, sent).startswith("HTTP/1.1 400 ")


@pytest.mark.parametrize("before", [b"", GET], ids=["first", "kept alive"])
@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nx: ", b"GET /"], ids=["header", "path"])
def test_unfinished_headers_are_limited(server, before, start):
    message = answer_to(server, before + start, *[b"y" * 4_000] * 9, pause=0.05)
    assert "HTTP/1.1 400 " in message
    assert "longer than 16,384 bytes" in message


def test_complete_headers_over_the_limit_are_refused_as_a_problem(server):
    message = answer_to(server, GET[:-2] + b"x: " + b"y" * LONGEST_HEADERS + b"\r\nConnection: close\r\n\r\n")
    assert message.startswith("HTTP/1.1 431 ")
    assert "content-type: application/problem+json" in message


def test_slow_answer_is_reported(client_with, monkeypatch):
    client = client_with(answer_seconds=0.2)
    waiting, ended = threading.Event(), threading.Event()

    def hang(*_):
        waiting.wait(20)
        ended.set()
        raise OSError("the disk came back too late")

    monkeypatch.setattr(users, "history_of", hang)
    begun = time.monotonic()
    with client:
        message = problem(client.get("/v1/users/user0001/history"), 503)
        assert 0.2 <= time.monotonic() - begun < 10
        assert message.startswith("no answer within 0.2 seconds. The work continues")
        assert client.get("/v1/users/user0001/score").status_code == 200
        waiting.set()
        assert ended.wait(20)
        assert client.get("/ready").status_code == 200


def test_hanging_threads_do_not_block_scores_and_readiness(client_with, monkeypatch):
    client, waiting = client_with(answer_seconds=0.2), threading.Event()
    monkeypatch.setattr(users, "history_of", lambda *_: waiting.wait(20))
    with client, ThreadPoolExecutor(60) as pool:
        begun = time.monotonic()
        pending = [pool.submit(client.get, "/v1/users/user0001/history") for _ in range(60)]
        assert {future.result().status_code for future in pending} == {503}
        for path in ("/ready", "/v1/users/user0001/score", "/v1/users/user0001/explanation"):
            assert client.get(path).status_code == 200
        assert client.get("/v1/users/nobody/score").status_code == 404
        for many in (1, 500, 5_000):
            rows = {"rows": [{"responder_rate_365d": 3}] * many}
            assert client.post("/v1/scores", json=rows).status_code == 200
        assert time.monotonic() - begun < 10
        waiting.set()


def test_errors_pass_unchanged(client_with):
    client = client_with(answer_seconds=5.0)
    assert client.get("/v1/users/nobody/history").status_code == 404
    assert client.get("/v1/users/user0001/change?from=yesterday").status_code == 422
