from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import EventsError
from features.events.event_table import connect
from features.events.ids import read_id
from features.importers.event_fields import content_hash, links, read_links, read_time, read_topics


def read(reader, values, kind=None):
    column = connect().create_table("texts", pa.table({"x": pa.array(values, kind)}), temp=True).x
    return reader(column).to_pyarrow().to_pylist()


def at(*parts):
    return datetime(*parts, tzinfo=UTC)


TIMES = [
    ("2017-07-30T12:00:00Z", at(2017, 7, 30, 12)),
    ("2017-07-30T12:00:00", at(2017, 7, 30, 12)),
    ("2017-07-30 12:00:00", at(2017, 7, 30, 12)),
    ("2017-07-30 12:00", at(2017, 7, 30, 12)),
    ("2017-07-30T12:00Z", at(2017, 7, 30, 12)),
    ("2017-07-30T12:00+02:00", at(2017, 7, 30, 10)),
    ("2017-07-30T12:00:00.5", at(2017, 7, 30, 12, 0, 0, 500_000)),
    ("2017-07-30T12:00:00,5", at(2017, 7, 30, 12, 0, 0, 500_000)),
    ("2017-07-30T12:00:00.123456789Z", at(2017, 7, 30, 12, 0, 0, 123_456)),
    ("2017-07-30T01:00:00+02:00", at(2017, 7, 29, 23)),
    ("2017-07-30T01:00:00+0530", at(2017, 7, 29, 19, 30)),
    ("2017-07-30T01:00:00-05", at(2017, 7, 30, 6)),
    ("2017-07-30 01:00:00 -0500", at(2017, 7, 30, 6)),
    ("2017-07-30 12:00:00 UTC", at(2017, 7, 30, 12)),
    ("2017-07-30 12:00:00.25 UTC", at(2017, 7, 30, 12, 0, 0, 250_000)),
    ("2017-07-30t12:00:00z", at(2017, 7, 30, 12)),
    ("  2017-07-30T12:00:00Z ", at(2017, 7, 30, 12)),
    ("20170730T120000Z", at(2017, 7, 30, 12)),
    ("20170730T1201", at(2017, 7, 30, 12, 1)),
    ("20170730T120102+0200", at(2017, 7, 30, 10, 1, 2)),
    ("2017-07-30", at(2017, 7, 30, 23, 59, 59, 999_999)),
    ("20170730", at(2017, 7, 30, 23, 59, 59, 999_999)),
    ("2016-02-29", at(2016, 2, 29, 23, 59, 59, 999_999)),
    ("20170730120102", at(2017, 7, 30, 12, 1, 2)),
    ("0", at(1970, 1, 1)),
    ("1501416000", at(2017, 7, 30, 12)),
    ("1501416000.0", at(2017, 7, 30, 12)),
    ("1501416000.", at(2017, 7, 30, 12)),
    ("1501416000.25", at(2017, 7, 30, 12, 0, 0, 250_000)),
    ("1501416000.123456", at(2017, 7, 30, 12, 0, 0, 123_456)),
    ("1501416000123", at(2017, 7, 30, 12, 0, 0, 123_000)),
    ("1501416000123.5", at(2017, 7, 30, 12, 0, 0, 123_500)),
    ("1501416000123456", at(2017, 7, 30, 12, 0, 0, 123_456)),
    ("1501416000123456789", at(2017, 7, 30, 12, 0, 0, 123_456)),
    ("1.501416e9", at(2017, 7, 30, 12)),
    ("1.501416E+12", at(2017, 7, 30, 12)),
]
UNREADABLE = [
    "", " ", "soon", "nan", "inf", "-inf", "Infinity", "epoch", "now", "-1", "1e400", "1e30", "9" * 25, "0x10", "12:00",
    "2017-13-01", "2017-02-30", "20171301T000000", "20170730250000", "2017-07-30T25:00:00", "2017-07-30T12:00:99",
    "2017-07", "2017", "30.07.2017", "07/30/2017", "2017-W30", "2017-07-30T12:00:00+99:00", "2017-07-30; DROP TABLE",
]  # fmt: skip


def test_all_formats_of_instants_are_read():
    assert read(read_time, [text for text, _ in TIMES]) == [instant for _, instant in TIMES]


def test_invalid_instants_are_null_or_out_of_range():
    values = dict(zip(UNREADABLE, read(read_time, UNREADABLE), strict=True))
    assert values.pop("2017") == at(1970, 1, 1, 0, 33, 37)
    assert set(values.values()) == {None}


def test_the_unit_of_a_number_follows_from_its_magnitude():
    units = {10**11 - 1: 1, 10**11: 1000, 10**14 - 1: 1000, 10**14: 10**6, 10**17 - 1: 10**6, 10**17: 10**9}
    years = read(lambda column: read_time(column).year(), list(units))
    assert years == [1970 + int(count / unit / 86400 / 365.2425) for count, unit in units.items()]


def test_typed_instants_are_read():
    noon = datetime(2017, 7, 30, 12)
    berlin = pa.timestamp("us", "Europe/Berlin")
    for kind in (
        pa.timestamp("s"),
        pa.timestamp("ms"),
        pa.timestamp("us"),
        pa.timestamp("ns"),
        pa.timestamp("us", "UTC"),
    ):
        assert read(read_time, [noon, None], kind) == [noon.replace(tzinfo=UTC), None], kind
    assert read(read_time, [noon.replace(tzinfo=UTC)], berlin) == [noon.replace(tzinfo=UTC)]
    assert read(read_time, [date(2017, 7, 30)]) == [at(2017, 7, 30, 23, 59, 59, 999_999)]
    for kind in (pa.int32(), pa.int64(), pa.uint64(), pa.float64()):
        assert read(read_time, [1501416000, None], kind) == [at(2017, 7, 30, 12), None], kind
    assert read(read_time, [Decimal("1501416000.250")]) == [at(2017, 7, 30, 12, 0, 0, 250_000)]
    assert read(read_time, [1501416000.125, float("nan"), float("inf"), -1.0]) == [
        at(2017, 7, 30, 12, 0, 0, 125_000), None, None, None,
    ]  # fmt: skip
    assert read(read_time, [1.501416000123456e18])[0] - at(2017, 7, 30, 12) < timedelta(milliseconds=124)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.datetimes(datetime(1973, 4, 1), datetime(2200, 1, 1)), min_size=1, max_size=40), st.integers(-840, 840)
)
def test_an_instant_round_trips_through_all_formats(instants, offset):
    zoned = [instant.replace(tzinfo=UTC) for instant in instants]
    micros = [(instant - at(1970, 1, 1)) // timedelta(microseconds=1) for instant in zoned]
    shift = timedelta(minutes=offset)
    sign = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    assert read(read_time, [instant.isoformat() for instant in instants]) == zoned
    assert read(read_time, [(instant + shift).isoformat() + sign for instant in instants]) == zoned
    assert read(read_time, micros) == zoned
    assert read(read_time, [str(Decimal(count) / 10**6) for count in micros]) == zoned


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.struct([("x", pa.int64())]), pa.binary()])
def test_nested_and_binary_types_are_an_error(kind):
    for reader in (read_time, read_id, read_links):
        with pytest.raises(EventsError, match="the column x is of type"):
            read(reader, [None], kind)


def test_ids_are_text():
    assert read(read_id, ["a", " a ", "", "  ", "Ünï 😀", "12.0", "12.50", "-3.00", "v1.0", "007", "1e5", None]) == [
        "a", "a", None, None, "Ünï 😀", "12", "12.50", "-3", "v1.0", "007", "1e5", None,
    ]  # fmt: skip
    assert read(read_id, [12, -1, 2**62, None]) == ["12", "-1", str(2**62), None]
    assert read(read_id, [12.0, 12.5, float("nan"), 1e6, None]) == ["12", "12.5", None, "1000000", None]
    assert read(read_id, [Decimal("12.00"), Decimal("12.50")]) == ["12", "12.50"]


def test_topics_are_split_at_one_separator():
    texts = ["a", "a|b", "a;b", "a, b", "a, b|c", "a;b,c", '["a, b","ü"]', '["\\u00fc",null,3]', "[a", "", None]
    assert read(read_topics, texts) == [
        ["a"], ["a", "b"], ["a", "b"], ["a", "b"], ["a, b", "c"], ["a", "b,c"], ["a, b", "ü"], ["ü", None, "3"], ["[a"],
        [""], None,
    ]  # fmt: skip
    assert read(read_topics, [["a, b"], [], None]) == [["a, b"], [], None]
    assert read(read_topics, [[1, 2]]) == [["1", "2"]]
    assert read(read_topics, [7]) == [["7"]]


def test_links_are_integers_or_null():
    assert read(read_links, ["3", "3.0", "0", "3.5", "-1", "many", "", "nan", "inf", "1e300", None]) == [
        3, 3, 0, None, None, None, None, None, None, None, None,
    ]  # fmt: skip
    assert read(read_links, [3.0, 2.5, float("nan")]) == [3, None, None]


def test_near_duplicates_share_a_hash():
    alike = ["Hello  World", "hello world", " HELLO\n\tworld ", "hello\u00a0world", "hello\u2003\u200bworld"]
    keys = read(content_hash, alike, pa.string())
    assert len(set(keys)) == 1
    assert keys[0] == "b94d27b9934d3e08a52e52d7da7dabfa"  # the first half of the SHA-256 of 'hello world'


def test_different_texts_have_different_hashes():
    keys = read(
        content_hash, ["hello world", "hello, world", "helloworld", "Ünï 😀", "ünï 😀", "日本", "a\0b"], pa.string()
    )
    assert len(set(keys)) == 6
    assert keys[3] == keys[4]
    assert {len(key) for key in keys} == {32}


def test_blank_texts_have_no_hash():
    assert read(content_hash, [None, "", "  ", "\n\u00a0\t"], pa.string()) == [None] * 4


def test_different_links_are_counted():
    texts = {
        "none here, not even example.com or ftp://a.b": 0,
        "": 0,
        "https://a.b": 1,
        "see http://a.b and https://a.b": 2,
        "https://a.b, no: https://a.b": 2,
        "https://a.b https://a.b": 1,
        "[https://a.b](https://a.b) <https://c.d>": 2,
        "https://en.wikipedia.org/wiki/A_(b)\nhttps://en.wikipedia.org/wiki/A_(c)": 2,
        "HTTPS://A.B": 1,
        "http:// alone": 0,
    }
    assert dict(zip(texts, read(links, list(texts), pa.string()), strict=True)) == texts
    assert read(links, [None], pa.string()) == [None]
