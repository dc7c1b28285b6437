import pyarrow as pa

from features.events.event_table import connect
from features.importers.event_fields import content_hash, links


def read(reader, texts):
    column = connect().create_table("texts", pa.table({"x": pa.array(texts, pa.string())}), temp=True).x
    return reader(column).to_pyarrow().to_pylist()


def test_near_duplicates_share_a_hash():
    alike = ["Hello  World", "hello world", " HELLO\n\tworld ", "hello\u00a0world", "hello\u2003\u200bworld"]
    keys = read(content_hash, alike)
    assert len(set(keys)) == 1
    assert keys[0] == "b94d27b9934d3e08a52e52d7da7dabfa"  # SHA-256 of 'hello world', its first half


def test_different_texts_have_different_hashes():
    keys = read(content_hash, ["hello world", "hello, world", "helloworld", "Ünï 😀", "ünï 😀", "日本", "a\0b"])
    assert len(set(keys)) == 6
    assert keys[3] == keys[4]
    assert {len(key) for key in keys} == {32}


def test_blank_texts_have_no_hash():
    assert read(content_hash, [None, "", "  ", "\n\u00a0\t"]) == [None] * 4


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
    assert dict(zip(texts, read(links, list(texts)), strict=True)) == texts
    assert read(links, [None]) == [None]
