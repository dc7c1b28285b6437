"""Errors of pages: browsers get an HTML page, programs get problem details."""

import pytest

from features.errors import CatalogueError
from serving.pages.rendering import POLICY
from serving.snapshots.snapshot import Snapshot

PROBLEM = "application/problem+json"


def test_an_unknown_user_gets_a_page_with_close_ids_and_a_find_box(client):
    page = client.get("/u/user00011")
    assert page.status_code == 404
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == POLICY
    assert "&#39;user0001&#39;" in page.text
    assert "Find another user" in page.text


@pytest.mark.parametrize(
    ("path", "status"), [("/nowhere", 404), ("/u/user0001?scope=topic:none", 404), ("/u/user0001?as_of=x", 422)]
)
def test_every_status_has_a_page(client, path, status):
    page = client.get(path)
    assert page.status_code == status
    assert "<h1>" in page.text
    assert page.headers["x-request-id"] in page.text


@pytest.mark.parametrize("headers", [{"Accept": "*/*"}, {"Accept": "application/json"}])
def test_programs_get_problem_details(client, headers):
    assert client.get("/u/nobody", headers=headers).headers["content-type"] == PROBLEM


def test_the_api_sends_problem_details_to_browsers_too(client):
    assert client.get("/v1/users/nobody/score").headers["content-type"] == PROBLEM


def test_text_of_an_error_is_escaped(client):
    page = client.get("/u/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;" in page.text


def test_a_head_request_has_no_body(client):
    assert client.head("/u/nobody").content == b""


def test_an_address_without_a_page_says_so(client):
    assert "There is no page at this address." in client.get("/nowhere").text


def test_a_score_of_another_catalogue_asks_for_a_new_model(client, monkeypatch):
    def refuse(_):
        raise CatalogueError("the model was trained on another catalogue of features.")

    monkeypatch.setattr(Snapshot, "bundle", property(refuse))
    page = client.get("/u/user0001")
    assert page.status_code == 422
    assert "<h1>This score needs a new model</h1>" in page.text
    assert "trained on another catalogue of features" in page.text
