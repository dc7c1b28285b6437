"""Purposes: only those that the operator allows are accepted; prohibited uses are published with reasons."""

import json
import os
import re
import signal
import subprocess
import sys

import httpx
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.request_context import about_people
from serving.privacy.purposes import (
    DEFAULT_PURPOSES,
    MAX_LENGTH,
    PurposeError,
    PurposePolicy,
    parse_purpose,
    purpose_policy,
)
from tests import preloaded
from training.prohibited_uses import PROHIBITED_USES

SCORE = "/v1/users/user0001/score"
CLOUT = "import sys; from serving.cli.main import main; sys.argv[0] = 'clout'; main()"
ALLOWED = [*DEFAULT_PURPOSES, "Community Moderation", "MODEL REVIEW", "own  score", " own score "]
REFUSED = [
    "hiring", "Hiring decisions", "job applicants", "credit scoring", "insurance", "tenant screening", "minors",
    "community moderation and hiring", "community-moderation", "moderation", "modération", "curiosity", "own",
    "x" * MAX_LENGTH,
]  # fmt: skip


@pytest.fixture
def client(home, champion):
    return TestClient(create_app(home), raise_server_exceptions=False)


@pytest.fixture
def client_requiring_purpose(home, champion):
    return TestClient(create_app(home, purposes=PurposePolicy(demanded=True)), raise_server_exceptions=False)


def purpose_header(purpose):
    return {"Clout-Purpose": purpose if isinstance(purpose, bytes) else purpose.encode()}


@pytest.mark.parametrize("purpose", ALLOWED)
def test_allowed_purpose_is_accepted_in_any_case(client, purpose):
    assert client.get(SCORE, headers=purpose_header(purpose)).status_code == 200


@pytest.mark.parametrize("purpose", REFUSED)
def test_other_purpose_is_refused_with_the_allowed_ones(client, purpose):
    answer = client.get(SCORE, headers=purpose_header(purpose))
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    problem = answer.json()
    assert problem["type"] == "urn:clout:problem:prohibited-purpose"
    assert "expected one of: community moderation, " in problem["detail"]
    assert "GET /v1/purposes" in problem["detail"]


def test_operator_sets_the_allowed_purposes(home, champion):
    policy = PurposePolicy(allowed=("kidney research", "Modération"))
    client = TestClient(create_app(home, purposes=policy), raise_server_exceptions=False)
    statuses = {
        purpose: client.get(SCORE, headers=purpose_header(purpose)).status_code
        for purpose in ("kidney research", "modération", "community moderation")
    }
    assert statuses == {"kidney research": 200, "modération": 200, "community moderation": 403}
    assert client.get("/v1/purposes").json()["allowed"] == ["kidney research", "Modération"]


def test_policy_comes_from_options_then_environment_then_default(monkeypatch):
    monkeypatch.delenv("CLOUT_PURPOSES", raising=False)
    assert purpose_policy() == PurposePolicy(False, DEFAULT_PURPOSES)
    monkeypatch.setenv("CLOUT_PURPOSES", "a study, awards ,,a study")
    assert purpose_policy(demanded=True) == PurposePolicy(True, ("a study", "awards"))
    assert purpose_policy(allowed=["own score, own data"]).allowed == ("own score, own data",)


@pytest.mark.parametrize("use", PROHIBITED_USES, ids=lambda use: use.name)
def test_policy_refuses_prohibited_uses(use):
    with pytest.raises(PurposeError, match=f"'{use.name}' cannot be an allowed purpose"):
        purpose_policy(allowed=["awards", use.name.title()])


def test_policy_refuses_invalid_purposes():
    with pytest.raises(PurposeError, match="contains no letter"):
        purpose_policy(allowed=["12"])


def test_command_sets_the_allowed_purposes(home, champion):
    run = [sys.executable, "-c", CLOUT, "serve", "--port", "0", "--allow-purpose", "a study", "--allow-purpose", "b"]
    environment = os.environ | {"CLOUT_HOME": str(home.folder), "CLOUT_PURPOSES": "own score"}
    with preloaded.Popen(run, env=environment, stderr=subprocess.PIPE, text=True) as process:
        address = next(match[1] for line in process.stderr if (match := re.search(r"on (http://[\d.:]+),", line)))
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            assert client.get("/v1/purposes").json()["allowed"] == ["a study", "b"]
            assert client.get(SCORE, headers=purpose_header("own score")).status_code == 403
        process.send_signal(signal.SIGINT)


def test_every_route_about_users_checks_the_purpose(client_requiring_purpose):
    paths = client_requiring_purpose.get("/openapi.json").json()["paths"]
    operations = [(method, path) for path, methods in paths.items() for method in methods]
    assert len(operations) > 12
    for method, path in operations:
        url = path.replace("{user}", "user0001").replace("{case}", "5f3a9c0b71d2e846")
        body = {"users": ["user0001"]} if path == "/v1/scores" else {}
        silent, hiring = (
            client_requiring_purpose.request(method, url, json=body if method == "post" else None, headers=headers)
            for headers in ({}, purpose_header("hiring"))
        )
        operation = paths[path][method]
        named = [parameter for parameter in operation.get("parameters", []) if parameter["name"] == "Clout-Purpose"]
        if about_people(path):
            assert (silent.status_code, hiring.status_code) == (400, 403), path
            assert silent.json()["type"] == "urn:clout:problem:unfit-purpose"
            assert "'Clout-Purpose: community moderation'" in silent.json()["detail"]
            assert [parameter["in"] for parameter in named] == ["header"]
            assert {"400", "403"} <= set(operation["responses"])
        else:
            assert not {400, 403} & {silent.status_code, hiring.status_code}, path
            assert named == []


def test_required_purpose_is_accepted(client_requiring_purpose):
    for purpose in DEFAULT_PURPOSES:
        assert client_requiring_purpose.get(SCORE, headers=purpose_header(purpose)).status_code == 200
    assert client_requiring_purpose.get("/v1/purposes").json()["demanded"] is True
    assert client_requiring_purpose.get("/v1/model").status_code == 200


def test_purpose_is_optional_by_default(client):
    assert client.get(SCORE).status_code == client.get(SCORE, headers=purpose_header(" ")).status_code == 200
    assert client.get("/v1/purposes").json()["demanded"] is False


@pytest.mark.parametrize(
    ("purpose", "detail"),
    [
        ("x" * (MAX_LENGTH + 1), "201 characters, expected 200"),
        ("a\tb", "control characters"),
        ("a\x7fb", "control characters"),
        ("hi\u200bring", "control characters"),
        ("a\u2028b", "control characters"),
        ("\u202egnirih", "control characters"),
        ("...", "no letter"),
        ("12 34", "no letter"),
    ],
)
def test_invalid_purpose_is_refused(client, purpose, detail):
    answer = client.get(SCORE, headers=purpose_header(purpose))
    assert answer.status_code == 400
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("purpose", [b"a\nb", b"a\r\nX: y", b"a\x00b", b"a\x1bb"])
def test_unsendable_purpose_is_refused(purpose):
    with pytest.raises(PurposeError, match="control characters, expected one line"):
        parse_purpose(purpose)
    with pytest.raises(PurposeError, match="not UTF-8"):
        parse_purpose(purpose + b"\xff\xfe")


def test_two_purposes_are_refused(client):
    headers = [("Clout-Purpose", "moderation"), ("Clout-Purpose", "hiring")]
    answer = client.get(SCORE, headers=headers)
    assert answer.status_code == 400
    assert "2 purposes came with the request, expected one" in answer.json()["detail"]


def test_code_in_a_purpose_is_not_echoed(client):
    for purpose in ('"}],"status":200', "<script>hiring</script>", "{{hiring}}", "'; DROP TABLE cases; --"):
        answer = client.get(SCORE, headers=purpose_header(purpose))
        assert answer.status_code == 403
        assert "<script>" not in json.dumps(answer.json())


def test_purposes_are_published_with_the_prohibited_uses(client):
    document = client.get("/v1/purposes").json()
    assert document == {
        "header": "Clout-Purpose",
        "demanded": False,
        "longest": MAX_LENGTH,
        "allowed": list(DEFAULT_PURPOSES),
        "prohibited": [{"name": use.name, "reason": use.reason} for use in PROHIBITED_USES],
    }
    assert [use["name"] for use in document["prohibited"]][:5] == ["hiring", "credit", "insurance", "housing", "minors"]
    assert all(use["reason"].endswith(".") for use in document["prohibited"])
