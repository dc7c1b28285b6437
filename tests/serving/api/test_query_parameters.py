"""Unknown query parameters are refused on every route of the API; the message lists the known ones."""

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app


@pytest.fixture
def client(home, champion):
    return TestClient(create_app(home), raise_server_exceptions=False)


def test_every_route_refuses_unknown_parameters_and_lists_its_own(client):
    requests = 0
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            if not path.startswith("/v1/"):
                continue
            valid = sorted(item["name"] for item in operation.get("parameters", []) if item["in"] == "query")
            filled = path.replace("{user}", "user0001").replace("{case}", "x")
            answer = client.request(method, filled, params={"zzz": "1"})
            assert answer.status_code == 422, (method, path, answer.text)
            expected = f"expected {', '.join(valid)}" if valid else "this route has none"
            (error,) = [error for error in answer.json()["errors"] if error["where"] == "query.zzz"]
            assert error["detail"] == f"unknown query parameter; {expected}"
            requests += 1
    assert requests > 15


def test_a_close_name_is_suggested(client):
    answer = client.get("/v1/users?min_scor=50")
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:clout:problem:invalid-request"
    assert answer.json()["detail"].startswith(
        "query.min_scor: unknown query parameter (did you mean 'min_score'?); expected as_of, contains, cursor, "
    )


def test_posted_rows_refuse_unknown_parameters(client):
    body = {"rows": [{"responder_rate_365d": 3}]}
    assert client.post("/v1/scores", json=body).status_code == 200
    assert client.post("/v1/scores?scope=all", json=body).status_code == 422


def test_every_unknown_parameter_is_named(client):
    answer = client.get("/v1/users/user0001/score?a=1&b=2&scope=all&a=3")
    assert [error["where"] for error in answer.json()["errors"]] == ["query.a", "query.b"]


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_health_routes_accept_any_parameter(client, path):
    assert client.get(f"{path}?t=1700000000").status_code == 200
