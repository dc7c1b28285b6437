"""The access log: one JSON line per request, with the request id of the response and without ids of users."""

import json
import logging
import re
import sys
from contextlib import suppress

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.access_log import AccessLogMiddleware, JsonLineFormatter
from tests.conftest import run_async

MADE = re.compile(r"[0-9a-f]{32}")
SCORE = "/v1/users/{user}/score"


@pytest.fixture
def client(home):
    return TestClient(create_app(home), raise_server_exceptions=False)


@pytest.fixture
def lines(caplog):
    """Return a function that reads the logged requests, formatted as the service writes them."""
    caplog.set_level(logging.INFO, logger="clout.requests")

    def lines():
        written = [JsonLineFormatter().format(record) for record in caplog.records if record.name == "clout.requests"]
        assert all("\n" not in line for line in written)
        return [json.loads(line) for line in written]

    return lines


def test_a_request_is_one_line(client, lines):
    answer = client.get("/v1/users/user0001/score?scope=all")
    (line,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert 0 < line.pop("ms") < 60_000
    assert line == {
        "level": "info",
        "logger": "clout.requests",
        "message": "answered",
        "request_id": answer.headers["x-request-id"],
        "method": "GET",
        "route": SCORE,
        "status": 200,
    }


def test_request_has_its_own_id(client):
    generated = [client.get("/health").headers["x-request-id"] for _ in range(3)]
    assert all(MADE.fullmatch(line) for line in generated)
    assert len(set(generated)) == 3


@pytest.mark.parametrize("sent", ["a", "Trace-1.2_3", "0" * 64, "123e4567-e89b-12d3-a456-426614174000"])
def test_a_well_formed_request_id_is_used(client, lines, sent):
    assert client.get("/health", headers={"X-Request-ID": sent}).headers["x-request-id"] == sent
    assert lines()[0]["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "0" * 65, 'a"}{', "a\tb", b"\xff", b"\xc2\xb2", "a;b", "a\\nb", "<b>"])
def test_other_request_ids_are_replaced(client, lines, sent):
    ids = client.get("/health", headers={"X-Request-ID": sent}).headers["x-request-id"]
    assert MADE.fullmatch(ids)
    assert lines()[0]["request_id"] == ids


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/users/nobody/score", 404),
        ("GET", "/v1/users/user0001/score?as_of=never", 422),
        ("GET", "/ready", 503),
        ("PATCH", "/health", 405),
        ("GET", "/nowhere", 404),
    ],
)
def test_problems_have_the_request_id(client, method, path, status):
    answer = client.request(method, path, headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"], answer.json()["request_id"]) == (status, "mine", "mine")


def test_an_unforeseen_error_is_logged_once_with_its_traceback(client, lines, caplog):
    class Broken:
        newest = None

        def snapshot(self, _=None):
            raise ZeroDivisionError("odd")

    client.app.state.service = Broken()
    caplog.clear()
    answer = client.get("/v1/users/user0001/score", headers={"X-Request-ID": "mine"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "mine"
    (line,) = lines()
    assert (line["level"], line["status"], line["route"], line["request_id"]) == ("error", 500, SCORE, "mine")
    assert line["traceback"].startswith("Traceback (most recent call last)")
    assert line["traceback"].endswith("ZeroDivisionError: odd")
    assert len(caplog.records) == 1


def test_log_omits_users_and_paths(client, caplog):
    caplog.set_level(logging.DEBUG)
    headers = {"Authorization": "Bearer s3cret", "X-API-Key": "s3cret", "Cookie": "s3cret"}
    for path in ("user0001/score", "user0001/explanation", "user0001/change", "user0001/what-if", "user0001/nothing"):
        client.get(f"/v1/users/{path}?scope=s3cret", headers=headers)
    client.post("/v1/scores", json={"users": ["user0001"], "scope": "s3cret"}, headers=headers)
    client.get("/user0001", headers=headers)
    ours = [record for record in caplog.records if record.name.startswith(("clout", "uvicorn"))]
    written = "\n".join(JsonLineFormatter().format(record) for record in ours)
    assert written.count("\n") >= 6
    assert "user0001" not in written
    assert "s3cret" not in written


def test_every_record_is_one_json_line():
    try:
        raise ValueError('two\nlines "quoted"')
    except ValueError:
        failed = sys.exc_info()
    record = logging.LogRecord("clout", logging.WARNING, "file", 1, "found %s\nand 🙂", ("ünï",), failed)
    written = JsonLineFormatter().format(record)
    assert "\n" not in written
    assert json.loads(written)["message"] == "found ünï\nand 🙂"
    assert json.loads(written)["level"] == "warning"
    assert 'ValueError: two\nlines "quoted"' in json.loads(written)["traceback"]


def pass_through(app, scope):
    """Pass a scope through the middleware; return the recorded requests and the sent messages."""
    line, sent = [], []

    async def send(message):
        sent.append(message)

    with suppress(LookupError):
        run_async(AccessLogMiddleware(app, line.append)(scope, None, send))
    return line, sent


def test_other_scopes_pass_unrecorded():
    async def app(scope, receive, send):
        await send(scope)

    for kind in ("lifespan", "websocket"):
        assert pass_through(app, {"type": kind}) == ([], [{"type": kind}])


def test_a_request_is_counted_before_its_last_part_and_logged_after():
    events = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})
        raise LookupError("gone")

    async def send(message):
        events.append(message.get("body", message["type"]))

    record = AccessLogMiddleware(app, lambda counted: events.append(("counted", counted.error)), events.append)
    run_async(record({"type": "http", "method": "GET", "headers": []}, None, send))
    *before, logged = events
    assert before == ["http.response.start", b"a", ("counted", None), b"b"]
    assert isinstance(logged.error, LookupError)


@pytest.mark.parametrize("started", [False, True])
def test_unanswered_error_is_recorded(started):
    async def app(scope, receive, send):
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("gone")

    (record,), sent = pass_through(app, {"type": "http", "method": "GET", "headers": [(b"x-request-id", b"mine")]})
    assert (record.request_id, record.status, record.route) == ("mine", 200 if started else 500, "none")
    assert str(record.error) == "gone"
    assert len(sent) == started
