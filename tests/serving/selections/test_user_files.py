"""Files of users and costs are read completely, or refused with the reason."""

import pandas as pd
import pytest

from serving.selections.select import SelectionError
from serving.selections.user_files import read_costs, read_users


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_users_are_read_from_lines_or_a_column(tmp_path):
    assert read_users(write(tmp_path, "users.txt", "ann\n\n12.0\n")) == ("ann", "12")
    assert read_users(write(tmp_path, "users.csv", "cost,user\n3,ann\n4,007\n")) == ("ann", "007")
    pd.DataFrame({"user": ["ann", "bob"]}).to_parquet(tmp_path / "users.parquet")
    assert read_users(tmp_path / "users.parquet") == ("ann", "bob")


def test_costs_are_numbers_by_user(tmp_path):
    assert read_costs(write(tmp_path, "costs.csv", "user,cost\nann,3\n12.0,0.5\n")) == {"ann": 3.0, "12": 0.5}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_marks_and_windows_line_ends_are_stripped(tmp_path, mark, end):
    lines = write(tmp_path, "users.txt", f"{mark}ann{end}bob{end}")
    assert read_users(lines) == ("ann", "bob")
    table = write(tmp_path, "costs.csv", f"{mark}user;cost{end}ann;3{end}bob;0.5{end}")
    assert read_users(table) == ("ann", "bob")
    assert read_costs(table) == {"ann": 3.0, "bob": 0.5}


def test_files_without_users_are_refused(tmp_path):
    assert read_users(write(tmp_path, "users.txt", "\n\n")) == ()
    assert read_users(write(tmp_path, "users.csv", "user\n")) == ()
    assert read_costs(write(tmp_path, "costs.csv", "user,cost\n")) == {}
    with pytest.raises(SelectionError, match=r"none\.csv cannot be read as a table of costs: Empty CSV file"):
        read_costs(write(tmp_path, "none.csv", ""))


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_users, "name\nann\n", "lacks the column\\(s\\) user; it has name"),
        (read_costs, "user\nann\n", "lacks the column\\(s\\) cost; it has user"),
        (read_costs, "user,cost\nann,1\nann,2\n", "names 'ann' twice"),
        (read_costs, "user,cost\nann,\n", "the cost of 'ann', in row 1, is ''; expected a number"),
        (read_costs, "user,cost\n,1\n", "the user in row 1 is empty; expected an id in each row"),
        (read_costs, "user,cost\nann,cheap\n", "the cost of 'ann', in row 1, is 'cheap'; expected a number"),
    ],
)
def test_broken_files_are_refused(tmp_path, read, text, message):
    with pytest.raises(SelectionError, match=message):
        read(write(tmp_path, "users.csv", text))


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(SelectionError, match=r"users\.txt cannot be read as a list of users"):
        read_users(tmp_path / "users.txt")
