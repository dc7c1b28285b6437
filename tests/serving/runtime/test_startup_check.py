"""The startup check reports everything that is missing, with instructions, and nothing that exists."""

import json
import os
import socket
import sys
from collections import namedtuple
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serving.middleware.api_keys import add_key
from serving.runtime import startup_check, state, watcher
from serving.runtime.startup_check import Finding, check_events, check_home, check_start, log_missing
from serving.runtime.state import Champion, cache_champion
from serving.snapshots.repository import write_snapshot
from tests import preloaded
from training.home import Home

ROOT = Path(__file__).parents[3]
AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
NAMES = ["home", "disk", "champion", "snapshot", "registry", "database", "keys", "port"]
COMMAND = "import sys; from serving.cli.main import main; sys.argv[0] = 'clout'; main()"


@pytest.fixture
def registered_champion(monkeypatch, bundle):
    monkeypatch.setattr(watcher, "champion_version", lambda _: "4")
    monkeypatch.setattr(startup_check, "champion_version", lambda _: "4")
    monkeypatch.setattr(state, "load_champion", lambda *_: (bundle, "4"))
    monkeypatch.setattr(state, "report", lambda *_: None)


def run_checks(home, host="127.0.0.1", port=0):
    return {finding.name: finding for finding in check_start(home, host, port)}


def missing(findings):
    return {name for name, finding in findings.items() if not finding.holds}


def clout(*arguments, **environment):
    named = {name: value for name, value in os.environ.items() if name not in ("MLFLOW_TRACKING_URI", "CLOUT_DATABASE")}
    return preloaded.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        cwd=ROOT, env=named | environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_complete_home_reports_every_finding(home, registered_champion, score_as):
    assert "by version 3, 309 users, whole; the scores as of" in run_checks(home)["snapshot"].found
    score_as("4")
    findings = run_checks(home)
    assert list(findings) == NAMES
    assert missing(findings) == set()
    assert findings["snapshot"].found == "2017-07-30T00:00:00Z by version 4, 309 users, whole"
    assert findings["champion"].found.startswith("version 4, of ")
    assert findings["keys"].found == "0 for 127.0.0.1, which this machine alone can reach"
    assert findings["database"].found.startswith("none is configured")


def test_empty_home_says_what_to_run(tmp_path):
    findings = run_checks(Home(tmp_path / "absent"))
    assert missing(findings) == {"home", "champion", "snapshot"}
    option = f"--home {tmp_path / 'absent'}"
    for name, command in (("home", "train EVENTS"), ("champion", "train EVENTS"), ("snapshot", "score EVENTS")):
        assert f"run: clout {command} {option}" in findings[name].run
        assert findings[name].run in findings[name].message
        assert findings[name].expected in findings[name].message
    assert not (tmp_path / "absent").exists()


def test_damaged_snapshot_names_its_file(home, registered_champion):
    (home.snapshots / "2017-07-30T000000Z_v3" / "scores.parquet").write_bytes(b"nonsense")
    findings = run_checks(home)
    assert missing(findings) == {"snapshot"}
    assert "scores.parquet cannot be read" in findings["snapshot"].found


def test_a_public_address_requires_keys(home, registered_champion):
    findings = run_checks(home, "0.0.0.0")
    assert missing(findings) == {"keys"}
    assert findings["keys"].run == f"run: clout keys add NAME --scope read --home {home.folder}"
    add_key(home, "dashboard", "read")
    findings = run_checks(home, "0.0.0.0")
    assert missing(findings) == set()
    assert findings["keys"].found == "1 for 0.0.0.0"


def test_used_port_suggests_another(home, registered_champion):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        findings = run_checks(home, port=port)
        assert missing(findings) == {"port"}
        assert findings["port"].run == f"run: clout serve --port {port + 1} --home {home.folder}"
    assert missing(run_checks(home, port=port)) == set()


def test_full_disk_is_reported(home, registered_champion, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(startup_check.shutil, "disk_usage", lambda _: usage(9, 9, startup_check.GiB - 1))
    findings = run_checks(home)
    assert missing(findings) == {"disk"}
    assert "expected 1.0 GiB, for two new snapshots" in findings["disk"].message
    monkeypatch.setattr(startup_check.shutil, "disk_usage", lambda _: usage(9, 9, startup_check.GiB))
    assert missing(run_checks(home)) == set()


def test_unwritable_home_is_reported(home, registered_champion, monkeypatch):
    def refused(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(startup_check, "TemporaryFile", refused)
    findings = run_checks(home)
    assert missing(findings) == {"home"}
    assert "cannot be written to (Permission denied)" in findings["home"].found
    assert "chown" in findings["home"].run


def test_file_instead_of_home_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    assert "home" in missing(run_checks(Home(tmp_path / "file")))


def test_cached_champion_is_reported_without_registry(home, bundle):
    home_without_registry = Home(home.folder, "http://127.0.0.1:9")
    assert "A start would" not in run_checks(home_without_registry)["champion"].found
    cache_champion(home_without_registry, Champion(bundle, "7", None))
    assert run_checks(home_without_registry)["champion"].found.endswith(
        " A start would use version 7, which was loaded last."
    )
    assert missing(run_checks(home_without_registry)) == {"champion", "registry"}


def test_absent_registry_is_reported_without_password(home):
    findings = run_checks(Home(home.folder, "http://me:secret@127.0.0.1:9"))
    assert missing(findings) == {"champion", "registry"}
    assert "secret" not in findings["registry"].message
    assert "127.0.0.1:9" in findings["registry"].message


def test_database_is_checked(home, registered_champion, database, bundle, scores, rows):
    home_without_registry = run_checks(Home(home.folder, database="postgresql://me:secret@127.0.0.1:9/none"))
    assert missing(home_without_registry) == {"database", "keys"}  # the keys are in the database
    assert "secret" not in home_without_registry["database"].message + home_without_registry["keys"].message
    replica = Home(home.folder, database=database)
    assert "holds 0 snapshots" in run_checks(replica)["database"].found
    write_snapshot(replica, datetime(2018, 1, 1, tzinfo=UTC), bundle, "3", scores, rows)
    assert "holds 1 snapshots, the newest 2018-01-01T000000Z_v3" in run_checks(replica)["database"].found


def test_a_replica_may_start_without_a_home(tmp_path, registered_champion, database, bundle, scores, rows):
    replica = Home(tmp_path / "absent", database=database)
    assert missing(run_checks(replica)) == {"snapshot"}
    write_snapshot(Home(tmp_path / "publisher", database=database), AS_OF, bundle, "3", scores, rows)
    findings = run_checks(replica)
    assert missing(findings) == set()
    address = findings["database"].found.partition(" holds ")[0]
    assert findings["snapshot"].found == f"2017-07-30T000000Z_v3, which a start fetches from {address}"
    assert not replica.folder.exists()


def test_a_damaged_snapshot_of_a_replica_is_reported_despite_the_database(home, registered_champion, database, bundle):
    (home.snapshots / "2017-07-30T000000Z_v3" / "scores.parquet").write_bytes(b"nonsense")
    assert missing(run_checks(Home(home.folder, database=database))) == {"snapshot"}


def test_the_command_prints_lines_or_json(home):
    run = clout("serve", "--check", "--port", 0, "--home", home.folder)
    assert run.returncode == 2, run.stderr
    lines = run.stdout.splitlines()
    assert [line[8:].partition(":")[0] for line in lines] == NAMES
    assert [line[:7].strip() for line in lines] == ["MISSING" if name == "champion" else "ok" for name in NAMES]
    messages = json.loads(clout("serve", "--check", "--port", 0, "--home", home.folder, "--json").stdout)
    assert [message["name"] for message in messages] == NAMES
    assert [message["name"] for message in messages if not message["holds"]] == ["champion"]
    assert set(messages[0]) == {"name", "holds", "found", "expected", "run"}


def test_missing_home_is_logged_once(tmp_path, caplog):
    log_missing(check_home(Home(tmp_path / "absent")))
    (record,) = caplog.records
    assert record.getMessage() == check_home(Home(tmp_path / "absent"))[0].message


def test_events_are_checked_if_they_are_named(home, registered_champion, tmp_path):
    (absent,) = [one for one in check_start(home, "127.0.0.1", 0, tmp_path / "absent") if one.name == "events"]
    assert absent.message == (
        f"events: there are none at {tmp_path / 'absent'}; expected the Parquet file or folder of Parquet files that "
        "was scored; correct --events, or omit it"
    )
    (tmp_path / "events.parquet").touch()
    (present,) = check_events(home, tmp_path)
    assert (present.holds, present.found) == (True, f"there are some at {tmp_path}")


def test_a_finding_is_one_line():
    assert Finding("x", False, "nothing.", "something", "run: it").message == "x: nothing; expected something; run: it"
    assert Finding("x", True, "all", "something", "run: it").message == "x: all"
