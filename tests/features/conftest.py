"""Small event tables, written as acts so many days before one instant."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from features.table import feature_table

COLUMNS = ("time", "actor", "verb", "target", "object")
TYPES = pa.schema([("time", pa.timestamp("us", "UTC")), *((name, pa.string()) for name in COLUMNS[1:])])


@pytest.fixture(scope="session")
def as_of():
    return datetime(2025, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def table(as_of):
    """Make an event table of acts (days before as_of, actor, verb, target, object)."""

    def make(acts) -> pa.Table:
        rows = [(as_of - timedelta(days=act[0]), *act[1:], *[None] * (5 - len(act))) for act in acts]
        return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], schema=TYPES)

    return make


@pytest.fixture(scope="session")
def features_of(table, as_of):
    """Compute the features of acts: user -> feature -> value."""

    def compute(acts, at=None) -> dict[str, dict[str, float | None]]:
        rows = feature_table(table(acts), at or as_of).to_pyarrow().to_pylist()
        return {row["user"]: row for row in rows}

    return compute
