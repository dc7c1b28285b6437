"""Fast routes about one user: without a query, the answer equals that of FastAPI with the default query."""

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.api_keys import add_key
from serving.privacy.purposes import PurposePolicy
from training.home import Home
from training.records.opt_outs import opt_out


@pytest.fixture
def client(home, champion):
    return TestClient(create_app(home), raise_server_exceptions=False)


def message(response):
    """Return status, headers and body of a response."""
    return response.status_code, dict(response.headers), response.content


def both(client, path, **headers):
    """Send a request without a query and one with the default query; check that the answers are equal."""
    headers["X-Request-ID"] = "one"
    fast, slow = (client.get(f"/v1/users/{path}{query}", headers=headers) for query in ("", "?scope=all"))
    assert message(fast) == message(slow)
    return fast


@pytest.mark.parametrize("what", ["score", "explanation"])
@pytest.mark.parametrize(("user", "status"), [("user0001", 200), ("a%2Fb", 200), ("nobody", 404), ("user0002", 410)])
def test_answers_are_the_same(client, home, user, status, what):
    opt_out(home, "user0002")
    assert both(client, f"{user}/{what}").status_code == status


@pytest.mark.parametrize("what", ["score", "explanation"])
def test_a_prohibited_purpose_is_refused_either_way(client, what):
    body = both(client, f"user0001/{what}", **{"Clout-Purpose": "credit scoring"})
    assert body.status_code == 403


def test_an_insufficient_key_is_refused_either_way(home, champion):
    key = add_key(home, "dashboard", "read")
    client = TestClient(create_app(home), raise_server_exceptions=False)
    for what, status in {"score": 200, "explanation": 403}.items():
        assert both(client, f"user0001/{what}", Authorization=f"Bearer {key}").status_code == status
        assert both(client, f"user0001/{what}").status_code == 401


def test_a_service_without_a_snapshot_says_so_either_way(tmp_path, champion):
    client = TestClient(create_app(Home(tmp_path)), raise_server_exceptions=False)
    assert both(client, "user0001/score").status_code == 503


def test_a_required_purpose_is_required_either_way(home, champion):
    client = TestClient(create_app(home, purposes=PurposePolicy(demanded=True)), raise_server_exceptions=False)
    assert both(client, "user0001/score").status_code == 400
    assert both(client, "user0001/score", **{"Clout-Purpose": "community moderation"}).status_code == 200
