"""Accounts without responses by established users change no score by more than the band of the bounded term."""

from datetime import timedelta

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.catalogue import INPUTS, SCORED
from features.events.encoding import cached, cached_with, encode_events
from features.events.event_table import VERBS, open_events
from features.feature_table import feature_rows

DAYS = 60
FAKES = [f"fake {k}" for k in range(12)]


@pytest.fixture(scope="module")
def community(simulated):
    """The encoded events, rows of users who acted before the fake accounts exist, and posts to respond to."""
    events = open_events(simulated.events)
    with cached(encode_events(events)) as encoded:
        rows = feature_rows(encoded, simulated.as_of, features=INPUTS.names).set_index("user")
        there = rows[rows["tenure_days"] > DAYS]
        pieces = simulated.events.to_pandas().query("verb == 'post'")[["actor", "object"]].dropna().tail(300)
        yield encoded, events, there, pieces


ACTS = st.lists(
    st.tuples(
        st.floats(0.01, DAYS - 0.01),
        st.sampled_from(FAKES),
        st.sampled_from(VERBS),
        st.integers(0, 40),  # a post or its author; from 30 on, another fake account
        st.booleans(),
        st.integers(1, 40),  # number of repetitions
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_no_score_changes_by_more_than_the_band(bundle, simulated, community, acts):
    encoded, events, there, pieces = community
    rows = []
    for age, actor, verb, number, about_piece, often in acts:
        author, piece = pieces.iloc[-1 - number % len(pieces)] if number < 30 else (FAKES[number % len(FAKES)], None)
        time = simulated.as_of - timedelta(days=age)
        for k in range(often):
            who = actor if k == 0 else f"{actor}, {k}"
            target = None if verb == "post" or author == who else author
            about = piece if about_piece or verb != "post" else f"new {k}"
            rows.append({"time": time, "actor": who, "verb": verb, "target": target, "object": about})
    added = open_events(pd.DataFrame(rows), events.get_backend())
    with cached_with(encoded, encode_events(added)) as attacked:
        after = feature_rows(attacked, simulated.as_of, features=INPUTS.names).set_index("user").loc[there.index]
    pd.testing.assert_frame_equal(after[SCORED.names], there[SCORED.names])
    moved = bundle.predict(after)["unclipped"] - bundle.predict(there)["unclipped"]
    assert moved.abs().max() <= bundle.most_from_anybody + 1e-9
