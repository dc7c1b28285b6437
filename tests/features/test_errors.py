import errno
import os
import sqlite3
from pathlib import Path

import duckdb
import pytest

from features.errors import memory_limit_error, storage_advice, storage_error, write_error


@pytest.mark.parametrize("limit", [None, "60MB"])
def test_a_shortage_of_memory_names_the_setting(limit, monkeypatch):
    if limit:
        monkeypatch.setenv("CLOUT_MEMORY", limit)
    error = memory_limit_error(duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate data"))
    assert str(error) == f"the memory of {limit or '4GB'} does not suffice; set CLOUT_MEMORY to more, such as 16GB."


def test_a_full_disk_names_the_folder():
    error = duckdb.OutOfMemoryException("Out of Memory Error: failed to offload: max_temp_directory_size exceeded")
    assert "TMPDIR" in str(memory_limit_error(error))


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 8 GiB"), RuntimeError("std::bad_alloc")])
def test_a_machine_without_memory_does_not_suggest_the_setting(error):
    assert str(memory_limit_error(error)) == (
        "this machine has too little memory; end other programs, or use a larger one."
    )


def test_other_errors_are_not_reported_as_memory_errors():
    assert memory_limit_error(ValueError("no")) is None


def system_error(code):
    return OSError(code, os.strerror(code), "home/x")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (system_error(errno.ENOSPC), "free disk space there"),
        (system_error(errno.EDQUOT), "free disk space there"),
        (sqlite3.OperationalError("database or disk is full"), "free disk space there"),
        (duckdb.IOException('Could not write file "x": No space left on device'), "free disk space there"),
        (system_error(errno.EROFS), "let this user write there, or choose another folder"),
        (system_error(errno.EACCES), "let this user write there, or choose another folder"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "let this user write there, or choose"),
        (sqlite3.OperationalError("database is locked"), "another process is using it, so try again"),
    ],
)
def test_refused_access_to_storage_is_reported_with_a_remedy(error, advice):
    assert advice in storage_advice(error)
    assert str(storage_error(error)).endswith(f"{storage_advice(error)}.")


def test_an_unwritable_path_is_reported():
    error = write_error(Path("home"), system_error(errno.ENOSPC))
    assert str(error) == "home cannot be written: No space left on device; free disk space there."
    assert str(write_error(Path("home"), system_error(errno.EIO))) == "home cannot be written: Input/output error."


def test_the_relevant_line_is_shown():
    error = RuntimeError(
        "(raised as a result of autoflush)\n(sqlite3.OperationalError) database or disk is full\n[SQL: x]"
    )
    assert str(storage_error(error)) == "(sqlite3.OperationalError) database or disk is full; free disk space there."


def test_other_errors_are_not_reported_as_storage_errors():
    assert storage_error(FileNotFoundError(2, "No such file or directory")) is None
