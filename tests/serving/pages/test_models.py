"""The page of a model version: gate, figures and model card, without names of users."""

import shutil
from html import unescape

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.api_keys import add_key, remove_key
from serving.pages.models import render_markdown
from training.home import Home
from training.registry.model_registry import CARD, register

CARD_TEXT = (
    "# Clout, model of 2017\n\nScores people.\n\n## Limits\n\n- Read <b>it</b>.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
)
FINDINGS = [
    {"name": "coverage", "message": "intervals hold 93% of users", "passed": True},
    {"name": "churn", "message": "30% of users move", "passed": False},
    {"name": "champion", "message": "not compared", "passed": None},
]


@pytest.fixture(scope="module")
def service(scored_home, tmp_path_factory, bundle, report):
    """A client of a service with one registered version."""
    home = Home(shutil.copytree(scored_home.folder, tmp_path_factory.mktemp("models") / "home"))
    move = {"user": "user0001", "before": 1.0, "after": 2.0, "reasons": []}
    gate = report["gate"] | {"findings": FINDINGS, "passed": False, "churn": {"largest": [move]}}
    register(home, bundle, {}, {}, report | {"gate": gate}, {}, {CARD: CARD_TEXT}, {"gate": "failed"})
    return TestClient(create_app(home), headers={"Accept": "text/html"}, raise_server_exceptions=False)


def test_it_shows_the_findings_the_figures_and_the_card(service):
    page = service.get("/models/1")
    assert page.status_code == 200
    text = unescape(page.text)
    for finding, word in zip(FINDINGS, ("passed", "failed", "not judged"), strict=True):
        row = f'<th scope="row">{finding["name"].capitalize()}</th>'
        assert row in text
        assert word in text.split(row)[1].split("</tr>")[0]
    assert "It expected <strong>0.91</strong> people for every one that came" in text
    assert "20 members like" in text
    assert "<h3>Limits</h3>" in text


def test_it_names_no_user(service):
    assert "user0001" not in service.get("/models/1").text


def test_a_version_that_does_not_exist_is_named(service):
    page = service.get("/models/7")
    assert page.status_code == 404
    assert "There is no version '7' of the model; versions there: 1." in unescape(page.text)


def test_a_version_without_documents_says_so(home, bundle):
    register(home, bundle, {}, {}, {}, {})
    page = TestClient(create_app(home), headers={"Accept": "text/html"}).get("/models/1").text
    assert "registered without a report of its gate" in page
    assert "registered without a card" in page


def test_it_requires_a_key_if_keys_are_required(service):
    add_key(service.app.state.home, "reader", "read")
    answer = service.get("/models/1", follow_redirects=False)
    remove_key(service.app.state.home, "reader")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fmodels%2F1")


def test_markdown_becomes_safe_html_below_the_heading_of_the_page():
    html = render_markdown(CARD_TEXT)
    assert "<h2>Clout, model of 2017</h2>" in html
    assert "&lt;b&gt;it&lt;/b&gt;" in html
    assert html.count("<table>") == html.count('<div class="scroll" tabindex="0"') == 1
    assert "<a" not in render_markdown("[x](javascript:alert)")
    aligned = render_markdown("| a | b |\n|---:|:---|\n| 1 | 2 |\n")
    assert '<td class="figure">1</td>' in aligned
    assert "style" not in aligned
