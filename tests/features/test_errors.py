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
def test_a_machine_without_memory_is_no_matter_of_the_setting(error):
    assert str(memory_limit_error(error)) == (
        "this machine has too little memory; end other programs, or use a larger one."
    )


def test_other_errors_are_none_of_memory():
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
def test_a_storage_that_refuses_says_what_to_do(error, advice):
    assert advice in storage_advice(error)
    assert str(storage_error(error)).endswith(f"{storage_advice(error)}.")


def test_a_path_that_cannot_be_written():
    error = write_error(Path("home"), system_error(errno.ENOSPC))
    assert str(error) == "home cannot be written: No space left on device; free disk space there."
    assert str(write_error(Path("home"), system_error(errno.EIO))) == "home cannot be written: Input/output error."


def test_the_line_that_matters_is_shown():
    error = RuntimeError(
        "(raised as a result of autoflush)\n(sqlite3.OperationalError) database or disk is full\n[SQL: x]"
    )
    assert str(storage_error(error)) == "(sqlite3.OperationalError) database or disk is full; free disk space there."


def test_other_errors_are_none_of_the_storage():
    assert storage_error(FileNotFoundError(2, "No such file or directory")) is None
