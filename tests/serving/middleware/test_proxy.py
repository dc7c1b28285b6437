"""Behind a proxy: all routes work under a prefix, and only a trusted proxy can set prefix and client address."""

import json
import logging

import pytest
from fastapi.testclient import TestClient

from features.errors import CloutError
from serving.api.docs import PATH
from serving.app import create_app
from serving.middleware.access_log import FIELDS
from serving.middleware.api_keys import add_key
from serving.middleware.proxy import OWN_SEGMENTS, Proxy, ProxyMiddleware
from serving.middleware.request_limits import Limits
from serving.privacy.audit_check_and_reads import reads_about
from tests.conftest import run_async

PREFIX = {"X-Forwarded-Prefix": "/clout"}


def client_of(home, proxy=None, address="127.0.0.1", **options):
    app = create_app(home, proxy=proxy or Proxy(), **options)
    return TestClient(app, raise_server_exceptions=False, client=(address, 50_000))


@pytest.fixture(params=["keeps", "removes", "forwarded"])
def ask(request, home, champion):
    """Send a request through a proxy that keeps the prefix, strips it, or sends it in a header."""
    client = client_of(home, Proxy("/clout/" if request.param != "forwarded" else ""))
    keeps, headers = request.param == "keeps", PREFIX if request.param == "forwarded" else {}

    def send(path, method="GET", **more):
        return client.request(method, f"/clout{path}" if keeps else path, headers=headers, **more)

    return send


@pytest.mark.parametrize("user", ["user0001", "a%2Fb", "x%2Fscore", "%2E%2E"])
def test_users_are_answered_under_a_prefix(ask, home, user):
    direct = client_of(home).get(f"/v1/users/{user}/score")
    assert (ask(f"/v1/users/{user}/score").content, direct.status_code) == (direct.content, 200)
    assert ask(f"/v1/users/{user}/score?scope=all").content == direct.content


def test_requests_about_users_are_logged_under_a_prefix(ask, home, caplog):
    with caplog.at_level(logging.INFO, "clout.requests"):
        ask("/v1/users/user0001/score")
    assert [getattr(record, FIELDS)["route"] for record in caplog.records] == ["/v1/users/{user}/score"]
    (read,) = reads_about(home, "user0001").reads
    assert ask("/clout/clout/v1/users/user0001/score").status_code == 404
    assert read.route == "/v1/users/{user}/score"
    refused = ask("/v1/users/user0001/score?x=1")
    assert refused.json()["instance"] == "/clout/v1/users/user0001/score"
    assert "/clout/docs lists them" in ask("/nowhere").json()["detail"]


def test_slashes_in_ids_that_are_deleted_stay_encoded_under_a_prefix(ask):
    assert ask("/v1/users/a/b", "DELETE").status_code == 404
    deleted = ask("/v1/users/a%2Fb", "DELETE")
    assert deleted.status_code == 202
    location = deleted.headers["location"]
    assert location.startswith("/clout/v1/receipts/")
    assert ask(location.removeprefix("/clout")).json()["receipt"] == deleted.json()["receipt"]


def test_docs_work_under_a_prefix(ask, home):
    page = ask(PATH)
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    document = ask("/openapi.json").json()
    assert document["servers"] == [{"url": "/clout"}]
    assert "servers" not in client_of(home).get("/openapi.json").json()


def test_keys_are_required_for_the_same_paths_under_a_prefix(home, champion):
    add_key(home, "dashboard", "read")
    client = client_of(home, Proxy("/clout"))
    for path in ("/health", "/ready", PATH, "/openapi.json"):
        assert client.get(f"/clout{path}").status_code == client.get(path).status_code == 200
    for path in ("/v1/users/user0001/score", "/metrics", "/nowhere"):
        assert client.get(f"/clout{path}").status_code == client.get(path).status_code == 401


def test_other_prefixes_are_unknown_paths(home, champion):
    client = client_of(home, Proxy("/clout"))
    for path in ("/other/v1/model", "/cloutx/v1/model", "/clout/clout/v1/model"):
        assert client.get(path).status_code == 404
    for path in ("/clout", "/clout/"):
        page = client.get(path)
        assert page.status_code == 200
        assert 'href="/clout/u/' in page.text


@pytest.mark.parametrize("value", ["clout", "//evil", "/a//b", "/a?b", "/\x00", "/<x>", "/v1", "/a b", ""])
def test_an_invalid_forwarded_prefix_is_ignored(home, champion, value):
    client = client_of(home)
    answer = client.get("/openapi.json", headers={"X-Forwarded-Prefix": value})
    assert (answer.status_code, "servers" in answer.json()) == (200, False)


def test_only_a_trusted_proxy_can_set_the_prefix(home, champion):
    for address, proxy, servers in (
        ("203.0.113.9", Proxy(), None),
        ("203.0.113.9", Proxy(trusted="203.0.113.0/24"), [{"url": "/clout"}]),
        ("203.0.113.9", Proxy(trusted="*"), [{"url": "/clout"}]),
        ("::1", Proxy(), [{"url": "/clout"}]),
    ):
        client = client_of(home, proxy, address)
        assert client.get("/openapi.json", headers=PREFIX).json().get("servers") == servers


def test_only_a_trusted_proxy_can_set_the_client_address(home, champion):
    for trusted, statuses in (("127.0.0.1", [200, 200, 200, 429]), ("10.0.0.1", [200, 429, 429, 429])):
        client = client_of(home, Proxy(trusted=trusted), limits=Limits(rate=0.001))
        clients = ("203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.1")
        answers = [client.get("/v1/model", headers={"X-Forwarded-For": name}) for name in clients]
        assert [answer.status_code for answer in answers] == statuses


@pytest.mark.parametrize("path", ["clout", "/v1", "/docs/x", "/a b", "/a/../b?", "http://proxy/clout"])
def test_an_invalid_root_path_is_reported(path):
    with pytest.raises(CloutError, match=r"the root path .* is not usable; expected a path such as /clout"):
        Proxy(path)


def test_a_prefix_cannot_shadow_a_path_of_the_service(home, champion):
    document = client_of(home).get("/openapi.json").json()
    assert {path.split("/")[1] for path in document["paths"]} | {"docs", "openapi.json"} == OWN_SEGMENTS


def test_other_events_pass_unchanged():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)

    run_async(ProxyMiddleware(app, Proxy("/clout"))({"type": "lifespan"}, None, None))
    assert json.dumps(scopes) == '[{"type": "lifespan"}]'
