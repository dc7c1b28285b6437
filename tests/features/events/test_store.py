import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from fcntl import LOCK_EX, flock

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import EventsError, ScopeError, StoreError
from features.events.event_table import VERBS, connect
from features.events.loading import load_encoded_events
from features.events.store import MANIFEST, add_to_store, is_store, open_store, read_manifest
from features.feature_table import feature_rows

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


def table(acts):
    return pd.DataFrame([(AS_OF - timedelta(days=act[0], seconds=1), *act[1:]) for act in acts], columns=NAMES)


def scratch_rows(acts, **asked):
    return feature_rows(load_encoded_events(table(acts), **asked), AS_OF)


def files(folder):
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != ".lock"}


@settings(max_examples=5, deadline=None)
@given(first=ACTS, second=ACTS, third=ACTS)
def test_taking_in_piece_by_piece_gives_what_all_at_once_gives(tmp_path_factory, first, second, third):
    store = tmp_path_factory.mktemp("stores") / "store"
    parts = {str(sorted(map(str, acts))): acts for acts in (first, second, third)}
    for acts in parts.values():
        add_to_store(table(acts), store)
    everything = [act for acts in parts.values() for act in acts]
    assert feature_rows(open_store(store), AS_OF).equals(scratch_rows(everything))


def test_a_store_is_opened_like_events(tmp_path):
    part = add_to_store(table(SOME), tmp_path / "store")
    assert (part.acts, part.people) == (3, 3)
    assert is_store(tmp_path / "store")
    assert not is_store(tmp_path)
    assert feature_rows(load_encoded_events(tmp_path / "store"), AS_OF).equals(scratch_rows(SOME))
    assert add_to_store(table(MORE), tmp_path / "store").people == 1
    assert feature_rows(load_encoded_events(tmp_path / "store"), AS_OF).equals(scratch_rows(SOME + MORE))


def test_an_earlier_instant_sees_late_events_of_its_past_alone(tmp_path):
    early = AS_OF - timedelta(days=100)
    for acts in (SOME, MORE):
        add_to_store(table(acts), tmp_path / "store")
    rows = feature_rows(load_encoded_events(tmp_path / "store"), early)
    assert rows.equals(feature_rows(load_encoded_events(table(SOME + MORE)), early))
    assert rows["user"].tolist() == ["ann", "bob"]


def test_the_same_events_are_taken_in_once(tmp_path):
    add_to_store(table(SOME), tmp_path / "store")
    before = files(tmp_path / "store")
    with pytest.raises(EventsError, match=r"are in the store .* already; nothing was added"):
        add_to_store(table(SOME[::-1]), tmp_path / "store")
    assert files(tmp_path / "store") == before


def test_scopes_are_those_of_the_store(tmp_path):
    store = tmp_path / "store"
    events = table(SOME).assign(network="sea", topics=[["rope"], None, ["ships"]])
    add_to_store(events, store, scopes=["all", "topic:*"])
    rows = feature_rows(load_encoded_events(store, ["topic:rope"]), AS_OF)
    assert rows.equals(feature_rows(load_encoded_events(events, ["topic:rope"]), AS_OF))
    every = feature_rows(load_encoded_events(store, ["all", "topic:*"]), AS_OF)
    assert every.equals(feature_rows(load_encoded_events(events, ["all", "topic:*"]), AS_OF))
    with pytest.raises(ScopeError, match=r"does not contain the scope network:sea; it has all, topic:\*"):
        load_encoded_events(store, ["network:sea"])
    with pytest.raises(ScopeError, match=r"has the scopes all, topic:\*; build a new one for others"):
        add_to_store(table(MORE), store, scopes=["all"])


def test_identities_hold_for_all_that_comes_later(tmp_path):
    store = tmp_path / "store"
    same = pd.DataFrame({"account": ["ann", "dan"], "person": ["ad", "ad"]})
    add_to_store(table(SOME), store, identities=same)
    add_to_store(table(MORE), store)
    assert feature_rows(load_encoded_events(store), AS_OF).equals(scratch_rows(SOME + MORE, identities=same))
    with pytest.raises(StoreError, match="has its identities already"):
        add_to_store(table([(9, "x", "like", "y", None)]), store, identities=same)


@pytest.mark.parametrize("asked", ["identities", "engine"])
def test_a_store_has_its_own_identities_and_engine(tmp_path, asked):
    add_to_store(table(SOME), tmp_path / "store")
    given = {"identities": pd.DataFrame({"account": ["ann"], "person": ["ad"]}), "engine": connect()}
    with pytest.raises(StoreError, match=f"is a store, which has its {asked} already; use the events themselves"):
        load_encoded_events(tmp_path / "store", **{asked: given[asked]})


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


def test_a_process_killed_half_way_leaves_the_store_as_it_was(tmp_path):
    store = tmp_path / "store"
    add_to_store(table(SOME), store)
    before = feature_rows(load_encoded_events(store), AS_OF)
    table(MORE).to_parquet(tmp_path / "more.parquet")
    command = [sys.executable, "-c", KILLED, tmp_path / "more.parquet", store]
    died = subprocess.run(command, env=os.environ, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL
    assert feature_rows(load_encoded_events(store), AS_OF).equals(before)
    assert list(store.glob(".taking-*"))
    add_to_store(table(MORE), store)
    assert not list(store.glob(".taking-*"))
    assert feature_rows(load_encoded_events(store), AS_OF).equals(scratch_rows(SOME + MORE))


def test_one_process_at_a_time(tmp_path):
    add_to_store(table(SOME), tmp_path / "store")
    with (tmp_path / "store" / ".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        with pytest.raises(StoreError, match="another process is taking events into"):
            add_to_store(table(MORE), tmp_path / "store")


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not a store and not empty; choose another folder"):
        add_to_store(table(SOME), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_no_events_make_no_store(tmp_path):
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
def test_a_manifest_of_another_kind(tmp_path, change, message):
    add_to_store(table(SOME), tmp_path / "store")
    manifest = tmp_path / "store" / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    with pytest.raises(StoreError, match=message):
        open_store(tmp_path / "store")


def test_a_damaged_store(tmp_path):
    add_to_store(table(SOME), tmp_path / "store")
    (tmp_path / "store" / "acts" / "part-00000.parquet").unlink()
    with pytest.raises(StoreError, match=r"lacks acts/part-00000.parquet; build it again"):
        open_store(tmp_path / "store")
    (tmp_path / "store" / MANIFEST).write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        read_manifest(tmp_path / "store")
