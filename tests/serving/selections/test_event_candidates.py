"""Topics that are no scope of the snapshot are answered from the events, at its instant."""

from datetime import timedelta

import pandas as pd
import pytest

from features.errors import ScopeError
from features.events.loading import load_events
from serving.selections.event_candidates import event_candidates
from serving.snapshots.repository import open_snapshot
from tests.serving.conftest import AS_OF


@pytest.fixture
def events(tmp_path):
    people = ["ann", "bob", "cat"]
    rows = [
        {"time": AS_OF + timedelta(days=days), "actor": actor, "verb": "reply", "target": target, "topics": ["boats"]}
        for days in (-200, -20, -2, 2)
        for actor in people
        for target in people
        if actor != target
    ]
    late = {"time": AS_OF + timedelta(days=1), "actor": "dan", "verb": "reply", "target": "ann", "topics": ["boats"]}
    pd.DataFrame([*rows, late]).to_parquet(tmp_path / "events.parquet", coerce_timestamps="us")
    return load_events(tmp_path / "events.parquet")


def test_users_of_a_topic_are_scored_as_of_the_snapshot(events, selection_home):
    candidates = event_candidates(events, open_snapshot(selection_home), "topic:boats")
    assert (candidates.scope, candidates.as_of) == ("topic:boats", AS_OF)
    scores = candidates.scores.to_pandas()
    assert sorted(scores.loc[scores["scope"] == "topic:boats", "user"]) == ["ann", "bob", "cat"]


def test_a_topic_that_nobody_has_is_refused(events, selection_home):
    with pytest.raises(ScopeError, match="topic:birds"):
        event_candidates(events, open_snapshot(selection_home), "topic:birds")
