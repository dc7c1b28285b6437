"""The same arguments give the same bytes; memory does not grow with the period."""

import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.events.event_table import ENGAGEMENTS
from features.simulation import Community, simulate
from features.simulation.population import draw_population
from features.simulation.simulate import EventStream


def test_the_same_arguments_give_the_same_bytes(small):
    assert small("one", seed=3) == small("two", seed=3)


def test_seed_0_is_valid(small):
    assert small("one", seed=0) == small("two", seed=0)
    assert small("one", seed=0) != small("two", seed=1)


def test_another_seed_gives_another_community(small):
    (events, truth), (other_events, other_truth) = small("one", seed=1), small("two", seed=2)
    assert events != other_events
    assert truth != other_truth


def test_seeds_above_32_bits_are_not_truncated(small):
    assert small("one", seed=2**32) != small("two", seed=0)


def test_no_zone_means_utc_and_zones_are_converted(small):
    plain = small("plain", start=datetime(2025, 6, 1))
    assert plain == small("utc", start=datetime(2025, 6, 1, tzinfo=UTC))
    assert plain == small("east", start=datetime(2025, 6, 1, 2, tzinfo=timezone(timedelta(hours=2))))


def test_a_file_and_a_folder_hold_the_same(small, tmp_path):
    events, truth = small("file")
    summary = simulate(Community(users=60, days=20), tmp_path / "folder")
    assert (summary.files[0].read_bytes(), summary.truth.read_bytes()) == (events, truth)


def test_blocks_tile_the_period_without_gap():
    for community in (Community(), Community(users=3_000_000, days=3), Community(users=10, days=1, pace=100.0)):
        blocks = list(community.blocks())
        assert blocks[0][0] == community.begin
        assert blocks[-1][1] == community.end
        assert all(before[1] == after[0] for before, after in pairwise(blocks))


def test_blocks_are_shorter_with_more_users():
    lengths = [next(Community(users=users).blocks()) for users in (1_000, 1_000_000, 100_000_000)]
    hours = [(end - begin) // 3_600_000_000 for begin, end in lengths]
    assert hours == [168, 72, 1]


def test_memory_does_not_grow_with_the_period():
    short, long = (_peak(Community(users=500, days=days)) for days in (140, 560))
    assert long < 1.3 * short


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    users=st.integers(10, 120),
    days=st.integers(1, 40),
    seed=st.integers(0, 2**63 - 1),
    topics=st.integers(1, 30),
    pace=st.floats(0.01, 10),
    bots=st.floats(0, 0.4),
    founders=st.floats(0, 1),
    stay_days=st.floats(1, 1_000),
)
def test_small_communities_satisfy_the_invariants(tmp_path, **options):
    community = Community(**options)
    summary = simulate(community, tmp_path / "any.parquet")
    events = pd.read_parquet(summary.files[0])
    truth = pd.read_parquet(summary.truth).set_index("user")
    assert len(events) == summary.events
    assert len(truth) == community.users
    assert events.time.is_monotonic_increasing
    assert not (events.actor == events.target).any()
    attributed = events[events.actor.notna()]
    assert (attributed.time.to_numpy() >= truth.joined.loc[attributed.actor].to_numpy()).all()
    assert events.target[events.verb.isin(ENGAGEMENTS)].isin(truth.index).all()
    inside = events.time.dt.tz_localize(None) < pd.Timestamp(community.end, unit="us")
    assert inside.all()


def _peak(community: Community) -> int:
    """Return the peak memory in bytes of drawing a community."""
    stream = EventStream(community, draw_population(community))
    tracemalloc.start()
    try:
        sizes = [len(events) for _, events in stream.blocks()]
        assert np.sum(sizes) > 0
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
