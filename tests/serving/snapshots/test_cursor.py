"""Cursors: a search continues from an unchanged cursor, and any other is refused."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.snapshots.cursor import Cursor, CursorError, decode_cursor, encode_cursor
from serving.snapshots.query import PageToken, SearchQuery, UserFilter

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
OLDER = AS_OF - timedelta(days=28)
CURSOR = Cursor(AS_OF, "3", SearchQuery("topic:birds", 0.1 + 0.2, None, None, 5), PageToken(1 / 3, 'ünï/"\x00🙂'))


def test_cursor_round_trip():
    text = encode_cursor(CURSOR)
    assert decode_cursor(text) == CURSOR
    assert quote(text, safe="") == text


def test_filters_and_the_earlier_snapshot_are_in_the_cursor():
    query = UserFilter(SearchQuery("topic:birds"), evidence="some", sort="growth")
    cursor = Cursor(AS_OF, "3", query.bounds, PageToken(1 / 3, "ann", 0.1 + 0.2), query, OLDER)
    assert decode_cursor(encode_cursor(cursor)) == cursor
    assert decode_cursor(encode_cursor(cursor)).user_filter == query


def test_a_cursor_of_an_earlier_version_is_read():
    earlier = (
        "MN8ZBHsiYXNfb2YiOiIyMDE3LTA3LTMwVDAwOjAwOjAwWiIsIm1vZGVsX3ZlcnNpb24iOiIzIiwid2FudGVkIjp7InNjb3BlIjoiYWxsI"
        "iwibWluX3Njb3JlIjo1MC4wLCJtYXhfc2NvcmUiOm51bGwsIm1pbl9wZXJjZW50aWxlIjpudWxsLCJtYXhfcGVyY2VudGlsZSI6bnVsbH"
        "0sImxhc3QiOnsic2NvcmUiOjQ4LjcxLCJ1c2VyIjoiYW5uIn19"
    )
    assert decode_cursor(earlier) == Cursor(AS_OF, "3", SearchQuery(min_score=50.0), PageToken(48.71, "ann"))
    assert decode_cursor(encode_cursor(decode_cursor(earlier))) == decode_cursor(earlier)


def test_a_cursor_is_short():
    cursor = Cursor(AS_OF, "3", SearchQuery(), PageToken(48.71, "ann"), UserFilter(min_growth=1.0), OLDER)
    assert len(encode_cursor(cursor)) < 220


@given(st.data())
def test_a_damaged_cursor_is_refused(data):
    text = encode_cursor(CURSOR)
    index = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(exclude_categories=["Cs"]).filter(lambda character: character != text[index]))
    for damaged in (text[:index], text[:index] + letter + text[index + 1 :], text[:index] + text[index + 1 :]):
        with pytest.raises(CursorError, match="the cursor is damaged"):
            decode_cursor(damaged)


@pytest.mark.parametrize(
    "document",
    [
        "", "null", "[]", "{}", "[" * 10_000,
        '{"as_of":"2017-07-30T00:00:00Z","model_version":"3","wanted":{},"last":{"score":"x","user":"a"}}',
        '{"as_of":"2017-07-30T00:00:00Z","model_version":"3","wanted":{},"last":{"score":NaN,"user":"a"}}',
        '{"as_of":"2017-07-30T00:00:00Z","model_version":"3","wanted":{},"last":{"score":1,"user":"\\ud800"}}',
        '{"as_of":"2017-07-30T00:00:00Z","model_version":"3","wanted":{"min_score":Infinity},"last":{"score":1,"user":""}}',
        '{"as_of":"2017-07-30T00:00:00Z","model_version":3,"wanted":{},"last":{"score":1,"user":"a"}}',
        '{"as_of":1501372800,"model_version":"3","wanted":{"scope":[]},"last":{"score":1,"user":"a"}}',
    ],
)  # fmt: skip
def test_a_forged_cursor_is_refused_as_damaged(document):
    raw = document.encode()
    forged = urlsafe_b64encode(crc32(raw).to_bytes(4, "big") + raw).decode()
    with pytest.raises(CursorError, match="the cursor is damaged"):
        decode_cursor(forged)
