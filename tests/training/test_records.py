"""Records: one transaction each, in a file of the home that is made by the first of them."""

import sqlite3

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select

from training import records
from training.home import Home
from training.records import Records, RecordsError


@pytest.fixture
def notes(monkeypatch):
    tables = MetaData()
    monkeypatch.setattr(records, "TABLES", tables)
    return Table("notes", tables, Column("text", String, primary_key=True))


def texts(home, notes):
    with Records(home).reading() as connection:
        return None if connection is None else [row.text for row in connection.execute(select(notes))]


def write(home, notes, *said):
    with Records(home).writing() as connection:
        for text in said:
            connection.execute(insert(notes).values(text=text))


def test_reading_what_was_never_recorded_makes_nothing(tmp_path, notes):
    assert texts(Home(tmp_path / "absent"), notes) is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_recorded_is_read_by_another_reader(tmp_path, notes):
    write(Home(tmp_path / "home"), notes, "a", "b")
    assert sorted(texts(Home(tmp_path / "home"), notes)) == ["a", "b"]


def test_an_error_takes_back_the_whole_transaction(tmp_path, notes):
    home = Home(tmp_path)
    with pytest.raises(RecordsError, match="UNIQUE"):
        write(home, notes, "a", "b", "a")
    assert texts(home, notes) == []


def test_a_damaged_file_is_told_with_its_place(tmp_path, notes):
    (tmp_path / "records.db").write_bytes(b"no database" * 100)
    with pytest.raises(RecordsError, match=r"records\.db.*file is not a database"):
        texts(Home(tmp_path), notes)


def test_a_file_held_by_another_is_waited_for(tmp_path, notes, monkeypatch):
    monkeypatch.setattr(records, "WAIT_SECONDS", 0.1)
    home = Home(tmp_path)
    write(home, notes, "a")
    with sqlite3.connect(tmp_path / "records.db") as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RecordsError, match="locked"):
            write(home, notes, "b")
        other.rollback()
    write(home, notes, "b")
    assert sorted(texts(home, notes)) == ["a", "b"]


@pytest.mark.parametrize(("url", "said"), [("mysql://here/there", "not in mysql"), ("nonsense", "names no database")])
def test_a_url_of_no_database_is_told(tmp_path, url, said):
    with pytest.raises(RecordsError, match=said):
        Records(Home(tmp_path, database=url))


def test_a_password_is_not_told(tmp_path, notes):
    home = Home(tmp_path, database="postgresql://clout:secret@127.0.0.1:9/none")
    with pytest.raises(RecordsError, match=r"postgresql\+psycopg://clout:\*\*\*@127\.0\.0\.1:9/none") as raised:
        write(home, notes, "a")
    assert "secret" not in str(raised.value)
