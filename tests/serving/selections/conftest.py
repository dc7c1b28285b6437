"""Six users in one scope and two networks, and whom each is to reach."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from serving.selections.candidates import Candidates
from serving.snapshots.audience_files import StoredAudiences
from tests.serving.conftest import SELECTION_MODEL

USERS = ["ann", "bob", "cat", "dan", "eve", "fay"]


@pytest.fixture
def candidates():
    """Rows: every user in `all`, ann, bob and cat in the network a, dan, eve and fay in b; nobody knows anybody.

    Strangers are 6, 5, 4, 3, 2 and 1 of a pool of a million people.
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
