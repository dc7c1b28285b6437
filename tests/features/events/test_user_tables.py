"""Tables of users are read from any format, or refused with the row and the reason."""

import pandas as pd
import pytest

from features.errors import IdentitiesError
from features.events.user_tables import read_user_table

pytestmark = pytest.mark.fast


def read(path, ids=("user",), others=()):
    return read_user_table(path, ids, others, "users", IdentitiesError)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("users.csv", "user,cost\n007,3\nNA,4\n12.0,5\n"),
        ("users.CSV", "cost;user\r\n3;007\r\n4;NA\r\n5;12\r\n"),
        ("users.tsv", "user\tcost\n007\t3\nNA\t4\n12\t5\n"),
        ("users.csv", '\ufeffuser|cost\n"007"|3\n NA |4\n12|5'),
    ],
)
def test_delimited_text_in_any_dialect(tmp_path, name, content):
    (tmp_path / name).write_bytes(content.encode())
    assert read(tmp_path / name, others=["cost"]).to_pydict() == {"user": ["007", "NA", "12"], "cost": ["3", "4", "5"]}


def test_parquet_ids_stored_as_floats(tmp_path):
    pd.DataFrame({"user": [1.0, 12.0]}).to_parquet(tmp_path / "users.parquet")
    assert read(tmp_path / "users.parquet").to_pydict() == {"user": ["1", "12"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user\nann\n1.5e+18\n", r"the user in row 2, '1\.5e\+18', is a floating-point number of 16 digits or more"),
        ('user,b\nann,\n" ",1\n', "the user in row 2 is empty; expected an id in each row"),
        ("name\nann\n", r"lacks the column\(s\) user; it has name\. Expected user\."),
        ("", "cannot be read as a table of users: Empty CSV file"),
    ],
)
def test_errors_name_the_row(tmp_path, content, message):
    (tmp_path / "users.csv").write_text(content)
    with pytest.raises(IdentitiesError, match=message):
        read(tmp_path / "users.csv")


def test_missing_ids_of_parquet_are_refused(tmp_path):
    pd.DataFrame({"user": ["ann", None]}).to_parquet(tmp_path / "users.parquet")
    with pytest.raises(IdentitiesError, match="the user in row 2 is empty"):
        read(tmp_path / "users.parquet")


def test_text_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "users.csv").write_bytes("üser\nann\n".encode("latin-1"))
    with pytest.raises(IdentitiesError, match=r"cannot be read as a table of users: .*utf-8"):
        read(tmp_path / "users.csv")
