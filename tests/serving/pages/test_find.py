"""The search page: filters in the URL, pages, orders, CSV, and completion of ids."""

import csv
import re
from datetime import timedelta
from html import unescape
from io import StringIO
from urllib.parse import quote

import pytest

from serving.pages import find as module
from serving.privacy.audit_check_and_reads import reads_about
from serving.snapshots.repository import write_snapshot
from tests.serving.conftest import AS_OF


def users(page):
    return re.findall(r'<tr><th scope="row"><a class="id" dir="auto" href="/u/([^"?]+)', page.text)


def test_it_lists_users_by_score_as_the_api_does(client):
    page = client.get("/find")
    assert page.status_code == 200
    assert "<strong>309</strong> users" in page.text
    listed = [user["user"] for user in client.get("/v1/users?limit=50").json()["users"]]
    assert users(page) == [quote(user, safe="") for user in listed if user != ".."]


def test_the_form_shows_the_filters_of_the_url(client):
    page = client.get("/find?contains=user000&evidence=strong&min_score=1&max_percentile=99.5&sort=user&order=up")
    assert 'name="contains" type="search" value="user000"' in page.text
    assert '<option value="strong" selected>' in page.text
    assert 'aria-label="Score, at least" placeholder="from" value="1"' in page.text
    assert users(page) == sorted(users(page))


@pytest.mark.parametrize("path", ["/find?", "/compare?a=user0001&b=user0002&"])
def test_forms_and_links_to_users_stay_with_the_snapshot_of_the_address(client, path):
    page = client.get(f"{path}as_of=2017-07-30").text
    links = [unescape(link) for link in re.findall(r'href="(/u[/?][^"]+|/compare[?][^"]+|/pick[?]as_of[^"]+)"', page)]
    assert '<input type="hidden" name="as_of" value="2017-07-30">' in page
    assert links
    assert all("as_of=2017-07-30" in link for link in links)
    assert "as_of" not in client.get("/find").text


def test_nobody_is_new_in_the_first_snapshot(client, home, bundle, scores, rows):
    assert ">new</span>" not in client.get("/find").text
    others = [frame[frame["user"] != "user0001"] for frame in (scores, rows)]
    write_snapshot(home, AS_OF - timedelta(days=28), bundle, "3", *others)
    client.app.state.watcher.look()
    assert client.get("/find?contains=user0001").text.count(">new</span>") == 1


def test_filters_by_people_credibility_and_peers_equal_those_of_the_api(client):
    query = "min_people=2&max_people=60&min_credibility=40&min_peer_percentile=20"
    page, api = client.get(f"/find?{query}"), client.get(f"/v1/users?{query}&limit=50").json()
    assert f"<strong>{api['matching']}</strong> users" in page.text
    assert 0 < api["matching"] < 309
    assert 'name="min_people" type="number" step="any" aria-label="People who engaged in a year, at least"' in page.text
    assert 'name="min_credibility" type="number" min="0" max="100" step="any" value="40"' in page.text


def test_pages_link_to_the_next(client, monkeypatch):
    monkeypatch.setattr(module, "USERS_PER_PAGE", 100)
    first = client.get("/find?contains=user")
    (address,) = re.findall(r'rel="next" href="([^"]+)"', first.text)
    second = client.get(unescape(address))
    assert "Page 2 of 3" in second.text
    assert len({*users(first), *users(second)}) == 200
    assert "Page 3 of 3" in client.get("/find?contains=user&page=99999999").text
    assert "Page 1 of 3" in client.get("/find?contains=user&page=x").text


def test_csv_has_all_matching_users(client, home):
    answer = client.get("/find?format=csv&contains=user")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="users-2017-07-30.csv"'
    rows = list(csv.DictReader(StringIO(answer.content.decode("utf-8-sig"))))
    assert len(rows) == 300
    score = client.get(f"/v1/users/{rows[0]['user']}/score").json()
    assert float(rows[0]["score"]) == score["score"]
    assert reads_about(home, rows[299]["user"]).reads[0].route == "/find"


def test_csv_contains_no_formulas(client):
    rows = list(csv.DictReader(StringIO(client.get("/find?format=csv").content.decode("utf-8-sig"))))
    names = {row["user"] for row in rows}
    assert "'+" in names
    assert not any(name.startswith(("=", "+", "-", "@")) for name in names)


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("min_score=x", 422, "“Score, at least” is 'x'; expected a number."),
        (
            "min_score=9&max_score=1",
            422,
            "“Score, at least” is 9 and “Score, at most” 1: give the smaller one",
        ),
        ("min_score=max_score", 422, "“Score, at least” is 'max_score'; expected a number."),
        ("min_credibility=101", 422, "“Credible among them, at least (%)” is 101; expected a number from 0 to 100."),
        ("min_growth=9&max_growth=1", 422, "give the smaller one"),
        ("scope=topic:none", 404, "Nobody has a score of the scope"),
        ("contains=nobody-has-this", 200, "Nobody matches."),
    ],
)
def test_invalid_filters_are_reported(client, query, status, message):
    page = client.get(f"/find?{query}")
    assert page.status_code == status
    assert message in unescape(page.text)


def test_completion_lists_ids_with_the_typed_prefix_first(client, home):
    page = client.get("/find?part=suggestions&user=user00")
    ids = re.findall(r'<option value="([^"]+)">', page.text)
    assert len(ids) == 8
    assert all(name.startswith("user00") for name in ids)
    assert reads_about(home, ids[0]).reads[0].route == "/find"
    assert client.get("/find?part=suggestions&user=").text.strip() == ""
    assert "&#39;; --" in client.get("/find?part=suggestions&a=--").text
