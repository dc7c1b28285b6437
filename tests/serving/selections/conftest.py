"""Fixtures: six users in one scope and two networks, and the people each is expected to reach."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from serving.selections.candidates import Candidates
from serving.snapshots.audience_files import StoredAudiences
from tests.serving.conftest import AS_OF, SELECTION_MODEL

USERS = ["ann", "bob", "cat", "dan", "eve", "fay"]


@pytest.fixture
def candidates():
    """All users are in `all`; ann, bob and cat are in network a, dan, eve and fay in b. No user engages with another.

    They reach 6, 5, 4, 3, 2 and 1 strangers of a pool of a million people.
    """
    keys = sorted([*((user, "all") for user in USERS), *((u, f"network:{'aaabbb'[k]}") for k, u in enumerate(USERS))])
    frame = pd.DataFrame(keys, columns=["user", "scope"])
    people = 6.0 - frame["user"].map(USERS.index)
    frame = frame.assign(score=people * 10, expected_audience=people)
    none = np.zeros(0)
    stored = StoredAudiences(
        pairs=np.zeros(len(frame), dtype=np.int32),
        engagers=none.astype(np.int32),
        probability=none.astype(np.float32),
        strangers=people.to_numpy(float),
        weight=np.ones(len(frame)),
        followers=np.arange(len(frame), dtype=np.int32),
        pools={"all": 1e6, "network:a": 1e6, "network:b": 1e6},
    )
    as_of = datetime(2017, 7, 30, tzinfo=UTC)
    hidden = np.zeros(0, dtype=int)
    return Candidates(
        as_of, "3", 28, "all", pa.Table.from_pandas(frame, preserve_index=False), stored, hidden, SELECTION_MODEL
    )


@pytest.fixture(scope="session")
def topic_events(tmp_path_factory):
    """Path of events about boats in two networks, by three users before the instant and a fourth after it."""
    people = ["ann", "bob", "cat"]
    rows = [
        {"time": AS_OF + timedelta(days=days), "actor": actor, "target": target, "network": network}
        for days, network in ((-200, "a"), (-20, "a"), (-2, "b"), (2, "b"))
        for actor in people
        for target in people
        if actor != target and (network == "a" or "cat" not in (actor, target))
    ]
    late = {"time": AS_OF + timedelta(days=1), "actor": "dan", "target": "ann", "network": "a"}
    path = tmp_path_factory.mktemp("topic") / "events.parquet"
    frame = pd.DataFrame([*rows, late]).assign(verb="reply", topics=lambda rows: [["boats"]] * len(rows))
    frame.to_parquet(path, coerce_timestamps="us")
    return path
