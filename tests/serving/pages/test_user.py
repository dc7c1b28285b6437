"""The page of a user: what it shows to whom, and that every reading is in the audit log."""

import re
from html import unescape
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.api_keys import add_key
from serving.privacy.audit_check_and_reads import reads_about
from serving.snapshots.repository import open_snapshot
from training.records.opt_outs import opt_out

ODD_IDS = ["a/b", "a b", "ünï/çødé 🙂", "50%", "x/score", "who?me#1", "+", "'; --"]


def points(page):
    return [float(text) for text in re.findall(r'data-points="([^"]+)"', page.text)]


def test_it_shows_the_score_its_interval_and_the_reasons(client):
    score = client.get("/v1/users/user0001/score").json()
    explanation = client.get("/v1/users/user0001/explanation").json()
    page = client.get("/u/user0001")
    assert page.status_code == 200
    assert f"<strong>{score['score']:.1f}</strong>" in page.text
    assert f"<strong>{score['interval']['low']}</strong> and <strong>{score['interval']['high']}</strong>" in page.text
    for sentence in (*explanation["reasons_for"], *explanation["reasons_against"]):
        assert sentence in unescape(page.text)


def test_the_ledger_adds_up_in_the_page(client):
    base, *steps, score = points(client.get("/u/user0001"))
    assert len(steps) == len(client.get("/v1/users/user0001/explanation").json()["families"])
    assert round(10 * (base + sum(steps))) == round(10 * score)


@pytest.mark.parametrize("user", ODD_IDS)
def test_odd_ids_have_a_page_and_are_escaped(client, user):
    page = client.get(f"/u/{quote(user, safe='')}")
    assert page.status_code == 200
    assert user in unescape(page.text)
    answer = client.get("/u", params={"user": user})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/u/{quote(user, safe='')}")


def test_ids_that_browsers_remove_from_paths_are_shown_by_the_find_box(client):
    page = client.get("/u", params={"user": ".."})
    assert page.status_code == 200
    assert '<h1 class="id" dir="auto">..</h1>' in page.text


def test_a_scope_has_its_own_page_and_the_table_of_scopes_links_to_it(client):
    page = client.get("/u/user0001?scope=topic:birds")
    assert "Scope topic:birds" in page.text
    assert 'href="/u/user0001?scope=topic%3Abirds" aria-current="true"' in page.text
    assert 'id="scopes"' not in client.get("/u/user0009").text


def test_too_little_evidence_shows_no_number(client):
    page = client.get("/u/user0003")
    assert "No score" in page.text
    assert "Too little is known for a score: " in page.text
    assert 'id="reasons"' not in page.text


def test_the_scope_of_the_key_decides_what_is_shown(home, champion):
    app = create_app(home)
    client = TestClient(app, headers={"Accept": "text/html", "Authorization": f"Bearer {add_key(home, 'r', 'read')}"})
    page = client.get("/u/user0001")
    assert f"{open_snapshot(home).score('user0001')['score']:.1f}" in page.text
    assert 'id="ledger"' not in page.text
    assert "scope <code>review</code>" in page.text
    reviewer = add_key(home, "reviewer", "review")
    assert 'id="ledger"' in client.get("/u/user0001", headers={"Authorization": f"Bearer {reviewer}"}).text


def test_every_reading_is_in_the_audit_log(client, home):
    client.get("/u/user0001", headers={"Clout-Purpose": "model review"})
    client.get("/u?user=user0001")
    reads = reads_about(home, "user0001").reads
    assert [(read.route, read.status, read.purpose) for read in reads] == [
        ("/u", 303, None),
        ("/u/{user}", 200, "model review"),
    ]


def test_a_hidden_user_is_not_shown(client, home):
    opt_out(home, "user0001")
    page = client.get("/u/user0001")
    assert page.status_code == 410
    assert "This user is not shown" in page.text
