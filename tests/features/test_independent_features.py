"""The feature table agrees with an independent pandas computation written from the definitions."""

import importlib
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from features.catalogue import CATALOGUE
from features.events.event_table import CREATIONS, REQUIRED, SCHEMA, VERBS
from features.events.loading import load_encoded_events
from features.feature_table import feature_rows
from features.importers.stackexchange import import_stackexchange
from features.simulation import Community, simulate

TRAVEL = Path(__file__).parents[3] / "shared" / "data" / "travel_stackexchange"
AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
DAY = 86_400_000_000
EDGES = [days * DAY + more for days in (1, 7, 28, 62, 84, 90, 97, 168, 364, 365) for more in (-1, 0, 1)]
AGES = st.sampled_from([-DAY, 0, 1, *EDGES]) | st.integers(1, 100 * DAY) | st.integers(1, 500 * DAY)


def random_events(actors: list[str | None], targets: list[str | None]) -> st.SearchStrategy:
    event = st.tuples(
        AGES,
        st.sampled_from(actors),
        st.sampled_from(VERBS),
        st.sampled_from(targets),
        st.none() | st.integers(0, 40),
        st.sampled_from(["c1", "c2", "", None]),
        st.sampled_from([None, 0, 1, 3]),
        st.sampled_from([None, [], ["x"], ["x", "y"], ["y", None], [""]]),
    )
    return st.lists(event, min_size=1, max_size=150)


ACTS = random_events(["ann", "bob", "çelik 🙂", "d'Arc", "", None], ["ann", "bob", "çelik 🙂", "eve", "", None])
FOUNDERS = ["e0", "e1", "e2", "e3"]
AMONG_THE_ESTABLISHED = random_events(*[[*FOUNDERS, "ann", "bob", "cid", "dan", None]] * 2)
ESTABLISHED = [  # four users with 400 days of history, each with responses by the other three
    (age * DAY, one, verb, other, None, None, None, None)
    for one, other in permutations(FOUNDERS, 2)
    for age, verb in ((400, "post"), (31, "like"))
]


@pytest.fixture(scope="module")
def plain_features():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        return importlib.import_module("independent_features").plain_features


@pytest.fixture(scope="module")
def disagreement(plain_features):
    """Return a function that computes the features both ways and returns the first difference, or an empty text."""

    def compare(events: pa.Table, as_of: datetime = AS_OF) -> str:
        fast = feature_rows(load_encoded_events(events), as_of).set_index("user")[CATALOGUE.names]
        plain = plain_features(events.to_pandas(), as_of)
        if set(fast.index) != set(plain.index):
            return f"only one of them knows {sorted(set(fast.index) ^ set(plain.index))[:5]}"
        return first_difference(fast, plain.loc[fast.index])

    return compare


def first_difference(fast: pd.DataFrame, plain: pd.DataFrame) -> str:
    wrong = ~np.isclose(fast, plain, rtol=1e-9, atol=1e-9, equal_nan=True)
    if not wrong.any():
        return ""
    row, column = np.argwhere(wrong)[0]
    name, user = fast.columns[column], fast.index[row]
    every = ", ".join(fast.columns[wrong.any(axis=0)])
    return f"{name} of {user!r} is {fast.iloc[row, column]!r}, plainly {plain.iloc[row, column]!r} (differing: {every})"


def as_events(events) -> pa.Table:
    """Return an event table; an act that creates a post creates a new one, others refer to any of those."""
    rows = [as_event(path, *event) for path, event in enumerate(events)]
    return pa.Table.from_pylist(rows, schema=SCHEMA.to_pyarrow())


def as_event(path, age, actor, verb, target, about, content, links, topics) -> dict:
    own, other = f"p{path}" if about != 0 else None, f"p{about}" if about is not None else None
    return {
        "time": AS_OF - timedelta(microseconds=age),
        "actor": actor,
        "verb": verb,
        "target": target,
        "object": own if verb == "post" else other,
        "result": own if verb in CREATIONS and verb != "post" else None,
        "topics": topics,
        "content_hash": content,
        "links": links,
    }


def crowd(seed: int, events: int = 6_000, people: int = 60) -> pa.Table:
    """Return many acts among few users, so that pairs, periods, posts and contents repeat."""
    rng = np.random.default_rng(seed)
    names = [None, *(f"u{k}" for k in range(people - 1))]
    ages = np.where(rng.random(events) < 0.5, rng.integers(1, 100 * DAY, events), rng.integers(1, 500 * DAY, events))
    actors, targets = (rng.zipf(1.3, events) % people for _ in range(2))
    verbs, about, some = (
        rng.integers(0, len(VERBS), events),
        rng.integers(0, events, events),
        rng.integers(0, 9, events),
    )
    columns = zip(ages.tolist(), actors, verbs, targets, about.tolist(), some.tolist(), strict=True)
    return as_events(
        (
            age,
            names[actor],
            VERBS[verb],
            names[target],
            piece,
            f"c{k}",
            k if k < 5 else None,
            [f"t{k}", f"t{k // 2 - 9}"],
        )
        for age, actor, verb, target, piece, k in columns
    )


@settings(max_examples=6)
@given(rows=ACTS)
def test_random_events(disagreement, rows):
    events = as_events(rows)
    repeated = pa.concat_tables([events, events.take(list(range(0, len(rows), 4)))])
    assert not disagreement(repeated)


@settings(max_examples=6)
@given(events=AMONG_THE_ESTABLISHED)
def test_random_events_among_established_users(disagreement, events):
    stranger = (DAY, "stranger", "like", "ann", None, None, None, None)
    assert not disagreement(as_events([*ESTABLISHED, *events, stranger]))


def test_background_users_are_established():
    rows = feature_rows(load_encoded_events(as_events(ESTABLISHED)), AS_OF).set_index("user")
    assert rows["credibility_365d"].between(1e-3, 0.1).all()


@pytest.mark.parametrize("seed", range(3))
def test_crowd_of_new_accounts(disagreement, seed):
    assert not disagreement(crowd(seed))


def test_without_optional_columns(disagreement):
    assert not disagreement(crowd(9).select(REQUIRED))


def test_single_user(disagreement):
    event = ("ann", 5, "c1", 1, ["x"])
    ages = [1, DAY, 40 * DAY, 95 * DAY, 400 * DAY]
    assert not disagreement(as_events([(age, "ann", verb, *event) for age in ages for verb in VERBS]))


def test_no_events_before_the_instant(disagreement):
    assert not disagreement(as_events([(0, "ann", "like", "bob", None, None, None, None)]))


def test_simulated_community(disagreement, tmp_path):
    simulate(Community(users=800, days=400, seed=5), tmp_path / "events.parquet")
    events = parquet.read_table(tmp_path / "events.parquet")
    last = events["time"].to_pandas().max()
    assert not disagreement(events, (last - timedelta(days=9)).to_pydatetime())


@pytest.mark.real
@pytest.mark.skipif(not TRAVEL.is_dir(), reason=f"the real communities are not at {TRAVEL.parent}")
def test_real_community(disagreement, tmp_path):
    import_stackexchange(TRAVEL, tmp_path / "events.parquet")
    events = parquet.read_table(tmp_path / "events.parquet")
    assert not disagreement(events, datetime(2017, 7, 30, tzinfo=UTC))
