"""Topics that are not a scope of the snapshot are scored from the events at its instant."""

import pytest

from features.errors import ScopeError
from features.events.loading import load_events
from serving.selections.candidates import snapshot_candidates
from serving.selections.event_snapshot import event_snapshot
from serving.snapshots.repository import open_snapshot
from tests.serving.conftest import AS_OF


@pytest.fixture
def events(topic_events):
    return load_events(topic_events)


def test_users_of_a_topic_are_scored_as_of_the_snapshot(events, selection_home):
    snapshot = event_snapshot(events, open_snapshot(selection_home), "topic:boats")
    assert (snapshot.as_of, snapshot.model_version) == (AS_OF, "3")
    candidates = snapshot_candidates(snapshot, "topic:boats")
    assert sorted(candidates.user(row) for row in candidates.eligible.nonzero()[0]) == ["ann", "bob", "cat"]
    assert snapshot.explain("ann", "topic:boats").user == "ann"


def test_a_topic_that_nobody_has_is_refused(events, selection_home):
    message = "the scope topic:birds has no users: the events have topic:boats."
    with pytest.raises(ScopeError, match=message):
        event_snapshot(events, open_snapshot(selection_home), "topic:birds")
