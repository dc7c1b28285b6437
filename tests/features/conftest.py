"""Fixtures for small event tables, given as events some days before one instant."""

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
    """Return a function that makes an event table from rows.

    A row is (days before as_of, actor, verb, target, object, result, content_hash, links, topics).
    """

    def make(events) -> pa.Table:
        rows = [(as_of - timedelta(days=event[0]), *event[1:], *[None] * (len(TYPES) - len(event))) for event in events]
        return pa.Table.from_pylist([dict(zip(TYPES.names, row, strict=True)) for row in rows], schema=TYPES)

    return make


@pytest.fixture(scope="module")
def feature_names():
    """Return the features that `rows_of` computes, None for all; a file that reads few of them overrides it."""


@pytest.fixture(scope="module")
def rows_of(as_of, feature_names):
    """Return a function that computes feature rows as Arrow, which distinguishes null from NaN."""

    def compute(events, at=None) -> pa.Table:
        with feature_table(load_encoded_events(events), at or as_of, features=feature_names) as rows:
            return rows.to_pyarrow()

    return compute


@pytest.fixture(scope="module")
def features_of(table, rows_of):
    """Return a function that computes features of events: user -> feature -> value."""

    def compute(events, at=None) -> dict[str, dict[str, float | None]]:
        return {row["user"]: row for row in rows_of(table(events), at).to_pylist()}

    return compute


@pytest.fixture(scope="session")
def combine():
    """Combine several cases into one community; ids of users and posts are prefixed with the number of the case."""

    def concatenate(cases) -> list[tuple]:
        return [
            (event[0], prefixed(case, event[1]), event[2], *(prefixed(case, name) for name in event[3:6]), *event[6:])
            for case, events in enumerate(cases)
            for event in events
        ]

    def prefixed(case, name):
        return None if name is None else f"{case}/{name}"

    return concatenate


@pytest.fixture(scope="module")
def features_of_cases(features_of, combine):
    """Return a function that computes the features of several cases in one run."""

    def compute(cases) -> list[dict[str, dict[str, float | None]]]:
        rows: list[dict] = [{} for _ in cases]
        for user, row in features_of(combine(cases)).items():
            case, _, name = user.partition("/")
            rows[int(case)][name] = row
        return rows

    return compute
