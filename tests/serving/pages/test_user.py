"""The page of a user: contents by scope of the key, and that every read is recorded in the audit log."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from features.importers.tables import import_table
from serving.app import create_app
from serving.middleware.api_keys import add_key
from serving.privacy.audit_check_and_reads import reads_about
from serving.scoring import score_rows
from serving.snapshots.repository import open_snapshot, write_snapshot
from tests.serving.conftest import AS_OF
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
    for section in explanation["story"]:
        if section["topic"] in ("evidence", "change", "words"):
            assert all(unescape(page.text).count(sentence) == 1 for sentence in section["sentences"])
    ranked = next(sentence for sentence in explanation["story"][0]["sentences"] if "lower score" in sentence)
    assert ranked in re.search(r"Among all users</span>(.*?)</div>", unescape(page.text), re.DOTALL)[1]
    for sentence in (*explanation["reasons_for"], *explanation["reasons_against"]):
        assert sentence in unescape(page.text)


def test_a_comparison_from_an_earlier_snapshot_is_of_that_one(client, home, bundle, scores, rows):
    write_snapshot(home, AS_OF - timedelta(days=28), bundle, "3", scores, rows)
    link = '<a href="/compare?a=user0001&amp;as_of=2017-07-02T00%3A00%3A00Z">'
    assert link in client.get("/u/user0001?as_of=2017-07-02").text
    assert '<a href="/compare?a=user0001">' in client.get("/u/user0001").text


def test_a_rank_among_active_users_says_so(client, home, bundle, rows):
    active = rows.assign(acts_365d=50.0, created_90d=2.0, days_of_absence=0.0)
    write_snapshot(home, AS_OF + timedelta(days=28), bundle, "3", score_rows(bundle, "3", active), active)
    card = r"Among active users</span><strong>(top|lower) .*? users active in the last"
    assert re.search(card, client.get("/u/user0001?as_of=2017-08-27").text)


def test_the_ledger_adds_up_in_the_page(client):
    base, *steps, score = points(client.get("/u/user0001"))
    assert len(steps) == len(client.get("/v1/users/user0001/explanation").json()["facts"])
    assert round(10 * (base + sum(steps))) == round(10 * score)


@pytest.mark.parametrize("user", ODD_IDS)
def test_unusual_ids_have_a_page_and_are_escaped(client, user):
    page = client.get(f"/u/{quote(user, safe='')}")
    assert page.status_code == 200
    assert user in unescape(page.text)
    answer = client.get("/u", params={"user": user})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/u/{quote(user, safe='')}")


def test_ids_that_browsers_remove_from_paths_are_reachable_by_the_search_box(client):
    page = client.get("/u", params={"user": ".."})
    assert page.status_code == 200
    assert '<h1 class="id" dir="auto">..</h1>' in page.text


def test_a_scope_has_its_own_page_and_the_table_of_scopes_links_to_it(client):
    page = client.get("/u/user0001?scope=topic:birds")
    assert "Only <bdi>topic:birds</bdi>" in page.text
    assert 'href="/u/user0001?scope=topic%3Abirds" aria-current="true"' in page.text
    assert 'id="scopes"' not in client.get("/u/user0009").text


def test_too_little_evidence_shows_no_number(client):
    page = client.get("/u/user0003")
    assert "No score" in page.text
    assert "Too little is known for a score: " in page.text
    assert 'id="reasons"' not in page.text
    assert 'id="ledger"' not in page.text


def test_the_scope_of_the_key_decides_what_is_shown(home, champion):
    app = create_app(home)
    client = TestClient(app, headers={"Accept": "text/html", "Authorization": f"Bearer {add_key(home, 'r', 'read')}"})
    page = client.get("/u/user0001")
    assert f"{open_snapshot(home).score('user0001')['score']:.1f}" in page.text
    assert 'id="ledger"' not in page.text
    assert "scope <code>review</code>" in page.text
    reviewer = add_key(home, "reviewer", "review")
    assert 'id="ledger"' in client.get("/u/user0001", headers={"Authorization": f"Bearer {reviewer}"}).text


def test_every_read_is_in_the_audit_log(client, home):
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


def test_a_change_is_explained_on_demand(client, home, bundle, scores, rows):
    assert "There is one snapshot so far" in client.get("/u/user0001").text
    earlier = rows.assign(days_of_absence=rows["days_of_absence"] + 20)
    write_snapshot(home, AS_OF - timedelta(days=28), bundle, "2", scores.assign(model_version="2"), earlier)
    assert "Explain the last change" in client.get("/u/user0001").text
    page = client.get("/u/user0001?part=change&from=2017-07-02T00:00:00Z").text
    change = client.get("/v1/users/user0001/change").json()
    assert all(line["sentence"] in unescape(page) for line in change["lines"])


def test_an_unexplainable_change_does_not_affect_the_rest(client, home, bundle, scores, rows):
    others = [frame[frame["user"] != "user0001"] for frame in (scores, rows)]
    write_snapshot(home, AS_OF - timedelta(days=28), bundle, "3", *others)
    page = client.get("/u/user0001?part=change")
    assert page.status_code == 200
    assert "a change needs a score at both" in page.text
    assert 'id="ledger"' in page.text


def test_the_posts_behind_a_score_come_from_the_events(home, champion, tmp_path):
    events = tmp_path / "events.csv"
    head = "time,actor,verb,object,target\n"
    events.write_text(
        f"{head}2017-07-01T00:00:00Z,user0001,post,<b>p1</b>,\n2017-07-02T00:00:00Z,user0002,like,<b>p1</b>,user0001\n"
    )
    import_table(events, tmp_path / "events.parquet", {}, {})
    client = TestClient(create_app(home, events=tmp_path / "events.parquet"), headers={"Accept": "text/html"})
    assert "Show the posts" in client.get("/u/user0001").text
    page = client.get("/u/user0001?part=posts").text
    assert "<strong>1 person</strong> engaged 1 time, with 1 post and with the user." in page
    assert "&lt;b&gt;p1&lt;/b&gt;" in page
    assert "neither acts nor is engaged with" in unescape(client.get("/u/user0150?part=posts").text)
    assert [client.get(f"/u/{user}?part=posts").status_code for user in ("nobody", "%00")] == [404, 404]


def test_without_events_no_posts_are_offered(client):
    assert 'id="posts"' not in client.get("/u/user0001?part=posts").text


def test_a_score_is_contested_and_the_case_is_shown(client, home):
    fields = {"user": "user0001", "scope": "all", "message": "<script>alert(1)</script>\n日本語"}
    answer = client.post("/u", data=fields, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 303
    page = client.get(answer.headers["location"])
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "日本語" in page.text
    (case,) = client.get("/v1/cases?user=user0001").json()["cases"]
    assert case["message"] == fields["message"]
    assert f'/cases/{case["case"]}"' in page.text
    assert answer.headers["location"] == f"/u/user0001?case={case['case']}#contest"
    assert reads_about(home, "user0001").reads[2].route == "/u"


def test_a_cross_site_or_empty_contest_is_refused(client):
    fields = {"user": "user0001", "message": " "}
    assert client.post("/u", data=fields, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    answer = client.post("/u", data=fields, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 422
    assert "The statement of what is wrong is empty" in answer.text


def test_a_case_id_shows_the_case(home, champion):
    app = create_app(home)
    client = TestClient(app, headers={"Accept": "text/html", "Authorization": f"Bearer {add_key(home, 'r', 'read')}"})
    case = client.post("/v1/users/user0001/cases", json={"message": "No."}).json()["case"]
    assert case not in client.get("/u/user0001").text
    assert case in client.get(f"/u/user0001?case={case}").text
    assert case not in client.get(f"/u/user0002?case={case}").text


def test_reads_about_a_user_require_the_admin_scope(home, champion):
    app = create_app(home)
    keys = {scope: add_key(home, scope, scope) for scope in ("review", "admin")}
    pages = {}
    for scope, key in keys.items():
        headers = {"Accept": "text/html", "Authorization": f"Bearer {key}", "Clout-Purpose": "model review"}
        pages[scope] = TestClient(app, headers=headers).get("/u/user0001?part=reads").text
    assert 'id="reads"' not in pages["review"]
    assert "<td>review</td>" in pages["admin"]
    assert "model review" in pages["admin"]
