"""Writing aside: whole or not at all, on the disk before it has its name, and nothing of killed writers stays."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from features import atomic_files as writing
from features.atomic_files import PREFIX, publish, scratch_dir, swap_paths
from features.errors import OutputError

WRITER = """
import os, signal, sys
from pathlib import Path
from features import atomic_files
from features.atomic_files import publish
out, die = Path(sys.argv[1]), lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with atomic_files.scratch_dir(out) as scratch:
    (scratch / "made").mkdir()
    (scratch / "made" / "part").write_text("newer")
    if sys.argv[2] == "killed in between":
        rename, atomic_files.swap_paths = Path.rename, lambda *_: False
        Path.rename = lambda one, two: (rename(one, two), die())
        publish(scratch / "made", out, scratch)
    if sys.argv[2] == "killed":
        die()
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part").write_text("older")
    return tmp_path / "out"


def write_and_publish(out, text="newer"):
    with scratch_dir(out) as scratch:
        (scratch / "made").mkdir()
        (scratch / "made" / "part").write_text(text)
        publish(scratch / "made", out, scratch)


def held(out):
    return (out / "part").read_text()


def left(out):
    return sorted(each.name for each in out.parent.iterdir() if each != out)


def writer(out, fate):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, out, fate], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def killed(out, fate="killed"):
    with writer(out, fate) as process:
        assert process.wait(timeout=30) == -signal.SIGKILL


def test_two_folders_change_names(out):
    other = out.with_name("other")
    other.mkdir()
    if not swap_paths(out, other):
        pytest.skip("this system, or what this disk is formatted with, knows no exchange of names")
    assert (list(out.iterdir()), held(other)) == ([], "older")


def test_an_exchange_with_nothing_is_refused_and_changes_nothing(out):
    with pytest.raises(FileNotFoundError, match="nothing"):
        swap_paths(out, out.with_name("nothing"))
    assert held(out) == "older"


@pytest.mark.parametrize("known", [True, False], ids=["in one step", "in two steps"])
def test_a_folder_is_replaced_and_nothing_is_left(out, known, monkeypatch):
    if not known:
        monkeypatch.setattr(writing, "swap_paths", lambda *_: False)
    write_and_publish(out)
    assert (held(out), left(out)) == ("newer", [])


def test_the_name_is_never_without_a_folder(out, monkeypatch):
    renamed = []
    monkeypatch.setattr(Path, "rename", lambda *_: renamed.append(1))
    write_and_publish(out)
    if held(out) != "newer":
        pytest.skip("this system, or what this disk is formatted with, knows no exchange of names")
    assert renamed == []


def test_everything_is_on_the_disk_before_it_has_its_name_and_the_name_after_it(out, monkeypatch):
    steps, sync, swap = [], os.fsync, writing.swap_paths

    def synced(opened):
        steps.append(Path(f"/proc/self/fd/{opened}").readlink().name)
        sync(opened)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(writing, "swap_paths", lambda *both: steps.append("named") or swap(*both))
    write_and_publish(out)
    assert steps == ["part", "made", "named", out.parent.name]


def test_what_the_disk_refuses_to_keep_gets_no_name(out, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_and_publish(out)
    assert (held(out), left(out)) == ("older", [])


def test_a_disk_that_keeps_nothing_back_needs_no_waiting(out, monkeypatch):
    def unknown(_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unknown)
    write_and_publish(out)
    assert held(out) == "newer"


def test_what_killed_writers_left_is_cleared_by_the_next_one(out):
    for _ in range(2):
        killed(out)
    assert len(left(out)) == 1, "the second one cleared what the first one left"
    write_and_publish(out)
    assert (held(out), left(out)) == ("newer", [])


def test_what_a_living_writer_holds_is_left_alone(out):
    with writer(out, "lives") as process:
        assert process.stdout.readline() == "writing\n"
        (theirs,) = left(out)
        write_and_publish(out)
        assert left(out) == [theirs]
        assert (out.parent / theirs / "made" / "part").read_text() == "newer"


def test_two_at_once_in_one_process_leave_each_other_alone(out):
    with scratch_dir(out) as one, scratch_dir(out) as other:
        assert one != other
        assert one.is_dir()
    assert left(out) == []


def test_an_older_folder_that_a_killed_writer_took_away_comes_back(out):
    killed(out, "killed in between")
    assert not out.exists()
    with scratch_dir(out.with_name("another")):
        assert held(out) == "older"
    assert left(out) == []


def test_what_others_call_alike_is_never_cleared(out):
    (out.parent / ".clout-settings").mkdir()
    (out.parent / f"{PREFIX}notes").write_text("mine")
    write_and_publish(out)
    assert left(out) == [f"{PREFIX}notes", ".clout-settings"]


def test_a_folder_that_was_cleared_before_it_was_held_is_made_again(out, monkeypatch):
    made, make = [], writing.mkdtemp

    def cleared(**where):
        made.append(make(**where))
        if len(made) == 1:
            Path(made[0]).rmdir()
        return made[-1]

    monkeypatch.setattr(writing, "mkdtemp", cleared)
    write_and_publish(out)
    assert (len(made), held(out)) == (2, "newer")


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file cannot be written to"), scratch_dir(tmp_path / "file" / "out"):
        pass
