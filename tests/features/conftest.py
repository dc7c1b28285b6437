"""Small event tables, written as acts so many days before one instant."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from features.events.loading import load_encoded_events
from features.feature_table import feature_table

TYPES = pa.schema(
    [
        ("time", pa.timestamp("us", "UTC")),
        *((name, pa.string()) for name in ("actor", "verb", "target", "object", "result", "content_hash")),
        ("links", pa.int64()),
        ("topics", pa.list_(pa.string())),
    ]
)


@pytest.fixture(scope="session")
def as_of():
    return datetime(2025, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def table(as_of):
    """Make an event table of acts (days before as_of, actor, verb, target, object, result, content_hash, ...)."""

    def make(acts) -> pa.Table:
        rows = [(as_of - timedelta(days=act[0]), *act[1:], *[None] * (len(TYPES) - len(act))) for act in acts]
        return pa.Table.from_pylist([dict(zip(TYPES.names, row, strict=True)) for row in rows], schema=TYPES)

    return make


@pytest.fixture(scope="session")
def rows_of(as_of):
    """Compute the feature table of an event table, as Arrow: nulls stay apart from NaN."""

    def compute(events, at=None) -> pa.Table:
        with feature_table(load_encoded_events(events), at or as_of) as rows:
            return rows.to_pyarrow()

    return compute


@pytest.fixture(scope="session")
def features_of(table, rows_of):
    """Compute the features of acts: user -> feature -> value."""

    def compute(acts, at=None) -> dict[str, dict[str, float | None]]:
        return {row["user"]: row for row in rows_of(table(acts), at).to_pylist()}

    return compute


@pytest.fixture(scope="session")
def apart():
    """Put several lists of acts into one; people and pieces of each are called apart by its number."""

    def put(cases) -> list[tuple]:
        return [
            (act[0], called(case, act[1]), act[2], *(called(case, name) for name in act[3:6]), *act[6:])
            for case, acts in enumerate(cases)
            for act in acts
        ]

    def called(case, name):
        return None if name is None else f"{case}/{name}"

    return put


@pytest.fixture(scope="session")
def features_of_each(features_of, apart):
    """Compute the features of several lists of acts in one run."""

    def compute(cases) -> list[dict[str, dict[str, float | None]]]:
        found: list[dict] = [{} for _ in cases]
        for user, row in features_of(apart(cases)).items():
            case, _, name = user.partition("/")
            found[int(case)][name] = row
        return found

    return compute
