import gzip
import json
import re

import pyarrow as pa
import pytest

from features.errors import EventsError
from features.events.event_table import connect
from features.importers.readers import files
from features.importers.readers.json_lines import open_jsonlines, read_members

MEMBERS = {"id": "/id", "who": "/actor/login", "actor": "/actor", "first": "/list/0/x", "odd": "/a~1b~0c", "line": "/n"}
LINES = [
    '{"id": 1, "actor": {"login": "a", "more": 0}, "list": [{"x": "y"}], "a/b~c": "odd", "n": 12345678901234567890}',
    '{"id": "2", "actor": "b", "list": [], "n": -1.25}',
    "",
    "{broken",
    "[1, 2]",
    '  {"id": null, "n": true}  ',
    "null",
    '"text"',
    '{"id": "Ünï😀 \\ud83d\\ude00 \\" \\n"}',
]
GOOD = '{"id": "1", "actor": {"login": "a"}}\n'


def long_window(data):
    """Return a hand-made Zstandard frame that requests a window of 2 GiB and contains the text uncompressed."""
    blocks = [data[start : start + 100_000] for start in range(0, len(data), 100_000)]
    heads = [
        (len(block) << 3 | (number == len(blocks) - 1)).to_bytes(3, "little") for number, block in enumerate(blocks)
    ]
    frame = bytes([0x28, 0xB5, 0x2F, 0xFD, 0x00, (31 - 10) << 3])
    return frame + b"".join(head + block for head, block in zip(heads, blocks, strict=True))


PACKERS = {
    "x.jsonl": lambda data: data,
    "x.jsonl.gz": gzip.compress,
    "X.GZ": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "x.jsonl.zst": lambda data: pa.compress(data, "zstd", asbytes=True),
    "x.zst": lambda data: pa.compress(data[:9], "zstd", asbytes=True) + pa.compress(data[9:], "zstd", asbytes=True),
}


@pytest.fixture
def members(tmp_path):
    def read(name, data, pointers=MEMBERS, **options):
        (tmp_path / name).write_bytes(data)
        rows = read_members(connect(), tmp_path / name, tmp_path / "members.parquet", pointers, **options)
        return rows.order_by("row").to_pyarrow().to_pylist()

    return read


@pytest.mark.parametrize("name", PACKERS)
def test_members_are_read_from_all_compressions(members, name):
    rows = members(name, PACKERS[name]("\n".join(LINES).encode()))
    fields = [tuple(row[field] for field in MEMBERS) for row in rows if row["reason"] is None]
    assert fields == [
        ("1", "a", '{"login":"a","more":0}', "y", "odd", "12345678901234567890"),
        ("2", None, "b", None, None, "-1.25"),
        (None, None, None, None, None, "true"),
        ('Ünï😀 😀 " \n', None, None, None, None, None),
    ]
    assert [json.loads(row["record"]) for row in rows if row["reason"] is None][1:3] == [
        {"id": "2", "actor": "b", "line": "-1.25"},
        {"line": "true"},
    ]
    damaged = [(row["record"], row["reason"]) for row in rows if row["reason"]]
    assert damaged == [
        (f"{len(line)} characters", "malformed line: not a JSON object")
        for line in ("{broken", "[1, 2]", "null", '"text"')
    ]


def test_rows_are_numbered_by_position(members):
    rows = members("x.jsonl", "".join(f'{{"id": {number}}}\n' for number in range(1, 50_001)).encode())
    assert all(row["id"] == str(row["row"]) for row in rows)
    assert len(rows) == 50_000


def test_a_too_long_line_is_reported_with_its_row(members):
    rows = members("x.jsonl", (GOOD + '{"id": "' + "x" * 3_000_000 + '"}\n' + GOOD * 2).encode())
    assert [(row["row"], row["id"], row["reason"]) for row in rows] == [
        (1, "1", None),
        (2, None, "malformed line: line too long"),
        (3, "1", None),
        (4, "1", None),
    ]
    assert re.fullmatch("[0-9]+ characters", rows[1]["record"])


def test_private_members_are_not_in_the_record(members):
    pointers = {"id": "/id", "who": "/actor/login"}
    row = {"row": 1, "id": "1", "who": "a", "reason": None}
    assert members("x.jsonl", GOOD.encode(), pointers, private=("who",)) == [{**row, "record": '{"id":"1"}'}]


def test_a_record_of_only_private_members_is_empty(members):
    assert members("x.jsonl", GOOD.encode(), {"id": "/id"}, private={"id"})[0]["record"] == "{}"


def test_members_and_columns_agree(members, tmp_path):
    data = "\n".join(LINES).encode()
    rows = members("x.jsonl", data, pointers={"id": "/id", "actor": "/actor"})
    reader = open_jsonlines(connect(), tmp_path / "x.jsonl", tmp_path / "other.parquet")
    assert reader.columns == ["a/b~c", "actor", "id", "list", "n"]
    same = reader.select({"id": "id", "actor": "actor"}).order_by("row").drop("digest").to_pyarrow().to_pylist()
    assert [{**row, "record": None} for row in same] == [{**row, "record": None} for row in rows]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.jsonl.gz", gzip.compress(GOOD.encode() * 9_999)[:-4], "x.jsonl.gz cannot be read: .*download complete"),
        ("x.gz", GOOD.encode(), "cannot be read"),
        ("x.zst", pa.compress(GOOD.encode() * 9_999, "zstd", asbytes=True)[:-4], "x.zst cannot be read: .*complete"),
        ("x.zst", pa.compress(GOOD.encode(), "zstd", asbytes=True)[:5], "x.zst cannot be read"),
        ("x.zst", GOOD.encode(), "x.zst cannot be read"),
        ("x.jsonl", b'{"id": "\xff"}\n', "not in UTF-8 at line 1"),
        ("x.json", b'\n [{"id": 1},\n{"id": 2}]\n', "is a JSON array; expected one object per line"),
    ],
)
def test_damaged_files_are_explained(members, name, data, message):
    with pytest.raises(EventsError, match=message):
        members(name, data)


def test_a_too_large_window_is_explained(members, monkeypatch):
    monkeypatch.setattr(files, "ZSTD_MODULES", ("no.such.module",))
    with pytest.raises(EventsError, match=r"window longer than 128 MiB.*install backports\.zstd.*zstd -dc --long=31"):
        members("RC_2019-01.zst", long_window(GOOD.encode()))


@pytest.mark.skipif(files._zstd_module() is None, reason="neither Python 3.14 nor backports.zstd is there")
def test_a_too_large_window_is_handled_by_other_libraries(members, tmp_path):
    data = GOOD.encode() * 9_999
    assert len(members("RC_2019-01.zst", long_window(data))) == 9_999
    assert sorted(file.name for file in tmp_path.iterdir()) == ["RC_2019-01.zst", "members.parquet"]
    with pytest.raises(EventsError, match=r"RC_2019-02\.zst cannot be read: .*download complete"):
        members("RC_2019-02.zst", long_window(data)[:-100])
