import gzip
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import EventsError
from features.importers.reddit import import_reddit

NOON = 1_588_334_400
SUBMISSIONS = [
    {
        "id": "a1",
        "author": "ann",
        "title": "Hello  World",
        "selftext": "see https://a.b and http://c.d",
        "is_self": True,
    },
    {"id": "a2", "author": "bob", "title": "A link", "selftext": "", "is_self": False, "url": "https://a.b"},
    {"id": "a3", "author": "[deleted]", "title": "Gone", "selftext": "[removed]", "is_self": True},
    {"id": "a4", "author": "cid", "title": "Look", "crosspost_parent": "t3_a1", "is_self": False},
    {
        "id": "a5",
        "author": "cid",
        "title": "Look",
        "crosspost_parent": "t3_zz",
        "crosspost_parent_list": [{"author": "eve", "selftext": "SECRET"}],
    },
    {
        "id": "a6",
        "author": None,
        "title": "hello world",
        "selftext": "SEE https://a.b   and http://c.d",
        "is_self": True,
    },
    {"id": "a7", "author": "AutoModerator", "title": "Daily", "is_self": True, "crosspost_parent": None},
]
COMMENTS = [
    {"id": "b1", "author": "bob", "parent_id": "t3_a1", "link_id": "t3_a1", "body": "Thanks https://e.f https://e.f"},
    {"id": "b2", "author": "ann", "parent_id": "t1_b1", "link_id": "t3_a1", "body": "thanks HTTPS://E.F"},
    {"id": "b3", "author": "[deleted]", "parent_id": "t1_b1", "link_id": "t3_a1", "body": "[deleted]"},
    {"id": "b4", "author": "cid", "parent_id": "t3_a3", "link_id": "t3_a3", "body": "who?"},
    {"id": "b5", "author": "cid", "parent_id": "t1_zz", "link_id": "t3_a1", "body": "where?"},
    {"id": "b6", "author": "[deleted]", "parent_id": "t1_zz", "link_id": "t3_a1", "body": "both"},
    {"id": "b7", "author": "dan", "parent_id": None, "link_id": "t3_a2", "body": ""},
    {"id": "b8", "author": "ann", "parent_id": 12345, "link_id": "t3_a1", "body": "to myself"},
    {"id": "b9", "author": "dan", "parent_id": "t3_a7", "body": "good bot"},
]
TOTALS = {"score": 999, "ups": 999, "num_comments": 999, "gilded": 9}


def lines(rows):
    return [{"created_utc": NOON, "subreddit": "AskMe", **TOTALS, **row} for row in rows]


def text(rows):
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def write(folder, submissions=SUBMISSIONS, comments=COMMENTS, ending=".jsonl", compress=lambda data: data):
    folder.mkdir(exist_ok=True)
    (folder / f"RC_2020-05{ending}").write_bytes(compress(text(lines(comments))))
    (folder / f"RS_2020-05{ending}").write_bytes(compress(text(lines(submissions))))
    return folder


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dump")
    report = import_reddit(write(folder / "in"), folder / "events.parquet")
    return report, pq.read_table(report.out).to_pylist()


def event_tuples(events):
    fields = ("actor", "verb", "target", "object", "result")
    return sorted((tuple(row[name] for name in fields) for row in events), key=str)


def by_piece(events, name):
    return {row["result"] or row["object"]: row[name] for row in events}


def test_submissions(imported):
    rows = [row for row in event_tuples(imported[1]) if "t3_" in (row[4] or row[3])]
    assert rows == [
        ("AutoModerator", "post", None, "t3_a7", None),
        ("ann", "post", None, "t3_a1", None),
        ("bob", "post", None, "t3_a2", None),
        ("cid", "quote", "ann", "t3_a1", "t3_a4"),
        ("cid", "quote", "eve", "t3_zz", "t3_a5"),
    ]


def test_comments(imported):
    rows = [row for row in event_tuples(imported[1]) if (row[4] or "").startswith("t1_")]
    assert rows == [
        ("ann", "reply", "bob", "t1_b1", "t1_b2"),
        ("ann", "reply", None, "t1_9ix", "t1_b8"),
        ("bob", "reply", "ann", "t3_a1", "t1_b1"),
        ("cid", "reply", None, "t1_zz", "t1_b5"),
        ("cid", "reply", None, "t3_a3", "t1_b4"),
        ("dan", "reply", "AutoModerator", "t3_a7", "t1_b9"),
        ("dan", "reply", "bob", "t3_a2", "t1_b7"),
        (None, "reply", "bob", "t1_b1", "t1_b3"),
    ]


def test_counts(imported):
    report, events = imported
    assert report.read == len(SUBMISSIONS) + len(COMMENTS) == report.accepted + report.rejected
    assert report.accepted == len(events) == 13
    assert report.reasons == {"neither actor nor target known": 3}
    assert report.notes == ()
    rejects = report.rejects.read_text()
    assert '""id"":""b6"",""author"":""[deleted]""' in rejects
    assert "SECRET" not in rejects + str(events)
    assert "999" not in rejects + str(events)


def test_network_topics_and_time(imported):
    for row in imported[1]:
        assert row["network"] == "reddit"
        assert row["topics"] == ["AskMe"]
        assert row["time"] == datetime(2020, 5, 1, 12, tzinfo=UTC)


def test_links(imported):
    assert by_piece(imported[1], "links") == {
        **{"t3_a1": 2, "t3_a2": 1, "t3_a4": 1, "t3_a5": 0, "t3_a7": 0},
        **{"t1_b1": 1, "t1_b2": 1, "t1_b3": None, "t1_b4": 0, "t1_b5": 0, "t1_b7": None, "t1_b8": 0, "t1_b9": 0},
    }


def test_near_duplicates_share_a_hash(tmp_path):
    rows = [{**row, "author": "ann"} for row in SUBMISSIONS]
    events = pq.read_table(import_reddit(write(tmp_path / "in", rows), tmp_path / "events").out).to_pylist()
    keys = by_piece(events, "content_hash")
    assert keys["t3_a1"] == keys["t3_a6"]
    assert keys["t3_a4"] == keys["t3_a5"]
    assert keys["t1_b3"] is None
    assert keys["t1_b7"] is None
    assert len({key for key in keys.values() if key}) == len(keys) - 2 - 2


@pytest.mark.parametrize(
    ("ending", "compress"),
    [
        (".zst", lambda data: pa.compress(data, "zstd", asbytes=True)),
        (".gz", gzip.compress),
        (".ndjson", lambda data: data),
        (".json.gz", gzip.compress),
    ],
)
def test_all_compressions_give_the_same_events(imported, tmp_path, ending, compress):
    report = import_reddit(write(tmp_path / "in", ending=ending, compress=compress), tmp_path / "events.parquet")
    assert report.out.read_bytes() == imported[0].out.read_bytes()
    assert report.reasons == imported[0].reasons


def test_both_kinds_in_one_file(imported, tmp_path):
    (tmp_path / "all.jsonl").write_bytes(text(lines([*COMMENTS, *SUBMISSIONS])))
    report = import_reddit(tmp_path / "all.jsonl", tmp_path / "events.parquet")
    assert report.out.read_bytes() == imported[0].out.read_bytes()


def test_comments_without_submissions_reach_other_commenters(tmp_path):
    write(tmp_path / "in")
    (tmp_path / "in" / "RS_2020-05.jsonl").unlink()
    events = pq.read_table(import_reddit(tmp_path / "in", tmp_path / "events").out).to_pylist()
    assert {(row["actor"], row["target"]) for row in events if row["target"]} == {("ann", "bob"), (None, "bob")}
    assert len(events) == 8


def test_duplicates_count_once(imported, tmp_path):
    folder = write(tmp_path / "in")
    newer = [{**COMMENTS[0], "author": "[deleted]", "body": "[deleted]"}, {**COMMENTS[1], "body": "edited"}]
    (folder / "later.jsonl").write_bytes(text(lines([*newer, {**SUBMISSIONS[0], "id": "b1"}])))
    report = import_reddit(folder, tmp_path / "events.parquet")
    assert report.read == len(SUBMISSIONS) + len(COMMENTS) + 3 == report.accepted + report.rejected
    assert report.reasons == {"neither actor nor target known": 3, "the same event again": 2}
    events = pq.read_table(report.out).to_pylist()
    assert [row for row in events if row["object"] != "t3_b1"] == imported[1]
    assert '1,the same event again,"later.jsonl {""id"":""b1""' in report.rejects.read_text()


PARENTS = [
    (41786007802, "t1_j72b5yy", "bob"),
    (41786007802.0, "t1_j72b5yy", "bob"),
    ("41786007802", "t1_j72b5yy", "bob"),
    (int("10tz5ab", 36), "t3_10tz5ab", "ann"),
    (None, "t3_10tz5ab", "ann"),
    ("", "t3_10tz5ab", "ann"),
    ("?", None, None),
    (5, "t1_5", None),
]


@pytest.mark.parametrize(("parent_id", "parent", "author"), PARENTS)
@pytest.mark.parametrize("link_id", ["t3_10tz5ab", int("10tz5ab", 36)])
def test_ids_of_parents_may_be_numbers(tmp_path, parent_id, parent, author, link_id):
    rows = [
        {"id": "10tz5ab", "author": "ann", "title": "q", "created_utc": NOON},
        {"id": "j72b5yy", "author": "bob", "parent_id": None, "link_id": link_id, "created_utc": NOON + 1},
        {"id": "j72b9zz", "author": "cid", "parent_id": parent_id, "link_id": link_id, "created_utc": NOON + 2},
    ]
    (tmp_path / "x.jsonl").write_bytes(text(rows))
    _, first, second = pq.read_table(import_reddit(tmp_path / "x.jsonl", tmp_path / "events.parquet").out).to_pylist()
    assert (first["target"], first["object"]) == ("ann", "t3_10tz5ab")
    assert (second["verb"], second["target"], second["object"]) == ("reply", author, parent)


def test_malformed_lines_are_counted(tmp_path):
    odd = [
        "{broken",
        "[]",
        "",
        {"id": "c1", "author": "ann"},
        {"author": "ann", "title": "no id"},
        {"id": "c2", "author": "ann", "title": "when", "created_utc": "soon"},
        {"id": "c3", "author": "ann", "title": "text", "created_utc": str(NOON)},
        {"id": "c4", "author": "ann", "title": "float", "created_utc": NOON + 0.5},
    ]
    rows = [row if isinstance(row, str) else {"created_utc": NOON, **row} for row in odd]
    (tmp_path / "x.jsonl").write_bytes(text(rows))
    report = import_reddit(tmp_path / "x.jsonl", tmp_path / "events.parquet")
    assert report.reasons == {
        "malformed line: not a JSON object": 2,
        "neither a submission nor a comment": 1,
        "id missing": 1,
        "time missing or unreadable": 1,
    }
    assert (report.read, report.accepted) == (7, 2)
    events = pq.read_table(report.out).to_pylist()
    assert [row["time"].microsecond for row in events] == [0, 500_000]
    assert [row["topics"] for row in events] == [None, None]


def test_progress_reaches_1(tmp_path):
    shares = []
    import_reddit(write(tmp_path / "in"), tmp_path / "events", shares.append)
    assert len(shares) == 2
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.zst", pa.compress(b"{}\n" * 99_999, "zstd", asbytes=True)[:-9], r"x\.zst cannot be read: .*complete"),
        ("x.gz", gzip.compress(b"{}\n" * 99_999)[:-9], r"x\.gz cannot be read: .*complete"),
        ("x.zst", b'{"id": "a"}\n', r"x\.zst cannot be read"),
        ("x.jsonl", b'{"a": 1}\n{"b": 2}\n', r"none of its 2 lines has created_utc or author; expected submissions"),
        ("x.json", b'[{"id": "a"}]\n', "is a JSON array; expected one object per line"),
        ("x.jsonl", b'{"id": "\xff"}\n', "not in UTF-8 at line 1"),
        ("x.jsonl", b"", r"x\.jsonl has no rows"),
        ("x.jsonl", b"broken\n", "none of the 1 rows is an event"),
        ("x.jsonl", b"broken\n", r"Expected submissions \(RS_\*\) and comments \(RC_\*\) in JSON Lines\.$"),
        (
            "x.gz",
            gzip.compress(b"id,author\nx,ann\n", mtime=0),
            r"JSON Lines\. x\.gz looks like CSV; import it with 'clout import table'",
        ),
        ("x.jsonl", b"id;author\rx;ann\r", "x.jsonl looks like CSV"),
        ("x.jsonl", b"id, author\nx\n", r"in JSON Lines\.$"),
        ("x.jsonl", b"id, \xff\n", "not in UTF-8"),
        (
            "x.csv",
            b"",
            r"unknown kind; expected submissions \(RS_\*\).*\.zst.* Import a table with 'clout import table'",
        ),
    ],
)
def test_invalid_files_are_explained(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(EventsError, match=message):
        import_reddit(tmp_path / name, tmp_path / "events.parquet")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_missing_path_is_explained(tmp_path):
    with pytest.raises(EventsError, match="does not exist; expected submissions"):
        import_reddit(tmp_path / "none", tmp_path / "events")
    with pytest.raises(EventsError, match="holds nothing; expected submissions"):
        import_reddit(tmp_path, tmp_path / "events")
