"""Files are published atomically, and foreign files are never replaced."""

import pyarrow.parquet as pq
import pytest

from features.errors import EventsError
from features.events.event_table import open_events
from features.simulation import Community, simulate, writer

TINY = Community(users=40, days=60)


class StoppedError(Exception):
    pass


def stop(done: float) -> None:
    raise StoppedError


def test_a_folder_contains_only_event_files(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "ROWS_PER_GROUP", 20)
    monkeypatch.setattr("features.simulation.writer.ROWS_PER_PART", 60)
    summary = simulate(TINY, tmp_path / "deep" / "events")
    names = sorted(file.name for file in (tmp_path / "deep" / "events").iterdir())
    assert names == [file.name for file in summary.files] == [f"part-{n:05d}.parquet" for n in range(len(names))]
    assert len(names) > 1
    assert open_events(tmp_path / "deep" / "events").count().to_pyarrow().as_py() == summary.events
    assert summary.truth == tmp_path / "deep" / "events.truth.parquet"


def test_parts_are_sorted_by_time(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "ROWS_PER_GROUP", 20)
    monkeypatch.setattr("features.simulation.writer.ROWS_PER_PART", 60)
    files = simulate(TINY, tmp_path / "events").files
    times = [time for file in files for time in pq.read_table(file).column("time").to_pylist()]
    assert times == sorted(times)


def test_a_file_has_its_truth_beside_it(tmp_path):
    summary = simulate(TINY, tmp_path / "some.parquet")
    assert {file.name for file in tmp_path.iterdir()} == {"some.parquet", "some.truth.parquet"}
    assert summary.truth == tmp_path / "some.truth.parquet"


@pytest.mark.parametrize("name", ["events", "events.parquet"])
def test_an_interrupted_run_leaves_the_old_events_and_nothing_else(tmp_path, name):
    before = [file.read_bytes() for file in simulate(TINY, tmp_path / name).files]
    files_before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoppedError):
        simulate(Community(users=40, days=10, seed=5), tmp_path / name, progress=stop)
    assert sorted(tmp_path.rglob("*")) == files_before
    files = [tmp_path / name] if name.endswith("parquet") else sorted((tmp_path / name).iterdir())
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize("name", ["events", "events.parquet"])
def test_old_events_are_replaced_completely(tmp_path, name):
    simulate(Community(users=50, days=60), tmp_path / name)
    summary = simulate(TINY, tmp_path / name)
    assert open_events(tmp_path / name).count().to_pyarrow().as_py() == summary.events
    assert pq.read_metadata(summary.truth).num_rows == TINY.users


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.docx").write_text("years of work")
    with pytest.raises(EventsError, match=r"contains thesis\.docx, which is not a part of events"):
        simulate(TINY, tmp_path / "home")
    assert [file.name for file in (tmp_path / "home").iterdir()] == ["thesis.docx"]


def test_a_file_without_the_ending_is_refused(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(EventsError, match=r"notes is a file already; expected a .parquet file or a folder"):
        simulate(TINY, tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_folder_named_like_a_file_is_refused(tmp_path):
    (tmp_path / "events.parquet").mkdir()
    with pytest.raises(EventsError, match="is a folder already; expected a"):
        simulate(TINY, tmp_path / "events.parquet")


def test_the_working_folder_is_refused():
    with pytest.raises(EventsError, match=r"cannot be written to .*expected a \.parquet file"):
        simulate(TINY, ".")


def test_progress_grows_to_1(tmp_path):
    shares = []
    simulate(Community(users=40, days=30), tmp_path / "events", progress=shares.append)
    assert shares == sorted(shares)
    assert len(shares) == 5
    assert shares[-1] == 1.0
    assert shares[0] > 0
