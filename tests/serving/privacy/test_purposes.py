"""Purposes: what a read is for, what it must not be for, and how both are told."""

import json

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.request_context import about_people
from serving.privacy.purposes import LONGEST, PROHIBITED, PurposeError, prohibited, read_purpose, words_of

SCORE = "/v1/users/user0001/score"
REFUSED = {
    "hiring": [
        "hiring", "Hiring decisions", "HIRE", "pre-employment screening", "recruiters", "job applicants",
        "jobApplicant", "job_application", "job-seekers", "jobseekers", "background checks", "recruitment", "for a job",
        "candidate", "\uff28\uff29\uff32\uff29\uff2e\uff27", "not for hiring", "CV screening", "moderation and hiring",
    ],
    "credit": [
        "credit", "for credit", "Crédit", "CREDIT-SCORING", "creditscore", "credit risk", "lending", "loans", "a loan",
        "mortgages", "creditworthiness", "micro-loan", "microloans", "consumer credit",
    ],
    "insurance": ["insurance", "reinsurance", "life-insurance pricing", "Insurers", "underwriting", "actuaries"],
    "housing": ["housing", "tenant screening", "tenants", "rent", "rental", "landlords", "letting agencies"],
    "minors": ["minors", "a minor", "children", "kids", "child", "teenagers", "under-18", "under 18s", "underage"],
}  # fmt: skip
LEFT = [
    "community moderation", "credits to contributors", "crediting authors", "give credit where due", "accredited press",
    "minor edits", "minority report", "tenth anniversary", "parental tents", "current trends", "parent company",
    "cron job", "nightly batch jobs", "kidney research", "brentford fans", "different", "transparent ranking",
    "higher education", "sire", "shire events", "flat design review", "unbloan", "ensure quality", "reassurance",
    "select speakers for a conference", "ranking answers", "lens reviews", "candidate for moderator election",
]  # fmt: skip


@pytest.fixture
def client(home, champion):
    return TestClient(create_app(home), raise_server_exceptions=False)


@pytest.fixture
def demanding(home, champion):
    return TestClient(create_app(home, demand_purpose=True), raise_server_exceptions=False)


def for_(purpose):
    return {"Clout-Purpose": purpose if isinstance(purpose, bytes) else purpose.encode()}


@pytest.mark.parametrize(("name", "purpose"), [(name, each) for name, held in REFUSED.items() for each in held])
def test_what_is_refused(name, purpose):
    found = prohibited(purpose)
    assert found is not None, words_of(purpose)
    assert found.name == name


@pytest.mark.parametrize("purpose", LEFT)
def test_what_sounds_alike_is_not(purpose):
    assert prohibited(purpose) is None


def test_every_phrase_of_the_table_means_what_it_stands_for():
    for each in PROHIBITED:
        for phrase in (*each.phrases, *each.alone):
            assert each.meant_by(words_of(phrase)), phrase
            assert prohibited(phrase) is not None
            assert each.meant_by(words_of(phrase.upper().replace(" ", "-")))


def test_the_refusal_says_as_what_it_was_understood_and_why(client):
    for each in PROHIBITED:
        answer = client.get(SCORE, headers=for_(each.phrases[0]))
        assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
        found = answer.json()
        assert found["type"] == "urn:clout:problem:prohibited-purpose"
        assert f"understood as {each.name}" in found["detail"]
        assert each.reason in found["detail"]
        assert "GET /v1/purposes" in found["detail"]


def test_every_route_about_people_refuses_and_demands_alike(demanding):
    paths = demanding.get("/openapi.json").json()["paths"]
    asked = [(method, path) for path, held in paths.items() for method in held]
    assert len(asked) > 12
    for method, path in asked:
        place = path.replace("{user}", "user0001").replace("{case}", "5f3a9c0b71d2e846")
        body = {"ids": ["user0001"]} if path == "/v1/scores" else {}
        silent, hiring = (
            demanding.request(method, place, json=body if method == "post" else None, headers=headers)
            for headers in ({}, for_("hiring"))
        )
        told = paths[path][method]
        named = [given for given in told.get("parameters", []) if given["name"] == "Clout-Purpose"]
        if about_people(path):
            assert (silent.status_code, hiring.status_code) == (400, 403), path
            assert silent.json()["type"] == "urn:clout:problem:unfit-purpose"
            assert "'Clout-Purpose: community moderation'" in silent.json()["detail"]
            assert [given["in"] for given in named] == ["header"]
            assert {"400", "403"} <= set(told["responses"])
        else:
            assert not {400, 403} & {silent.status_code, hiring.status_code}, path
            assert named == []


def test_a_purpose_lets_through_where_one_is_demanded(demanding):
    for purpose in ("community moderation", "modération", "審査", "x" * LONGEST):
        assert demanding.get(SCORE, headers=for_(purpose)).status_code == 200
    assert demanding.get("/v1/purposes").json()["demanded"] is True
    assert demanding.get("/v1/model").status_code == 200


def test_without_the_demand_nothing_has_to_be_said(client):
    assert client.get(SCORE).status_code == client.get(SCORE, headers=for_(" ")).status_code == 200
    assert client.get("/v1/purposes").json()["demanded"] is False


@pytest.mark.parametrize(
    ("purpose", "said"),
    [
        ("x" * (LONGEST + 1), "201 characters, expected 200"),
        ("a\tb", "control characters"),
        ("a\x7fb", "control characters"),
        ("hi\u200bring", "control characters"),
        ("a\u2028b", "control characters"),
        ("\u202egnirih", "control characters"),
        ("...", "no letter"),
        ("12 34", "no letter"),
    ],
)
def test_what_can_be_no_purpose_is_refused(client, purpose, said):
    answer = client.get(SCORE, headers=for_(purpose))
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("purpose", [b"a\nb", b"a\r\nX: y", b"a\x00b", b"a\x1bb"])
def test_what_no_client_sends_is_refused_as_well(purpose):
    with pytest.raises(PurposeError, match="control characters, expected one line"):
        read_purpose(purpose)
    with pytest.raises(PurposeError, match="no UTF-8"):
        read_purpose(purpose + b"\xff\xfe")


def test_two_purposes_are_none(client):
    headers = [("Clout-Purpose", "moderation"), ("Clout-Purpose", "hiring")]
    answer = client.get(SCORE, headers=headers)
    assert answer.status_code == 400
    assert "2 purposes came with the request, expected one" in answer.json()["detail"]


def test_code_in_a_purpose_stays_text(client):
    for purpose in ('"}],"status":200', "<script>hiring</script>", "{{hiring}}", "'; DROP TABLE cases; --"):
        answer = client.get(SCORE, headers=for_(purpose))
        assert answer.status_code == (403 if "hiring" in purpose else 200)
        assert "<script>" not in json.dumps(answer.json())


def test_the_list_is_what_is_refused(client):
    found = client.get("/v1/purposes").json()
    assert [each["name"] for each in found["prohibited"]] == list(REFUSED)
    for each in found["prohibited"]:
        assert each["reason"].endswith(".")
        for word in (*each["words"], *each["alone"]):
            assert client.get(SCORE, headers=for_(word)).status_code == 403
    assert (found["header"], found["longest"]) == ("Clout-Purpose", LONGEST)
