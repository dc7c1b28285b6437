"""Imports never end with a traceback: for any bytes, they report counts or raise a CloutError."""

import csv
import io
import json
from importlib import import_module
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import CloutError
from features.importers.tables import import_table

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
    b"<posts>",
    b'<row Id="1" PostTypeId="1" CreationDate="2020-05-01T12:00:00" />',
    b"</posts>",
    b"&#x0;",
    b"&",
    b"window.YTD.tweets.part0 = ",
    b'{"messages":[',
    b'{"id":1,"date":"2020-05-01T12:00:00","from_id":"user1","text":"hi"}',
    b"]}",
    b"username,user_id,created_at,post_number,topic_id\n",
]
BYTES = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=14).map(b"".join)
FUZZ = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
FEW = settings(FUZZ, max_examples=8)


def import_bytes(importer, folder, name, content):
    (folder / name).write_bytes(content)
    import_files(importer, folder / name, folder / "out" / "events.parquet")


def import_files(importer, path, out):
    try:
        report = importer(path, out)
    except CloutError:
        return
    assert report.read == report.accepted + report.rejected
    assert report.rejects is None or "SECRET" not in report.rejects.read_text()


def importer_of(source):
    return getattr(import_module(f"features.importers.{source}"), f"import_{source}")


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
        ("discourse", "topic.json"),
        ("discourse", "posts.csv"),
        ("discord", "cats.json"),
        ("telegram", "result.json"),
    ],
)
@FUZZ
@given(BYTES)
def test_sources(tmp_path, source, name, content):
    import_bytes(importer_of(source), tmp_path, name, content)


TEXT = st.text(max_size=6) | st.sampled_from(
    ["\0", "\ud83d", "0001-01-01T00:00:00+02:00", "1e400", "9" * 30, "{", "[]"]
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.lists(TEXT, max_size=2)


@FUZZ
@given(st.lists(st.dictionaries(st.sampled_from(["time", "actor", "verb", "target", "topics", "links"]), VALUES)))
def test_fields(tmp_path, rows):
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    import_bytes(lambda path, out: import_table(path, out, {}, {}), tmp_path, "x.jsonl", content)


# The files of each source that is a folder; a test replaces one of them.
FOLDERS = {
    "stackexchange": {},
    "slack": {"cats/2024-03-01.json": b"[]", "channels.json": b'[{"id": "C1", "name": "cats"}]'},
    "xarchive": {"tweets.js": b"", "account.js": b'window.YTD.account.part0 = [{"account": {"accountId": "1"}}]'},
}
IN_FOLDERS = [(source, name) for source, files in FOLDERS.items() for name in files]


def write_folder(folder, source, name, content):
    for file, text in (FOLDERS[source] | {name: content}).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(text)
    return folder


@pytest.mark.parametrize(
    ("source", "name"), [("stackexchange", f"Posts.{kind}") for kind in ("xml", "csv")] + IN_FOLDERS
)
@FEW
@given(BYTES)
def test_folders(tmp_path, source, name, content):
    import_files(importer_of(source), write_folder(tmp_path / source, source, name, content), tmp_path / "events")


PERSON = {"id": "7", "name": "ann"}
DOCUMENTS = {
    "discourse": {
        "id": 5,
        "archetype": "regular",
        "tags": ["a", {"name": "b"}],
        "post_stream": {
            "posts": [
                {
                    "topic_id": 5,
                    "post_number": 2,
                    "username": "ann",
                    "created_at": "2024-03-01T10:00:00Z",
                    "cooked": '<aside class="quote" data-username="bob" data-post="1">SECRET</aside>',
                    "raw": "SECRET",
                    "reply_to_post_number": 1,
                    "reply_to_user": {"username": "bob"},
                    "post_type": 1,
                    "deleted_at": None,
                }
            ]
        },
    },
    "discord": {
        "channel": {"type": "GuildTextChat", "name": "cats"},
        "messages": [
            {
                "id": "1",
                "type": "Reply",
                "timestamp": "2024-03-01T10:00:00.5+00:00",
                "content": "SECRET",
                "author": PERSON,
                "reference": {"messageId": "0"},
                "mentions": [PERSON],
                "reactions": [{"users": [PERSON]}],
            }
        ],
    },
    "telegram": {
        "name": "cats",
        "type": "public_channel",
        "id": 9,
        "messages": [
            {
                "id": 1,
                "type": "message",
                "date": "2024-03-01T12:00:00",
                "date_unixtime": "1709287200",
                "from_id": "user1",
                "forwarded_from": "x",
                "forwarded_from_id": "user2",
                "reply_to_message_id": 2,
                "reply_to_peer_id": "channel3",
                "text": ["SECRET", {"type": "hashtag", "text": "#a"}],
                "text_entities": [{"type": "mention_name", "text": "SECRET", "user_id": 3}],
                "reactions": [{"recent": [{"from_id": "user2", "date": "2024-03-01T12:00:00"}]}],
            }
        ],
    },
    "slack": [
        {
            "type": "message",
            "subtype": "me_message",
            "user": "U1",
            "text": "SECRET <@U2>",
            "ts": "1709287200.000200",
            "thread_ts": "1709287100.000200",
            "parent_user_id": "U2",
            "reactions": [{"users": ["U2"]}],
        }
    ],
    "xarchive": [
        {
            "tweet": {
                "id_str": "1",
                "created_at": "Fri Mar 01 10:00:00 +0000 2024",
                "full_text": "SECRET",
                "in_reply_to_status_id_str": "2",
                "in_reply_to_user_id_str": "3",
                "entities": {
                    "hashtags": [{"text": "a"}],
                    "user_mentions": [{"id_str": "4"}],
                    "urls": [{"expanded_url": "https://x.com/a/status/5"}],
                },
            }
        }
    ],
}
FILES = {"discourse": "t.json", "discord": "c.json", "telegram": "result.json"}
NAMES = TEXT | st.sampled_from(["id", "type", "text", "name", "users", "messages"])
JSON = st.recursive(VALUES, lambda values: st.lists(values, max_size=2) | st.dictionaries(NAMES, values, max_size=2))


def paths_in(value, path=()):
    yield path
    for key, member in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from paths_in(member, (*path, key))


def with_value(document, path, value):
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = with_value(copy[path[0]], path[1:], value)
    return copy


@st.composite
def damaged(draw, document):
    for _ in range(draw(st.integers(1, 4))):
        document = with_value(document, draw(st.sampled_from(list(paths_in(document)))), draw(JSON))
    return document


@pytest.mark.parametrize("source", list(DOCUMENTS))
@FEW
@given(st.data())
def test_members_of_messages(tmp_path, source, data):
    document = json.dumps(data.draw(damaged(DOCUMENTS[source]))).encode()
    if source in FOLDERS:
        start = b"window.YTD.tweets.part0 = " if source == "xarchive" else b""
        path = write_folder(tmp_path / source, source, next(iter(FOLDERS[source])), start + document)
    else:
        path = tmp_path / FILES[source]
        path.write_bytes(document)
    import_files(importer_of(source), path, tmp_path / "events")


COLUMNS = ["Id", "PostTypeId", "ParentId", "OwnerUserId", "CreationDate", "Tags", "PostId", "UserId", "VoteTypeId"]
CELLS = st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(["1", "2", "2020-05-01", "<a><b>", "-1"])


def as_csv(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, "Body"])
    writer.writeheader()
    writer.writerows(row | {"Body": "SECRET"} for row in rows)
    return text.getvalue()


def as_xml(rows):
    fields = [" ".join(f"{name}={quoteattr(value)}" for name, value in row.items()) for row in rows]
    return "<posts>" + "".join(f'<row Body="SECRET" {text}/>' for text in fields) + "</posts>"


@pytest.mark.parametrize(("form", "written"), [("csv", as_csv), ("xml", as_xml)])
@FEW
@given(st.data())
def test_fields_of_stackexchange(tmp_path, form, written, data):
    for table in ("Posts", "Comments", "Votes"):
        rows = data.draw(st.lists(st.dictionaries(st.sampled_from(COLUMNS), CELLS), max_size=4))
        (tmp_path / f"{table}.{form}").write_text(written(rows), encoding="utf-8", newline="")
    import_files(importer_of("stackexchange"), tmp_path, tmp_path / "out" / "events.parquet")
