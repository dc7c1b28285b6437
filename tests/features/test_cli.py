"""The commands of the features layer."""

import json
import shlex
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from typer.testing import CliRunner

from features.catalogue import CATALOGUE
from features.cli import import_table
from features.errors import AsOfError, CloutError, EngineError, EventsError, OutputError, ScopeError, StoreError
from features.events.loading import load_encoded_events
from features.feature_table import feature_rows
from serving.cli.main import app

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
ACTS = [
    (1, "ann", "like", "bob", ["tea"]),
    (2, "cid", "follow", "bob", None),
    (3, "bob", "post", None, ["rum"]),
    (4, "bob2", "like", "bob", None),
]


@pytest.fixture
def events(tmp_path):
    names = ["time", "actor", "verb", "target", "topics"]
    file = tmp_path / "events.parquet"
    rows = [(AS_OF - timedelta(days=act[0]), *act[1:]) for act in ACTS]
    pd.DataFrame(rows, columns=names).to_parquet(file, index=False)
    return file


def run_command(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def rows_in(out):
    return pd.read_parquet(out)


def test_the_feature_table_of_events(events, tmp_path):
    out = tmp_path / "rows.parquet"
    run = run_command("features", events, "--as-of", "2025-06-01", "--out", out)
    assert run.exit_code == 0, run.output
    assert f"4 rows, {len(CATALOGUE)} features as of 2025-06-01 00:00:00 UTC" in run.stderr
    assert rows_in(out).equals(feature_rows(load_encoded_events(events), AS_OF))


def test_scopes_and_identities(events, tmp_path):
    (tmp_path / "people.csv").write_text("account,person\nbob2,bob\n")
    options = ["--scope", "all", "--scope", "topic:*", "--identities", tmp_path / "people.csv"]
    run = run_command("features", events, "--as-of", "2025-06-01", "--out", tmp_path / "rows.parquet", *options)
    assert run.exit_code == 0, run.output
    table = rows_in(tmp_path / "rows.parquet")
    named = [f"{user} {scope}" for user, scope in zip(table["user"], table["scope"], strict=True)]
    assert named == ["ann all", "ann topic:tea", "bob all", "bob topic:rum", "bob topic:tea", "cid all"]
    assert table.loc[2, "engagers_28d"] == 2


def test_a_store_works_as_events(events, tmp_path):
    store, out = tmp_path / "community.store", tmp_path / "rows.parquet"
    run = run_command("store", events, "--into", store, "--json")
    assert json.loads(run.stdout)["acts"] == 4
    again = run_command("store", events, "--into", store)
    assert isinstance(again.exception, EventsError)
    assert run_command("features", store, "--as-of", "2025-06-01", "--out", out).exit_code == 0
    assert rows_in(out).equals(feature_rows(load_encoded_events(events), AS_OF))


def test_a_store_refuses_identities_and_engines(events, tmp_path):
    run_command("store", events, "--into", tmp_path / "store")
    (tmp_path / "people.csv").write_text("account,person\nbob2,bob\n")
    out = ["--as-of", "2025-06-01", "--out", tmp_path / "rows.parquet"]
    for options in (["--identities", tmp_path / "people.csv"], ["--engine", f"duckdb://{tmp_path / 'house.duckdb'}"]):
        assert isinstance(run_command("features", tmp_path / "store", *out, *options).exception, StoreError)


def test_a_database_by_its_url(events, tmp_path):
    import duckdb

    database = tmp_path / "house.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"CREATE TABLE happened AS FROM '{events}'")
    out = tmp_path / "rows.parquet"
    run = run_command("features", "happened", "--as-of", "2025-06-01", "--out", out, "--engine", f"duckdb://{database}")
    assert run.exit_code == 0, run.output
    assert rows_in(out).equals(feature_rows(load_encoded_events(events), AS_OF))
    with duckdb.connect(str(database)) as connection:
        assert connection.execute("SHOW ALL TABLES").fetchall()[0][2] == "happened"
        assert len(connection.execute("SHOW ALL TABLES").fetchall()) == 1


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--as-of", "2199-01-01"], AsOfError, "lies in the future: the last event is at 2025-05-31"),
        (["--as-of", "2025-01-01"], AsOfError, "is not after the first event"),
        (["--scope", "topic:gin"], ScopeError, "the scope topic:gin has no users"),
        (["--scope", "tea"], ScopeError, "'tea' is not a valid scope; expected all, network:NAME"),
        (["--engine", "dusk"], EngineError, "'dusk' is not a valid engine"),
        (["--out", "rows.csv"], OutputError, r"--out is rows.csv; expected a name that ends in .parquet"),
    ],
)
def test_invalid_options_leave_the_old_table(events, tmp_path, words, error, message):
    out = tmp_path / "rows.parquet"
    out.write_text("older")
    run = run_command("features", events, "--as-of", "2025-06-01", "--out", out, *words)
    assert isinstance(run.exception, error)
    with pytest.raises(CloutError, match=message):
        raise run.exception
    assert out.read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.parquet", "rows.parquet"]


def test_a_truncated_file_is_refused(events, tmp_path):
    events.write_bytes(events.read_bytes()[:-40])
    for words in (
        ["features", events, "--out", tmp_path / "rows.parquet"],
        ["store", events, "--into", tmp_path / "s"],
    ):
        run = run_command(*words)
        assert isinstance(run.exception, EventsError)
        assert "cannot be read as Parquet" in str(run.exception)
    assert not (tmp_path / "rows.parquet").exists()
    assert not (tmp_path / "s" / "store.json").exists()


def test_a_folder_of_other_files_is_refused_as_store(events, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert isinstance(run_command("store", events, "--into", tmp_path / "full").exception, StoreError)


def test_the_catalogue_is_printed():
    run = run_command("features", "--describe")
    assert run.exit_code == 0
    assert run.stdout.startswith(f"{len(CATALOGUE)} features")
    assert "originality" in run.stdout


def test_the_example_of_import_table_is_complete(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acts.csv").write_text("date,author,kind,answered\n2025-05-01,ann,comment,bob\n")
    run = run_command(*shlex.split(import_table.__doc__.partition("Example: clout ")[2]))
    assert run.exit_code == 0, run.output
    assert "1 rows read = 1 accepted" in run.stderr
