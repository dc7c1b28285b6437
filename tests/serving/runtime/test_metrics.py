"""Prometheus metrics: counts that are computed by hand, labels without text from clients, one registry per app."""

import time
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from serving.app import create_app
from serving.middleware.access_log import RequestRecord
from training.home import Home

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
SCORE = "/v1/users/{user}/score"


@pytest.fixture
def client(home, champion, score_as):
    score_as("4")
    return TestClient(create_app(home), raise_server_exceptions=False)


def scraped(client):
    """Return every sample by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def sample(samples, name, **labels):
    return samples.get((name, frozenset(labels.items())))


def request_count(samples):
    names = ("route", "method", "status")
    return {
        tuple(dict(labels)[name] for name in names): value
        for (name, labels), value in samples.items()
        if name == "clout_requests_total"
    }


def test_requests_are_counted_by_route_method_and_status(client):
    for user in ("user0001", "user0002", "a%2Fb", "nobody-at-all"):
        client.get(f"/v1/users/{user}/score")
    client.post("/v1/scores", json={"users": ["user0001"]})
    client.post("/v1/scores", json={})
    client.delete("/v1/users/user0001/score")
    client.get("/v1/nowhere/secret-name")
    client.request("BREW", "/health")
    assert request_count(scraped(client)) == {
        (SCORE, "GET", "200"): 3,
        (SCORE, "GET", "404"): 1,
        (SCORE, "DELETE", "405"): 1,
        ("/v1/scores", "POST", "200"): 1,
        ("/v1/scores", "POST", "422"): 1,
        ("none", "GET", "404"): 1,
        ("/health", "other", "405"): 1,
    }
    assert request_count(scraped(client))["/metrics", "GET", "200"] == 1


def test_no_label_contains_text_from_clients(client):
    for path in ("/v1/users/user0001/score?scope=chosen", "/v1/users/user0001/what-if?set=chosen=1", "/chosen"):
        client.get(path, headers={"X-Request-ID": "chosen", "User-Agent": "chosen"})
    text = client.get("/metrics").text
    assert "user0001" not in text
    assert "chosen" not in text


def test_every_route_has_its_own_template(client):
    paths = client.app.openapi()["paths"]
    for path, operations in paths.items():
        for method in operations:
            client.request(method, path.replace("{user}", "user0001"))
    routes = {route for route, _, _ in request_count(scraped(client))}
    assert routes == set(paths)


def test_an_internal_error_is_counted_as_500(client):
    class Broken:
        def __init__(self):
            self.stale, self.missing = {}, {"snapshot": "broken", "champion": "broken"}

        def snapshot(self, _=None):
            raise ZeroDivisionError

    client.app.state.service = Broken()
    assert client.get("/v1/users/user0001/score").status_code == 500
    assert request_count(scraped(client)) == {(SCORE, "GET", "500"): 1}


def test_durations_are_counted_in_the_right_buckets(client):
    for seconds in (0.0005, 0.015, 0.03, 100.0):
        client.app.state.metrics.count(RequestRecord("id", "GET", SCORE, 200, seconds))
    samples = scraped(client)
    upto = {
        le: sample(samples, "clout_request_seconds_bucket", route=SCORE, le=le)
        for le in ("0.001", "0.02", "0.04", "20.0", "+Inf")
    }
    assert upto == {"0.001": 1, "0.02": 2, "0.04": 3, "20.0": 3, "+Inf": 4}
    assert sample(samples, "clout_request_seconds_sum", route=SCORE) == pytest.approx(100.0455)


def test_state_is_reported(client):
    samples = scraped(client)
    assert sample(samples, "clout_ready") == 1
    assert sample(samples, "clout_users") == 309
    assert sample(samples, "clout_snapshot_as_of_seconds") == AS_OF.timestamp()
    assert sample(samples, "clout_snapshot_age_seconds") == pytest.approx(time.time() - AS_OF.timestamp(), abs=60)
    assert sample(samples, "clout_snapshot_info", model_version="4") == 1
    assert sample(samples, "clout_champion_info", model_version="4") == 1
    for part in ("snapshot", "champion"):
        assert sample(samples, "clout_stale", part=part) == 0
        assert sample(samples, "clout_loads_total", part=part, result="loaded") == 1
        assert sample(samples, "clout_loads_total", part=part, result="failed") == 0
    assert sample(samples, "process_resident_memory_bytes") > 1e7


def test_failed_load_is_reported(client, home):
    newer = home.snapshots / "2018-01-01T000000Z_v4"
    newer.mkdir()
    client.app.state.watcher.look()
    samples = scraped(client)
    assert sample(samples, "clout_stale", part="snapshot") == 1
    assert sample(samples, "clout_loads_total", part="snapshot", result="failed") == 1
    assert sample(samples, "clout_stale", part="champion") == 0
    newer.rmdir()
    client.app.state.watcher.look()
    samples = scraped(client)
    assert sample(samples, "clout_stale", part="snapshot") == 0
    assert sample(samples, "clout_loads_total", part="snapshot", result="failed") == 1


def test_absent_parts_have_no_sample(tmp_path):
    samples = scraped(TestClient(create_app(Home(tmp_path)), raise_server_exceptions=False))
    assert sample(samples, "clout_ready") == 0
    assert {name for name, _ in samples if "users" in name or "info" in name or "as_of" in name} == set()


def test_applications_in_one_process_have_separate_metrics(client, home):
    other = TestClient(create_app(home), raise_server_exceptions=False)
    client.get("/health")
    assert request_count(scraped(client)) == {("/health", "GET", "200"): 1}
    assert request_count(scraped(other)) == {}
    assert (
        REGISTRY.get_sample_value("clout_requests_total", {"route": "/health", "method": "GET", "status": "200"})
        is None
    )
