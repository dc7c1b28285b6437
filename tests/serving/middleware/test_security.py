"""Attacks: ids that are code, paths or headers; content that a browser would execute; pickles."""

import ast
import json
import pickle
import re
from pathlib import Path
from urllib.parse import quote, unquote

import mlflow
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.api_keys import add_key
from serving.middleware.headers import HEADERS
from tests.conftest import run_async
from training.home import Home
from training.registry.model_registry import load_champion, promote, register

ROOT = Path(__file__).resolve().parents[3]
UNPICKLING = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
HOSTILE = {
    "sql": "' OR 1=1; DROP TABLE users; --",
    "union": "x') UNION SELECT * FROM read_text('/etc/passwd') --",
    "html": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "template": "{{7*7}}${7*7}%s%n{0.__class__}",
    "up": "../../../../etc/passwd",
    "up a bit": "a/../b",
    "dots": "....//....//snapshot.json",
    "backslashes": "..\\..\\snapshot.json",
    "nul": "user0001\x00.parquet",
    "line ends": "x\r\nX-Injected: yes\r\n\r\n<html>",
    "other line ends": "x\u2028\u2029\x85\x0b",
    "bidirectional": "\u202etxt.exe",
    "url": "http://169.254.169.254/latest",
    "absolute": "/etc/passwd",
    "long": "x" * 5000,
    "too long": "x" * 20_000,
    "many slashes": "/" * 2000,
    "emoji": "\U0001f600" * 500,
    "json": '{"$ne": null}',
    "home": "~root/$HOME/`id`",
    "suffix": "a/score?x=/explanation#",
    "percent": "%2e%2e%2f%00%0d%0a",
}
# Bytes of a path that are not valid text, and characters that HTTP clients would not send.
RAW = ["%00", "%ED%A0%80", "%FF%FE", "%C0%AE%C0%AE%C0%AF", "%2e%2e%2f%2e%2e", "%0d%0aX-Injected:%20yes", "%", "%zz"]

# Routes that also accept ids that are in no snapshot.
FOR_ANYBODY = {"/v1/users/{user}/reads": [200]}


@pytest.fixture
def app(home, champion):
    return create_app(home)


@pytest.fixture
def client(app):
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def operations(tmp_path_factory):
    paths = create_app(Home(tmp_path_factory.mktemp("empty") / "home")).openapi()["paths"]
    return [(method, path, operation) for path, methods in paths.items() for method, operation in methods.items()]


@pytest.fixture
def user_paths(operations):
    matches = [path for method, path, _ in operations if method == "get" and "{" in path]
    assert len(matches) >= 4
    return matches


def check_harmless(answer):
    """Check that an answer is no server error, is JSON, has every security header, and leaks nothing."""
    assert answer.status_code < 500, answer.text[:500]
    kind = "application/json" if answer.status_code == 200 else "application/problem+json"
    assert answer.headers["content-type"] == kind
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "x-injected" not in answer.headers
    assert not any("\r" in value or "\n" in value for value in answer.headers.values())
    text = json.dumps(answer.json())
    for leak in ("root:x:0:0", "Traceback", "site-packages"):
        assert leak not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_ids_in_paths(client, user_paths, name):
    for path in user_paths:
        answer = client.get(re.sub(r"\{\w+\}", lambda _: quote(HOSTILE[name], safe=""), path))
        check_harmless(answer)
        assert answer.status_code in (404, 414, *FOR_ANYBODY.get(path, ()))
        if answer.status_code == 404 and "there is no route" not in answer.json()["detail"]:
            expected = ("unknown-user", "absent-scope", "absent-snapshot", "absent-receipt", "unknown-case")
            assert answer.json()["type"].rpartition(":")[2] in expected


@pytest.mark.parametrize("raw", RAW)
def test_raw_bytes_in_paths(app, user_paths, raw):
    """Call the app as uvicorn does, with a decoded path."""
    for path in user_paths:
        raw_path = re.sub(r"\{\w+\}", lambda _: raw, path)
        status, headers, body = call(app, raw_path)
        assert status in (404, *FOR_ANYBODY.get(path, ()))
        assert b"x-injected" not in headers
        if status == 404:
            assert headers[b"content-type"] == b"application/problem+json"
            assert json.loads(body)["status"] == 404


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_in_every_query_parameter(client, operations, name):
    for method, path, operation in operations:
        user_path = path.replace("{user}", "user0001")
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "query":
                check_harmless(client.request(method, user_path, params={parameter["name"]: HOSTILE[name]}))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_in_bodies(client, name):
    value = HOSTILE[name]
    answer = client.post("/v1/scores", json={"users": [value], "scope": "all"})
    check_harmless(answer)
    assert (answer.status_code, answer.json()["unknown"]) == (200, [value])
    for body in (
        {"users": ["user0001"], "scope": value},
        {"rows": [{value: 1.0}]},
        {value: 1},
        {"rows": [{"acts": value}]},
    ):
        check_harmless(client.post("/v1/scores", json=body))


def test_halves_of_surrogate_pairs_in_bodies(client):
    for body in (
        b'{"users": ["\\udc00"]}',
        b'{"users": [], "scope": "\\ud800"}',
        b'{"rows": [{"\\ud800": 1}]}',
        b'{"\\ud800": 1}',
    ):
        answer = client.post("/v1/scores", content=body, headers={"content-type": "application/json"})
        check_harmless(answer)
        assert answer.status_code == 422


def call(app, path, headers=()):
    """Call an application directly; an HTTP client would correct the request."""
    raw, _, query = path.encode("latin-1").partition(b"?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": unquote(raw.decode("latin-1")), "raw_path": raw, "query_string": query, "root_path": "",
        "headers": list(headers), "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    run_async(app(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(
    "name",
    [
        "x-request-id",
        "x-forwarded-for",
        "x-forwarded-host",
        "host",
        "accept",
        "authorization",
        "clout-purpose",
        "traceparent",
    ],
)
def test_hostile_headers_are_not_echoed(app, name):
    for value in (b"a\r\nX-Injected: yes", b"<script>", b"\xff\x00", b"x" * 8000, b"../../x", b""):
        status, headers, body = call(app, "/v1/users/user0001/score", [(name.encode(), value)])
        assert status < 500
        assert not any(b"\r" in header or b"\n" in header or b"\x00" in header for header in headers.values())
        assert b"x-injected" not in {header.lower() for header in headers}
        assert b"<script>" not in body


@pytest.mark.parametrize("status", [200, 401, 404, 405, 414, 422, 500])
def test_every_answer_has_the_security_headers(home, app, client, status):
    if status == 401:
        add_key(home, "ann", "read")
    if status == 500:
        app.state.service = None
    paths = {404: "/nowhere", 414: "/" + "x" * 9000, 422: "/v1/users/user0001/score?as_of=x"}
    method = "PATCH" if status == 405 else "GET"
    answer = client.request(method, paths.get(status, "/v1/users/user0001/score"))
    assert answer.status_code == status
    for name, value in HEADERS.items():
        assert answer.headers[name] == value


def test_docs_page_allows_only_scripts_of_the_service(client):
    answer = client.get("/docs")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; frame-ancestors 'none'" in policy
    assert re.findall(r"script-src ([^;]+)", policy) == ["'self'"]
    assert "http" not in policy
    assert re.findall(r"<script>", answer.text) == []
    assert client.get("/redoc").status_code == 404


def test_no_module_reads_pickles():
    files = [file for layer in ("features", "training", "serving") for file in (ROOT / layer).rglob("*.py")]
    assert len(files) > 100
    uses = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = {alias.name.split(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()
            names |= {str(node.module).split(".")[0]} if isinstance(node, ast.ImportFrom) else set()
            if isinstance(node, ast.Call):
                names |= {keyword.arg for keyword in node.keywords if keyword.arg == "allow_pickle"}
            if isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "to_pickle"):
                names |= {"pickle"}
            if names & (UNPICKLING | {"allow_pickle"}):
                uses[str(file.relative_to(ROOT))] = names
    assert uses == {}


def test_loading_and_using_the_champion_reads_no_pickle(tmp_path, home, bundle, monkeypatch):
    home = Home(home.folder, f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    version = register(home, bundle, {}, {}, {}, {})
    promote(home, version)

    def refuse(*_, **__):
        raise AssertionError("a pickle was read")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    loaded, loaded_version = load_champion(home)
    assert (str(loaded_version), loaded.features) == (str(version), bundle.features)
    client = TestClient(create_app(home), raise_server_exceptions=False)
    for path in ("/v1/model", "/v1/users/user0001/explanation", "/v1/users/user0001/what-if", "/ready"):
        assert client.get(path).status_code == 200, path
    assert client.post("/v1/scores", json={"rows": [{"responder_rate_365d": 3}]}).status_code == 200
    with pytest.raises(AssertionError, match="a pickle was read"):
        pickle.loads(b"")
    assert mlflow  # import its classes before unpickling is blocked, because they derive from unpicklers
