"""Pages about cases: the queue, the stored explanation beside the present one, and the form to resolve a case."""

import re
from datetime import timedelta
from html import unescape

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.api_keys import add_key
from serving.pages import cases as module
from serving.privacy.audit_check_and_reads import reads_about
from serving.snapshots.repository import write_snapshot
from tests.serving.conftest import AS_OF

OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def case(client):
    return client.post("/v1/users/user0001/cases", json={"message": "<b>Not</b> me."}).json()["case"]


def resolve(client, case, **fields):
    return client.post(f"/cases/{case}", data={"decision": "stands", "reasons": "It is right."} | fields, headers=OWN)


def test_an_empty_queue_says_so(client):
    page = client.get("/cases").text
    assert "Nothing waits for you" in page
    assert "No cases here" in client.get("/cases?state=resolved").text


def test_the_queue_links_to_open_cases(client, case, home):
    page = client.get("/cases")
    assert f'href="/cases/{case}"' in page.text
    assert "&lt;b&gt;Not&lt;/b&gt; me." in page.text
    assert reads_about(home, "user0001").reads[0].route == "/cases"
    assert f'href="/cases/{case}"' not in client.get("/cases?user=user0002").text


def test_cases_of_services_without_keys_name_no_key(client, case):
    resolve(client, case)
    for page in (client.get(f"/cases/{case}").text, client.get("/u/user0001?part=reads").text):
        assert re.search(r"opened <time [^>]*>[^<]*</time> without a key", page)
        assert "anybody" not in page.partition('id="contest"')[2]
    assert re.search(r"Resolved <time [^>]*>[^<]*</time> without a key\.", client.get(f"/cases/{case}").text)
    assert "<td>Without a key</td>" in client.get("/u/user0001?part=reads").text


def test_a_long_queue_has_pages(client, monkeypatch):
    monkeypatch.setattr(module, "CASES_PER_PAGE", 2)
    ids = [client.post(f"/v1/users/user000{k}/cases", json={"message": "No."}).json()["case"] for k in (0, 1, 2)]
    first = client.get("/cases").text
    (after,) = re.findall(r'href="(/cases\?state=open&amp;after=\d+)"', first)
    second = client.get(unescape(after)).text
    assert [[name in text for name in ids] for text in (first, second)] == [[True, True, False], [False, False, True]]
    assert client.get("/cases?after=x").status_code == 200


def test_the_stored_explanation_is_beside_the_present_one(client, case, home, bundle, scores, rows):
    write_snapshot(home, AS_OF + timedelta(days=28), bundle, "5", scores.assign(model_version="5"), rows)
    client.app.state.watcher.look_locally()
    page = client.get(f"/cases/{case}").text
    file = client.get(f"/v1/cases/{case}").json()
    assert 'as of <time datetime="2017-07-30T00:00:00Z"' in page
    for sentence in (*file["explanation"]["reasons_for"], *file["explanation"]["reasons_against"]):
        assert sentence in unescape(page)
    assert f"All {len(file['today']['lines'])} lines beside each other" in page


def test_a_case_is_resolved_once(client, case, home, bundle, scores, rows):
    refused = resolve(client, case, decision="corrected", reasons="Identities were <i>merged</i>.")
    assert refused.status_code == 422
    assert "Score again with the corrected events first" in unescape(refused.text)
    write_snapshot(home, AS_OF + timedelta(days=28), bundle, "5", scores.assign(model_version="5"), rows)
    client.app.state.watcher.look_locally()
    answer = resolve(client, case, decision="corrected", reasons="Identities were <i>merged</i>.")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/cases/{case}")
    page = client.get(f"/cases/{case}").text
    assert "<h2>Corrected</h2>" in page
    assert "&lt;i&gt;merged&lt;/i&gt;" in page
    assert 'name="decision"' not in page
    assert "Identities were" in client.get("/u/user0001").text
    again = resolve(client, case)
    assert again.status_code == 409
    assert "This was done already" in again.text


@pytest.mark.parametrize(
    ("fields", "message"), [({"decision": "maybe"}, "Unknown decision"), ({"reasons": " "}, "is empty")]
)
def test_an_incomplete_resolution_is_refused(client, case, fields, message):
    answer = resolve(client, case, **fields)
    assert answer.status_code == 422
    assert message in unescape(answer.text)


def test_cases_require_the_review_scope(home, champion, client, case):
    key = add_key(home, "reader", "read")
    reader = TestClient(create_app(home), headers={"Accept": "text/html", "Authorization": f"Bearer {key}"})
    for path in ("/cases", f"/cases/{case}"):
        page = reader.get(path)
        assert page.status_code == 403
        assert "Your key does not allow this" in page.text
    assert 'href="/cases"' not in reader.get("/").text


def test_an_unknown_case_is_reported(client):
    assert client.get("/cases/0123456789abcdef").status_code == 404
