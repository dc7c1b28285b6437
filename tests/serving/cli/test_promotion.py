"""After a promotion, commands and a running service use the champion, or report why they cannot."""

import json
import re
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from serving.scoring import score_rows
from serving.snapshots.repository import write_snapshot
from tests import preloaded
from training.home import Home
from training.registry.model_registry import promote

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
STATED_SECONDS = 6.0  # the time for a running service to switch, as the help states
BUSY_SECONDS = 6.0  # extra time on busy machines


@pytest.fixture
def two_versions(registry, tmp_path, bundle, rows, monkeypatch):
    """A home with scores by versions 1 and 2 at the same instant; version 2 is the champion."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home(shutil.copytree(registry.folder, tmp_path / "rolled forward"))
    promote(home, "2")
    for version in ("1", "2"):
        write_snapshot(home, AS_OF, bundle, version, score_rows(bundle, version, rows), rows)
    return home


def explaining_version(clout, home):
    """Return the version used by `clout explain`, and its standard error."""
    run = clout(home, "explain", "user0001", "--json")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)["model_version"], run.stderr


def test_a_rollback_serves_the_earlier_scores(clout, two_versions):
    assert explaining_version(clout, two_versions) == ("2", "")
    run = clout(two_versions, "promote", "1")
    assert run.returncode == 0, run.stderr
    assert run.stderr.endswith("The scores as of 2017-07-30T00:00:00Z by version 1 are served.\n")
    assert explaining_version(clout, two_versions) == ("1", "")
    for command in ("what-if", "history"):
        answer = clout(two_versions, command, "user0001", "--json").stdout
        assert set(re.findall(r'"model_version": "(\d)"', answer)) <= {"1"}


def test_a_champion_without_scores_is_reported(clout, two_versions):
    shutil.rmtree(two_versions.snapshots / "2017-07-30T000000Z_v1")
    expected = (
        "warning: the scores as of 2017-07-30T00:00:00Z by version 2 are served, because the champion, version 1, has "
        "not scored yet. Run 'clout score EVENTS'.\n"
    )
    assert clout(two_versions, "promote", "1").stderr.endswith(expected)
    assert explaining_version(clout, two_versions) == ("2", expected)


def test_older_scores_of_the_champion_are_reported(clout, two_versions, bundle, rows):
    later = AS_OF + timedelta(days=28)
    write_snapshot(two_versions, later, bundle, "2", score_rows(bundle, "2", rows), rows)
    expected = (
        "by version 1 are served, because version 2, which scored as of 2017-08-27T00:00:00Z, is not the champion."
    )
    assert expected in clout(two_versions, "promote", "1").stderr
    version, err = explaining_version(clout, two_versions)
    assert version == "1"
    assert expected in err


def test_a_home_without_scores_names_the_next_command(clout, two_versions):
    shutil.rmtree(two_versions.snapshots)
    assert "There are no scores yet. Next:\n  clout score EVENTS\n" in clout(two_versions, "promote", "1").stderr


def test_the_newest_scores_are_used_if_the_registry_is_unreachable(clout, two_versions):
    two_versions.store.write_bytes(b"no database " * 1000)
    version, err = explaining_version(clout, two_versions)
    assert version == "2"
    assert err.startswith("warning: the champion is unknown, so the newest scores are shown: the registry at ")


def test_a_running_service_switches_within_the_stated_time(two_versions, tmp_path, bundle, rows):
    command = [sys.executable, "-c", "from serving.cli.main import main; main()", "serve", "--port", "0"]
    command += ["--home", str(two_versions.folder)]
    log = tmp_path / "log"
    with log.open("w") as stderr, preloaded.Popen(command, stderr=stderr) as process:
        try:
            while not (address := re.search(r"(http://[\d.:]+)/docs", log.read_text())):
                assert process.poll() is None
                time.sleep(0.05)
            with httpx.Client(base_url=address[1], trust_env=False, timeout=60) as client:
                assert answers(client) == ("2", "2", "2017-07-30T00:00:00Z")
                promote(two_versions, "1")
                assert seconds_until(client, ("1", "1", "2017-07-30T00:00:00Z")) < STATED_SECONDS + BUSY_SECONDS
                later = AS_OF + timedelta(days=28)
                write_snapshot(two_versions, later, bundle, "1", score_rows(bundle, "1", rows), rows)
                assert seconds_until(client, ("1", "1", "2017-08-27T00:00:00Z")) < STATED_SECONDS + BUSY_SECONDS
        finally:
            process.terminate()
            process.wait(timeout=20)


def answers(client):
    readiness, score = client.get("/ready").json(), client.get("/v1/users/user0001/score").json()
    return readiness["model_version"], score["model_version"], score["as_of"]


def seconds_until(client, expected):
    began = time.monotonic()
    while answers(client) != expected:
        assert time.monotonic() - began < 60
        time.sleep(0.05)
    return time.monotonic() - began
