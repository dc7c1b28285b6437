import csv
import gzip
import tracemalloc
from datetime import UTC, datetime
from xml.sax.saxutils import quoteattr

import pyarrow.parquet as pq
import pytest

from features.errors import EventsError
from features.importers import stackexchange_dump
from features.importers.stackexchange import import_stackexchange
from features.importers.stackexchange_dump import copy_xml

DAY = "2020-05-01T00:00:00.000"
POSTS = [
    {"Id": 1, "PostTypeId": 1, "OwnerUserId": 10, "Tags": "<visa><u-k>", "Score": 99, "Body": '<p>\n"Hi" & bye</p>'},
    {"Id": 2, "PostTypeId": 2, "OwnerUserId": 11, "ParentId": 1},
    {"Id": 3, "PostTypeId": 2, "ParentId": 1},
    {"Id": 4, "PostTypeId": 1, "Tags": "|rail|"},
    {"Id": 5, "PostTypeId": 2, "OwnerUserId": 12, "ParentId": 4},
    {"Id": 6, "PostTypeId": 2, "OwnerUserId": 12, "ParentId": 404},
    {"Id": 7, "PostTypeId": 5, "OwnerUserId": 10},
    {"Id": 8, "PostTypeId": 99, "OwnerUserId": 10},
    {"Id": 9, "OwnerUserId": 10},
    {"Id": 10, "PostTypeId": 1, "OwnerUserId": -1, "Tags": ""},
]
COMMENTS = [
    {"Id": 1, "PostId": 1, "UserId": 11, "Text": "Ünï <b>"},
    {"Id": 2, "PostId": 2, "UserId": 11},
    {"Id": 3, "PostId": 2},
    {"Id": 4, "PostId": 4, "UserId": 10},
    {"Id": 5, "PostId": 404, "UserId": 10},
    {"Id": 6, "PostId": 3},
]
VOTES = [
    *({"Id": kind, "PostId": 2, "VoteTypeId": kind, "UserId": 13 if kind in (5, 8) else None} for kind in range(1, 17)),
    {"Id": 17, "PostId": 5, "VoteTypeId": 1},
    {"Id": 18, "PostId": 404, "VoteTypeId": 2},
    {"Id": 19, "PostId": 404, "VoteTypeId": 5, "UserId": 13},
    {"Id": 20, "PostId": 3, "VoteTypeId": 1},
    {"Id": 21, "PostId": 1, "VoteTypeId": 2},
]
TABLES = {
    "Posts": [{"CreationDate": f"2020-05-01T12:00:{row['Id']:02}.25", **row} for row in POSTS],
    "Comments": [{"CreationDate": f"2020-05-01T13:00:{row['Id']:02}.5", **row} for row in COMMENTS],
    "Votes": [{"CreationDate": DAY, **row} for row in VOTES],
}
LATE = datetime(2020, 5, 1, 23, 59, 59, 999_999, tzinfo=UTC)


def xml(table, rows):
    attributes = [{name: value for name, value in row.items() if value is not None} for row in rows]
    texts = [" ".join(f"{name}={quoteattr(str(value))}" for name, value in row.items()) for row in attributes]
    name = table.lower()
    return (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?>\n<{name}>\n'
        + "".join(f"  <row {text} />\n" for text in texts)
        + f"</{name}>"
    )


def write(folder, form, tables=TABLES):
    folder.mkdir(exist_ok=True)
    for table, rows in tables.items():
        if form.startswith(".xml"):
            data = xml(table, rows).encode()
            (folder / f"{table}{form}").write_bytes(gzip.compress(data) if form.endswith(".gz") else data)
            continue
        names = sorted({name for row in rows for name in row})
        with (gzip.open if form.endswith(".gz") else open)(
            folder / f"{table}{form}", "wt", encoding="utf-8", newline=""
        ) as file:
            out = csv.DictWriter(file, names)
            out.writeheader()
            out.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dump")
    report = import_stackexchange(write(folder / "in", ".xml"), folder / "events.parquet")
    return report, pq.read_table(report.out).to_pylist()


def event_tuples(events, **filters):
    fields = ("actor", "verb", "target", "object", "result", "topics")
    rows = [row for row in events if all(row[name] == value for name, value in filters.items())]
    return sorted((tuple(row[name] for name in fields) for row in rows), key=str)


VISA = ["u-k", "visa"]


def test_questions_and_answers(imported):
    assert event_tuples(imported[1], verb="post") == [
        ("-1", "post", None, "post:10", None, None),
        ("10", "post", None, "post:1", None, VISA),
    ]
    answers = [row for row in event_tuples(imported[1], verb="reply") if row[4].startswith("post:")]
    assert answers == [
        ("11", "reply", "10", "post:1", "post:2", VISA),
        ("12", "reply", None, "post:4", "post:5", ["rail"]),
        ("12", "reply", None, "post:404", "post:6", None),
        (None, "reply", "10", "post:1", "post:3", VISA),
    ]


def test_comments(imported):
    comments = [row for row in event_tuples(imported[1], verb="reply") if row[4].startswith("comment:")]
    assert comments == [
        ("10", "reply", None, "post:4", "comment:4", ["rail"]),
        ("10", "reply", None, "post:404", "comment:5", None),
        ("11", "reply", "10", "post:1", "comment:1", VISA),
        ("11", "reply", "11", "post:2", "comment:2", VISA),
        (None, "reply", "11", "post:2", "comment:3", VISA),
    ]


def test_votes(imported):
    likes = [("10", "11", "post:2"), ("13", "11", "post:2"), ("13", None, "post:404"), ("10", None, "post:3")]
    likes += [(None, "11", "post:2"), (None, "12", "post:5"), (None, "10", "post:1")]
    events = event_tuples(imported[1], verb="like")
    assert sorted([(row[0], row[2], row[3]) for row in events], key=str) == sorted(likes, key=str)
    assert event_tuples(imported[1], verb="dislike") == [(None, "dislike", "11", "post:2", None, VISA)]
    assert event_tuples(imported[1], verb="flag") == [(None, "flag", "11", "post:2", None, VISA)] * 2


def test_times_and_network(imported):
    for row in imported[1]:
        assert row["network"] == "stackexchange"
        if row["verb"] in ("like", "dislike", "flag"):
            assert row["time"] == LATE
    times = {row["result"] or row["object"]: row["time"] for row in imported[1] if row["verb"] in ("post", "reply")}
    assert times["post:1"] == datetime(2020, 5, 1, 12, 0, 1, 250_000, tzinfo=UTC)
    assert times["comment:5"] == datetime(2020, 5, 1, 13, 0, 5, 500_000, tzinfo=UTC)


def test_unmapped_rows_are_rejected_with_their_type(imported):
    report, events = imported
    assert report.read == len(POSTS) + len(COMMENTS) + len(VOTES) == report.accepted + report.rejected
    assert report.accepted == len(events)
    assert report.notes == ()
    named = {"6 (close)", "7 (reopen)", "8 (bounty start)", "9 (bounty close)", "10 (deletion)", "11 (undeletion)"}
    named |= {"13 (inform moderator)", "14", "15 (moderator review)", "16 (approve edit suggestion)"}
    assert report.reasons == {
        **{f"VoteTypeId {number} does not map to an event": 1 for number in named},
        "PostTypeId 5 (tag wiki) does not map to an event": 1,
        "PostTypeId 99 does not map to an event": 1,
        "PostTypeId missing does not map to an event": 1,
        "neither actor nor target known": 3,
    }
    rejects = report.rejects.read_text(encoding="utf-8")
    assert '"Votes {""Id"":""16"",""PostId"":""2"",""VoteTypeId"":""16""' in rejects
    assert "Hi" not in rejects


@pytest.mark.parametrize("form", [".xml.gz", ".csv", ".csv.gz"])
def test_all_formats_give_the_same_events(imported, tmp_path, form):
    report = import_stackexchange(write(tmp_path / "in", form), tmp_path / "events.parquet")
    assert pq.read_table(report.out).to_pylist() == imported[1]
    assert report.out.read_bytes() == imported[0].out.read_bytes()
    assert report.reasons == imported[0].reasons
    assert report.rejects.read_bytes() == imported[0].rejects.read_bytes()


def test_float_ids_and_missing_tags(tmp_path):
    rows = [
        {"Id": 1, "PostTypeId": 1, "OwnerUserId": "10.0", "ParentId": "", "CreationDate": DAY},
        {"Id": 2, "PostTypeId": 2, "OwnerUserId": "11.0", "ParentId": "1.0", "CreationDate": DAY},
    ]
    report = import_stackexchange(write(tmp_path / "in", ".csv", {"Posts": rows}), tmp_path / "events.parquet")
    assert event_tuples(pq.read_table(report.out).to_pylist()) == [
        ("10", "post", None, "post:1", None, None),
        ("11", "reply", "10", "post:1", "post:2", None),
    ]
    assert report.notes == ("the Comments table is missing", "the Votes table is missing")


def test_a_duplicated_post_does_not_multiply_reactions(tmp_path):
    tables = {**TABLES, "Posts": TABLES["Posts"] * 2}
    report = import_stackexchange(write(tmp_path / "in", ".xml", tables), tmp_path / "events.parquet")
    assert report.read == 2 * len(POSTS) + len(COMMENTS) + len(VOTES)


def as_words(name):
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in name)[1:]


@pytest.mark.parametrize("renamed", [str.lower, as_words])
def test_csv_columns_match_in_other_spellings(tmp_path, renamed):
    rows = [{renamed(name): value for name, value in row.items()} for row in TABLES["Posts"]]
    report = import_stackexchange(write(tmp_path / "in", ".csv", {"Posts": rows}), tmp_path / "events.parquet")
    expected = import_stackexchange(write(tmp_path / "as", ".csv", {"Posts": TABLES["Posts"]}), tmp_path / "e.parquet")
    assert pq.read_table(report.out) == pq.read_table(expected.out)


def test_malformed_csv_rows_are_counted(tmp_path):
    folder = write(tmp_path / "in", ".csv")
    with (folder / "Votes.csv").open("a", newline="") as file:
        file.write("broken\r\n")
    report = import_stackexchange(folder, tmp_path / "events")
    assert report.reasons["malformed line: too few fields"] == 1
    assert report.read == len(POSTS) + len(COMMENTS) + len(VOTES) + 1


def test_progress_reaches_1(tmp_path):
    folder = write(tmp_path / "in", ".xml")
    (folder / "Votes.xml").unlink()
    write(folder, ".csv.gz", {"Votes": TABLES["Votes"]})
    shares = []
    import_stackexchange(folder, tmp_path / "events", shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_missing_files_are_explained(tmp_path):
    out = tmp_path / "events.parquet"
    with pytest.raises(EventsError, match="is not a folder; expected the folder of an unpacked Stack Exchange dump"):
        import_stackexchange(tmp_path / "none", out)
    write(tmp_path / "in", ".xml", {"Comments": TABLES["Comments"]})
    with pytest.raises(EventsError, match=r"found Comments\.xml; expected Posts\.xml, .*Posts\.csv\.gz"):
        import_stackexchange(tmp_path / "in", out)
    write(tmp_path / "in", ".csv", {"Posts": [{"Id": 1, "Owner": 2}]})
    with pytest.raises(EventsError, match=r"Posts\.csv lacks PostTypeId, ParentId, .*; found Id, Owner"):
        import_stackexchange(tmp_path / "in", out)
    write(tmp_path / "in", ".xml", {"Posts": [], "Comments": []})
    with pytest.raises(EventsError, match="the source has no rows"):
        import_stackexchange(tmp_path / "in", out)
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "cannot be read as XML: .*Is the download complete"),
        (lambda data: data[:-8], "cannot be read as XML"),
        (lambda _: b"", "cannot be read as XML: no element found"),
        (lambda _: bytes(range(256)), "cannot be read as XML"),
        (
            lambda data: data.replace(b"<comments>", b'<!DOCTYPE c [<!ENTITY a "b">]><comments>'),
            "document type declaration",
        ),
        (lambda _: b"<html><body><p>Not found</p></body></html>", "is not a table of a Stack Exchange dump"),
    ],
)
def test_damaged_xml_is_explained(tmp_path, damage, message):
    folder = write(tmp_path / "in", ".xml")
    (folder / "Comments.xml").write_bytes(damage((folder / "Comments.xml").read_bytes()))
    with pytest.raises(EventsError, match=rf"Comments\.xml.*{message}"):
        import_stackexchange(folder, tmp_path / "events.parquet")
    packed = gzip.compress(xml("Comments", TABLES["Comments"]).encode())
    (folder / "Comments.xml").unlink()
    (folder / "Comments.xml.gz").write_bytes(packed[:-20])
    with pytest.raises(EventsError, match=r"Comments\.xml\.gz cannot be read as XML"):
        import_stackexchange(folder, tmp_path / "events.parquet")


@pytest.mark.parametrize("damage", ["&#x0E;", "&#14;", "\x0e", "\x00", "&#xD83D;", "&#xFFFF;", "\uffff", "&#x110000;"])
@pytest.mark.parametrize("chunk_bytes", [1 << 20, 1, 7])
def test_characters_that_xml_does_not_allow_are_replaced(tmp_path, monkeypatch, damage, chunk_bytes):
    monkeypatch.setattr(stackexchange_dump, "CHUNK_BYTES", chunk_bytes)
    attributes = f'CreationDate="2015-10-01T21:00:00" Body="{damage} &#xA; &amp;" OwnerUserId="a{damage}b"'
    row = f'<row Id="1" PostTypeId="1" {attributes} />'
    (tmp_path / "Posts.xml").write_text(f"<posts>{row}</posts>", encoding="utf-8")
    report = import_stackexchange(tmp_path, tmp_path / "out" / "events.parquet")
    assert pq.read_table(report.out)["actor"].to_pylist() == ["a\ufffdb"]


def test_bytes_that_are_not_utf8_are_replaced(tmp_path):
    folder = write(tmp_path / "in", ".xml")
    file = folder / "Comments.xml"
    file.write_bytes(file.read_bytes().replace("Ü".encode(), b"\xff"))
    assert import_stackexchange(folder, tmp_path / "events.parquet").read == len(POSTS) + len(COMMENTS) + len(VOTES)


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(stackexchange_dump, "BATCH_ROWS", 2_000)

    def peak(rows):
        file = tmp_path / f"{rows}.xml"
        with file.open("w") as out:
            out.write("<posts>\n")
            out.writelines(
                f'<row Id="{number}" OwnerUserId="{number % 99}" Body="{"x" * 400}" />\n' for number in range(rows)
            )
            out.write("</posts>")
        tracemalloc.start()
        copy_xml(file, ("Id", "OwnerUserId", "Tags"), tmp_path / "rows.parquet", lambda _: None)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert pq.read_metadata(tmp_path / "rows.parquet").num_rows == rows
        return peak_bytes

    assert peak(40_000) < 1.2 * peak(10_000) < 12 * 2**20


def test_importing_twice_gives_the_same_bytes(imported, tmp_path):
    folder = write(tmp_path / "in", ".xml")
    for _ in range(2):
        assert import_stackexchange(folder, tmp_path / "events").out.is_dir()
    assert (tmp_path / "events" / "part-00000.parquet").read_bytes() == imported[0].out.read_bytes()
