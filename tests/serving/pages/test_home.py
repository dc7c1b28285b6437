"""The start page: the newest snapshot and its top users, or instructions if there is none."""

import re

from fastapi.testclient import TestClient

from serving.app import create_app
from serving.privacy.audit_check_and_reads import reads_about
from training.home import Home


def test_it_lists_the_top_users_as_the_search_does(client):
    page = client.get("/")
    assert page.status_code == 200
    top = client.get("/v1/users?limit=10").json()["users"]
    assert re.findall(r'class="id" dir="auto" href="/u/([^"]+)"', page.text) == [user["user"] for user in top]
    assert f"{top[0]['score']:.1f}" in page.text
    assert "309" in page.text
    assert "30 Jul 2017" in page.text


def test_listed_users_are_in_the_audit_log(client, home):
    client.get("/")
    top = client.get("/v1/users?limit=1").json()["users"][0]["user"]
    assert [read.route for read in reads_about(home, top).reads] == ["/v1/users", "/"]


def test_without_a_snapshot_it_says_what_to_do(tmp_path):
    page = TestClient(create_app(Home(tmp_path)), headers={"Accept": "text/html"}).get("/")
    assert page.status_code == 200
    assert "No scores yet" in page.text
    assert "clout demo" in page.text
    assert "No snapshots in" in page.text
