from datetime import UTC, datetime, timedelta
from itertools import count

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.atomic_files import swap_paths
from features.errors import AsOfError, EventsError
from features.events.event_table import FileVersions, open_events, readable_files
from features.events.fingerprint import fingerprint
from features.events.loading import load_encoded_events, resolve_as_of
from features.events.store import add_to_store
from features.feature_table import feature_rows, feature_table

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
DROPPED = "1 of 2 events do not count: they have no time, or one before 1970 or later than"


def events_at(*times):
    rows = [{"time": at, "actor": f"user{number}", "verb": "like", "target": "bob"} for number, at in enumerate(times)]
    return pd.DataFrame(rows)


def now():
    return datetime.now(UTC)


@pytest.mark.parametrize("later", [timedelta(days=2), timedelta(days=36_500)])
def test_an_event_in_the_future_is_dropped_with_a_warning(later, caplog):
    events = load_encoded_events(events_at(NOON, now() + later))
    assert resolve_as_of(events.rows) == NOON + timedelta(seconds=1)
    assert set(events.users.to_pandas()["user"]) == {"user0", "bob"}
    assert [message.startswith(DROPPED) for message in caplog.messages] == [True]


def test_times_outside_the_calendar_are_dropped(tmp_path, caplog):
    times = pa.array([1_588_334_400_000_000, 2**62], pa.int64()).cast(pa.timestamp("us", "UTC"))
    table = pa.table({"time": times, "actor": ["a"] * 2, "verb": ["like"] * 2, "target": ["b"] * 2})
    pq.write_table(table, tmp_path / "events.parquet")
    assert open_events(tmp_path / "events.parquet").count().to_pyarrow().as_py() == 1
    assert caplog.messages[0].startswith(DROPPED)


def test_events_without_a_time_are_dropped(caplog):
    assert open_events(events_at(NOON, None)).count().to_pyarrow().as_py() == 1
    assert caplog.messages[0].startswith(DROPPED)


@pytest.mark.parametrize(
    ("verb", "reason"),
    [("upvote", "such as 'upvote', is none of post, view,"), ("LIKE", "such as 'LIKE', is none"), (None, "is missing")],
)
def test_events_with_an_unknown_verb_are_dropped_as_by_an_import(verb, reason, tmp_path, caplog):
    table = events_at(NOON, NOON).assign(verb=["like", verb])
    table.to_parquet(tmp_path / "events.parquet")
    for source in (table, tmp_path / "events.parquet"):
        caplog.clear()
        events = load_encoded_events(source)
        assert events.users.to_pandas()["user"].sort_values().tolist() == ["bob", "user0"]
        (message,) = caplog.messages
        assert message.startswith(f"1 of 2 events do not count: their verb{',' if verb else ''} {reason}")
        assert fingerprint(events, NOON + timedelta(seconds=1)).events == 1


def test_past_events_cause_no_warning(caplog):
    open_events(events_at(NOON, now() - timedelta(seconds=1)))
    assert not caplog.messages


def test_a_table_of_only_future_events_is_empty():
    with pytest.raises(EventsError, match="the event table is empty"):
        resolve_as_of(open_events(events_at(now() + timedelta(days=9))))


def test_a_store_drops_events_of_the_future(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CLOUT_CLOCK_ALLOWANCE", "1e9")
    add_to_store(events_at(NOON, now() + timedelta(days=9)), tmp_path / "store")
    monkeypatch.delenv("CLOUT_CLOCK_ALLOWANCE")
    assert resolve_as_of(load_encoded_events(tmp_path / "store").rows) == NOON + timedelta(seconds=1)
    assert caplog.messages[0].startswith(DROPPED)


def test_the_default_instant_is_never_later_than_now():
    events = open_events(events_at(NOON, now() + timedelta(hours=1)))
    assert timedelta(0) <= now() - resolve_as_of(events) < timedelta(seconds=5)


def test_an_instant_in_the_future_is_refused_even_before_the_last_event():
    events = open_events(events_at(NOON, now() + timedelta(hours=2)))
    with pytest.raises(AsOfError, match="lies in the future"):
        resolve_as_of(events, now() + timedelta(hours=1))


def test_only_future_events_have_no_default_instant():
    with pytest.raises(AsOfError, match=r"is not after the first event, .*; take a later instant"):
        resolve_as_of(open_events(events_at(now() + timedelta(hours=1))))


class TestFilesThatChange:
    """Events are read by several statements, between which files can change."""

    @pytest.mark.parametrize("name", ["events.parquet", "events"])
    def test_events_replaced_while_they_are_read_are_an_error(self, tmp_path, name):
        source, other = tmp_path / name, tmp_path / f"other-{name}"
        for path, times in ((source, [NOON]), (other, [NOON, NOON])):
            file = path if path.suffix else path / "part-00000.parquet"
            file.parent.mkdir(exist_ok=True)
            events_at(*times).to_parquet(file, coerce_timestamps="us")
        events = load_encoded_events(source)
        steps = count()
        swap = lambda _: swap_paths(source, other) if next(steps) == 3 else None  # noqa: E731
        with pytest.raises(EventsError, match=r"the events changed while they were read: .*parquet was replaced"):
            feature_rows(events, NOON + timedelta(days=1), swap)

    def test_events_replaced_after_they_were_read_are_no_error(self, tmp_path):
        for name, times in (("events.parquet", [NOON]), ("other.parquet", [NOON, NOON])):
            events_at(*times).to_parquet(tmp_path / name, coerce_timestamps="us")
        events = load_encoded_events(tmp_path / "events.parquet")
        with feature_table(events, NOON + timedelta(days=1)) as rows:
            swap_paths(tmp_path / "events.parquet", tmp_path / "other.parquet")
            assert rows.count().execute() == 2

    def test_only_files_with_a_recorded_version_are_read(self, tmp_path, monkeypatch):
        events_at(NOON).to_parquet(tmp_path / "a.parquet", coerce_timestamps="us")
        versions = FileVersions.of

        def add_a_file(files):
            events_at(NOON).to_parquet(tmp_path / "b.parquet", coerce_timestamps="us")
            return versions(files)

        monkeypatch.setattr(FileVersions, "of", add_a_file)
        events = load_encoded_events(tmp_path)
        assert list(events.files.versions) == [tmp_path / "a.parquet"]
        assert events.rows.count().to_pyarrow().as_py() == 1

    def test_hidden_and_unfinished_files_are_not_read(self, tmp_path):
        for file in (
            "part-0.parquet",
            ".clout-aside-x/a.parquet",
            "_temporary/0/a.parquet",
            "_a.parquet",
            "_y=1/a.parquet",
        ):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            events_at(NOON).to_parquet(tmp_path / file, coerce_timestamps="us")
        assert [str(file.relative_to(tmp_path)) for file in readable_files(tmp_path)] == [
            "_y=1/a.parquet",
            "part-0.parquet",
        ]
        assert open_events(tmp_path).count().to_pyarrow().as_py() == 2
        assert len(readable_files(tmp_path / "_a.parquet")) == 1


def test_a_folder_of_hidden_files_is_rejected(tmp_path):
    (tmp_path / "_temporary").mkdir()
    events_at(NOON).to_parquet(tmp_path / "_temporary" / "a.parquet", coerce_timestamps="us")
    with pytest.raises(EventsError, match="all of its Parquet files are hidden or unfinished"):
        open_events(tmp_path)
