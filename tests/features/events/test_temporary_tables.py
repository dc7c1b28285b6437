import ibis
import pyarrow as pa
import pytest

from features.events.event_table import connect, load_table
from features.events.temporary_tables import cached_table, compile_unbound, duckdb_sql, fetch

NUMBERS = pa.table({"n": [1, 2, 3]})


@pytest.fixture
def numbers():
    return load_table(NUMBERS, connect())


def test_a_cached_table_is_dropped(numbers):
    backend = numbers.get_backend()
    before = backend.list_tables()
    with cached_table(numbers.mutate(twice=numbers.n * 2)) as cached:
        assert cached.schema() == ibis.schema({"n": "int64", "twice": "int64"})
        assert cached.order_by("n").to_pyarrow()["twice"].to_pylist() == [2, 4, 6]
        assert len(backend.list_tables()) == len(before) + 1
    assert backend.list_tables() == before


def test_two_cached_tables_of_a_connection_have_different_names(numbers):
    with cached_table(numbers) as one, cached_table(numbers.filter(numbers.n > 1)) as other:
        assert (fetch(one).num_rows, fetch(other).num_rows) == (3, 2)


def test_tables_in_memory_can_be_cached_and_fetched(numbers):
    joined = numbers.join(ibis.memtable({"n": [3, 4], "m": [5, 6]}), "n")
    assert fetch(joined).to_pylist() == [{"n": 3, "m": 5}]
    with cached_table(joined) as cached:
        assert fetch(cached).to_pylist() == [{"n": 3, "m": 5}]


def test_equal_queries_of_two_connections_are_compiled_once():
    one, other = (load_table(NUMBERS, connect()) for _ in range(2))
    assert one.get_name() == other.get_name()
    sql = duckdb_sql(one.filter(one.n > 2))
    misses = compile_unbound.cache_info().misses
    assert duckdb_sql(other.filter(other.n > 2)) == sql
    assert compile_unbound.cache_info().misses == misses
    assert fetch(other.filter(other.n > 2)).to_pylist() == [{"n": 3}]
