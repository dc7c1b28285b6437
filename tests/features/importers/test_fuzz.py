"""No input ends an import with a traceback: whatever the bytes are, an import reports counts or raises a CloutError."""

import json
from importlib import import_module

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import CloutError
from features.importers.tables import import_table
from features.progress import ignore_progress

PIECES = [
    b"time,actor,verb,target\n",
    b"time;actor;verb;target\r",
    b"2020-05-01T12:00:00Z,a,like,b",
    b"\r\n",
    b"\n",
    b"\r",
    b"\n\r",
    b"\r\r\n",
    b'"',
    b'""',
    b",",
    b";",
    b"\t",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"sep=;\n",
    b"0001-01-01T00:00:00+02:00",
    b"9999-12-31T23:59:59-01:00",
    b"1e400",
    b"-9223372036854775808",
    b"99999999999999999999",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b'{"time":1588334400,"actor":"a","verb":"like","target":"b"}',
    b'"time"',
    b'"\\ud83d"',
    b'"\\u0000"',
    b"<row ",
    b"/>",
    b'{"did":"did:plc:a","time_us":1e300,"kind":"commit","commit":{"operation":"create"}}',
    b'{"type":"Create","actor":{}}',
    b'{"id":"1","author":"ann","created_utc":99999999999999,"subreddit":"x"}',
    b'{"type":"WatchEvent","created_at":"x"}',
]
BYTES = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=14).map(b"".join)
FUZZ = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def import_bytes(importer, folder, name, content):
    (folder / name).write_bytes(content)
    try:
        report = importer(folder / name, folder / "out" / "events.parquet")
    except CloutError:
        return
    assert report.read == report.accepted + report.rejected


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.parquet"])
@FUZZ
@given(BYTES)
def test_tables(tmp_path, name, content):
    import_bytes(lambda path, out: import_table(path, out, {}, {}), tmp_path, name, content)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("activitystreams", "outbox.json"),
        ("bluesky", "x.jsonl"),
        ("gharchive", "2020-05-01-0.json"),
        ("reddit", "RS_2020-05.jsonl"),
    ],
)
@FUZZ
@given(BYTES)
def test_sources(tmp_path, source, name, content):
    importer = getattr(import_module(f"features.importers.{source}"), f"import_{source}")
    import_bytes(lambda path, out: importer(path, out, ignore_progress), tmp_path, name, content)


TEXT = st.text(max_size=6) | st.sampled_from(
    ["\0", "\ud83d", "0001-01-01T00:00:00+02:00", "1e400", "9" * 30, "{", "[]"]
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.lists(TEXT, max_size=2)


@FUZZ
@given(st.lists(st.dictionaries(st.sampled_from(["time", "actor", "verb", "target", "topics", "links"]), VALUES)))
def test_fields(tmp_path, rows):
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    import_bytes(lambda path, out: import_table(path, out, {}, {}), tmp_path, "x.jsonl", content)
