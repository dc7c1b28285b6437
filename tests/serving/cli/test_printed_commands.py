"""Printed commands run in a shell unchanged, even if names of homes and users need quoting."""

import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serving.cli.demo import print_next
from serving.cli.main import app
from serving.privacy.audit_log import AuditLog
from training.home import Home
from training.registry.model_registry import promote

VALUES = {"USER": "user0001", "EVENTS": "events"}


@pytest.fixture
def spaced(home, registry, tmp_path):
    """A home with scores and a registry whose path needs quoting and is not the default."""
    folder = tmp_path / "it's my $home"
    shutil.copytree(registry.folder, folder)
    shutil.copytree(home.snapshots, folder / "snapshots")
    promote(Home(folder), "1")
    return Home(folder)


def printed_commands(text):
    """Return the words of each printed command, split as a shell does."""
    lines = [line for line in text.splitlines() if line.startswith("  clout ")]
    return [
        subprocess.run(
            ["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for line in lines
    ]


def run_printed(clout, elsewhere, words):
    return clout(elsewhere, *(VALUES.get(word, word) for word in words[1:]))


def test_commands_after_a_promotion_and_without_scores(clout, spaced, tmp_path):
    elsewhere, option = Home(tmp_path / "other"), ["--home", str(spaced.folder)]
    shutil.rmtree(spaced.snapshots)
    (words,) = printed_commands(clout(elsewhere, "promote", "2", *option).stderr)
    assert words == ["clout", "score", "EVENTS", *option]
    (tmp_path / "it's new").mkdir()
    (words,) = printed_commands(clout(elsewhere, "versions", "--home", str(tmp_path / "it's new")).stderr)
    assert words == ["clout", "train", "EVENTS", "--home", str(tmp_path / "it's new")]


def test_the_next_commands_of_the_demo_run(clout, spaced, tmp_path, capsys):
    print_next(spaced, spaced.folder / "events.parquet", "user0001", "a/b")
    explain, serve, table = printed_commands(capsys.readouterr().err)
    assert serve[2:] == ["--events", str(spaced.folder / "events.parquet"), "--home", str(spaced.folder)]
    assert run_printed(clout, Home(tmp_path / "other"), explain).stdout.startswith("The influence score of user0001 ")
    assert run_printed(clout, Home(tmp_path / "other"), table).returncode == 0


def test_odd_users_of_the_demo_stay_one_word(tmp_path, capsys):
    print_next(Home(tmp_path), Path("events"), "a b'c", "a b'c")
    explain, _, _ = printed_commands(capsys.readouterr().err)
    assert explain[:3] == ["clout", "explain", "a b'c"]


def test_the_command_for_earlier_reads_runs(clout, spaced, tmp_path):
    log, elsewhere = AuditLog(spaced), Home(tmp_path / "other")
    for route in ("first", "second"):
        log.write({"route": route}, ["a b'c"])
        log.flush()
        time.sleep(0.002)  # reads of one millisecond are on both pages
    options = ["--from", "2017-07-30", "--top", "1", "--home", str(spaced.folder)]
    (words,) = printed_commands(clout(elsewhere, "audit", "--user", "a b'c", *options).stderr)
    earlier = run_printed(clout, elsewhere, words)
    assert "first" in earlier.stdout
    assert "second" not in earlier.stdout
    assert words[2:6] == ["--user", "a b'c", "--from", "2017-07-30"]
    log.close()


def test_the_command_that_makes_a_key_runs(clout, spaced, tmp_path):
    elsewhere, option = Home(tmp_path / "other"), ["--home", str(spaced.folder)]
    (words,) = printed_commands(clout(elsewhere, "keys", "list", *option).stderr)
    assert run_printed(clout, elsewhere, words).stdout.startswith("clout_")
    assert "NAME" in clout(elsewhere, "keys", "list", *option).stdout


def test_advice_names_the_home(clout, spaced, tmp_path):
    option = f"--home {shlex.quote(str(spaced.folder))}"
    for advice, *words in (
        ("clout keys add NAME --scope read", "serve", "--host", "0.0.0.0"),
        ("clout score EVENTS --scope all --scope 'topic:wild birds'", "find", "--topic", "wild birds"),
        ("clout score EVENTS", "promote", "2"),
    ):
        run = clout(Home(tmp_path / "other"), *words, "--home", str(spaced.folder))
        assert f"{advice} {option}" in run.stderr


def test_a_home_from_the_environment_needs_no_option(clout, spaced):
    shutil.rmtree(spaced.snapshots)
    assert printed_commands(clout(spaced, "promote", "2").stderr) == [["clout", "score", "EVENTS"]]


def test_a_demo_of_too_few_days_says_how_many_it_needs(tmp_path):
    run = CliRunner().invoke(app, ["demo", "--days", "60", "--home", str(tmp_path)])
    assert run.exit_code == 2
    assert "60 is not in the range x>=154" in run.output
