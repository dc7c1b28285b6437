"""Atomic writes: complete or nothing, synced before the rename, and remains of killed writers are removed."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from features import atomic_files as writing
from features.atomic_files import PREFIX, check_writable, publish, scratch_dir, swap_paths
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


def content_of(out):
    return (out / "part").read_text()


def other_names(out):
    return sorted(path.name for path in out.parent.iterdir() if path != out)


def writer(out, end):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, out, end], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def killed(out, end="killed"):
    with writer(out, end) as process:
        assert process.wait(timeout=30) == -signal.SIGKILL


def test_swap_of_two_folders(out):
    other = out.with_name("other")
    other.mkdir()
    if not swap_paths(out, other):
        pytest.skip("this system, or what this disk is formatted with, knows no exchange of names")
    assert (list(out.iterdir()), content_of(other)) == ([], "older")


def test_swap_with_a_missing_path_fails_without_changes(out):
    with pytest.raises(FileNotFoundError, match="nothing"):
        swap_paths(out, out.with_name("nothing"))
    assert content_of(out) == "older"


@pytest.mark.parametrize("supported", [True, False], ids=["in one step", "in two steps"])
def test_folder_is_replaced_without_remains(out, supported, monkeypatch):
    if not supported:
        monkeypatch.setattr(writing, "swap_paths", lambda *_: False)
    write_and_publish(out)
    assert (content_of(out), other_names(out)) == ("newer", [])


def test_folder_is_never_absent(out, monkeypatch):
    renamed = []
    monkeypatch.setattr(Path, "rename", lambda *_: renamed.append(1))
    write_and_publish(out)
    if content_of(out) != "newer":
        pytest.skip("this system, or what this disk is formatted with, knows no exchange of names")
    assert renamed == []


def test_data_is_synced_before_the_rename_and_the_parent_after(out, monkeypatch):
    steps, sync, swap = [], os.fsync, writing.swap_paths

    def synced(descriptor):
        steps.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(writing, "swap_paths", lambda *both: steps.append("named") or swap(*both))
    write_and_publish(out)
    assert steps == ["part", "made", "named", out.parent.name]


def test_failed_sync_publishes_nothing(out, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_and_publish(out)
    assert (content_of(out), other_names(out)) == ("older", [])


def test_unsupported_fsync_is_ignored(out, monkeypatch):
    def unknown(_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unknown)
    write_and_publish(out)
    assert content_of(out) == "newer"


def test_next_writer_removes_orphans(out):
    for _ in range(2):
        killed(out)
    assert len(other_names(out)) == 1, "the second writer removed what the first one left"
    write_and_publish(out)
    assert (content_of(out), other_names(out)) == ("newer", [])


def test_locked_scratch_folder_is_not_removed(out):
    with writer(out, "lives") as process:
        assert process.stdout.readline() == "writing\n"
        (theirs,) = other_names(out)
        write_and_publish(out)
        assert other_names(out) == [theirs]
        assert (out.parent / theirs / "made" / "part").read_text() == "newer"


def test_two_scratch_folders_in_one_process_are_independent(out):
    with scratch_dir(out) as one, scratch_dir(out) as other:
        assert one != other
        assert one.is_dir()
    assert other_names(out) == []


def test_previous_folder_of_a_killed_writer_is_restored(out):
    killed(out, "killed in between")
    assert not out.exists()
    with scratch_dir(out.with_name("another")):
        assert content_of(out) == "older"
    assert other_names(out) == []


def test_similar_names_are_never_removed(out):
    (out.parent / ".clout-settings").mkdir()
    (out.parent / f"{PREFIX}notes").write_text("mine")
    write_and_publish(out)
    assert other_names(out) == [f"{PREFIX}notes", ".clout-settings"]


def test_scratch_folder_removed_before_its_lock_is_created_again(out, monkeypatch):
    folders, make = [], writing.mkdtemp

    def cleared(**where):
        folders.append(make(**where))
        if len(folders) == 1:
            Path(folders[0]).rmdir()
        return folders[-1]

    monkeypatch.setattr(writing, "mkdtemp", cleared)
    write_and_publish(out)
    assert (len(folders), content_of(out)) == (2, "newer")


def test_unwritable_folder_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file cannot be written: File exists"):
        check_writable(tmp_path / "file" / "out")
