from datetime import timedelta

import pytest
from duckdb import Error as DuckDBError

from features.aggregates import materialize
from features.errors import EngineError
from features.events.encoding import cached
from features.events.event_table import connect
from features.events.loading import load_encoded_events
from features.feature_table import feature_rows, feature_table

ACTS = [
    (1, "ann", "like", "bob"),
    (2, "bob", "post", None, "o1"),
    (40, "cid", "follow", "bob"),
    (41, "ann", "post", None),
]


@pytest.fixture
def acts(table):
    return load_encoded_events(table(ACTS))


def tables(acts):
    return [name for name in acts.rows.get_backend().list_tables() if name.startswith("clout")]


def test_the_plan_is_written_once_and_gives_what_the_first_run_gave(acts, table, as_of, monkeypatch):
    monkeypatch.setattr(materialize, "PLANS", {})
    first = feature_rows(acts, as_of)
    (plan,) = materialize.PLANS.values()
    again, elsewhere = feature_rows(acts, as_of), feature_rows(load_encoded_events(table(ACTS)), as_of)
    assert first.equals(again)
    assert first.equals(elsewhere)
    earlier = feature_rows(acts, as_of - timedelta(days=28))  # the same days of the week: the same plan
    assert earlier["user"].tolist() == ["ann", "bob", "cid"]
    assert list(materialize.PLANS.values()) == [plan]
    feature_rows(acts, as_of - timedelta(days=1))
    assert len(materialize.PLANS) == 2
    assert not any(str(as_of.year) in statement for statement in plan)


def test_acts_that_are_kept_give_the_same(acts, as_of):
    with cached(acts) as shared:
        assert feature_rows(shared, as_of).equals(feature_rows(acts, as_of))


def test_two_tables_open_at_once_do_not_mix(acts, as_of):
    early = as_of - timedelta(days=30)
    with feature_table(acts, as_of) as one, feature_table(acts, early) as other:
        assert one.to_pandas().equals(feature_rows(acts, as_of))
        assert other.to_pandas().equals(feature_rows(acts, early))


def test_nothing_is_left_behind(acts, as_of):
    with feature_table(acts, as_of) as rows:
        assert rows.count().to_pyarrow().as_py() == 3
        assert tables(acts)
    assert tables(acts) == []


def test_a_step_that_fails_leaves_no_tables_and_the_next_run_works(acts, as_of, monkeypatch):
    first = feature_rows(acts, as_of)
    broken = {known: [*plan[:9], "SELECT no_such_column", *plan[9:]] for known, plan in materialize.PLANS.items()}
    with monkeypatch.context() as patch:
        patch.setattr(materialize, "PLANS", broken)
        with pytest.raises(DuckDBError, match="no_such_column"):
            feature_rows(acts, as_of)
    assert tables(acts) == []
    assert feature_rows(acts, as_of).equals(first)
    assert tables(acts) == []


def test_memory_that_is_no_size(monkeypatch):
    monkeypatch.setenv("CLOUT_MEMORY", "plenty")
    with pytest.raises(EngineError, match="CLOUT_MEMORY is 'plenty'; expected a size, such as 4GB"):
        connect()
