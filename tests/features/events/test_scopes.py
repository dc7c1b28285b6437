from datetime import UTC, datetime, timedelta

import pytest

from features.errors import ScopeError
from features.events.loading import check_scopes, load_encoded_events
from features.events.scopes import validate_scopes
from features.events.store import add_to_store
from features.feature_table import feature_rows

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
ACTS = [  # (days before as_of, actor, verb, target, network, topics)
    (1, "ann", "like", "bob", "sea", ["ships", "rope"]),
    (2, "cid", "like", "bob", "sea", None),
    (3, "ann", "like", "bob", "land", ["ships", "ships"]),
    (4, "bob", "post", None, "land", []),
    (5, "bob", "like", "ann", None, ["rope"]),
]


@pytest.fixture(scope="module")
def events():
    import pandas as pd

    names = ["time", "actor", "verb", "target", "network", "topics"]
    return pd.DataFrame([(AS_OF - timedelta(days=event[0]), *event[1:]) for event in ACTS], columns=names)


def rows_of(events, *scopes):
    return feature_rows(load_encoded_events(events, scopes), AS_OF).set_index(["user", "scope"])


def test_several_scopes_in_one_run(events):
    rows = rows_of(events, "all", "network:*", "topic:*")
    assert sorted(set(rows.index.get_level_values("scope"))) == [
        "all",
        "network:default",  # an event without a network
        "network:land",
        "network:sea",
        "topic:rope",
        "topic:ships",
    ]
    engagers = rows["engagers_28d"]
    assert engagers["bob"].to_dict() == {
        "all": 2,
        "network:default": 0,
        "network:land": 1,
        "network:sea": 2,
        "topic:rope": 1,
        "topic:ships": 1,
    }
    assert rows["engagements_28d"]["bob"]["topic:ships"] == 2  # a topic listed twice counts once
    assert rows["created_28d"]["bob"].to_dict() == {
        "all": 1,
        "network:default": 0,
        "network:land": 1,
        "network:sea": 0,
        "topic:rope": 0,
        "topic:ships": 0,
    }
    assert rows["mutual_share_365d"]["bob"]["all"] == 0.5
    assert rows["mutual_share_365d"]["bob"]["topic:rope"] == 1  # only ann and bob
    assert rows["mutual_share_365d"]["bob"]["network:sea"] == 0  # events in other scopes do not count


@pytest.mark.parametrize("scope", ["all", "network:sea", "topic:rope"])
def test_scope_is_independent_of_other_scopes(events, scope):
    single = rows_of(events, scope)
    several = rows_of(events, "topic:*", "network:sea", "all").xs(scope, level="scope", drop_level=False)
    assert single.equals(several.loc[single.index])
    assert len(single) == len(several)


def test_scope_equals_the_filtered_events(events):
    sea = rows_of(events[events["network"] == "sea"], "all").droplevel("scope")
    assert rows_of(events, "network:sea").droplevel("scope").equals(sea)


@pytest.mark.parametrize("wrong", ["topics:ships", "topic:", "", "ALL", "network"])
def test_invalid_scope_is_rejected(wrong):
    with pytest.raises(ScopeError, match=r"is not a valid scope; expected all, network:NAME, topic:NAME"):
        validate_scopes(["all", wrong])


def test_empty_scope_list_is_rejected():
    with pytest.raises(ScopeError, match="no scope was requested"):
        validate_scopes([])


@pytest.mark.parametrize(
    ("scope", "existing"),
    [
        ("network:sky", "network:sea, network:land, network:default"),
        ("topic:ship", "topic:ships, topic:rope"),
        ("topic:ropes", "topic:rope, topic:ships"),
    ],
)
@pytest.mark.parametrize("others", [[], ["all"]])
def test_a_scope_without_users_is_rejected_and_the_nearest_are_listed(events, scope, existing, others):
    encoded = load_encoded_events(events, [*others, scope])
    with pytest.raises(ScopeError, match=rf"the scope {scope} has no users: the events have {existing}\."):
        check_scopes(encoded, [*others, scope])


def test_without_topics_no_topic_is_listed(events):
    encoded = load_encoded_events(events.assign(topics=None), ["topic:ships"])
    with pytest.raises(ScopeError, match=r"the scope topic:ships has no users: the events have no topics\."):
        check_scopes(encoded, ["topic:ships"])


def test_of_many_topics_the_nearest_are_listed(events):
    many = events.assign(topics=[[f"t{k}" for k in range(20)]] * len(events))
    with pytest.raises(ScopeError, match=r"has no users: the events have topic:t1, (topic:t1\d, ){7}\.\.\.\."):
        check_scopes(load_encoded_events(many, ["topic:t1x"]), ["topic:t1x"])


def test_the_topics_of_a_store_are_listed(events, tmp_path):
    events.to_parquet(tmp_path / "events.parquet", coerce_timestamps="us")
    add_to_store(tmp_path / "events.parquet", tmp_path / "store", ["all", "topic:*"])
    with pytest.raises(ScopeError, match=r"the scope topic:ship has no users: the events have topic:ships, topic:rope"):
        check_scopes(load_encoded_events(tmp_path / "store", ["topic:ship"]), ["topic:ship"])
