"""Arrays in files return what was written, and chunks contain whole users."""

import re
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest

from features.errors import OutputError
from training.selection import file_arrays
from training.selection.file_arrays import FileArray, GroupedFileArray, mapped_zeros, user_parts


def test_an_array_contains_its_parts():
    assert FileArray(np.int32).mapped().tolist() == []
    array = FileArray(np.int32)
    array.append(np.array([3, 1], dtype=np.int64))
    array.append(np.array([], dtype=np.int32))
    array.append(np.arange(10)[::4])
    values = array.mapped()
    assert values.tolist() == [3, 1, 0, 4, 8]
    assert values.dtype == np.int32


@pytest.mark.parametrize("counts", [[], [0, 0], [3, 0, 2, 9, 1, 1, 0], [20]])
def test_no_user_is_in_two_parts(counts, monkeypatch):
    monkeypatch.setattr(file_arrays, "PAIRS_AT_ONCE", 4)
    starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    parts = list(user_parts(starts))
    assert [user for users, _ in parts for user in range(users.start, users.stop)] == list(range(len(counts)))
    assert [pair for _, pairs in parts for pair in range(pairs.start, pairs.stop)] == list(range(sum(counts)))
    for users, pairs in parts:
        assert (pairs.start, pairs.stop) == (starts[users.start], starts[users.stop])
        assert pairs.stop - pairs.start <= 4 or users.stop - users.start == 1


def test_values_of_groups_are_read_group_by_group():
    assert list(GroupedFileArray(np.int32).by_group()) == []
    array = GroupedFileArray(np.float64)
    for group, values in [("b", [5, 1]), ("a", [2]), ("b", []), ("c", []), ("b", [3])]:
        array.append(group, np.array(values))
    groups = dict(array.by_group())
    assert {group: values.tolist() for group, values in groups.items()} == {"a": [2], "b": [5, 1, 3], "c": []}
    groups["b"].sort()
    assert groups["b"].tolist() == [1, 3, 5]


def test_zeros_in_a_file_can_be_changed():
    assert mapped_zeros(0, np.int32).tolist() == []
    zeros = mapped_zeros(3, np.bool_)
    zeros[1] = True
    assert (zeros.tolist(), zeros.dtype) == ([False, True, False], np.bool_)


def fill(array, count):
    array.append(np.zeros(count))
    array.mapped()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("count", [1, 100_000])  # the system fails at the end or at once
def test_a_full_disk_of_temporary_files_is_named(count):
    array = FileArray(np.float64)
    message = (
        f"{re.escape(gettempdir())} cannot be written: No space left on device; free .* Or set TMPDIR to a larger disk"
    )
    array._file.close()
    full = Path("/dev/full").open("r+b")  # noqa: SIM115 - the array closes it
    array._file = full
    with pytest.raises(OutputError, match=message):
        fill(array, count)
    assert full.closed


def test_parts_of_users_without_pairs_are_bounded(monkeypatch):
    monkeypatch.setattr(file_arrays, "USERS_AT_ONCE", 3)
    assert [users for users, _ in user_parts(np.zeros(8, np.int64))] == [slice(0, 3), slice(3, 6), slice(6, 7)]
