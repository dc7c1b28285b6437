import json
import os
import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from fcntl import LOCK_EX, flock

import pandas as pd
import pytest
from duckdb import Error as DuckDBError
from hypothesis import given, settings
from hypothesis import strategies as st

from features.atomic_files import swap_paths
from features.errors import EventsError, ScopeError, StoreError
from features.events import store
from features.events.engines import engine_error
from features.events.erasure import erase_users_from_store
from features.events.event_table import VERBS, connect
from features.events.loading import load_encoded_events
from features.events.store import MANIFEST, add_to_store, is_store, open_store, part_file, read_manifest, store_lock
from features.feature_table import feature_rows
from tests import preloaded

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
NAMES = ["time", "actor", "verb", "target", "object"]
PEOPLE = st.sampled_from(["ann", "bob", "çelik 🙂", "", None])
ACTS = st.lists(
    st.tuples(st.integers(0, 400), PEOPLE, st.sampled_from(VERBS), PEOPLE, st.sampled_from(["o1", None])),
    min_size=1,
    max_size=40,
)
SOME = [(1, "ann", "like", "bob", "o1"), (2, "cid", "follow", "bob", None), (3, "bob", "post", None, "o1")]
MORE = [(0, "dan", "like", "cid", None), (200, "ann", "like", "bob", "o0")]


def table(events):
    return pd.DataFrame([(AS_OF - timedelta(days=event[0], seconds=1), *event[1:]) for event in events], columns=NAMES)


def scratch_rows(events, **options):
    return feature_rows(load_encoded_events(table(events), **options), AS_OF)


def files(folder):
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != ".lock"}


@settings(max_examples=5, deadline=None)
@given(first=ACTS, second=ACTS, third=ACTS)
def test_adding_in_parts_equals_adding_at_once(tmp_path_factory, first, second, third):
    store = tmp_path_factory.mktemp("stores") / "store"
    parts = {str(sorted(map(str, events))): events for events in (first, second, third)}
    for events in parts.values():
        add_to_store(table(events), store)
    everything = [event for events in parts.values() for event in events]
    assert feature_rows(open_store(store), AS_OF).equals(scratch_rows(everything))


def test_store_loads_like_events(tmp_path):
    part = add_to_store(table(SOME), tmp_path / "store")
    assert (part.acts, part.people) == (3, 3)
    assert is_store(tmp_path / "store")
    assert not is_store(tmp_path)
    assert feature_rows(load_encoded_events(tmp_path / "store"), AS_OF).equals(scratch_rows(SOME))
    assert add_to_store(table(MORE), tmp_path / "store").people == 1
    assert feature_rows(load_encoded_events(tmp_path / "store"), AS_OF).equals(scratch_rows(SOME + MORE))


def test_earlier_as_of_includes_late_events(tmp_path):
    early = AS_OF - timedelta(days=100)
    for events in (SOME, MORE):
        add_to_store(table(events), tmp_path / "store")
    rows = feature_rows(load_encoded_events(tmp_path / "store"), early)
    assert rows.equals(feature_rows(load_encoded_events(table(SOME + MORE)), early))
    assert rows["user"].tolist() == ["ann", "bob"]


def test_duplicate_events_are_rejected(tmp_path):
    add_to_store(table(SOME), tmp_path / "store")
    before = files(tmp_path / "store")
    with pytest.raises(EventsError, match=r"are in the store .* already; nothing was added"):
        add_to_store(table(SOME[::-1]), tmp_path / "store")
    assert files(tmp_path / "store") == before


def test_events_that_the_store_has_already_are_a_warning(tmp_path, caplog):
    add_to_store(table(SOME), tmp_path / "store")
    add_to_store(table(MORE), tmp_path / "store")
    unknown = [(5, None, "like", "bob", "o1")]
    add_to_store(table([*unknown, (7, "dan", "like", "bob", "o1")]), tmp_path / "store")
    assert not caplog.messages
    assert add_to_store(table([*unknown, *SOME[1:], (4, "dan", "like", "cid", None)]), tmp_path / "store").acts == 4
    (message,) = caplog.messages
    assert re.match(r"2 of the 4 events are in the store .* already and count once more: .* overlap", message)


def test_store_has_fixed_scopes(tmp_path):
    store = tmp_path / "store"
    events = table(SOME).assign(network="sea", topics=[["rope"], None, ["ships"]])
    add_to_store(events, store, scopes=["all", "topic:*"])
    rows = feature_rows(load_encoded_events(store, ["topic:rope"]), AS_OF)
    assert rows.equals(feature_rows(load_encoded_events(events, ["topic:rope"]), AS_OF))
    every = feature_rows(load_encoded_events(store, ["all", "topic:*"]), AS_OF)
    assert every.equals(feature_rows(load_encoded_events(events, ["all", "topic:*"]), AS_OF))
    with pytest.raises(
        ScopeError, match=r"does not contain the scope network:sea; it has all, topic:\*\. Build a new one"
    ):
        load_encoded_events(store, ["network:sea"])
    with pytest.raises(ScopeError, match=r"has the scopes all, topic:\*; build a new one for others"):
        add_to_store(table(MORE), store, scopes=["all"])


def test_store_identities_apply_to_later_parts(tmp_path):
    store = tmp_path / "store"
    same = pd.DataFrame({"account": ["ann", "dan"], "person": ["ad", "ad"]})
    add_to_store(table(SOME), store, identities=same)
    add_to_store(table(MORE), store)
    assert feature_rows(load_encoded_events(store), AS_OF).equals(scratch_rows(SOME + MORE, identities=same))
    with pytest.raises(StoreError, match="has its identities already"):
        add_to_store(table([(9, "x", "like", "y", None)]), store, identities=same)


@pytest.mark.parametrize("options", ["identities", "engine"])
def test_store_rejects_identities_and_engine(tmp_path, options):
    add_to_store(table(SOME), tmp_path / "store")
    values = {"identities": pd.DataFrame({"account": ["ann"], "person": ["ad"]}), "engine": connect()}
    with pytest.raises(StoreError, match=f"is a store, which has its {options} already; use the events themselves"):
        load_encoded_events(tmp_path / "store", **{options: values[options]})


KILLED = """
import os, signal, sys
from pathlib import Path
import pandas as pd
from features.events import store
commit = store._commit
def half(scratch, folder, *rest):
    for kind in ("acts", "people"):
        (scratch / f"{kind}.parquet").replace(folder / kind / "part-00001.parquet")
    os.kill(os.getpid(), signal.SIGKILL)
store._commit = half
store.add_to_store(pd.read_parquet(sys.argv[1]), Path(sys.argv[2]))
"""


def test_killed_process_leaves_the_store_unchanged_and_unlocked(tmp_path):
    store = tmp_path / "store"
    add_to_store(table(SOME), store)
    before = feature_rows(load_encoded_events(store), AS_OF)
    table(MORE).to_parquet(tmp_path / "more.parquet")
    command = [sys.executable, "-c", KILLED, tmp_path / "more.parquet", store]
    died = preloaded.run(command, env=os.environ, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL
    assert feature_rows(load_encoded_events(store), AS_OF).equals(before)
    assert list(store.glob(".taking-*"))
    add_to_store(table(MORE), store)
    assert not list(store.glob(".taking-*"))
    assert feature_rows(load_encoded_events(store), AS_OF).equals(scratch_rows(SOME + MORE))


def test_store_in_use_is_rejected(tmp_path):
    add_to_store(table(SOME), tmp_path / "store")
    with (tmp_path / "store" / ".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        with pytest.raises(StoreError, match="another process is writing to the store"):
            add_to_store(table(MORE), tmp_path / "store")


def test_other_folder_is_rejected_unchanged(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not a store and not empty; choose another folder"):
        add_to_store(table(SOME), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_empty_events_create_no_store(tmp_path):
    with pytest.raises(EventsError, match="the event table is empty"):
        add_to_store(table(SOME)[:0], tmp_path / "store")
    assert not is_store(tmp_path / "store")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"canary": "1"}, "keys .* were made by another version of DuckDB; build it again"),
        ({"verbs": ["post", "sing"]}, "has other verbs than this version"),
        ({"parts": [{"name": "part-00000"}]}, "is damaged"),
        ({"parts": 3}, "is damaged"),
    ],
)
def test_incompatible_manifest_is_rejected(tmp_path, change, message):
    add_to_store(table(SOME), tmp_path / "store")
    manifest = tmp_path / "store" / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    with pytest.raises(StoreError, match=message):
        open_store(tmp_path / "store")


def test_damaged_store_is_rejected(tmp_path):
    add_to_store(table(SOME), tmp_path / "store")
    (tmp_path / "store" / "acts" / "part-00000.parquet").unlink()
    with pytest.raises(StoreError, match=r"lacks acts/part-00000.parquet; build it again"):
        open_store(tmp_path / "store")
    (tmp_path / "store" / MANIFEST).write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        read_manifest(tmp_path / "store")


def test_store_without_manifest_is_not_read_as_events(tmp_path):
    add_to_store(table(SOME), tmp_path / "store")
    (tmp_path / "store" / MANIFEST).unlink()
    with pytest.raises(StoreError, match=r"store.json is damaged .*build the store again"):
        load_encoded_events(tmp_path / "store")
    with pytest.raises(StoreError, match=r"store.json is damaged"):
        add_to_store(table(MORE), tmp_path / "store")
    with pytest.raises(EventsError, match="the column verb is of type int8; expected string"):
        load_encoded_events(tmp_path / "store" / "acts")


@pytest.mark.parametrize("kind", ["acts", "people"])
def test_damaged_part_is_rejected(tmp_path, kind):
    store = tmp_path / "store"
    add_to_store(table(SOME), store)
    file, other = (part_file(store, name, "part-00000") for name in (kind, {"acts": "people", "people": "acts"}[kind]))
    part = file.read_bytes()
    file.write_bytes(part[: len(part) // 2])
    with pytest.raises(StoreError, match=r"is damaged \(Invalid Input Error: .*\); build it again from the events"):
        open_store(store)
    file.write_bytes(other.read_bytes())
    with pytest.raises(StoreError, match=rf"is damaged: {kind} lack the column\(s\) .*; build it again"):
        open_store(store)


def test_part_with_damaged_pages_is_an_error_of_the_file(tmp_path):
    add_to_store(table(SOME), tmp_path / "store")
    file = part_file(tmp_path / "store", "acts", "part-00000")
    part = bytearray(file.read_bytes())
    part[4:200] = bytes(196)
    file.write_bytes(part)
    with pytest.raises(DuckDBError) as raised:
        feature_rows(load_encoded_events(tmp_path / "store"), AS_OF)
    assert re.match(r"a file of the events is damaged \(.*\)\. Replace it", str(engine_error(raised.value)))


class TestReadWhileWritten:
    def test_events_added_during_reading_are_ignored(self, tmp_path):
        add_to_store(table(SOME), tmp_path / "store")
        events = load_encoded_events(tmp_path / "store")
        before = feature_rows(events, AS_OF)
        add_to_store(table(MORE), tmp_path / "store")
        assert feature_rows(events, AS_OF).equals(before)

    def test_a_part_erased_during_reading_asks_for_a_retry(self, tmp_path):
        add_to_store(table(SOME), tmp_path / "store")
        events = load_encoded_events(tmp_path / "store")
        erase_users_from_store(tmp_path / "store", ["ann"])
        with pytest.raises(EventsError, match=r"^the events changed while they were read: .*part-00000\.parquet was"):
            feature_rows(events, AS_OF)

    def test_a_manifest_without_its_part_is_reread(self, tmp_path, monkeypatch):
        add_to_store(table(SOME), tmp_path / "store")
        older = store._parse_manifest(tmp_path / "store")
        erase_users_from_store(tmp_path / "store", ["ann"])
        manifests = iter([older])
        parse = store._parse_manifest
        monkeypatch.setattr(store, "_parse_manifest", lambda folder: next(manifests, None) or parse(folder))
        assert read_manifest(tmp_path / "store").parts[0].name == "part-00000.1"

    def test_a_part_erased_during_reading_is_not_reported_as_damage(self, tmp_path, monkeypatch):
        add_to_store(table(SOME), tmp_path / "store")
        read = store._read

        def erase_and_read(*words):
            monkeypatch.undo()
            erase_users_from_store(tmp_path / "store", ["ann"])
            return read(*words)

        monkeypatch.setattr(store, "_read", erase_and_read)
        with pytest.raises(EventsError, match="the events changed while they were read"):
            open_store(tmp_path / "store")

    def test_an_incomplete_store_is_not_read_as_events(self, tmp_path):
        """Parts are moved into place before the manifest is."""
        with store_lock(tmp_path / "store") as scratch:
            for kind in (None, "acts", "people"):
                file = scratch / "acts.parquet" if kind is None else part_file(tmp_path / "store", kind, "part-00000")
                file.parent.mkdir(exist_ok=True)
                table(SOME).to_parquet(file)
                with pytest.raises(StoreError, match="is not complete: wait until the process that creates it"):
                    load_encoded_events(tmp_path / "store")

    def test_a_store_rebuilt_during_reading_is_an_error(self, tmp_path):
        add_to_store(table(SOME), tmp_path / "store")
        events = load_encoded_events(tmp_path / "store")
        add_to_store(table(MORE), tmp_path / "other")
        swap_paths(tmp_path / "store", tmp_path / "other")
        with pytest.raises(EventsError, match=r"changed while they were read: .*part-00000\.parquet was replaced"):
            feature_rows(events, AS_OF)
