import gzip
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from features.errors import EventsError
from features.importers.bluesky import import_bluesky

POST, LIKE, REPOST = "app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.feed.repost"
FOLLOW, BLOCK, PROFILE = "app.bsky.graph.follow", "app.bsky.graph.block", "app.bsky.actor.profile"
ANN, BOB, CID, DAN = ("did:plc:annnnnnnnnnnnnnnnnnnnnnn", "did:plc:bob", "did:web:cid.example.com", "did:plc:dan")
START = 1_725_911_162_000_000


def at(second):
    return datetime(2024, 9, 9, 19, 46, 2, tzinfo=UTC).replace(second=2 + second)


def piece(did, key, collection=POST):
    return f"at://{did}/{collection}/{key}"


def commit(second, did, collection, key, record=None, operation="create", **more):
    body = {"rev": f"rev{second}", "operation": operation, "collection": collection, "rkey": key, **more}
    if record is not None:
        body |= {"record": {"$type": collection, "createdAt": "2031-01-01T00:00:00Z", **record}, "cid": "bafy"}
    return {"did": did, "time_us": START + second * 1_000_000, "kind": "commit", "commit": body}


def on(uri):
    return {"subject": {"cid": "bafy", "uri": uri}}


def facet(kind, **value):
    return {
        "index": {"byteStart": 0, "byteEnd": 2},
        "features": [{"$type": f"app.bsky.richtext.facet#{kind}", **value}],
    }


def reply(did, key):
    return {"root": {"uri": piece(DAN, "root")}, "parent": {"uri": piece(did, key)}}


QUOTE = {"$type": "app.bsky.embed.record", "record": {"cid": "b", "uri": piece(CID, "c1")}}
WITH_MEDIA = {
    "$type": "app.bsky.embed.recordWithMedia",
    "record": {"$type": "app.bsky.embed.record", "record": {"cid": "b", "uri": piece(DAN, "d1")}},
    "media": {"$type": "app.bsky.embed.external", "external": {"uri": "https://card.example"}},
}
LIST = {"$type": "app.bsky.embed.record", "record": {"cid": "b", "uri": piece(CID, "l1", "app.bsky.graph.list")}}
CARD = {"$type": "app.bsky.embed.external", "external": {"uri": "https://card.example", "title": "", "description": ""}}
GOOD = [
    commit(0, ANN, POST, "a1", {"text": "Hello  World", "tags": ["Cats"]}),
    commit(1, BOB, POST, "b1", {"text": "see https://x.example and https://y.example", "reply": reply(ANN, "a1")}),
    commit(2, BOB, POST, "b2", {"text": "that", "embed": QUOTE}),
    commit(3, BOB, POST, "b3", {"text": "that too", "embed": WITH_MEDIA}),
    commit(4, BOB, POST, "b4", {"text": "a list", "embed": LIST}),
    commit(5, ANN, LIKE, "a2", on(piece(BOB, "b1"))),
    commit(6, ANN, REPOST, "a3", on(piece(BOB, "b1"))),
    commit(7, ANN, FOLLOW, "a4", {"subject": BOB}),
    commit(8, ANN, BLOCK, "a5", {"subject": DAN}),
    commit(9, ANN, FOLLOW, "a4", operation="delete"),
    commit(
        10,
        ANN,
        POST,
        "a6",
        {
            "text": "@bob @cid #Dogs shortened",
            "reply": reply(BOB, "b1"),
            "embed": QUOTE,
            "facets": [
                facet("mention", did=BOB),
                facet("mention", did=CID),
                facet("mention", did=CID),
                facet("mention", did=DAN),
                facet("tag", tag="#Dogs"),
                facet("link", uri="https://long.example/and/so/on"),
            ],
        },
    ),
    commit(11, BOB, POST, "b5", {"text": "", "embed": CARD}),
]
BAD = [
    (commit(20, ANN, LIKE, "a2", operation="delete"), f"delete of {LIKE} reverts no event: the event was valid at"),
    (commit(21, ANN, POST, "a1", operation="delete"), f"delete of {POST} reverts no event"),
    (commit(22, ANN, REPOST, "a3", operation="delete"), f"delete of {REPOST} reverts no event"),
    (commit(23, ANN, BLOCK, "a5", operation="delete"), f"delete of {BLOCK} reverts no event"),
    (commit(24, ANN, FOLLOW, "old", operation="delete"), f"delete of {FOLLOW} that is not in the files"),
    (commit(25, BOB, FOLLOW, "a4", operation="delete"), f"delete of {FOLLOW} that is not in the files"),
    (commit(26, ANN, PROFILE, "self", {}, operation="update"), f"update of {PROFILE} does not map to an event"),
    (commit(27, ANN, POST, "a1", {"text": "new"}, operation="update"), f"update of {POST} does not map to an event"),
    (commit(28, ANN, PROFILE, "self", {}), f"create of {PROFILE} does not map to an event"),
    (commit(29, ANN, PROFILE, "self", operation="delete"), f"delete of {PROFILE} does not map to an event"),
    ({"did": ANN, "time_us": START, "kind": "identity", "identity": {}}, "identity does not map to an event"),
    ({"did": ANN, "time_us": START, "kind": "account", "account": {}}, "account does not map to an event"),
    ({"did": ANN, "time_us": START}, "kind missing"),
    ({"did": ANN, "time_us": START, "kind": "commit"}, "commit without operation or collection"),
    ({**commit(30, ANN, LIKE, "z", on(piece(BOB, "b1"))), "did": None}, "did missing"),
    (commit(31, ANN, LIKE, None, on(piece(BOB, "b1"))), "rkey missing"),
    (commit(32, ANN, LIKE, "z", {"subject": BOB}), "the subject is not an at:// URI of a DID"),
    (commit(33, ANN, REPOST, "z", on("at://bob.example/app.bsky.feed.post/b1")), "the subject is not an at:// URI"),
    (commit(34, ANN, FOLLOW, "z", {"subject": "bob.example"}), "the subject is not a DID"),
    (commit(35, ANN, BLOCK, "z", {}), "the subject is not a DID"),
    (commit(36, ANN, POST, "z"), "the record is missing"),
    (commit(37, ANN, POST, "z", {"text": "a", "reply": {"parent": {}}}), "the parent is not an at:// URI of a DID"),
    ({**commit(38, ANN, FOLLOW, "z", {"subject": BOB}), "time_us": None}, "time missing or unreadable"),
    ({**commit(39, ANN, FOLLOW, "z", {"subject": BOB}), "time_us": "soon"}, "time missing or unreadable"),
    ({**commit(40, ANN, FOLLOW, "z", {"subject": BOB}), "time_us": 10**18}, "time missing or unreadable"),
    ("{broken", "malformed line: not a JSON object"),
    ("5", "malformed line: not a JSON object"),
]


def text(rows):
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def write(file, rows):
    file.parent.mkdir(exist_ok=True)
    data = text(rows).encode()
    if file.suffix == ".gz":
        data = gzip.compress(data)
    if file.suffix == ".zst":
        data = pa.compress(data, "zstd", asbytes=True)
    file.write_bytes(data)
    return file


def events(report):
    return pq.read_table(report.out).to_pylist()


def event_tuples(report):
    return [tuple(row[name] for name in ("verb", "actor", "target", "object", "result")) for row in events(report)]


EXPECTED = [
    (0, "post", ANN, None, piece(ANN, "a1"), None),
    (1, "reply", BOB, ANN, piece(ANN, "a1"), piece(BOB, "b1")),
    (2, "quote", BOB, CID, piece(CID, "c1"), piece(BOB, "b2")),
    (3, "quote", BOB, DAN, piece(DAN, "d1"), piece(BOB, "b3")),
    (4, "post", BOB, None, piece(BOB, "b4"), None),
    (5, "like", ANN, BOB, piece(BOB, "b1"), None),
    (6, "repost", ANN, BOB, piece(BOB, "b1"), None),
    (7, "follow", ANN, BOB, None, None),
    (8, "block", ANN, DAN, None, None),
    (9, "unfollow", ANN, BOB, None, None),
    (10, "mention", ANN, DAN, piece(ANN, "a6"), None),
    (10, "mention", ANN, CID, piece(ANN, "a6"), None),
    (10, "quote", ANN, CID, piece(CID, "c1"), piece(ANN, "a6")),
    (10, "reply", ANN, BOB, piece(BOB, "b1"), piece(ANN, "a6")),
    (11, "post", BOB, None, piece(BOB, "b5"), None),
]


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bluesky")
    file = write(folder / "in.jsonl", [*GOOD, *(bad for bad, _ in BAD)])
    return import_bluesky(file, folder / "events.parquet")


def test_commits_map_to_events(imported):
    assert event_tuples(imported) == [tuple(fields) for _, *fields in EXPECTED]


def test_time_is_the_network_time_not_created_at(imported):
    assert [row["time"] for row in events(imported)] == [at(second) for second, *_ in EXPECTED]


def test_content_gives_topics_links_and_a_hash(imported):
    by_key = {(row["verb"], row["result"] or row["object"]): row for row in events(imported)}
    assert {row["network"] for row in by_key.values()} == {"bluesky"}
    assert by_key["post", piece(ANN, "a1")]["topics"] == ["cats"]
    assert {row["verb"]: row["topics"] for row in by_key.values() if row["time"] == at(10)} == {
        "reply": ["dogs"],
        "quote": ["dogs"],
        "mention": ["dogs"],
    }
    links = {key[1]: row["links"] for key, row in by_key.items() if row["content_hash"] or key[0] == "post"}
    assert links == {
        piece(BOB, "b2"): 0,
        piece(BOB, "b3"): 1,
        piece(ANN, "a1"): 0,
        piece(BOB, "b1"): 2,
        piece(BOB, "b4"): 0,
        piece(ANN, "a6"): 1,
        piece(BOB, "b5"): 1,
    }
    hashes = [row["content_hash"] for row in events(imported) if row["content_hash"]]
    assert len(hashes) == len(set(hashes)) == 6
    assert {row["links"] for row in by_key.values() if row["verb"] in ("like", "follow", "mention")} == {None}


def test_other_messages_are_rejected_with_a_reason(imported):
    assert imported.read == imported.accepted + imported.rejected == len(EXPECTED) + len(BAD)
    assert sum(imported.reasons.values()) == imported.rejected == len(BAD)
    rejects = imported.rejects.read_text(encoding="utf-8")
    rows = dict(line.split(",", 1) for line in rejects.splitlines()[1:])
    for row, (_, reason) in enumerate(BAD, len(GOOD) + 1):
        assert rows[str(row)].startswith(reason), row
    assert '""rkey"":""z"",""rev"":""rev37""}' in rejects
    assert "2031" not in rejects


@pytest.mark.parametrize("name", ["in.json", "in.jsonl.gz", "in.ndjson.zst", "in.JSONL.GZ"])
def test_all_formats_give_the_same_events(imported, tmp_path, name):
    rows = [*GOOD, *(bad for bad, _ in BAD)]
    file = tmp_path / name
    write(tmp_path / name.lower(), rows).rename(file)
    report = import_bluesky(file, tmp_path / "events.parquet")
    assert report.out.read_bytes() == imported.out.read_bytes()
    assert report.rejects.read_bytes() == imported.rejects.read_bytes()


def second_version(message):
    """Return a message as a frame of subscribeEvents."""
    instant = datetime.fromtimestamp(message["time_us"] // 10**6, UTC).replace(microsecond=message["time_us"] % 10**6)
    payload = {
        "$type": f"network.bsky.jetstream.subscribeEvents#{message['kind']}",
        "seq": 1,
        "did": message["did"],
        "time": instant.isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }
    return {"$type": "message", "payload": payload | message.get("commit", {})}


def test_both_versions_of_jetstream_give_the_same_events(imported, tmp_path):
    others = [
        {"$type": "message", "payload": {"$type": "network.bsky.jetstream.subscribeEvents#info", "name": "x"}},
        second_version({"did": ANN, "time_us": START, "kind": "sync"}),
    ]
    rows = [*map(second_version, GOOD[:9]), *GOOD[9:], *others]
    report = import_bluesky(write(tmp_path / "in.jsonl", rows), tmp_path / "events.parquet")
    assert report.out.read_bytes() == imported.out.read_bytes()
    assert report.reasons == {"info does not map to an event": 1, "sync does not map to an event": 1}


def test_backfilled_records_are_noted(tmp_path):
    live, old = "3l3qo2vuowo2b", "3juz2gl2gqk2x"  # record keys of 2024-09-09 and 2023-05-05
    rows = [commit(0, ANN, LIKE, key, on(piece(BOB, "b1"))) for key in (live, old, "self")]
    report = import_bluesky(write(tmp_path / "in.jsonl", rows), tmp_path / "events.parquet")
    assert report.accepted == 3
    assert [note[:50] for note in report.notes] == ["1 records are more than 7 days older than their ti"]


def test_duplicates_in_overlapping_files_count_once_at_the_earliest_time(imported, tmp_path):
    later = [{**row, "time_us": row["time_us"] + 900_000} for row in GOOD]
    write(tmp_path / "in" / "1.jsonl", later[:8])
    write(tmp_path / "in" / "2.jsonl.gz", GOOD)
    write(tmp_path / "in" / "3.jsonl", later[7:])
    report = import_bluesky(tmp_path / "in", tmp_path / "events.parquet")
    assert events(report) == events(imported)
    assert report.reasons == {"the same event again": 8 + 8}
    assert report.read == report.accepted + report.rejected == len(EXPECTED) + 16
    assert report.rejects.read_text(encoding="utf-8").count('"1.jsonl {""did""') == 8


def test_an_unfollow_reverts_the_last_follow(tmp_path):
    rows = [
        commit(5, ANN, FOLLOW, "k", operation="delete"),
        commit(1, ANN, FOLLOW, "k", {"subject": BOB}),
        commit(2, ANN, FOLLOW, "k", operation="delete"),
        commit(4, ANN, FOLLOW, "k", {"subject": CID}),
        commit(0, ANN, FOLLOW, "k", operation="delete"),
    ]
    report = import_bluesky(write(tmp_path / "in.jsonl", rows), tmp_path / "events.parquet")
    assert [row[:3] for row in event_tuples(report)] == [
        ("follow", ANN, BOB),
        ("unfollow", ANN, BOB),
        ("follow", ANN, CID),
        ("unfollow", ANN, CID),
    ]
    assert report.reasons == {f"delete of {FOLLOW} that is not in the files": 1}


def test_members_of_the_wrong_type_are_ignored(tmp_path):
    rows = [
        commit(0, ANN, POST, "a", {"text": {"x": 1}, "facets": "[broken", "tags": "cats", "embed": "e", "reply": None}),
        commit(1, ANN, POST, "b", {"text": "x", "facets": [{"features": "f"}, 5, {"features": [{"did": "ann"}]}]}),
        commit(2, ANN, POST, "c", {"text": "x", "facets": {"features": []}, "tags": [1, {"a": 2}, ""]}),
        commit(3, ANN, POST, "d", {"text": "a\u0000b \ud83d\ude00", "embed": {"record": {"uri": 5}}}),
    ]
    report = import_bluesky(write(tmp_path / "in.jsonl", rows), tmp_path / "events.parquet")
    assert [row[:2] for row in event_tuples(report)] == [("post", ANN)] * 4


def test_progress_is_the_share_of_the_bytes(tmp_path):
    first = write(tmp_path / "in" / "1.jsonl", GOOD)
    second = write(tmp_path / "in" / "2.jsonl", GOOD[:3])
    shares = []
    import_bluesky(tmp_path / "in", tmp_path / "events", shares.append)
    sizes = [file.stat().st_size for file in (first, second)]
    assert shares == [sizes[0] / sum(sizes), 1.0]


def test_skipped_files_are_named(tmp_path):
    write(tmp_path / "in" / "1.jsonl", GOOD)
    (tmp_path / "in" / "notes.txt").write_text("x")
    (tmp_path / "in" / "deeper").mkdir()
    report = import_bluesky(tmp_path / "in", tmp_path / "events")
    assert report.notes == (f"skipped notes.txt in {tmp_path / 'in'}",)


def test_subfolders_with_files_that_are_not_read_are_named(tmp_path):
    folder = tmp_path / "in"
    for name in ("1.jsonl", "older/2023/2.jsonl.gz", ".hidden/3.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, GOOD)
    report = import_bluesky(folder, tmp_path / "events")
    assert report.notes == (f"files in subfolders are not read: older in {folder}; import each folder by itself",)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (None, None, "does not exist; expected messages of Jetstream in JSON Lines"),
        ("in.csv", b"a,b", r"in\.csv is of an unknown kind; expected messages of Jetstream.* \.jsonl, \.jsonl\.gz"),
        ("in.zip", b"PK", r"in\.zip is an archive; unpack it first"),
        ("in.jsonl", b"", r"in\.jsonl has no rows"),
        (
            "in.jsonl",
            b'{"type": "Create"}\n',
            r"in\.jsonl: none of its 1 lines has did or kind; expected messages of J",
        ),
        ("in.json", json.dumps(GOOD).encode(), r"in\.json is a JSON array; expected one object per line"),
        (
            "in.jsonl",
            text(GOOD).replace("Hello", "H\udcff").encode(errors="surrogateescape"),
            "is not in UTF-8 at line",
        ),
        ("in.jsonl.gz", gzip.compress(text(GOOD).encode())[:-20], r"in\.jsonl\.gz cannot be read: .*download complete"),
        ("in.jsonl.gz", text(GOOD).encode(), r"in\.jsonl\.gz cannot be read"),
        ("in.jsonl.zst", pa.compress(text(GOOD).encode(), "zstd", asbytes=True)[:-9], r"in\.jsonl\.zst cannot be read"),
    ],
)
def test_unreadable_files_are_explained(tmp_path, name, data, message):
    file = tmp_path / (name or "none.jsonl")
    if data is not None:
        file.write_bytes(data.replace(b"H\\udcff", b"\xff"))
    with pytest.raises(EventsError, match=message):
        import_bluesky(file, tmp_path / "events.parquet")
    assert [file.name for file in tmp_path.iterdir()] == ([name] if name else [])


def test_a_folder_without_readable_files_is_explained(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(EventsError, match=r"in holds nothing; expected messages of Jetstream.* end in \.jsonl"):
        import_bluesky(folder, tmp_path / "events")
    (folder / "a.txt").write_text("x")
    with pytest.raises(EventsError, match=r"in holds a\.txt; expected"):
        import_bluesky(folder, tmp_path / "events")


def test_a_foreign_file_among_others_is_named(tmp_path):
    write(tmp_path / "in" / "1.jsonl", GOOD)
    write(tmp_path / "in" / "2.jsonl", [{"hello": 1}, {"hello": 2}])
    with pytest.raises(
        EventsError, match=r"2\.jsonl: none of its 2 lines has did or kind; expected messages of Jetstream"
    ):
        import_bluesky(tmp_path / "in", tmp_path / "events")


def test_the_command_reports_the_counts(tmp_path):
    from serving.cli.main import app

    file = write(tmp_path / "in.jsonl", GOOD)
    run = CliRunner().invoke(app, ["import", "bluesky", str(file), "--out", str(tmp_path / "events"), "--json"])
    assert run.exit_code == 0
    assert json.loads(run.stdout)["accepted"] == len(EXPECTED)
