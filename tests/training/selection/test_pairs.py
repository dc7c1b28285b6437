import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events.loading import load_encoded_events
from training.dataset.labels import audience
from training.selection.pairs import Engagements, read_engagements, read_pairs, weight_by_key

START = datetime(2025, 1, 1, tzinfo=UTC)
ROWS = pd.DataFrame({"user": ["ann", "bob", "cat"], "scope": "all"})


def on_day(day):
    return START + timedelta(days=day)


@pytest.fixture
def events(table):
    """Bob replies to ann in three weeks, cat once to ann and ann to cat; dan has no row."""
    return load_encoded_events(
        table(
            [
                (0, "bob", "reply", "ann"),
                (1, "bob", "like", "ann"),
                (10, "bob", "reply", "ann"),
                (20.5, "bob", "reply", "ann"),
                (25, "cat", "follow", "ann"),
                (26, "ann", "reply", "cat"),
                (27, "dan", "reply", "ann"),
                (28, "ann", "reply", "ann"),
                (30, "bob", "reply", "cat"),
                (31, "dan", "reply", "cat"),
                (32, "eve", "reply", "ann"),
                (33, "dan", "reply", "ann"),
            ]
        )
    )


def test_pairs_of_a_few_events(events):
    pairs = read_pairs(events, on_day(30), ROWS)
    assert pairs.starts.tolist() == [0, 2, 2, 3]
    assert pairs.engagers.tolist() == [1, 2, 0]
    assert pairs.days.tolist() == [9, 5, 4]
    assert pairs.weeks.tolist() == [3, 1, 1]
    assert pairs.users.tolist() == [0, 0, 2]
    assert pairs.engagers.dtype == pairs.days.dtype == pairs.weeks.dtype == np.int32


def test_later_events_leave_the_pairs_unchanged(events, table):
    early = read_pairs(events, on_day(5), ROWS)
    fewer = load_encoded_events(table([(0, "bob", "reply", "ann"), (1, "bob", "like", "ann")]))
    same = read_pairs(fewer, on_day(5), ROWS)
    assert [early.starts.tolist(), early.days.tolist()] == [same.starts.tolist(), same.days.tolist()] != [[0] * 4, []]


def test_engagements_older_than_a_year_are_no_pairs(events):
    assert read_pairs(events, on_day(25 + 364), ROWS).engagers.tolist() == [2, 0, 1]
    assert len(read_pairs(events, on_day(34 + 365), ROWS).engagers) == 0


def test_engagements_equal_those_of_the_audience(events):
    ahead = read_engagements(events, on_day(30), 28, ROWS)
    assert sorted(zip(ahead.users.tolist(), ahead.engagers.tolist(), strict=True))[2] == (2, 1)
    counts = np.bincount(ahead.users, minlength=3).tolist()
    labels = audience(events, on_day(30), 28).set_index("user")["audience"]
    assert counts == [labels.get(user, 0) for user in ROWS["user"]]


def test_reach_counts_a_person_once(events):
    ahead = read_engagements(events, on_day(30), 28, ROWS)  # eve and dan to ann, bob and dan to cat
    assert ahead.reach([0, 2]).tolist() == [2, 3]
    assert ahead.reach([1, 2, 0]).tolist() == [0, 2, 3]
    assert ahead.reach([]).tolist() == []


def test_people_count_by_credibility_at_the_end_of_the_horizon(events):
    ahead = read_engagements(events, on_day(30), 28, ROWS)
    everybody = pd.DataFrame({"user": ["ann", "bob", "cat", "dan", "eve"], "scope": "all"})
    pairs = read_pairs(events, on_day(58), everybody)
    by_key = weight_by_key(events, everybody, dataclasses.replace(pairs, weight=np.array([0.1, 0.2, 0.3, 0.5, 1.0])))
    weights = ahead.weights(by_key)
    assert len(weights) == 5
    assert ahead.reach([0, 2], weights).tolist() == pytest.approx([1.5, 1.7])  # eve and dan to ann, bob and dan to cat
    assert ahead.reach([2], ahead.weights(by_key.iloc[:0])).tolist() == [0]


def test_returning_people_engaged_with_the_same_user_before(events):
    pairs = read_pairs(events, on_day(20), ROWS)
    assert pairs.engagers.tolist() == [1]
    assert read_engagements(events, on_day(20), 5, ROWS).returned(pairs).tolist() == [True]
    assert read_engagements(events, on_day(21), 5, ROWS).returned(pairs).tolist() == [False]


def test_a_scope_has_its_own_pairs(table):
    acts = table([(0, "bob", "reply", "ann"), (1, "cat", "reply", "ann")])
    topics = acts.append_column("topics", [[["birds"], None]])
    rows = pd.DataFrame({"user": ["ann", "ann", "bob", "bob", "cat"], "scope": ["all", "topic:birds"] * 2 + ["all"]})
    pairs = read_pairs(load_encoded_events(topics, ("all", "topic:birds")), on_day(2), rows)
    assert pairs.starts.tolist() == [0, 2, 3, 3, 3, 3]
    assert pairs.engagers.tolist() == [2, 4, 3]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), unique=True, max_size=30), st.permutations(range(6)))
def test_reach_is_the_size_of_the_union(pairs, group):
    users, engagers = (np.array([pair[k] for pair in pairs], dtype=int) for k in (0, 1))
    expected = [len({v for u, v in pairs if u in group[: k + 1]}) for k in range(6)]
    assert Engagements(users, engagers, 6, np.arange(10)).reach(group).tolist() == expected
