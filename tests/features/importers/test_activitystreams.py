import gc
import gzip
import json
import tracemalloc
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from features.errors import EventsError
from features.importers.activitystreams import import_activitystreams
from features.importers.activitystreams_documents import copy_collection
from features.importers.readers import json_stream

ANN, BOB, CID = "https://a.example/users/ann", "https://b.example/users/bob", "https://c.example/u/cid"
DAN = "https://d.example/users/dan"
CONTEXT = ["https://www.w3.org/ns/activitystreams", {"Hashtag": "as:Hashtag"}]
PUBLIC = "https://www.w3.org/ns/activitystreams#Public"


def time_of(second):
    return f"2024-03-01T10:00:{second:02}Z"


def activity(second, kind, actor, object_, **more):
    named = {"id": f"{actor}#{kind}-{second}", "type": kind, "actor": actor, "published": time_of(second)}
    return {**named, "to": PUBLIC, "object": object_, **more}


def note(author, number, **more):
    return {"id": f"{author}/statuses/{number}", "type": "Note", "attributedTo": author, "to": [PUBLIC], **more}


def mention(user):
    return {"type": "Mention", "href": user, "name": "@somebody"}


HTML = (
    '<p><span class="h-card"><a href="https://b.example/@bob" class="u-url mention">@<span>bob</span></a></span> '
    '<a href="https://a.example/tags/cats" class="mention hashtag" rel="tag">#<span>Cats</span></a> '
    '<a href="https://x.example/" rel="nofollow"><span class="invisible">https://</span><span>x.example</span></a></p>'
)
TAGS = [{"type": "Hashtag", "href": "https://a.example/tags/cats", "name": "#Cats"}, mention(BOB), {"type": "Emoji"}]
GOOD = [
    activity(1, "Create", ANN, note(ANN, 1, inReplyTo=None, quote=None, tag=TAGS, content=HTML)),
    activity(2, "Create", BOB, note(BOB, 2, inReplyTo=f"{ANN}/statuses/1", tag=[mention(ANN), mention(CID)])),
    activity(3, "Create", BOB, note(BOB, 3, quoteUrl="https://c.example/notes/5", content="plain https://y.example")),
    activity(4, "Create", BOB, note(BOB, 4, _misskey_quote="https://nobody.example/x", tag=mention(CID))),
    activity(5, "Create", BOB, {**note(BOB, 5, quoteUri=f"{ANN}/statuses/1"), "type": ["Article", "x:Y"]}),
    activity(6, "Create", ANN, {**note(ANN, 6, quote={"id": "https://a.example/@ann/123"}), "type": "Question"}),
    activity(7, "Create", ANN, note(ANN, 7, inReplyTo="https://nobody.example/z", tag=[mention(BOB), mention(BOB)])),
    activity(
        8, "Create", ANN, note(ANN, 8, inReplyTo=f"{BOB}/statuses/2", quote=f"{DAN}/statuses/9", tag=mention(BOB))
    ),
    activity(9, "Announce", ANN, "https://c.example/notes/5"),
    activity(10, "Announce", ANN, "https://p.example/p/pia/77"),
    activity(11, "Announce", ANN, "https://nobody.example/x"),
    activity(12, "Like", BOB, {"id": "https://c.example/notes/5", "type": "Note", "attributedTo": [{"id": CID}]}),
    activity(13, "Like", BOB, f"{ANN}/statuses/1"),
    activity(14, "EmojiReact", BOB, [f"{ANN}/statuses/1"], content=":cat:"),
    activity(15, "Dislike", BOB, "https://m.example/ap/users/1/statuses/2"),
    activity(16, "Follow", BOB, ANN),
    activity(17, "Undo", BOB, activity(16, "Follow", BOB, ANN)),
    activity(18, "Follow", {"id": BOB, "type": "Person"}, {"id": CID, "type": "Person"}, id="https://b.example/f"),
    activity(19, "Undo", BOB, "https://b.example/f"),
    activity(20, "Block", [ANN], DAN),
    activity(21, "Flag", ANN, [DAN, f"{DAN}/statuses/9"]),
    activity(22, "View", ANN, "https://a.example/@ann/123"),
    {"@id": "x", "@type": "as:Like", "actor": BOB, "published": time_of(23), "object": CID},
    {"type": "Create", "object": {**note(DAN, 9), "published": time_of(24)}},
    activity(
        25, "Create", CID, {"id": "https://c.example/notes/5", "type": "Note", "tag": {"type": "Hashtag", "name": "D"}}
    ),
]
ONE, FIVE = f"{ANN}/statuses/1", "https://c.example/notes/5"
EXPECTED = [
    (1, "mention", ANN, BOB, ONE, None),
    (1, "post", ANN, None, ONE, None),
    (2, "mention", BOB, CID, f"{BOB}/statuses/2", None),
    (2, "reply", BOB, ANN, ONE, f"{BOB}/statuses/2"),
    (3, "quote", BOB, CID, FIVE, f"{BOB}/statuses/3"),
    (4, "mention", BOB, CID, f"{BOB}/statuses/4", None),
    (4, "quote", BOB, None, "https://nobody.example/x", f"{BOB}/statuses/4"),
    (5, "quote", BOB, ANN, ONE, f"{BOB}/statuses/5"),
    (6, "quote", ANN, ANN, "https://a.example/@ann/123", f"{ANN}/statuses/6"),
    (7, "mention", ANN, BOB, f"{ANN}/statuses/7", None),
    (7, "reply", ANN, None, "https://nobody.example/z", f"{ANN}/statuses/7"),
    (8, "quote", ANN, DAN, f"{DAN}/statuses/9", f"{ANN}/statuses/8"),
    (8, "reply", ANN, BOB, f"{BOB}/statuses/2", f"{ANN}/statuses/8"),
    (9, "repost", ANN, CID, FIVE, None),
    (10, "repost", ANN, "https://p.example/users/pia", "https://p.example/p/pia/77", None),
    (11, "repost", ANN, None, "https://nobody.example/x", None),
    (12, "like", BOB, CID, FIVE, None),
    (13, "like", BOB, ANN, ONE, None),
    (14, "like", BOB, ANN, ONE, None),
    (15, "dislike", BOB, "https://m.example/ap/users/1", "https://m.example/ap/users/1/statuses/2", None),
    (16, "follow", BOB, ANN, None, None),
    (17, "unfollow", BOB, ANN, None, None),
    (18, "follow", BOB, CID, None, None),
    (19, "unfollow", BOB, CID, None, None),
    (20, "block", ANN, DAN, None, None),
    (21, "flag", ANN, DAN, DAN, None),
    (22, "view", ANN, ANN, "https://a.example/@ann/123", None),
    (23, "like", BOB, CID, CID, None),
    (24, "post", DAN, None, f"{DAN}/statuses/9", None),
    (25, "post", CID, None, FIVE, None),
]
UNKNOWN = "3 events are about pieces whose owner is neither in the files nor in the URI: they have no target"
BAD = [
    *(
        (activity(30, kind, ANN, ONE), f"{kind} does not map to an event")
        for kind in ("Delete", "Update", "Add", "Remove")
    ),
    *(
        (activity(30, kind, ANN, ONE), f"{kind} does not map to an event")
        for kind in ("Accept", "Reject", "Move", "Wave")
    ),
    (activity(31, "Undo", ANN, activity(9, "Announce", ANN, FIVE)), "Undo of Announce does not map to an event"),
    (activity(31, "Undo", BOB, f"{BOB}#Like-13"), "Undo of Like does not map to an event"),
    (activity(31, "Undo", BOB, "https://b.example/elsewhere"), "Undo of an activity that is not in the files"),
    (activity(31, "Undo", BOB, {"type": "Follow"}), "Undo of Follow of nothing: the object or its id is missing"),
    (activity(32, "Announce", CID, activity(13, "Like", BOB, ONE)), "Announce of Like does not map to an event"),
    (activity(32, "Like", BOB, None), "Like of nothing: the object or its id is missing"),
    (activity(32, "Create", BOB, {"type": "Note"}), "Create of nothing: the object or its id is missing"),
    ({**activity(33, "Like", BOB, ONE), "published": None}, "time missing or unreadable"),
    (
        {**activity(33, "Announce", BOB, {**note(ANN, 1), "published": time_of(33)}), "published": "soon"},
        "time missing or unr",
    ),
    ({**activity(33, "Block", BOB, ANN), "published": None, "updated": time_of(33)}, "time missing or unreadable"),
    ("https://z.example/liked", "only a URI, as in likes.json or bookmarks.json: actor, verb and time are missing"),
    ({"hello": 1}, "type missing"),
    ({**note(ANN, 1), "published": time_of(1)}, "Note does not map to an event"),
    ({"type": "Person", "id": ANN}, "Person does not map to an event"),
    ({**activity(34, "Like", None, "https://nobody.example/x")}, "neither actor nor target known"),
    (5, "malformed line: not a JSON object"),
    (None, "malformed line: not a JSON object"),
]
ALL = [*GOOD, *(bad for bad, _ in BAD)]


def outbox(items, **more):
    named = {"@context": CONTEXT, "id": "outbox.json", "type": "OrderedCollection", "totalItems": len(items)}
    return {**named, "orderedItems": items, **more}


def lines(items):
    return "".join(json.dumps({"id": item} if isinstance(item, str) else item) + "\n" for item in items)


def write(file, data):
    file.parent.mkdir(exist_ok=True)
    data = data if isinstance(data, str) else json.dumps(data)
    packed = gzip.compress(data.encode()) if file.suffix == ".gz" else data.encode()
    file.write_bytes(pa.compress(packed, "zstd", asbytes=True) if file.suffix == ".zst" else packed)
    return file


def events(report):
    return pq.read_table(report.out).to_pylist()


def event_tuples(report):
    return [tuple(row[name] for name in ("verb", "actor", "target", "object", "result")) for row in events(report)]


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("activitystreams")
    return import_activitystreams(write(folder / "outbox.json", outbox(ALL)), folder / "events.parquet")


def test_activities_map_to_events(imported):
    assert event_tuples(imported) == [tuple(fields) for _, *fields in EXPECTED]
    assert [row["time"] for row in events(imported)] == [
        datetime(2024, 3, 1, 10, 0, second, tzinfo=UTC) for second, *_ in EXPECTED
    ]
    assert {row["network"] for row in events(imported)} == {"activitypub"}
    assert imported.notes == (UNKNOWN,)


def test_content_gives_topics_links_and_a_hash(imported):
    by_key = {(row["verb"], row["result"] or row["object"]): row for row in events(imported)}
    topics = {key: row["topics"] for key, row in by_key.items() if row["topics"]}
    assert topics == {
        ("post", ONE): ["cats"],
        ("mention", ONE): ["cats"],
        ("like", ONE): ["cats"],
        ("reply", f"{BOB}/statuses/2"): ["cats"],
        ("mention", f"{BOB}/statuses/2"): ["cats"],
        ("quote", f"{BOB}/statuses/5"): ["cats"],
        ("post", FIVE): ["d"],
        ("like", FIVE): ["d"],
        ("repost", FIVE): ["d"],
        ("quote", f"{BOB}/statuses/3"): ["d"],
    }
    assert {key: row["links"] for key, row in by_key.items() if row["links"] is not None} == {
        ("post", ONE): 1,
        ("quote", f"{BOB}/statuses/3"): 1,
    }
    assert [key for key, row in by_key.items() if row["content_hash"]] == [
        ("post", ONE),
        ("quote", f"{BOB}/statuses/3"),
    ]


def test_other_items_are_rejected_with_a_reason(imported):
    assert imported.read == imported.accepted + imported.rejected == len(EXPECTED) + len(BAD)
    assert sum(imported.reasons.values()) == imported.rejected == len(BAD)
    rows = dict(line.split(",", 1) for line in imported.rejects.read_text(encoding="utf-8").splitlines()[1:])
    for row, (_, why) in enumerate(BAD, len(GOOD) + 1):
        assert rows[str(row)].strip('"').startswith(why), row
    assert f'""type"":""Delete"",""actor"":""{ANN}"",""published"":""{time_of(30)}"",""object"":""{ONE}""' in rows["26"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("outbox.json.gz", outbox(ALL)),
        ("page.json", {**outbox([]), "type": ["OrderedCollectionPage"], "orderedItems": ALL, "first": "x"}),
        ("items.json", {"items": ALL, "type": "as:Collection"}),
        ("first.json", outbox([], first={"type": "OrderedCollectionPage", "orderedItems": ALL})),
        ("list.json", ALL),
        ("pages.json", json.dumps(outbox(ALL[:9])) + json.dumps(outbox(ALL[9:]))),
        ("pages.jsonl", json.dumps(outbox(ALL[:9])) + "\n" + json.dumps(outbox(ALL[9:])) + "\n"),
        ("pretty.json", json.dumps(outbox(ALL), indent=2).replace("\n", "\r\n")),
        ("bom.json", "\ufeff" + json.dumps(outbox(ALL), ensure_ascii=False)),
        ("lines.jsonl", lines(ALL)),
        ("lines.ndjson.gz", lines(ALL)),
        ("lines.jsonl.zst", lines(ALL)),
        ("nested.json", [outbox(ALL[:9]), [ALL[9:12], ALL[12]], *ALL[13:]]),
        ("lines.json", "\n" + lines(ALL)),
    ],
)
def test_all_formats_give_the_same_events(imported, tmp_path, name, data, monkeypatch):
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", 999)
    report = import_activitystreams(write(tmp_path / name, data), tmp_path / "events.parquet")
    assert events(report) == events(imported)
    assert report.reasons == imported.reasons


def test_a_document_with_one_activity(tmp_path):
    for name, data in (("a.json", GOOD[15]), ("b.json", json.dumps(GOOD[15], indent=1)), ("c.json", outbox(GOOD[15]))):
        report = import_activitystreams(write(tmp_path / name, data), tmp_path / "events.parquet")
        assert event_tuples(report) == [("follow", BOB, ANN, None, None)]
        assert (report.read, report.notes) == (1, ())


AUDIENCES = [
    ({"to": [BOB], "cc": []}, True),
    ({"to": [], "cc": []}, True),
    ({"to": BOB}, True),
    ({"bcc": [{"type": "Person", "id": BOB}]}, True),
    ({}, False),
    ({"to": [BOB], "cc": "https://www.w3.org/ns/activitystreams#Public"}, False),
    ({"to": ["as:Public"]}, False),
    ({"to": "Public"}, False),
    ({"to": [f"{ANN}/followers"], "cc": [BOB]}, False),
    ({"audience": "https://a.example/c/cats/followers"}, False),
]


def test_an_error_says_that_all_messages_are_private(tmp_path):
    file = write(tmp_path / "x.jsonl", activity(1, "Create", ANN, note(ANN, 1, to=[BOB]), to=[BOB]))
    with pytest.raises(EventsError) as error:
        import_activitystreams(file, tmp_path / "events.parquet")
    message = (
        "none of the 1 rows is an event: 1 x private, addressed to named users only; --private accepts it. The first"
    )
    assert str(error.value).startswith(message)
    assert "--map" not in str(error.value)


@pytest.mark.parametrize("inside", [True, False])
def test_private_messages_are_rejected_unless_accepted(tmp_path, inside):
    def message(number, audience):
        piece = note(ANN, number, tag=[mention(BOB)], to=None) | (audience if inside else {})
        return activity(number, "Create", ANN, piece, to=None) | ({} if inside else audience)

    messages = [message(number, audience) for number, (audience, _) in enumerate(AUDIENCES)]
    follow = activity(len(messages), "Follow", ANN, BOB) | {"to": [BOB]}
    file = write(tmp_path / "in.jsonl", lines([*messages, follow]))

    def imported(verb, report):
        return [row[3] for row in event_tuples(report) if row[0] == verb]

    accepted = import_activitystreams(file, tmp_path / "events.parquet", private=True)
    posts = [f"{ANN}/statuses/{number}" for number in range(len(messages))]
    assert imported("post", accepted) == imported("mention", accepted) == posts
    report = import_activitystreams(file, tmp_path / "events.parquet")
    public = [post for post, (_, private) in zip(posts, AUDIENCES, strict=True) if not private]
    assert imported("post", report) == imported("mention", report) == public
    assert imported("follow", report) == [None]
    assert report.reasons == {"private, addressed to named users only; --private accepts it": len(posts) - len(public)}


def test_a_mastodon_archive(tmp_path):
    folder = tmp_path / "archive"
    write(folder / "outbox.json", outbox(GOOD))
    write(folder / "likes.json", {**outbox([FIVE, ONE]), "id": "likes.json"})
    write(folder / "bookmarks.json", {**outbox([FIVE]), "id": "bookmarks.json"})
    write(folder / "actor.json", {"@context": CONTEXT, "type": "Person", "id": ANN, "likes": "likes.json"})
    (folder / "avatar.png").write_bytes(b"x")
    (folder / "media_attachments").mkdir()
    report = import_activitystreams(folder, tmp_path / "events.parquet")
    assert event_tuples(report) == [tuple(fields) for _, *fields in EXPECTED]
    assert report.reasons == {
        "only a URI, as in likes.json or bookmarks.json: actor, verb and time are missing": 3,
        "Person does not map to an event": 1,
    }
    assert report.notes == (f"skipped avatar.png in {folder}", UNKNOWN)
    assert 'likes.json {""id"":""https://c.example/notes/5""' in report.rejects.read_text(encoding="utf-8")


def test_duplicates_in_overlapping_files_count_once(tmp_path):
    write(tmp_path / "in" / "old.json", outbox(GOOD[:9]))
    write(tmp_path / "in" / "new.jsonl", lines(GOOD))
    report = import_activitystreams(tmp_path / "in", tmp_path / "events.parquet")
    assert event_tuples(report) == [tuple(fields) for _, *fields in EXPECTED]
    repeated = sum(second <= 9 for second, *_ in EXPECTED)
    assert report.reasons == {"the same event again": repeated}
    assert report.read == report.accepted + report.rejected == len(EXPECTED) + repeated


def test_owners_come_from_other_files(tmp_path):
    like = activity(1, "Like", BOB, "https://x.example/1")
    one = write(tmp_path / "in" / "1.jsonl", lines([like]))
    report = import_activitystreams(one, tmp_path / "events.parquet")
    assert event_tuples(report) == [("like", BOB, None, "https://x.example/1", None)]
    assert report.notes == (UNKNOWN.replace("3 events", "1 events"),)
    written = {"id": "https://x.example/1", "type": "Note"}
    write(tmp_path / "in" / "2.jsonl", lines([activity(2, "Announce", ANN, {**written, "attributedTo": DAN})]))
    report = import_activitystreams(tmp_path / "in", tmp_path / "events.parquet")
    assert event_tuples(report)[0] == ("like", BOB, DAN, "https://x.example/1", None)
    assert report.notes == ()
    write(tmp_path / "in" / "3.json", activity(3, "Create", CID, written))
    report = import_activitystreams(tmp_path / "in", tmp_path / "events.parquet")
    assert event_tuples(report)[0] == ("like", BOB, CID, "https://x.example/1", None)


OWNERS_BY_URI = {
    f"{ANN}/statuses/1": ANN,
    f"{ANN}/statuses/1/activity": ANN,
    ANN: ANN,
    "https://h.example/ap/users/7/statuses/8": "https://h.example/ap/users/7",
    "http://h.example:3000/@ann/1": "http://h.example:3000/users/ann",
    "https://h.example/@ann": "https://h.example/users/ann",
    "https://h.example/@ann@other.example/1": None,
    "https://h.example/@ann/about": None,
    "https://h.example/p/ann/5": "https://h.example/users/ann",
    "https://h.example/p/5": None,
    "https://h.example/notes/5": None,
    "https://h.example/objects/5?x=/users/ann/statuses/5": None,
    "https://h.example/users/ann/followers": None,
    "tag:h.example,2020:5": None,
}


def test_owners_come_from_uris(tmp_path):
    file = write(tmp_path / "in.jsonl", lines([activity(1, "Like", CID, address) for address in OWNERS_BY_URI]))
    report = import_activitystreams(file, tmp_path / "events.parquet")
    assert {row[3]: row[2] for row in event_tuples(report)} == OWNERS_BY_URI


def test_members_of_the_wrong_type_are_ignored(tmp_path):
    odd = [
        activity(
            1, "Create", ANN, note(ANN, 1, tag=["{broken", 5, None, {"type": "Mention"}, {"type": {"a": 1}, "name": 2}])
        ),
        activity(2, "Create", ANN, note(ANN, 2, tag="[broken", inReplyTo="{broken", quote=[], content={"en": "x"})),
        activity(3, "Create", ANN, note(ANN, 3, inReplyTo=[], quoteUrl="", tag={}, attributedTo={"name": "ann"})),
        activity(4, "Like", [], "{broken"),
    ]
    report = import_activitystreams(write(tmp_path / "in.jsonl", lines(odd)), tmp_path / "events")
    assert [row[:3] for row in event_tuples(report)] == [("post", ANN, None)] * 3
    assert report.reasons == {"Like of nothing: the object or its id is missing": 1}


def test_an_outbox_without_items_names_its_first_page(tmp_path):
    front = {"type": "OrderedCollection", "totalItems": 500, "first": "https://a.example/outbox?page=true", "last": "y"}
    message = r"front\.json holds none of its 500 items: they are on pages, from https://a\.example/outbox\?page=true"
    write(tmp_path / "in" / "front.json", front)
    with pytest.raises(EventsError, match=message):
        import_activitystreams(tmp_path / "in", tmp_path / "events")
    write(tmp_path / "in" / "page.json", outbox(GOOD[:1]))
    report = import_activitystreams(tmp_path / "in", tmp_path / "events")
    assert len(report.notes) == 1
    assert "holds none of its 500 items" in report.notes[0]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            None,
            b"",
            "does not exist; expected an outbox in JSON, activities in JSON Lines, or the folder of an unpacked",
        ),
        ("archive.zip", b"PK", r"archive\.zip is an archive; unpack it first \(unzip, tar xf\) and import the folder"),
        ("archive.tar.gz", b"x", "is an archive; unpack it first"),
        ("outbox.csv", b"a,b", r"outbox\.csv is of an unknown kind; expected an outbox in JSON.* \.json, \.json\.gz"),
        ("a.json", b"", r"a\.json cannot be read as JSON: expected \{, found the end\. Is the download complete"),
        ("a.json", json.dumps(outbox(GOOD)).encode()[:-700], r"a\.json cannot be read as JSON: .*rename it to end in"),
        ("a.json", json.dumps(outbox(GOOD)).encode()[:-1], "expected , or }, found the end"),
        ("a.json", json.dumps(outbox(GOOD)).encode() + b",", "expected {, found ,"),
        ("a.json", json.dumps(outbox(GOOD)).replace("cats", "c\udcff").encode(errors="ignore") + b"\xff", "utf-8"),
        ("a.json", b"[" * 100_000, "cannot be read as JSON"),
        (
            "a.json",
            b'{"tweets": [1, 2], "version": 2}',
            r"is not ActivityStreams: found tweets, version; expected an ",
        ),
        (
            "a.json",
            b'{"version": "https://jsonfeed.org/version/1", "items": [{}]}',
            "found version, items; expected",
        ),
        ("a.json", b'[{"id_str": "5"}]', r"is not ActivityStreams: none of its 1 items has a type; expected an outbox"),
        ("a.json", b"{}", "found nothing; expected an outbox"),
        ("a.json", b'"x"', "cannot be read as JSON: expected {, found"),
        ("a.jsonl", b'{"did": "x"}\nbroken\n', r"is not ActivityStreams: none of its 2 items has a type"),
        ("a.json", b'{"type": "OrderedCollection", "orderedItems": []}', "the source has no rows"),
        ("a.json.gz", gzip.compress(json.dumps(outbox(GOOD)).encode())[:-9], r"a\.json\.gz cannot be read as JSON"),
        ("a.json.gz", json.dumps(outbox(GOOD)).encode(), r"a\.json\.gz cannot be read as JSON: Not a gzipped file"),
        ("a.jsonl.gz", gzip.compress(lines(GOOD).encode())[:-9], r"a\.jsonl\.gz cannot be read"),
    ],
)
def test_unreadable_files_are_explained(tmp_path, name, data, message):
    if name:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(EventsError, match=message):
        import_activitystreams(tmp_path / (name or "none.json"), tmp_path / "events.parquet")
    assert [file.name for file in tmp_path.iterdir()] == ([name] if name else [])


def test_a_folder_without_readable_files_is_explained(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(EventsError, match="in holds nothing; expected an outbox"):
        import_activitystreams(folder, tmp_path / "events")
    for number in range(10):
        (folder / f"{number}.png").write_text("x")
    with pytest.raises(EventsError, match=r"in holds 0\.png, .*7\.png and 2 more; expected an outbox"):
        import_activitystreams(folder, tmp_path / "events")


def test_a_failed_import_does_not_change_the_old_events(tmp_path):
    report = import_activitystreams(write(tmp_path / "a.json", outbox(GOOD)), tmp_path / "events.parquet")
    before = report.out.read_bytes()
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(EventsError, match="cannot be read as JSON"):
        import_activitystreams(tmp_path / "a.json", tmp_path / "events.parquet")
    assert report.out.read_bytes() == before


def test_progress_reaches_1(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", 1000)
    write(tmp_path / "in" / "1.json", outbox(GOOD))
    write(tmp_path / "in" / "2.jsonl.gz", lines(GOOD))
    shares = []
    import_activitystreams(tmp_path / "in", tmp_path / "events", shares.append)
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", 1 << 14)

    def peak(number):
        file = write(tmp_path / f"{number}.json", outbox([GOOD[0]] * number))
        gc.collect()
        tracemalloc.start()
        assert copy_collection(file, tmp_path / "lines.jsonl", lambda _: None) is None
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len((tmp_path / "lines.jsonl").read_text().splitlines()) == number
        return peak_bytes

    assert peak(4_000) < 1.2 * peak(400) < 2**20


def test_the_command_reports_the_counts(tmp_path):
    from serving.cli.main import app

    file = write(tmp_path / "outbox.json", outbox(GOOD))
    run = CliRunner().invoke(app, ["import", "activitystreams", str(file), "--out", str(tmp_path / "events"), "--json"])
    assert run.exit_code == 0
    assert json.loads(run.stdout)["accepted"] == len(EXPECTED)
