"""Fixtures: a client of the pages, and a browser with a real service."""

import re
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.snapshots.repository import write_snapshot
from tests import preloaded
from tests.serving.conftest import AS_OF, SELECTION_MODEL, stored_audiences
from training.home import Home
from training.registry.model_registry import CARD, promote, register
from training.selection.selection_model import with_selection

SERVE = """
import sys
from pathlib import Path
from serving.app import serve
from training.home import Home
serve(Home(Path(sys.argv[1])), "127.0.0.1", 0, events=Path(sys.argv[2]) if sys.argv[2:] else None)
"""
HTML = {"Accept": "text/html"}


@pytest.fixture
def client(home, champion):
    return TestClient(create_app(home), raise_server_exceptions=False, headers=HTML, follow_redirects=False)


UNUSUAL_IDS = {
    "user0280": "مريم",
    "user0281": "דוד לוי",
    "user0282": "👩🏽‍🚀 🏳️‍🌈",
    "user0283": "<script>document.title = 1</script>",
    "user0284": "&lt;b&gt; 'x' \"y\" {{ 7 * 7 }} ${7 * 7}",
    "user0285": "W" * 300,
}
HOSTILE_SCOPE = "topic:<img src=x onerror='document.title = 1'>"


@pytest.fixture(scope="session")
def address(tmp_path_factory, bundle, scores, rows, report):
    """The address of a service in its own process: a champion, two snapshots with audiences, unusual ids and scopes."""
    home = Home(tmp_path_factory.mktemp("served") / "home")
    champion = register(home, bundle, {}, {}, report, {}, {CARD: "# Clout\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"})
    promote(home, champion)
    scores, rows = (
        frame.assign(
            user=frame["user"].replace(UNUSUAL_IDS),
            scope=frame["scope"].astype(str).replace("topic:birds", HOSTILE_SCOPE),
        )
        for frame in (scores, rows)
    )
    selecting, audiences = with_selection(bundle, SELECTION_MODEL), stored_audiences(len(rows))
    audiences = replace(audiences, pools=audiences.pools | {HOSTILE_SCOPE: 5.0})
    for version, days in (("0", bundle.horizon_days), (champion, 0)):
        at = AS_OF - timedelta(days=days)
        write_snapshot(home, at, selecting, version, scores.assign(model_version=version), rows, audiences)
    with serve_home(home) as address:
        yield address


@pytest.fixture
def serving():
    """Return a context manager that serves a home in its own process and yields the address."""
    return serve_home


@contextmanager
def serve_home(home, *events):
    """Serve a home, and optionally an event table, in a process of its own; yield the address."""
    command, log = [sys.executable, "-c", SERVE, str(home.folder), *map(str, events)], home.folder.with_name("log")
    with log.open("w") as stderr, preloaded.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr) as process:
        try:
            while not (match := re.search(r"Listening on (http://\S+?),", log.read_text())):
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield match[1]
        finally:
            process.terminate()
            process.wait(timeout=20)


def is_complaint(message):
    """Return whether a console message is an error other than a failed request."""
    statuses = ("responded with a status of", "Response Status Error Code")
    return message.type == "error" and not any(status in message.text for status in statuses)


@pytest.fixture(scope="session")
def context(browser):
    """One browser context for all tabs; a new one for each test would be slower than its pages."""
    context = browser.new_context(locale="en-GB", timezone_id="Asia/Tokyo")
    yield context
    context.close()


@pytest.fixture
def tab(context):
    """A new tab; its test fails if a script fails or the content security policy blocks something.

    Cookies and stored data are deleted at the end.
    """
    complaints = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
    page.complaints = complaints
    yield page
    page.evaluate("localStorage.clear()")
    page.close()
    context.clear_cookies()
    assert complaints == []


@pytest.fixture(scope="session")
def attack_result():
    """Return the result of one attack."""
    usual = {"attack": "pod", "description": "20 members like", "mode": "scoring", "gain_median": 2.0, "limit": 4}
    return lambda **changes: usual | {"baselines": {"followers": 23.0}, "within_limit": True} | changes


@pytest.fixture(scope="session")
def attack_report():
    """Return the section of a report with the results of attacks."""
    facts = {"as_of": "2026-02-24T23:58:59+00:00", "best_baseline": "followers"}

    def attack_report(*results):
        within_limits = all(result["within_limit"] for result in results)
        return {"gate": {"attacks": facts | {"attacks": list(results), "within_limits": within_limits}}}

    return attack_report


@pytest.fixture(scope="session")
def report(attack_result, attack_report):
    """Return the parts of a model's report that the pages read."""
    band = {"from": 0.0, "to": 1.0, "users": 60, "expected": 0.1, "audience": 0.01, "coverage": 0.97, "width": 1.0}
    return attack_report(attack_result()) | {
        "as_of": "2026-01-27T23:58:59+00:00",
        "horizon_days": 28,
        "users": 100,
        "metrics": {"score": {"total": 0.91, "coverage": 0.93}},
        "bands": [band, band | {"from": 1.0, "to": None, "users": 40, "expected": 10.0, "audience": 100.0}],
    }
