import gzip
import json
import os
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import EventsError
from features.events.event_table import SCHEMA
from features.importers.tables import import_table
from features.simulation import Community, simulate

HEADER = "time,actor,verb,target\n"
GOOD = "2020-05-01T12:00:00Z,a,like,b\n"
NOON = datetime(2020, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def import_file(tmp_path):
    """Return a function that writes a file, imports it, and returns the report with the events."""

    def run(name, content, mapping=None, verbs=None, **options):
        file = tmp_path / name
        data = content.encode() if isinstance(content, str) else content
        file.write_bytes(gzip.compress(data) if name.endswith(".gz") and isinstance(content, str) else data)
        report = import_table(file, tmp_path / "out" / "events.parquet", mapping or {}, verbs or {}, **options)
        return report, pq.read_table(report.out).to_pylist()

    return run


def records(report):
    lines = report.rejects.read_text(encoding="utf-8").splitlines()
    return [tuple(line.split(",", 2)[:2]) for line in lines[1:]]


def lines(*objects):
    return "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in objects)


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "X.CSV"])
def test_csv_with_standard_column_names(import_file, name):
    report, events = import_file(name, HEADER + GOOD)
    assert (report.read, report.accepted) == (1, 1)
    assert events == [
        dict.fromkeys(SCHEMA) | {"time": NOON, "actor": "a", "verb": "like", "target": "b", "network": "default"}
    ]


@pytest.mark.parametrize(("name", "delimiter"), [("x.tsv", "\t"), ("x.csv", ";"), ("x.csv", "|"), ("x.csv", "\t")])
def test_the_delimiter_is_read_from_the_header(import_file, name, delimiter):
    _, events = import_file(name, (HEADER + GOOD).replace(",", delimiter))
    assert (events[0]["actor"], events[0]["target"]) == ("a", "b")


def test_columns_and_verbs_are_mapped(import_file):
    content = "ts,who,kind,whom,time,tags\n1588334400,a,thumb,b,noise,x|y\n1588334400,a,like,c,noise,z\n"
    mapping = {"time": "ts", "actor": "who", "verb": "kind", "target": "whom", "topics": "tags", "network": "kind"}
    _, events = import_file("x.csv", content, mapping, {"thumb": "like"})
    assert [(event["time"], event["verb"], event["target"], event["topics"]) for event in events] == [
        (NOON, "like", "b", ["x", "y"]),
        (NOON, "like", "c", ["z"]),
    ]
    assert [event["network"] for event in events] == ["thumb", "like"]


def test_words_that_no_row_has_cause_a_note(import_file):
    content = HEADER + GOOD + "2020-05-01T12:00:01Z,a,comment,b\n2020-05-01T12:00:02Z,a,share,b\n"
    verbs = {"comments": "reply", "share": "repost", "xyzzy": "post"}
    report, _ = import_file("x.csv", content, {}, verbs)
    assert report.notes[:2] == (
        "--verb comments=reply: no row has 'comments' (did you mean 'comment'?).",
        "--verb xyzzy=post: no row has 'xyzzy'.",
    )
    assert not import_file("x.csv", content, {}, {"comment": "reply", "share": "repost"})[0].notes
    with pytest.raises(EventsError, match=r"no row has 'likes' \(did you mean 'lik'\?\)\. Name columns"):
        import_file("x.csv", HEADER + "2020-05-01,a,lik,b\n", {}, {"likes": "like"})


def test_unknown_verbs_and_many_rejected_rows_cause_notes(import_file):
    unknown = "".join(
        f"2020-05-01T12:00:{second:02}Z,a,{verb},b\n"
        for second, verb in enumerate(["comment", "it's", "comment", "x" * 60])
    )
    report, _ = import_file("x.csv", HEADER + unknown + GOOD)
    assert report.notes[0].startswith(
        """unknown verbs are mapped with --verb comment=MEANT --verb 'it'"'"'s=MEANT', where MEANT is one of post,"""
    )
    assert report.notes[1:] == ("more than half of the rows are rejected: 4 of 5.",)
    assert (
        len(import_file("x.csv", HEADER + unknown + GOOD + GOOD.replace(",b", ",c") * 3, keep_duplicates=True)[0].notes)
        == 1
    )


def test_quotes_newlines_unicode_bom_and_crlf(import_file):
    rows = [
        '2020-05-01T12:00:00Z,"say ""hi""",like,Ünï😀',
        '2020-05-01T12:00:01Z,"two\r\nlines, and a comma",like,b',
        "2020-05-01T12:00:02Z,it's,like,日本",
    ]
    _, events = import_file("x.csv", "\ufeff" + "\r\n".join([HEADER.strip(), *rows]) + "\r\n")
    assert [event["actor"] for event in events] == ['say "hi"', "two\r\nlines, and a comma", "it's"]
    assert [event["target"] for event in events] == ["Ünï😀", "b", "日本"]


def test_special_characters_in_column_names(import_file):
    header = 'Time,time,"who\'s ""it""",verb,target,,a b;c\n'
    _, events = import_file("x.csv", header + "never,2020-05-01T12:00:00Z,a,like,b,,t\n",
                      {"actor": "who's \"it\"", "topics": "a b;c"})  # fmt: skip
    assert (events[0]["time"], events[0]["actor"], events[0]["topics"]) == (NOON, "a", ["t"])


def test_special_characters_in_file_names(import_file):
    for name in ("it's [1] *.csv", "ü ? {a,b}.jsonl"):
        content = (
            HEADER + GOOD
            if name.endswith("csv")
            else lines({"time": 1588334400, "actor": "a", "verb": "like", "target": "b"})
        )
        assert import_file(name, content)[0].accepted == 1


def test_malformed_csv_is_counted_with_its_row(import_file):
    rows = [
        "a,like",
        "2020,a,like,b,c,d",
        GOOD.strip(),
        "soon,a,like,b",
        '2020,"a"x,like,b',
        '2020,"a',
        GOOD.strip()[:-1] + "c",
    ]
    report, events = import_file(
        "x.csv", HEADER + "\n".join(rows[:5]) + "\n" + rows[6] + "\n" + "1588334400,a,poke,b\n"
    )
    assert (report.read, report.accepted, report.rejected) == (7, 2, 5)
    assert len(events) == 2
    assert records(report) == [
        ("1", "malformed line: too few fields"),
        ("2", "malformed line: too many fields"),
        ("4", "time missing or unreadable"),
        ("5", "malformed line: unbalanced quotes"),
        ("7", "unknown verb 'poke'"),
    ]
    assert '{""time"":""soon"",""actor"":""a"",""verb"":""like"",""target"":""b""}' in report.rejects.read_text()


def test_an_unclosed_quote_is_counted(import_file):
    report, _ = import_file("x.csv", HEADER + GOOD + '2020-05-01,"a,like,b\n' + GOOD * 3)
    assert report.accepted == 1
    assert report.reasons == {"malformed line: unbalanced quotes, which take 4 lines or more into one row": 1}


def test_binary_columns_of_parquet_are_text_or_hexadecimal(tmp_path):
    columns = {
        "time": [NOON, NOON],
        "actor": [b"ann", "ü".encode()],
        "verb": [b"like", b"like"],
        "target": [b"\xff", b"b"],
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    report = import_table(tmp_path / "x.parquet", tmp_path / "events.parquet", {}, {})
    events = pq.read_table(report.out).to_pylist()
    assert [(event["actor"], event["target"]) for event in events] == [("ann", "0xFF"), ("ü", "b")]


def test_unmapped_columns_are_never_stored(import_file):
    report, _ = import_file("x.csv", "time,actor,verb,target,body\nsoon,a,like,b,SECRET\n1588334400,a,like,b,SECRET\n")
    assert "SECRET" not in report.rejects.read_text()


def test_malformed_lines_are_never_stored(import_file):
    report, _ = import_file("x.csv", HEADER + GOOD + "2020-05-01,SECRET\n")
    assert "2,malformed line: too few fields,17 characters" in report.rejects.read_text()
    like = {"time": 1588334400, "actor": "a", "verb": "like", "target": "b"}
    report, _ = import_file("x.jsonl", lines(like, '{"body": "SECRET"'))
    assert "2,malformed line: not a JSON object,17 characters" in report.rejects.read_text()


@pytest.mark.parametrize(
    ("written", "actor"),
    [
        (r"cut \ud83d", "cut d83d"),
        (r"\uDE00 cut", "DE00 cut"),
        (r"\ud83d\ude00 \ud83d", "\N{GRINNING FACE} d83d"),
        (r"\\ud83d \ud83d", r"\ud83d d83d"),
        ("tab\tand\x01", "tab and"),
    ],
)
def test_lenient_json_is_repaired(import_file, written, actor):
    line = '{"time": 1588334400, "actor": "%s", "verb": "like", "target": "b"}\n'
    report, events = import_file("x.jsonl", line % written)
    assert (report.accepted, events[0]["actor"]) == (1, actor)


def test_json_lines(import_file):
    like = {"time": 1588334400, "actor": 12, "verb": "like", "target": "b"}
    content = lines(
        like | {"topics": ["x", "y, z"], "links": 2, "object": "Ünï😀"},
        "",
        like
        | {"time": "2020-05-01T12:00:01Z", "actor": 12.0, "topics": "x|y", "links": "many", "extra": {"deep": [1]}},
        like | {"time": 1588334402.5, "actor": 'say "hi"\n\t\\', "topics": None},
    )
    report, events = import_file("x.jsonl", content)
    assert (report.read, report.accepted) == (3, 3)
    assert [event["actor"] for event in events] == ["12", "12", 'say "hi"\n\t\\']
    assert [event["topics"] for event in events] == [["x", "y, z"], ["x", "y"], None]
    assert [event["links"] for event in events] == [2, None, None]
    assert events[2]["time"] == NOON.replace(second=2, microsecond=500_000)
    assert events[0]["object"] == "Ünï😀"


@pytest.mark.parametrize("name", ["x.jsonl", "x.ndjson", "x.json", "x.jsonl.gz", "x.ndjson.gz", "x.json.gz"])
def test_lines_that_are_not_objects_are_counted(import_file, name):
    like = {"time": 1588334400, "a/b~c": "a", "verb": "like", "target": "b"}
    content = lines(
        like, "{broken", "[1, 2]", "3", "null", '"text"', like | {"verb": "poke"}, '{"time": NaN}', "a\x01b"
    )
    report, _ = import_file(name, content.replace("\n", "\r\n"), {"actor": "a/b~c"})
    assert (report.read, report.accepted) == (9, 1)
    assert sum(count for reason, count in report.reasons.items() if reason.startswith("malformed line")) == 6
    assert ("7", "unknown verb 'poke'") in records(report)


def test_parquet_types_are_preserved(import_file, tmp_path):
    table = pa.table(
        {
            "time": pa.array([NOON.replace(tzinfo=None), None], pa.timestamp("ns")),
            "actor": pa.array([12.0, None]),
            "verb": ["like", "like"],
            "target": pa.array([7, 8]),
            "topics": [["a", "b|c"], []],
            "links": pa.array([1.0, float("nan")]),
        }
    )
    pq.write_table(table, tmp_path / "table.parquet")
    report, events = import_file("x.parquet", (tmp_path / "table.parquet").read_bytes())
    assert (report.read, report.rejected) == (2, 1)
    assert records(report) == [("2", "time missing or unreadable")]
    assert [events[0][name] for name in ("time", "actor", "target", "topics", "links")] == [
        NOON,
        "12",
        "7",
        ["a", "b|c"],
        1,
    ]


def test_days_and_zones_in_parquet(import_file, tmp_path):
    table = pa.table(
        {"time": [date(2020, 5, 1)], "actor": ["a"], "verb": ["post"], "target": pa.array([None], pa.null())}
    )
    pq.write_table(table, tmp_path / "table.parquet")
    _, events = import_file("x.parquet", (tmp_path / "table.parquet").read_bytes())
    assert events[0]["time"] == datetime(2020, 5, 1, 23, 59, 59, 999_999, tzinfo=UTC)
    assert events[0]["target"] is None


def test_an_event_table_round_trips(import_file):
    report, events = import_file("x.csv", HEADER + GOOD * 2)
    again = import_table(report.out, report.out.with_name("again.parquet"), {}, {})
    assert pq.read_table(again.out).to_pylist() == events
    assert again.out.read_bytes() == report.out.read_bytes()


def test_a_folder_of_files_of_one_kind(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.csv").write_text(HEADER + GOOD)
    (folder / "2.csv").write_text("verb,target,time,actor,more\nlike,b,2020-05-02,c,x\nlike,b\n")
    report = import_table(folder, tmp_path / "events", {}, {})
    assert (report.read, report.accepted) == (3, 2)
    assert pq.read_table(tmp_path / "events")["actor"].to_pylist() == ["a", "c"]
    (folder / "2019").mkdir()
    (folder / "2019" / "events.parquet").write_bytes(b"")
    assert not import_table(folder, tmp_path / "events", {}, {}).notes
    (folder / "2019" / "3.csv").write_text(HEADER + GOOD)
    notes = import_table(folder, tmp_path / "events", {}, {}).notes
    assert notes == (f"files in subfolders are not read: 2019 in {folder}; import each folder by itself",)
    (folder / "3.jsonl").write_text("{}\n")
    with pytest.raises(EventsError, match=r"files of one kind.*found 1\.csv, 2\.csv, 3\.jsonl"):
        import_table(folder, tmp_path / "events", {}, {})


@pytest.mark.parametrize(
    ("content", "mapping", "verbs", "message"),
    [
        (
            "ts,actor,kind,target\n",
            {},
            {},
            r"lacks time, verb; it has the columns ts, actor, kind, target.*: --map time=COLUMN --map verb=COLUMN\.$",
        ),
        (HEADER, {"actor": "targets"}, {}, r"--map actor=targets: .* no such column \(did you mean 'target'\?\)"),
        (
            HEADER,
            {"actr": "actor"},
            {},
            r"--map: 'actr' is not a field.*\(did you mean 'actor'\?\); expected one of time, actor, verb",
        ),
        (HEADER, {}, {"thumb": "lik"}, r"--verb: 'lik' is not a verb \(did you mean 'like'\?\).*post, view, reply"),
        (HEADER, {}, {"like": "xyzzy"}, r"--verb: 'xyzzy' is not a verb; expected one of"),
        (HEADER + GOOD, {}, {"like": "like", "x": "Like"}, "'Like' is not a verb"),
        ("time,actor,verb,target,actor\n", {}, {}, "more than one column actor"),
        (HEADER, {}, {}, r"x\.csv has no rows; expected at least one event\. Export it again"),
        (HEADER + "\n\n", {}, {}, r"x\.csv has no rows"),
        ("", {}, {}, r"x\.csv is empty; expected the names of its columns, .* Export it again"),
        ("\ufeff", {}, {}, r"x\.csv is empty"),
        ("\n" + HEADER + GOOD, {}, {}, "does not begin with the names"),
        (HEADER + "x\n", {}, {}, r"none of the 1 rows is an event: 1 x malformed line: too few fields"),
        (HEADER + "2020-05-01,a,thumb,b\n", {}, {}, r"1 x unknown verb 'thumb'.*--verb FOUND=MEANT"),
        (HEADER.encode() + b"2020-05-01,\xff\xe9,like,b\n" + GOOD.encode(), {}, {}, "not in UTF-8 at line 2.*iconv"),
        ("zeit,wér\n".encode("latin-1"), {}, {}, "cannot be read as text in UTF-8"),
        (
            (HEADER + GOOD).encode("utf-16"),
            {},
            {},
            r"cannot be read as text in UTF-8.*It is in UTF-16; .*iconv -f UTF-16",
        ),
        ((HEADER + GOOD).encode("utf-16-le"), {}, {}, r"does not begin with the names.*It is in UTF-16"),
        (
            gzip.compress((HEADER + GOOD).encode(), mtime=0),
            {},
            {},
            r"It is compressed with gzip; let its name end in \.gz",
        ),
        (b"PK\x03\x04\xff", {}, {}, "It is a zip archive; unpack it first"),
        (bytes(range(256)) * 9, {}, {}, "does not begin with the names|cannot be read as text"),
        (b"\0\0\0\0", {}, {}, "does not begin with the names"),
    ],
)
def test_invalid_files_are_explained(import_file, tmp_path, content, mapping, verbs, message):
    with pytest.raises(EventsError, match=message):
        import_file("x.csv", content, mapping, verbs)
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv.gz", gzip.compress((HEADER + GOOD * 50_000).encode())[:-200], "cannot be read"),
        ("x.jsonl.gz", b"\x1f\x8b\x08", "cannot be read"),
        ("x.csv.gz", (HEADER + GOOD).encode(), r"cannot be read.*It is not compressed, although its name ends in \.gz"),
        ("x.jsonl", '{"time": 1}\n'.encode("utf-16"), r"not in UTF-8 at line 1\. It is in UTF-16"),
        ("x.csv.zip", b"PK", r"is an archive; unpack it first"),
        ("x.jsonl.gz", b"{}", "cannot be read"),
        ("x.jsonl", b'{"time": 1, "actor": "\xff"}\n', "not in UTF-8 at line 1"),
        ("x.jsonl", b"", r"x\.jsonl is empty; expected one JSON object per line"),
        ("x.jsonl", b"{}\n", "lacks time, actor, verb, target"),
        ("x.json", b'[\n{"time": 1},\n{"time": 2}\n]\n', "is a JSON array; expected one object per line"),
        ("x.parquet", b"PAR1 not really PAR1", "cannot be read as Parquet"),
        (
            "x.parquet",
            b"",
            r"x\.parquet is empty, so .*read as Parquet\. Export it again, or remove it from its folder",
        ),
        ("x.parquet", b"PAR1 half a file", r"x\.parquet is incomplete, so it cannot be read as Parquet"),
        ("x.csv.gz", gzip.compress(b""), r"x\.csv\.gz is empty; expected the names"),
        ("x.xlsx", b"PK", r"unknown kind; expected a name that ends in \.csv, \.tsv"),
        ("events", b"", "unknown kind"),
        ("x.gz", b"", "unknown kind"),
    ],
)
def test_unreadable_files_are_explained(import_file, name, content, message):
    with pytest.raises(EventsError, match=message):
        import_file(name, content)


@pytest.mark.parametrize(
    ("row", "fault", "advice"),
    [
        ("2020-05-01,a,like,b,c", "too many fields", r"as many fields as the first line has names.*quotes around"),
        ("2020-05-01,a", "too few fields", r"as many fields as the first line has names"),
        ('2020-05-01,"a,like,b', "unbalanced quotes", r"Close every quote, and write those inside a field twice"),
    ],
)
def test_malformed_lines_get_advice_on_lines(import_file, row, fault, advice):
    with pytest.raises(EventsError, match=f"1 x malformed line: {fault}.*{advice}") as error:
        import_file("x.csv", f"{HEADER}{row}\n")
    assert "--map" not in str(error.value)
    with pytest.raises(EventsError, match=f"{advice}.* Name columns with --map"):
        import_file("x.csv", f"{HEADER}2020-05-01,a,thumb,b\n{row}\n")


def test_lines_of_json_that_are_not_objects_get_advice_on_objects(import_file):
    row = {"time": 1588334400, "actor": "a", "verb": "thumb", "target": "b"}
    with pytest.raises(EventsError, match=r"not a JSON object.*Write one whole JSON object per line\. Name columns"):
        import_file("x.jsonl", lines(row, "{"))


def test_a_missing_path_is_explained(tmp_path):
    with pytest.raises(EventsError, match="does not exist"):
        import_table(tmp_path / "no.csv", tmp_path / "events.parquet", {}, {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(EventsError, match=r"files of one kind.*found \(none\)"):
        import_table(tmp_path / "empty", tmp_path / "events.parquet", {}, {})


def test_a_column_of_the_wrong_kind_is_explained(import_file, tmp_path):
    table = pa.table({"time": [1588334400], "actor": [{"id": 1}], "verb": ["like"], "target": ["b"]})
    pq.write_table(table, tmp_path / "table.parquet")
    with pytest.raises(EventsError, match="the column actor is of type"):
        import_file("x.parquet", (tmp_path / "table.parquet").read_bytes())


def test_a_failure_does_not_change_the_old_events(import_file, tmp_path):
    report, _ = import_file("x.csv", HEADER + GOOD + "x\n")
    before = {file: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    for content in (HEADER, HEADER + "x\n", "time\n", HEADER.encode() + b"\xff,a,like,b\n"):
        with pytest.raises(EventsError):
            import_file("x.csv", content)
    assert {file: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    assert set(before) == {report.out, report.rejects}


def test_malformed_lines_far_into_a_file_have_the_right_row(import_file, tmp_path):
    rows = [f"{1588334400 + number},a{number},like,b{'-' * 80}" for number in range(30_000)]
    rows[9_999] = "broken"
    rows[20_000] = "soon,a,like,b"
    report, _ = import_file("x.csv", HEADER + "\n".join(rows) + "\n")
    assert (report.read, report.accepted) == (30_000, 29_998)
    assert records(report) == [("10000", "malformed line: too few fields"), ("20001", "time missing or unreadable")]


def test_inexact_float_ids_are_rejected(import_file):
    report, events = import_file("x.csv", HEADER + GOOD + "2020-05-01T12:00:00Z,a,like,1.2345678901234568e+18\n")
    assert len(events) == 1
    (reason,) = report.reasons
    assert reason.startswith("target is a floating-point number of 16 digits or more and has lost digits")


def test_float_columns_of_ids_are_read_if_they_are_exact(tmp_path):
    target = pa.array([12.0, None, 1.5e18])
    columns = {"time": [NOON] * 3, "actor": ["a", "b", "c"], "verb": ["like", "post", "like"], "target": target}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    report = import_table(tmp_path / "x.parquet", tmp_path / "events.parquet", {}, {})
    assert (report.accepted, report.rejected) == (2, 1)
    assert pq.read_table(report.out)["target"].to_pylist() == ["12", None]


def test_objects_as_ids_are_rejected(import_file):
    row = {"time": NOON.isoformat(), "actor": {"id": "1", "name": "ann"}, "verb": "like", "target": "b"}
    report, events = import_file("x.jsonl", lines(row, row | {"actor": "1"}))
    assert [event["actor"] for event in events] == ["1"]
    assert list(report.reasons) == [
        "actor is a JSON object or list; use a member of it that is an id, such as author.id"
    ]


UNKNOWN = HEADER + GOOD + "2020-05-01T12:00:01Z,[deleted],like,b\n2020-05-01T12:00:02Z,NULL,reply,a\n"


def test_placeholders_of_unknown_users_are_no_ids(import_file):
    report, events = import_file("x.csv", UNKNOWN + "2020-05-01T12:00:03Z,NA,like,null\n")
    assert [(event["actor"], event["target"]) for event in events] == [
        ("a", "b"), (None, "b"), (None, "a"), ("NA", "null"),
    ]  # fmt: skip
    assert report.notes == (
        "read as unknown users: NULL (1), [deleted] (1); --unknown-user names other texts, --unknown-user '' none.",
    )


def test_engagements_without_a_target_cause_a_note(import_file):
    rows = "".join(
        f"2020-05-01T12:00:0{second}Z,a,{verb},{target}\n"
        for second, (verb, target) in enumerate(
            [("reply", ""), ("reply", ""), ("reply", "b"), ("like", "b"), ("post", "")]
        )
    )
    report, _ = import_file("x.csv", HEADER + rows)
    assert report.notes == (
        "2 of 3 rows with the verb reply have no target, so nobody gets credit for them: "
        "target is the user it was done to, not the post.",
    )


def replies_to(targets, actors=("ann",)):
    """Return rows in which each actor in turn answers the next target."""
    return HEADER + "".join(
        f"2020-05-01T12:{number // 60:02}:{number % 60:02}Z,{actors[number % len(actors)]},reply,{target}\n"
        for number, target in enumerate(targets)
    )


def test_targets_that_never_act_cause_a_note(import_file):
    targets = [f"p{number}" for number in range(1196)] + ["bob", "ann", "bob", "cid", "dan", "eve"]
    report, _ = import_file("x.csv", replies_to(targets, ["ann", "bob", "cid", "dan"]))
    assert report.notes == (
        "only 4 of 1,201 targets of responses by others act themselves: target has to be the id of the user whose post "
        "it is, not of the post. This can be right where only received responses were exported.",
    )


@pytest.mark.parametrize(
    ("targets", "actors"),
    [
        ([f"p{number}" for number in range(99)], ["ann"]),
        ([f"u{number}" for number in [*range(1, 100), 0]], [f"u{number}" for number in range(5)]),
        (["ann"] * 200, ["ann"]),
        ([""] * 60 + ["[deleted]"] * 60, ["ann"]),
    ],
    ids=["few targets", "1 in 20 acts", "responses to oneself", "no targets"],
)
def test_usual_targets_cause_no_note(import_file, targets, actors):
    report, _ = import_file("x.csv", replies_to(targets, actors))
    assert not any("act themselves" in note for note in report.notes)


def test_a_simulated_community_causes_no_note_unless_posts_are_its_targets(tmp_path):
    simulate(Community(users=300, days=60, seed=7), tmp_path / "community.parquet")
    for target, notes in (("target", 0), ("object", 1)):
        report = import_table(tmp_path / "community.parquet", tmp_path / "events.parquet", {"target": target}, {})
        assert sum("act themselves" in note for note in report.notes) == notes


def test_targets_of_unknown_actors_may_act_in_other_rows(import_file):
    users = [f"u{number}" for number in range(100)]
    liked = "".join(f"2020-05-01,,like,{user}\n" for user in users)
    posts = "".join(f"2020-05-01,{user},post,\n" for user in users)
    assert import_file("x.csv", HEADER + liked + posts)[0].notes == ()
    assert len(import_file("x.csv", HEADER + liked)[0].notes) == 1


@pytest.mark.parametrize(
    ("unknown", "actors"), [((), ["a", "[deleted]", "NULL"]), (["a"], [None, "[deleted]", "NULL"])]
)
def test_placeholders_of_unknown_users_are_configurable(import_file, unknown, actors):
    _, events = import_file("x.csv", UNKNOWN, unknown=unknown)
    assert [event["actor"] for event in events] == actors


@pytest.mark.parametrize(("keep", "accepted"), [(False, 1), (True, 3)])
def test_equal_rows_count_once_by_default(import_file, keep, accepted):
    report, events = import_file("x.csv", HEADER + GOOD * 3, keep_duplicates=keep)
    assert (report.accepted, len(events)) == (accepted, accepted)
    assert report.reasons == ({} if keep else {"the same event again": 2})


def test_equal_rows_of_unknown_users_or_without_time_of_day_are_separate_events(import_file):
    rows = "2020-05-01T12:00:00Z,,like,b\n" * 2 + "2020-05-01,a,reply,b\n" * 2
    report, _ = import_file("x.csv", HEADER + rows)
    assert (report.accepted, report.rejected) == (4, 0)


def test_rows_that_differ_in_an_unmapped_column_are_separate_events(import_file):
    numbered = "".join(f"{GOOD.strip()},{number}\n" for number in "112")
    report, _ = import_file("x.csv", "time,actor,verb,target,number\n" + numbered)
    assert (report.accepted, report.reasons) == (2, {"the same event again": 1})
    row = {"time": NOON.isoformat(), "actor": "a", "verb": "like", "target": "b"}
    report, _ = import_file("x.jsonl", lines(row, row, row | {"text": "x"}, row | {"text": "y"}))
    assert (report.accepted, report.reasons) == (3, {"the same event again": 1})


def test_equal_rows_of_files_with_columns_in_another_order_count_once(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.csv").write_text("time,actor,verb,target,n\n2020-05-01T12:00:00Z,a,like,b,7\n")
    (tmp_path / "in" / "2.csv").write_text("n,target,time,actor,verb\n7,b,2020-05-01T12:00:00Z,a,like\n")
    report = import_table(tmp_path / "in", tmp_path / "events.parquet", {}, {})
    assert (report.accepted, report.reasons) == (1, {"the same event again": 1})


def test_equal_rows_of_parquet_count_once(tmp_path):
    row = {"time": NOON, "actor": "a", "verb": "like", "target": "b", "more": {"n": [1]}}
    pq.write_table(pa.Table.from_pylist([row, row, row | {"more": {"n": [2]}}]), tmp_path / "x.parquet")
    report = import_table(tmp_path / "x.parquet", tmp_path / "events.parquet", {}, {})
    assert (report.accepted, report.reasons) == (2, {"the same event again": 1})


@pytest.mark.parametrize(
    "header", ["Time,ACTOR,Verb,Target", "time, actor, verb , target", '" time ","actor",verb,target']
)
def test_columns_match_in_any_case_and_with_spaces(import_file, header):
    report, _ = import_file("x.csv", f"{header}\n{GOOD}")
    assert report.accepted == 1


def test_a_column_of_the_exact_name_is_preferred(import_file):
    _, events = import_file("x.csv", f"Actor,{HEADER}x,{GOOD}")
    assert [event["actor"] for event in events] == ["a"]
    with pytest.raises(EventsError, match="lacks actor"):
        import_file("x.csv", "time,Actor,ACTOR,verb,target\n")


def test_fields_absent_from_a_file_are_null(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.csv").write_text(HEADER + GOOD)
    (folder / "2.csv").write_text("time,actor,verb,target,topics,links\n2020-05-02,c,like,b,cats|dogs,3\n")
    events = pq.read_table(import_table(folder, tmp_path / "events.parquet", {}, {}).out).to_pylist()
    assert [(event["topics"], event["links"]) for event in events] == [(None, None), (["cats", "dogs"], 3)]


def test_a_file_name_that_is_not_utf8_is_refused(tmp_path):
    file = tmp_path / os.fsdecode(b"\xff.csv")
    file.write_text(HEADER + GOOD)
    for path in (file, tmp_path):
        with pytest.raises(EventsError, match=r"/\?\.csv is not in UTF-8; rename the file"):
            import_table(path, tmp_path / "out" / "events.parquet", {}, {})


@pytest.mark.parametrize("path", ["x.parquet", "events"])
def test_the_source_is_not_overwritten(tmp_path, path):
    source = import_table(write_csv(tmp_path / "a.csv"), tmp_path / path, {}, {}).out
    with pytest.raises(EventsError, match="the source itself; choose another path"):
        import_table(source, tmp_path / path, {}, {})
    assert len(pq.read_table(source)) == 1


def write_csv(file):
    file.write_text(HEADER + GOOD)
    return file


def test_lists_of_objects_are_not_read_as_topics(import_file, tmp_path):
    row = {"time": NOON.isoformat(), "actor": "a", "verb": "post", "topics": [{"name": "x"}, "cats"]}
    _, events = import_file("x.jsonl", lines(row | {"target": None}))
    assert events[0]["topics"] == ["cats"]
    pq.write_table(
        pa.Table.from_pylist([row | {"time": NOON, "target": "b", "topics": [{"name": "x"}]}]), tmp_path / "x.parquet"
    )
    with pytest.raises(EventsError, match=r"the column topics is of type array.*expected a list of texts"):
        import_table(tmp_path / "x.parquet", tmp_path / "events.parquet", {}, {})


@pytest.mark.parametrize("between", ["\0" * 300, "\0" * 300 + "\n", "\n" + "\0" * 300])
def test_runs_of_nul_bytes_are_tolerated(import_file, between):
    rows = [json.dumps({"time": NOON.isoformat(), "actor": name, "verb": "like", "target": "b"}) for name in "ac"]
    report, _ = import_file("x.jsonl", f"{rows[0]}\n{rows[1]}{between}\n")
    assert report.accepted == 2


NESTED = {"time": NOON.isoformat(), "author": {"id": "42", "name": "Ann"}, "kind": "like", "to.id": "43"}
MEMBERS = {"actor": "author.id", "verb": "kind", "target": "to.id"}


@pytest.mark.parametrize("author", ["author.id", "/author/id"])
def test_members_of_json_objects_are_mapped(import_file, author):
    _, events = import_file("x.jsonl", lines(NESTED, NESTED | {"author": {"id": 7}}), MEMBERS | {"actor": author})
    assert [(event["actor"], event["target"]) for event in events] == [("42", "43"), ("7", "43")]


def test_members_of_parquet_structs_are_mapped(tmp_path):
    pq.write_table(pa.Table.from_pylist([NESTED | {"time": NOON}]), tmp_path / "x.parquet")
    report = import_table(tmp_path / "x.parquet", tmp_path / "events.parquet", MEMBERS, {})
    assert pq.read_table(report.out)["actor"].to_pylist() == ["42"]


def test_members_that_do_not_exist_are_rejected(import_file):
    with pytest.raises(EventsError, match=r"--map actor=author\.name2: .* has no such column"):
        import_file("x.jsonl", lines(NESTED), MEMBERS | {"actor": "author.name2"})


@pytest.mark.parametrize(
    ("time", "options", "instant"),
    [
        ("Fri May 01 14:00:00 +0200 2020", {"time_format": "%a %b %d %H:%M:%S %z %Y"}, NOON),
        ("01.05.2020 12:00", {"time_format": "%d.%m.%Y %H:%M"}, NOON),
        ("1.5.2020 2:00 PM", {"time_format": "%-d.%-m.%Y %-I:%M %p"}, NOON + timedelta(hours=2)),
        ("1.5.2020 9:00", {"time_format": "%-d.%-m.%Y %-H:%M"}, NOON - timedelta(hours=3)),
        ("01.05.2020", {"time_format": "%d.%m.%Y"}, datetime(2020, 5, 1, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("43952.5", {"time_unit": "excel-days"}, NOON),
        ("1588334400", {"time_unit": "s"}, NOON),
        ("1588334400000.0", {"time_unit": "ms"}, NOON),
        ("1588334400000000000", {"time_unit": "ns"}, NOON),
    ],
)  # fmt: skip
def test_times_in_other_formats_and_units(import_file, time, options, instant):
    _, events = import_file("x.csv", HEADER + f"{time},a,like,b\n", **options)
    assert events[0]["time"] == instant


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_unit": "days"}, "--time-unit: 'days' is not a unit of time"),
        ({"time_format": "%Q"}, "--time-format is '%Q': .*Unrecognized format"),
        ({"time_format": "%Y", "time_unit": "s"}, "exclude each other"),
    ],
)
def test_unknown_formats_of_times_are_rejected(import_file, options, message):
    with pytest.raises(EventsError, match=message):
        import_file("x.csv", HEADER + GOOD, **options)


def written(days, form):
    """Return rows at noon of each of the days from the first of May on."""
    times = [(NOON + timedelta(days=day)).strftime(form) for day in range(days)]
    return HEADER + "".join(f"{time},a,like,b\n" for time in times)


@pytest.mark.parametrize(
    ("form", "option", "note"),
    [
        (
            "%d.%m.%Y %H:%M",
            "%m.%d.%Y %H:%M",
            "only 40% of the times are readable with --time-format '%m.%d.%Y %H:%M', but 100% with '%d.%m.%Y %H:%M': "
            "import again with '%d.%m.%Y %H:%M', because the dates that were read may be wrong.",
        ),
        (
            "%Y-%m-%d",
            "%Y-%d-%m",
            "only 40% of the times are readable with --time-format '%Y-%d-%m', but 100% without it: "
            "import again without it, because the dates that were read may be wrong.",
        ),
    ],
)
def test_another_form_that_reads_all_times_causes_a_note(import_file, form, option, note):
    report, _ = import_file("x.csv", written(30, form), time_format=option)
    assert (report.accepted, report.notes[0]) == (12, note)


def test_a_form_that_reads_most_times_causes_no_note(import_file):
    content = written(30, "%d.%m.%Y %H:%M")
    assert not import_file("x.csv", content, time_format="%d.%m.%Y %H:%M")[0].notes
    assert not import_file("x.csv", content + "soon,a,like,b\n", time_format="%d.%m.%Y %H:%M")[0].notes
    mixed = content + written(25, "%d/%m/%Y").removeprefix(HEADER)
    assert not import_file("x.csv", mixed, time_format="%d.%m.%Y %H:%M")[0].notes


def test_times_within_1970_cause_a_note(import_file):
    report, _ = import_file("x.csv", HEADER + "45292.5,a,like,b\n")
    assert report.notes[0].startswith("all times fall within 1970")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", HEADER + "10 Oct 2018,a,like,b\n", r"Times are ISO 8601, .*--time-format"),
        (
            "x.csv",
            HEADER + "31.01.25 01:00,a,like,b\n",
            r"Try --time-format '%d\.%m\.%y %H:%M'\. Name",
        ),
        (
            "x.csv",
            HEADER + "1/2/2025 1:30 PM,a,like,b\n",
            r"Try --time-format '%d/%m/%Y %I:%M %p' or --time-format '%m/%d/%Y %I:%M %p'\.",
        ),
        (
            "x.csv",
            HEADER + ",a,like,b\nNULL,a,like,b\n01.02.2025 00:00:21,a,like,b\n13.02.2025 00:00:22,a,like,b\n",
            r"The first time, '01\.02\.2025 00:00:21', cannot be read\. Try --time-format '%d\.%m\.%Y %H:%M:%S'\. Name",
        ),
        ("x.csv", HEADER + ",a,like,b\n", r"All times are empty; name another column with --map time=COLUMN\. Name"),
        (
            "x.csv",
            "time,actor,verb\n2025-01-31,a,like\n",
            r"lacks target; .*: --map target=COLUMN\. The target is the user who was answered or liked, not the post",
        ),
        ("x.json", json.dumps({"messages": [{"id": 1}]}, indent=1), r"is one JSON document .*jq -c '\.messages\[\]'"),
        ("x.jsonl", HEADER + GOOD, r"no line of .* is a JSON object, for it looks like CSV; let its name end in \.csv"),
        ("x.jsonl", '{"time":1},\n{"time":2},\n', "no line of .* is a JSON object, for lines end with a comma"),
    ],
)
def test_messages_state_the_error(import_file, name, content, message):
    with pytest.raises(EventsError, match=message):
        import_file(name, content)


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("31.01.2025 00:00:21", r"does not fit '%m/%d/%Y'\. Try --time-format '%d\.%m\.%Y %H:%M:%S'\. Name"),
        ("2025-01-31", r"The first time, '2025-01-31', does not fit '%m/%d/%Y'\. Leave out --time-format\. Name"),
        ("31 Jan", r"does not fit '%m/%d/%Y'\. Times are ISO 8601"),
    ],
)
def test_times_that_do_not_fit_a_form_are_shown(import_file, time, message):
    with pytest.raises(EventsError, match=message):
        import_file("x.csv", f"{HEADER},a,like,b\n{time},a,like,b\n", time_format="%m/%d/%Y")


def test_a_leading_line_that_declares_the_delimiter_is_skipped(import_file):
    report, events = import_file(
        "x.csv", "sep=;\r\n" + (HEADER + GOOD + "soon,a,like,b").replace(",", ";").replace("\n", "\r\n")
    )
    assert [event["actor"] for event in events] == ["a"]
    assert records(report) == [("2", "time missing or unreadable")]


@pytest.mark.parametrize(
    "ends", [("\r\n", "\n"), ("\n", "\r\n"), ("\n", "\r"), ("\r", "\r"), ("\r", "\n"), ("\r\r\n", "\r\r\n")]
)
def test_all_line_endings_are_accepted(import_file, ends):
    rows = [HEADER.strip(), GOOD.strip(), "2020-05-01T12:00:01Z,c,like,b", "2020-05-01T12:00:02Z,d,like,b"]
    content = "".join(row + ends[number % 2] for number, row in enumerate(rows))
    _, events = import_file("x.csv", content)
    assert [event["actor"] for event in events] == ["a", "c", "d"]
