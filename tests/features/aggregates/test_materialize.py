from datetime import timedelta

import pytest
from duckdb import Error as DuckDBError

from features.aggregates import materialize
from features.catalogue import SCORED
from features.errors import EngineError
from features.events.encoding import cached
from features.events.event_table import connect
from features.events.loading import load_encoded_events
from features.events.temporary_tables import compile_unbound
from features.feature_table import feature_rows, feature_table

ACTS = [
    (1, "ann", "like", "bob"),
    (2, "bob", "post", None, "o1"),
    (40, "cid", "follow", "bob"),
    (41, "ann", "post", None),
]


@pytest.fixture
def events(table):
    return load_encoded_events(table(ACTS))


def tables(events):
    return [name for name in events.rows.get_backend().list_tables() if name.startswith("clout")]


def test_plan_is_compiled_once_and_replayed_with_equal_results(events, table, as_of, monkeypatch):
    monkeypatch.setattr(materialize, "PLANS", {})
    first = feature_rows(events, as_of)
    (plan,) = materialize.PLANS.values()
    again, elsewhere = feature_rows(events, as_of), feature_rows(load_encoded_events(table(ACTS)), as_of)
    assert first.equals(again)
    assert first.equals(elsewhere)
    earlier = feature_rows(events, as_of - timedelta(days=28))  # the same weekdays, so the same plan
    assert earlier["user"].tolist() == ["ann", "bob", "cid"]
    assert list(materialize.PLANS.values()) == [plan]
    feature_rows(events, as_of - timedelta(days=1))
    assert len(materialize.PLANS) == 2
    statements, _ = plan
    assert not any(str(as_of.year) in statement for statement in statements)


def test_cached_events_give_the_same_features(events, as_of):
    with cached(events) as shared:
        assert feature_rows(shared, as_of).equals(feature_rows(events, as_of))


def test_two_concurrent_feature_tables_are_independent(events, as_of):
    early = as_of - timedelta(days=30)
    with feature_table(events, as_of) as one, feature_table(events, early) as other:
        assert one.to_pandas().equals(feature_rows(events, as_of))
        assert other.to_pandas().equals(feature_rows(events, early))


def test_temporary_tables_are_dropped(events, as_of):
    with feature_table(events, as_of) as rows:
        assert rows.count().to_pyarrow().as_py() == 3
        assert tables(events)
    assert tables(events) == []


def test_failed_step_drops_its_tables_and_the_next_run_works(events, as_of, monkeypatch):
    first = feature_rows(events, as_of)
    broken = {
        key: ([*plan[:9], "SELECT no_such_column", *plan[9:]], names)
        for key, (plan, names) in materialize.PLANS.items()
    }
    with monkeypatch.context() as patch:
        patch.setattr(materialize, "PLANS", broken)
        with pytest.raises(DuckDBError, match="no_such_column"):
            feature_rows(events, as_of)
    assert tables(events) == []
    assert feature_rows(events, as_of).equals(first)
    assert tables(events) == []


def test_invalid_memory_limit_is_rejected(monkeypatch):
    monkeypatch.setenv("CLOUT_MEMORY", "plenty")
    with pytest.raises(EngineError, match="CLOUT_MEMORY is 'plenty'; expected a size, such as 4GB"):
        connect()


def test_features_without_calendar_spans_have_one_plan_for_all_instants(events, as_of, monkeypatch):
    monkeypatch.setattr(materialize, "PLANS", {})
    for days in (0, 1, 2.3):
        feature_rows(events, as_of - timedelta(days=days), features=SCORED.names)
    assert len(materialize.PLANS) == 1


def test_equal_events_of_other_connections_are_compiled_once(table, as_of):
    for acts in (ACTS, ACTS[:3]):
        before = compile_unbound.cache_info().misses
        rows = feature_rows(load_encoded_events(table(acts)), as_of, features=SCORED.names)
    assert rows["user"].tolist() == ["ann", "bob", "cid"]
    assert compile_unbound.cache_info().misses == before
