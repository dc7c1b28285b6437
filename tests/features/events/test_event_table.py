import re
from datetime import UTC, datetime, timedelta, timezone

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import AsOfError, EventsError
from features.events.event_table import SCHEMA, connect, open_events, time_range
from features.utc import parse_utc

NOON = datetime(2025, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
REQUIRED_ONLY = pa.table(
    {"time": pa.array([NOON], pa.timestamp("us", "UTC")), "actor": ["ann"], "verb": ["like"], "target": ["bob"]}
)
ONE_ROW = {"time": NOON, "actor": "ann", "verb": "like", "target": "bob", "network": "default"}
SECONDS = 1_735_732_800  # 2025-01-01T12:00:00Z


def with_column(name, values):
    names = REQUIRED_ONLY.column_names
    if name in names:
        return REQUIRED_ONLY.set_column(names.index(name), name, values)
    return REQUIRED_ONLY.append_column(name, values)


def rows_in(source):
    """Return the non-null rows of the opened table."""
    rows = open_events(source).to_pyarrow().to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def file_of(folder, table=REQUIRED_ONLY, name="events.parquet"):
    folder.mkdir(exist_ok=True, parents=True)
    pq.write_table(table, folder / name)
    return folder / name


class TestForms:
    @pytest.mark.parametrize("form", ["file", "text", "folder", "nested", "pandas", "arrow", "ibis", "memtable"])
    def test_all_source_types_give_the_same_rows(self, form, tmp_path):
        sources = {
            "file": lambda: file_of(tmp_path),
            "text": lambda: str(file_of(tmp_path)),
            "folder": lambda: file_of(tmp_path / "events").parent,
            "nested": lambda: file_of(tmp_path / "events" / "2025" / "january").parents[2],
            "pandas": REQUIRED_ONLY.to_pandas,
            "arrow": lambda: REQUIRED_ONLY,
            "ibis": lambda: ibis.duckdb.connect().create_table("acts", REQUIRED_ONLY, temp=True),
            "memtable": lambda: ibis.memtable(REQUIRED_ONLY),
        }
        source = sources[form]()
        assert rows_in(source) == [ONE_ROW]
        assert list(open_events(source).columns) == list(SCHEMA)

    def test_files_of_a_folder_are_merged_by_column_name(self, tmp_path):
        file_of(tmp_path, name="a.parquet")
        file_of(tmp_path, with_column("links", pa.array([3], pa.int32())).select([4, 3, 2, 1, 0]), name="b.parquet")
        rows = rows_in(tmp_path)
        assert sorted(rows, key=len) == [ONE_ROW, ONE_ROW | {"links": 3}]

    @pytest.mark.parametrize("name", ["a[1]*", "[ab]", "*", "what?", "it's", "ünï çødé", "{a,b}", "50%", "x=1"])
    def test_paths_are_not_glob_patterns(self, name, tmp_path):
        file_of(tmp_path / "a", name="other.parquet")
        path = file_of(tmp_path / name, name=f"{name}.parquet")
        assert rows_in(path) == [ONE_ROW]
        assert rows_in(path.parent) == [ONE_ROW]

    def test_subfolder_with_a_parquet_name_is_searched(self, tmp_path):
        file_of(tmp_path / "part.parquet", name="part-00000.parquet")
        assert rows_in(tmp_path) == [ONE_ROW]

    def test_other_columns_are_dropped(self):
        assert rows_in(with_column("text", pa.array(["secret"]))) == [ONE_ROW]


class TestAbsent:
    def test_missing_path_is_rejected(self, tmp_path):
        with pytest.raises(EventsError, match=r"no events at .*/gone: expected a Parquet file or a folder"):
            open_events(tmp_path / "gone")

    def test_empty_folder_is_rejected(self, tmp_path):
        with pytest.raises(EventsError, match=r"no events at .*: expected a Parquet file or a folder of Parquet files"):
            open_events(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"time,actor\n" * 9])
    def test_other_file_formats_are_rejected(self, content, tmp_path):
        (tmp_path / "acts.parquet").write_bytes(content)
        with pytest.raises(EventsError, match=r"acts\.parquet .*cannot be read as Parquet[.:] .+"):
            open_events(tmp_path / "acts.parquet")

    @pytest.mark.parametrize(("content", "state"), [(b"", "empty"), (b"PAR1" + b"x" * 99, "incomplete")])
    @pytest.mark.parametrize("folder", [False, True])
    def test_unfinished_files_are_named_with_a_remedy(self, content, state, folder, tmp_path):
        pq.write_table(REQUIRED_ONLY, tmp_path / "good.parquet")
        (tmp_path / "new.parquet").write_bytes(content)
        message = rf"/new\.parquet is {state}, so .*Parquet\. Import it again, or remove it from its folder\.$"
        with pytest.raises(EventsError, match=message):
            open_events(tmp_path if folder else tmp_path / "new.parquet")

    @pytest.mark.parametrize("name", ["posts.csv", "posts.csv.gz", "posts.jsonl"])
    @pytest.mark.parametrize("folder", [False, True])
    def test_other_files_name_the_command_that_imports_them(self, name, folder, tmp_path):
        (tmp_path / name).write_text("time,actor\n" * 9)
        with pytest.raises(EventsError, match=rf"Parquet.*first: clout import table .*/{re.escape(name)} --help"):
            open_events(tmp_path if folder else tmp_path / name)

    def test_missing_columns_are_listed_with_existing_ones(self):
        table = REQUIRED_ONLY.drop_columns(["actor", "target"]).append_column("who", pa.array(["ann"]))
        with pytest.raises(EventsError, match=r"lack the column\(s\) actor, target; found time, verb, who\..*--map"):
            open_events(table)

    def test_table_without_columns_is_rejected(self):
        with pytest.raises(EventsError, match=r"the table cannot be read: .*at least one column"):
            open_events(pd.DataFrame())

    def test_duplicate_column_names_are_rejected(self):
        names = ["time", "actor", "verb", "target", "actor"]
        frame = pd.DataFrame([[NOON, "ann", "like", "bob", "eve"]], columns=names)
        with pytest.raises(EventsError, match=r"the table cannot be read: .*actor"):
            open_events(frame)


class TestTypes:
    @pytest.mark.parametrize(
        ("name", "values", "actual", "expected"),
        [
            ("time", ["2025-01-01"], "string", "a timestamp in UTC"),
            ("time", [SECONDS], "int64", "a timestamp in UTC"),
            ("time", pa.array([1], pa.date32()), "date", "a timestamp in UTC"),
            ("actor", [1.5], "float64", "string"),
            ("verb", [True], "boolean", "string"),
            ("target", [["bob"]], "array<string>", "string"),
            ("object", pa.array([b"x"]), "binary", "string"),
            ("topics", ["birds"], "string", "array<string>"),
            ("topics", [[1.5]], "array<float64>", "array<string>"),
            ("links", ["3"], "string", "int64"),
            ("links", [True], "boolean", "int64"),
            ("links", [{"a": 1}], "struct<a: int64>", "int64"),
        ],
    )
    def test_incompatible_type_is_rejected(self, name, values, actual, expected):
        with pytest.raises(EventsError, match=rf"the column {name} is of type {actual}; expected {expected}\."):
            open_events(with_column(name, pa.array(values)))

    @pytest.mark.parametrize(
        ("name", "values", "value"),
        [
            ("actor", pa.array([7]), "7"),
            ("target", pa.array(["bob"]).dictionary_encode(), "bob"),
            ("verb", pa.array(["like"], pa.large_string()), "like"),
            ("links", pa.array([3], pa.uint8()), 3),
            ("links", pa.array([3.0]), 3),
            ("links", pa.array([float("nan")]), None),
            ("topics", pa.array([["birds", "tits"]]), ["birds", "tits"]),
            ("topics", pa.array([[7]]), ["7"]),
        ],
    )
    def test_compatible_types_are_cast_to_the_schema(self, name, values, value):
        events = open_events(with_column(name, values))
        assert events.to_pyarrow().to_pylist()[0][name] == value
        assert events.schema()[name].copy(nullable=True) == SCHEMA[name]

    @pytest.mark.parametrize("form", ["arrow", "pandas", "parquet"])
    @pytest.mark.parametrize("name", ["actor", "object", "topics", "links", "network"])
    def test_null_column_gets_the_schema_type(self, form, name, tmp_path):
        table = with_column(name, pa.nulls(1))
        source = {"arrow": table, "pandas": table.to_pandas(), "parquet": tmp_path / "events.parquet"}[form]
        if form == "parquet":
            file_of(tmp_path, table)
        assert open_events(source).to_pyarrow().to_pylist()[0][name] is None

    def test_empty_topic_lists_are_valid(self, tmp_path):
        table = with_column("topics", pa.array([[]]))
        for source in (table, file_of(tmp_path, table)):
            assert open_events(source).to_pyarrow().to_pylist()[0]["topics"] == []


class TestTime:
    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    @pytest.mark.parametrize("zone", [None, "UTC", "America/New_York", "+02:00"])
    def test_time_units_and_zones_are_equivalent(self, unit, zone, tmp_path):
        ticks = SECONDS * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        table = with_column("time", pa.array([ticks], pa.timestamp(unit, zone)))
        for source in (table, file_of(tmp_path, table)):
            actual = open_events(source)
            assert actual.schema()["time"].timezone == "UTC"
            assert time_range(actual)[0] == datetime.fromtimestamp(SECONDS, UTC)

    def test_time_range(self):
        days = [NOON + timedelta(days=k) for k in (3, 0, 9)]
        events = open_events(pa.concat_tables([with_column("time", pa.array([day])) for day in days]))
        assert time_range(events) == (days[1], days[2])

    def test_time_range_of_an_empty_table_is_an_error(self):
        with pytest.raises(EventsError, match="the event table is empty"):
            time_range(open_events(REQUIRED_ONLY.slice(0, 0)))


class TestInstant:
    @pytest.mark.parametrize(
        "text",
        [
            "2017-07-30T10:00:00",
            "2017-07-30T10:00:00Z",
            "2017-07-30 12:00:00+02:00",
            datetime(2017, 7, 30, 10),
            datetime(2017, 7, 30, 5, tzinfo=timezone(timedelta(hours=-5))),
        ],
    )
    def test_parse_utc_converts_zones_and_defaults_to_utc(self, text):
        actual = parse_utc(text)
        assert actual == datetime(2017, 7, 30, 10, tzinfo=UTC)
        assert actual.tzinfo is UTC

    def test_parse_utc_reads_a_date_as_midnight(self):
        assert parse_utc("2017-07-30") == datetime(2017, 7, 30, tzinfo=UTC)

    @pytest.mark.parametrize("text", ["", "yesterday", "2017-13-01", "2017-07-32", "1501372800"])
    def test_parse_utc_rejects_invalid_text(self, text):
        with pytest.raises(AsOfError, match=r"is not a valid instant; expected ISO 8601, such as 2017-07-30"):
            parse_utc(text)

    def test_parse_utc_rejects_years_out_of_range(self):
        with pytest.raises(AsOfError, match="lies outside the years 1 to 9999 in UTC"):
            parse_utc("0001-01-01T00+02:00")


def test_engine_prints_nothing_to_json_output():
    assert connect().con.execute("select current_setting('enable_progress_bar')").fetchone() == (False,)
