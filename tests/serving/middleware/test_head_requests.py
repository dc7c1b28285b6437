"""HEAD requests: the response of GET without its body, on every route with GET."""

import logging

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.access_log import FIELDS
from serving.middleware.api_keys import add_key
from serving.privacy.audit_check_and_reads import reads_about


@pytest.fixture
def client(home, champion):
    return TestClient(create_app(home), raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("path", "status"),
    {
        "/health": 200,
        "/ready": 200,
        "/metrics": 200,
        "/docs": 200,
        "/openapi.json": 200,
        "/v1/model": 200,
        "/v1/users?limit=3": 200,
        "/v1/users/user0001/score": 200,
        "/v1/users/user0001/score?scope=topic:birds": 200,
        "/v1/users/user0001/history": 200,
        "/v1/users/nobody/score": 404,
        "/v1/users?limit=0": 422,
        "/nowhere": 404,
    }.items(),
)
def test_head_gets_the_headers_of_get_and_no_body(client, path, status):
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (status, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    if path != "/metrics":  # every request changes its counts
        assert len(head.headers["content-length"]) == len(get.headers["content-length"])


@pytest.mark.parametrize("path", ["/v1/scores", "/v1/users/user0001/cases"])
def test_routes_without_get_refuse_head(client, path):
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (405, b"")
    assert answer.headers["allow"] == "POST"


def test_head_requires_the_key_of_get(home, champion):
    key = add_key(home, "dashboard", "read")
    client = TestClient(create_app(home), raise_server_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    assert client.head("/v1/users/user0001/score").status_code == 401
    assert client.head("/v1/users/user0001/score", headers=headers).status_code == 200
    assert client.head("/v1/users/user0001/explanation", headers=headers).status_code == 403


def test_logs_contain_the_method_head(client, home, caplog):
    with caplog.at_level(logging.INFO, "clout.requests"):
        client.head("/v1/users/user0001/score")
        client.head("/v1/scores")
    assert [getattr(record, FIELDS)["method"] for record in caplog.records] == ["HEAD", "HEAD"]
    (read,) = reads_about(home, "user0001").reads
    assert (read.method, read.route, read.status) == ("HEAD", "/v1/users/{user}/score", 200)
    assert 'method="HEAD",route="/v1/users/{user}/score",status="200"' in client.get("/metrics").text
