from datetime import UTC, datetime, timedelta
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features import atomic_files
from features.errors import EventsError
from features.events.event_table import SCHEMA, VERBS, connect, open_events
from features.importers import ingestion
from features.importers.ingestion import ingest, validate_events

NOON = datetime(2020, 5, 1, 12, tzinfo=UTC)
KINDS = SCHEMA.to_pyarrow()


def raw(rows, **more):
    """Return a raw table for the ingestion; `more` has the types of further columns."""
    names = {**{name: KINDS.field(name).type for name in SCHEMA}, **more}
    table = pa.table({name: pa.array([row.get(name) for row in rows], kind) for name, kind in names.items()})
    return connect().create_table("raw", table, temp=True)


def source(*rows):
    numbered = [{"row": number, "record": f"row {number}", **row} for number, row in enumerate(rows, 1)]
    return raw(numbered, row=pa.int64(), record=pa.string())


def event(**fields):
    return {"time": NOON, "actor": "a", "verb": "like", "target": "b", **fields}


def validate_event(**fields):
    return validate_events(raw([event(**fields)])).to_pyarrow().to_pylist()[0]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"time": None}, "time missing or unreadable"),
        ({"time": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)}, "time outside the years 1970 to 2200"),
        ({"time": datetime(2201, 1, 1, tzinfo=UTC)}, "time outside the years 1970 to 2200"),
        ({"time": datetime(2200, 12, 31, 23, 59, 59, tzinfo=UTC)}, "time in the future"),
        ({"verb": None}, "verb missing"),
        ({"verb": ""}, "verb missing"),
        ({"verb": "poke"}, "unknown verb 'poke'"),
        ({"verb": "Like"}, "unknown verb 'Like'"),
        ({"verb": "x" * 100}, "unknown verb '" + "x" * 40 + "'"),
        ({"actor": None, "target": None}, "neither actor nor target known"),
        ({"actor": "", "target": ""}, "neither actor nor target known"),
    ],
)
def test_an_invalid_row_gets_a_reason(fields, reason):
    assert validate_event(**fields)["reason"] == reason


@pytest.mark.parametrize(("seconds", "reason"), [(50, None), (70, "time in the future")])
def test_the_tolerance_for_clocks_is_configurable(seconds, reason, monkeypatch):
    monkeypatch.setenv("CLOUT_CLOCK_ALLOWANCE", "60")
    assert validate_event(time=datetime.now(UTC) + timedelta(seconds=seconds))["reason"] == reason


def test_times_outside_the_calendar_do_not_stop_the_import(tmp_path):
    times = pa.array([1_588_334_400_000_000, -(2**62), 2**62], pa.int64()).cast(pa.timestamp("us", "UTC"))
    table = pa.table({"time": times, "actor": ["a"] * 3, "verb": ["like"] * 3, "target": ["b"] * 3, "row": [1, 2, 3]})
    rows = connect().create_table("raw", table.append_column("record", pa.array(["r"] * 3)), temp=True)
    report = ingest(rows, tmp_path / "out.parquet")
    assert report.reasons == {"time outside the years 1970 to 2200": 2}
    assert report.first == report.last == NOON


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"time": datetime(1970, 1, 1, tzinfo=UTC)},
        {"target": None},
        {"actor": None},
        {"target": "a"},
        {"verb": "post", "target": ""},
        {"verb": "reply", "target": ""},
        *({"verb": verb} for verb in VERBS),
    ],
)
def test_a_valid_event_gets_no_reason(fields):
    assert validate_event(**fields)["reason"] is None


def test_the_first_rule_that_fails_is_the_reason():
    assert validate_event(time=None, verb="poke", actor=None, target=None)["reason"] == "time missing or unreadable"
    assert validate_event(verb="poke", actor=None, target=None)["reason"] == "unknown verb 'poke'"


def test_a_reason_of_the_source_takes_precedence():
    rows = raw([event(reason="a wiki"), event(verb="poke", reason="a wiki"), event()], reason=pa.string())
    assert [row["reason"] for row in validate_events(rows).to_pyarrow().to_pylist()] == ["a wiki", "a wiki", None]


def test_empty_ids_are_null():
    row = validate_event(actor="", object="", result="", network="", content_hash="")
    assert [row[name] for name in ("actor", "object", "result", "content_hash")] == [None] * 4
    assert row["network"] == "default"


def test_the_object_of_a_post_is_the_new_post():
    assert (validate_event(verb="post", result="p")["object"], validate_event(verb="post", result="p")["result"]) == (
        "p",
        None,
    )
    assert (validate_event(verb="reply", result="p")["object"], validate_event(verb="reply", result="p")["result"]) == (
        None,
        "p",
    )
    both = validate_event(verb="post", object="o", result="p")
    assert (both["object"], both["result"]) == ("o", "p")


def test_topics_are_distinct_sorted_and_never_empty():
    assert validate_event(topics=["b", "a", None, "", "b"])["topics"] == ["a", "b"]
    assert validate_event(topics=[])["topics"] is None
    assert validate_event(topics=[None, ""])["topics"] is None
    assert validate_event(topics=None)["topics"] is None


def test_missing_columns_are_null():
    least = raw([event()]).select("time", "actor", "verb", "target")
    rows = validate_events(least)
    assert rows.columns == (*SCHEMA, "reason")
    assert rows.network.to_pyarrow().to_pylist() == ["default"]


def test_events_are_written_in_one_order(tmp_path):
    rows = [event(actor=actor, time=time) for time in (NOON, NOON.replace(year=2019)) for actor in "cab"]
    report = ingest(source(*rows), tmp_path / "events.parquet")
    table = pq.read_table(tmp_path / "events.parquet")
    assert table.schema.names == list(SCHEMA)
    assert table.schema.field("time").type == pa.timestamp("us", "UTC")
    assert table["actor"].to_pylist() == ["a", "b", "c"] * 2
    assert open_events(tmp_path / "events.parquet").columns == tuple(SCHEMA)
    assert (report.first, report.last) == (NOON.replace(year=2019), NOON)
    assert (report.read, report.accepted, report.rejected, report.reasons) == (6, 6, 0, {})
    assert report.rejects is None
    assert [file.name for file in tmp_path.iterdir()] == ["events.parquet"]


def test_special_characters_in_folder_names(tmp_path):
    report = ingest(source(event()), tmp_path / "it's [1] *" / "new" / "events.parquet")
    assert pq.read_table(report.out)["actor"].to_pylist() == ["a"]


def test_a_folder_contains_only_parts(tmp_path):
    for _ in range(2):
        report = ingest(source(event(), event(verb="poke")), tmp_path / "events")
    assert [file.name for file in (tmp_path / "events").iterdir()] == ["part-00000.parquet"]
    assert report.rejects == tmp_path / "events.rejects.csv"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["events", "events.rejects.csv"]
    assert len(open_events(tmp_path / "events").to_pyarrow()) == 1


def test_rejected_rows_keep_number_reason_and_record(tmp_path):
    report = ingest(
        source(event(verb="poke"), event(), event(time=None, record='say "hi",\nü')), tmp_path / "events.parquet"
    )
    assert report.reasons == {"time missing or unreadable": 1, "unknown verb 'poke'": 1}
    assert report.rejects.read_text(encoding="utf-8").splitlines()[:2] == [
        "row,reason,record",
        "1,unknown verb 'poke',row 1",
    ]
    rejected = ibis.duckdb.connect().read_csv(report.rejects).to_pyarrow().to_pylist()
    assert rejected[1] == {"row": 3, "reason": "time missing or unreadable", "record": 'say "hi",\nü'}


def test_a_stale_rejects_file_is_removed(tmp_path):
    out = tmp_path / "events.parquet"
    assert ingest(source(event(), event(verb="poke")), out).rejects.exists()
    assert ingest(source(event()), out).rejects is None
    assert not (tmp_path / "events.rejects.csv").exists()


def test_the_same_rows_give_the_same_bytes_in_any_order(tmp_path):
    rows = [event(actor=f"u{number % 7}", object=f"o{number % 3}", topics=["t"] * (number % 2)) for number in range(99)]
    ingest(source(*rows), tmp_path / "one.parquet")
    ingest(source(*reversed(rows)), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_an_empty_source_is_an_error(tmp_path):
    with pytest.raises(EventsError, match="the source has no rows"):
        ingest(source(), tmp_path / "events.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_source_without_events_is_an_error_with_a_hint(tmp_path):
    rows = [event(verb="poke"), event(verb="poke"), event(time=None)]
    message = r"none of the 3 rows.*2 x unknown verb 'poke'; 1 x time.*row 1\. Mend 2 faults of .*row 1\.$"
    with pytest.raises(EventsError, match=message):
        ingest(
            source(*rows),
            tmp_path / "events.parquet",
            advice=lambda reasons, record: f"Mend {len(reasons)} faults of {record}.",
        )
    with pytest.raises(EventsError, match=r"none of the 3 rows.*row 1\.$"):
        ingest(source(*rows), tmp_path / "events.parquet")


@pytest.mark.parametrize("name", ["events.parquet", "events"])
def test_a_failure_does_not_change_the_old_events(tmp_path, monkeypatch, name):
    out = tmp_path / name
    ingest(source(event(), event(verb="poke")), out)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    def fail(*_):
        raise OSError("disk full")

    with pytest.raises(EventsError):
        ingest(source(event(verb="poke")), out)
    monkeypatch.setattr(ingestion, "_write_rejects", fail)
    with pytest.raises(OSError, match="disk full"):
        ingest(source(event(actor="other")), out)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_folder_is_restored_if_the_rename_fails(tmp_path, monkeypatch):
    out = tmp_path / "events"
    ingest(source(event()), out)
    rename = Path.rename
    monkeypatch.setattr(atomic_files, "swap_paths", lambda *_: False)  # as on a file system without atomic exchange

    def fail(self, target):
        if self.name == "parts":
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no"):
        ingest(source(event(actor="other")), out)
    assert open_events(out).actor.to_pyarrow().to_pylist() == ["a"]


def test_foreign_files_are_never_overwritten(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("dear")
    (tmp_path / "file").write_text("dear")
    (tmp_path / "folder.parquet").mkdir()
    for name, message in [
        ("notes", r"contains diary\.txt"),
        ("file", "is a file already"),
        ("folder.parquet", "is a folder already"),
        ("events.csv", r"expected a \.parquet file or a folder"),
    ]:
        with pytest.raises(EventsError, match=message):
            ingest(source(event()), tmp_path / name)


def test_rare_reasons_are_summed(tmp_path):
    rows = [event(verb=f"v{number:03}") for number in range(130)]
    report = ingest(source(event(), *rows), tmp_path / "events.parquet")
    assert len(report.reasons) == 101
    assert report.reasons["other reasons"] == 30
    assert sum(report.reasons.values()) == report.rejected == 130


IDS = st.none() | st.text(max_size=4)
ROWS = st.fixed_dictionaries(
    {
        "time": st.none()
        | st.datetimes(datetime(1960, 1, 1), datetime(2300, 1, 1)).map(lambda t: t.replace(tzinfo=UTC)),
        "actor": IDS,
        "verb": st.sampled_from([None, "", "poke", "Like", *VERBS]),
        "target": IDS,
        "object": IDS,
        "result": IDS,
        "network": IDS,
        "topics": st.none() | st.lists(IDS, max_size=3),
        "links": st.none() | st.integers(-(2**63), 2**63 - 1),
    }
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, max_size=12))
def test_every_row_is_accepted_or_rejected(tmp_path, rows):
    good = [
        row
        for row in rows
        if row["time"] is not None
        and datetime(1970, 1, 1, tzinfo=UTC) <= row["time"] < datetime.now(UTC) + timedelta(days=1)
        and row["verb"] in VERBS
        and (row["actor"] or row["target"])
    ]
    report = ingest(source(event(), *rows), tmp_path / "events.parquet")
    assert report.read == len(rows) + 1 == report.accepted + report.rejected
    assert report.accepted == len(good) + 1
    assert sum(report.reasons.values()) == report.rejected
    events = open_events(tmp_path / "events.parquet").to_pyarrow().to_pylist()
    assert sorted((row["time"], row["verb"], row["actor"] or "") for row in events) == sorted(
        (row["time"], row["verb"], row["actor"] or "") for row in [*good, event()]
    )
    assert all(row["network"] and row["topics"] != [] for row in events)
