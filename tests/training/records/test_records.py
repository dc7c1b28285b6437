"""Records: each change is one transaction, in a file that the first one creates."""

import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select

from training.home import Home
from training.records import database as records
from training.records.database import CachedRecords, Records, RecordsError
from training.records.opt_outs import CHANGES, load_opted_out_users

ROOT = Path(__file__).parents[3]


@pytest.fixture
def notes(monkeypatch):
    tables = MetaData()
    monkeypatch.setattr(records, "TABLES", tables)
    return Table("notes", tables, Column("text", String, primary_key=True))


def texts(home, notes):
    with Records(home).begin_if_exists() as connection:
        return None if connection is None else [row.text for row in connection.execute(select(notes))]


def write(home, notes, *lines):
    with Records(home).begin() as connection:
        for text in lines:
            connection.execute(insert(notes).values(text=text))


def test_reading_missing_records_creates_nothing(tmp_path, notes):
    assert texts(Home(tmp_path / "absent"), notes) is None
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=["sqlite", "postgresql"])
def records_home(request, tmp_path):
    """A home whose records are in its own file or in PostgreSQL."""
    shared = request.param == "postgresql"
    return Home(tmp_path / "home", database=request.getfixturevalue("database") if shared else None)


def test_records_are_read_by_another_reader(records_home, notes):
    write(records_home, notes, "a", "b")
    assert sorted(texts(Home(records_home.folder, database=records_home.database), notes)) == ["a", "b"]


def test_error_rolls_back_the_transaction(records_home, notes):
    with pytest.raises(RecordsError, match=r"(?i)unique"):
        write(records_home, notes, "a", "b", "a")
    assert texts(records_home, notes) == []


def test_concurrent_first_writers(records_home, notes):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: write(records_home, notes, str(k)), range(24)))
    assert sorted(map(int, texts(records_home, notes))) == list(range(24))


def test_dropped_tables_are_created_again(database, notes, tmp_path):
    store = Records(Home(tmp_path, database=database))
    with store.begin() as connection:
        connection.execute(insert(notes).values(text="a"))
    with store.engine.begin() as connection:
        notes.drop(connection)
    with pytest.raises(RecordsError, match="does not exist"), store.begin_if_exists() as connection:
        connection.execute(select(notes))
    with store.begin_if_exists() as connection:
        assert connection.execute(select(notes)).all() == []


def test_database_outage_is_reported_and_recovered_from(postgresql, database, notes, tmp_path):
    store = Records(Home(tmp_path, database=database))
    with store.begin() as connection:
        connection.execute(insert(notes).values(text="a"))
    postgresql.stop()
    try:
        with pytest.raises(RecordsError, match=r"cannot be used: .*refused"), store.begin_if_exists():
            pass
    finally:
        postgresql.start()
    with store.begin_if_exists() as connection:
        assert connection.execute(select(notes)).scalars().all() == ["a"]


def test_polling_ends_when_nothing_refers_to_the_records(database, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "POLL_SECONDS", 0.01)
    cached = CachedRecords(Home(tmp_path, database=database), CHANGES, load_opted_out_users, str)
    cached()
    thread = cached._thread
    assert thread.is_alive()
    del cached
    thread.join(10)
    assert not thread.is_alive()


def test_an_unusable_records_file_names_the_remedy(tmp_path):
    (tmp_path / "records.db").mkdir()
    store = Records(Home(tmp_path))
    with pytest.raises(RecordsError, match=r"unable to open database file; let this user write there"), store.begin():
        pass


def test_silent_server_times_out(tmp_path, notes, monkeypatch):
    monkeypatch.setattr(records, "WAIT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        home = Home(tmp_path, database=f"postgresql://clout@127.0.0.1:{silent_server.getsockname()[1]}/none")
        start = time.monotonic()
        with pytest.raises(RecordsError, match="timeout"):
            write(home, notes, "a")
    assert time.monotonic() - start < 8


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_url_schemes_of_postgresql(database, notes, tmp_path, scheme):
    home = Home(tmp_path, database=database.replace("postgresql", scheme, 1))
    write(home, notes, "a")
    assert texts(home, notes) == ["a"]


def test_missing_driver_is_reported(tmp_path):
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path; from training.home import Home; from training.records.database import Records\n"
        "Records(Home(Path('.'), database='postgresql://127.0.0.1/none'))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "psycopg is not installed, and PostgreSQL needs it: pip install 'clout-score[postgres]'." in run.stderr


def test_damaged_file_is_reported_with_its_path(tmp_path, notes):
    (tmp_path / "records.db").write_bytes(b"no database" * 100)
    with pytest.raises(RecordsError, match=r"records\.db.*file is not a database"):
        texts(Home(tmp_path), notes)


def test_locked_file_is_retried(tmp_path, notes, monkeypatch):
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


@pytest.mark.parametrize(
    ("url", "message"), [("mysql://here/there", "not in mysql"), ("nonsense", "is not the URL of a database")]
)
def test_invalid_url_is_reported(tmp_path, url, message):
    with pytest.raises(RecordsError, match=message):
        Records(Home(tmp_path, database=url))


def test_password_is_not_reported(tmp_path, notes):
    home = Home(tmp_path, database="postgresql://clout:secret@127.0.0.1:9/none")
    with pytest.raises(RecordsError, match=r"postgresql\+psycopg://clout:\*\*\*@127\.0\.0\.1:9/none") as raised:
        write(home, notes, "a")
    assert "secret" not in str(raised.value)
