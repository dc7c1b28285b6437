"""Signing in with a key and a purpose: the session cookie, its end, and cross-site forms."""

import re

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware import page_sessions
from serving.middleware.api_keys import add_key, remove_key
from serving.privacy.audit_check_and_reads import reads_about
from serving.privacy.purposes import PurposePolicy

OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def key(home):
    return add_key(home, "reviewer", "review")


@pytest.fixture
def client(home, champion, key):
    headers = {"Accept": "text/html"} | OWN
    return TestClient(create_app(home), raise_server_exceptions=False, headers=headers, follow_redirects=False)


def sign_in(client, key, **fields):
    return client.post("/sign-in", data={"key": key, "purpose": "model review", "next": "/u/user0001"} | fields)


def form_token(page):
    return re.search(r'name="form_token" value="(\w+)"', page.text)[1]


def test_a_page_redirects_to_the_form_and_back(client, key):
    refusal = client.get("/u/user0001?scope=all")
    assert (refusal.status_code, refusal.headers["location"]) == (303, "/sign-in?next=%2Fu%2Fuser0001%3Fscope%3Dall")
    form = client.get(refusal.headers["location"])
    assert form.status_code == 200
    assert 'name="next" value="/u/user0001?scope=all"' in form.text
    answer = sign_in(client, key)
    assert (answer.status_code, answer.headers["location"]) == (303, "/u/user0001")
    page = client.get("/u/user0001")
    assert page.status_code == 200
    assert ">reviewer</span>" in page.text


def test_the_cookie_is_for_this_site_only_and_short_lived(client, key):
    cookie = sign_in(client, key).headers["set-cookie"]
    assert re.fullmatch(r"clout_session=[\w-]{43}; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax", cookie)
    client.base_url = "https://clout.example"
    assert sign_in(client, key).headers["set-cookie"].endswith("; Secure")


def test_a_partial_page_redirects_to_the_form(client):
    answer = client.get("/u/user0001", headers={"HX-Request": "true", "Accept": "*/*"})
    assert answer.headers["hx-redirect"] == "/sign-in?next=%2Fu%2Fuser0001"


def test_reads_are_recorded_with_the_key_and_the_purpose_of_the_session(client, home, key):
    sign_in(client, key)
    client.get("/u/user0001")
    read = reads_about(home, "user0001").reads[0]
    assert (read.name, read.purpose, read.route) == ("reviewer", "model review", "/u/{user}")


def test_a_wrong_key_starts_no_session(client):
    answer = sign_in(client, "clout_000000000000_" + "0" * 64)
    assert answer.status_code == 401
    assert "This is not a key of this service" in answer.text
    assert "set-cookie" not in answer.headers


def test_signing_out_ends_the_session(client, key):
    sign_in(client, key)
    token = client.cookies["clout_session"]
    answer = client.post("/sign-out", data={"form_token": form_token(client.get("/"))})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert client.get("/", headers={"Cookie": f"clout_session={token}"}).status_code == 303


def test_a_session_ends_with_its_key_or_after_its_lifetime(client, home, key, monkeypatch):
    sign_in(client, key)
    assert client.get("/").status_code == 200
    later = page_sessions.now_utc() + page_sessions.LIFETIME
    with monkeypatch.context() as patch:
        patch.setattr(page_sessions, "now_utc", lambda: later)
        assert client.get("/").status_code == 303
    add_key(home, "other", "read")
    remove_key(home, "reviewer")
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    "origin", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {}]
)
def test_cross_site_forms_change_nothing(home, champion, key, origin):
    client = TestClient(create_app(home), headers={"Accept": "text/html"}, follow_redirects=False)
    answer = client.post("/sign-in", data={"key": key}, headers=origin)
    assert answer.status_code == 403
    assert "was not sent by a page of this service" in answer.text


def test_a_browser_without_fetch_metadata_is_recognized_by_its_origin(home, champion, key):
    client = TestClient(create_app(home), headers={"Accept": "text/html"}, follow_redirects=False)
    assert client.post("/sign-in", data={"key": key}, headers={"Origin": "http://testserver"}).status_code == 303


def test_forms_require_the_token_of_the_session(client, key):
    sign_in(client, key)
    for data in ({}, {"form_token": "0" * 64}, {"form_token": "ü"}):
        assert client.post("/sign-out", data=data).status_code == 403
    assert client.get("/").status_code == 200


def test_the_cookie_is_accepted_by_pages_only(client, key):
    sign_in(client, key)
    assert client.get("/v1/users/user0001/score").status_code == 401
    assert client.get("/metrics").status_code == 401


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nSet-Cookie: b=c"]
)
def test_the_form_redirects_only_to_this_site(client, key, path):
    assert sign_in(client, key, next=path).headers["location"] == "/"


@pytest.mark.parametrize("cookie", ["clout_session=", "clout_session=abc", "a=b", "=", 'clout_session="\\"', "\xff"])
def test_a_damaged_cookie_is_no_session(client, cookie):
    assert client.get("/", headers={"Cookie": cookie.encode("latin-1")}).status_code == 303


@pytest.mark.parametrize("others", ['settings={"a": 1}', "flag", "names=a b", "g[x]=1", "Path=/x", "\xe9=1"])
def test_other_cookies_of_the_host_do_not_end_the_session(client, key, others):
    sign_in(client, key)
    cookies = f"{others}; clout_session={client.cookies['clout_session']}; clout_session=of-a-shorter-path"
    client.cookies.clear()
    assert client.get("/", headers={"Cookie": cookies.encode("latin-1")}).status_code == 200


def test_a_required_purpose_is_required_even_without_keys(home, champion):
    app = create_app(home, purposes=PurposePolicy(demanded=True))
    client = TestClient(app, headers={"Accept": "text/html"} | OWN, follow_redirects=False)
    refusal = client.get("/u/user0001")
    assert refusal.headers["location"] == "/sign-in?next=%2Fu%2Fuser0001"
    form = client.get("/sign-in")
    assert "asks for no key" in form.text
    assert 'name="key"' not in form.text
    refused = client.post("/sign-in", data={"purpose": "hiring"})
    assert refused.status_code == 422
    assert "Choose what you look at the pages for" in refused.text
    assert client.post("/sign-in", data={"purpose": "own score"}).status_code == 303
    assert client.get("/u/user0001").status_code == 200
    assert reads_about(home, "user0001").reads[0].purpose == "own score"
