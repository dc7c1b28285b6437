import duckdb
import pytest

from features.errors import memory_limit_error


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
