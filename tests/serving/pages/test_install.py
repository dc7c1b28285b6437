"""All pages: audit, content security policy, and no inline scripts or styles."""

import logging
import re
import time
from datetime import timedelta

from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.request_context import about_people
from serving.pages.install import ROUTERS, prepare
from serving.pages.rendering import POLICY
from serving.snapshots.repository import write_snapshot
from serving.snapshots.user_filter import NAMES
from tests.serving.conftest import AS_OF

WITHOUT_USERS = {"/models/{version}", "/sign-in", "/sign-out"}


def test_every_page_is_about_users_unless_it_is_listed_here():
    paths = {route.path for router in ROUTERS for route in router.routes}
    assert {path for path in paths if not about_people(path)} == WITHOUT_USERS


def test_no_page_is_in_the_documented_api(client):
    documented = client.get("/openapi.json").json()["paths"]
    assert not {route.path for router in ROUTERS for route in router.routes} & set(documented)


def test_pages_have_no_inline_script_or_style(client):
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


def test_a_running_service_computes_caches_in_advance(home, champion, bundle, scores, rows):
    write_snapshot(home, AS_OF - timedelta(days=28), bundle, "2", scores.assign(model_version="2"), rows)
    app = create_app(home)
    snapshot = app.state.service.snapshot()
    assert "peer_ranges" not in vars(snapshot)
    with TestClient(app):
        end = time.monotonic() + 20
        while not any("movers" in name for name in vars(snapshot).get("_figures", ())):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert "peer_ranges" in vars(snapshot)
    before, after = app.state.service.pair(None, None)
    assert app.state.service.pair(None, after.as_of)[0] is before  # the snapshot is opened only once


def test_columns_of_filters_are_read_in_advance(home, champion):
    service = create_app(home).state.service
    snapshot = service.snapshot()
    assert "lower_ids" not in snapshot.derived
    prepare(service)
    assert {"lower_ids", NAMES} <= set(snapshot.derived)


def test_a_failed_preparation_does_not_stop_the_service(home, champion, monkeypatch, caplog):
    service = create_app(home).state.service
    prepare(service)  # works without an earlier snapshot
    monkeypatch.setattr(service, "snapshot", lambda: {}["absent"])
    with caplog.at_level(logging.ERROR):
        prepare(service)
    assert "The pages could not be prepared" in caplog.text
