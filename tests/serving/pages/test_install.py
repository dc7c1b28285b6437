"""All pages: their audit, their policy, and no inline script or style."""

import re

from serving.middleware.request_context import about_people
from serving.pages.install import ROUTERS
from serving.pages.rendering import POLICY

WITHOUT_USERS = {"/models/{version}", "/sign-in", "/sign-out"}


def test_every_page_is_about_users_unless_it_is_listed_here():
    paths = {route.path for router in ROUTERS for route in router.routes}
    assert {path for path in paths if not about_people(path)} == WITHOUT_USERS


def test_no_page_is_in_the_documented_api(client):
    documented = client.get("/openapi.json").json()["paths"]
    assert not {route.path for router in ROUTERS for route in router.routes} & set(documented)


def test_pages_hold_no_inline_script_or_style(client):
    for path in (
        "/",
        "/u/user0001",
        "/u/user0003",
        "/u/nobody",
        "/find",
        "/compare?a=user0001&b=a/b",
        "/cases",
        "/sign-in",
    ):
        page = client.get(path)
        assert page.headers["content-security-policy"] == POLICY
        assert "unsafe" not in POLICY
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page.text)
