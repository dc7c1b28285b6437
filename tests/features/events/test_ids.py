import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events.event_table import connect
from features.events.ids import invalid_id, read_id
from features.ids import LOST_DIGITS, NOT_A_VALUE, SPACES, parse_id

TEXTS = [
    "12.0",
    " 12 ",
    "-3.00",
    "NA",
    "null",
    "007",
    "1e5",
    "1e20",
    "v1.0",
    "[deleted]",
    "Ünï 😀",
    "12.50",
    "[a]",
    "{b}",
]


def column(values, kind=None):
    table = connect().create_table("ids", pa.table({"id": pa.array(values, kind)}), temp=True)
    rows = table.select(id=read_id(table.id), reason=invalid_id(table.id)).to_pyarrow()
    return rows["id"].to_pylist(), rows["reason"].to_pylist()


def test_text_ids_are_unchanged():
    ids, reasons = column(TEXTS)
    assert ids == ["12", "12", "-3", "NA", "null", *TEXTS[5:]]
    assert reasons == [None] * len(TEXTS)


@pytest.mark.parametrize("text", ["1.2345678901234568e+18", "1e+15", "1.5E18", "1234567890123456768.0", "-1.5e+20"])
def test_texts_of_rounded_numbers_are_refused(text):
    assert column([text])[1] == [LOST_DIGITS]
    with pytest.raises(ValueError, match="has lost digits; export ids as text"):
        parse_id(text)


@pytest.mark.parametrize(
    ("kind", "exact", "rounded"), [(pa.float64(), 1e15 - 1, 1e15), (pa.float32(), 2.0**23, 2.0**25)]
)
def test_floating_point_numbers_are_ids_if_they_are_exact(kind, exact, rounded):
    ids, reasons = column([exact, rounded, None, float("nan")], kind)
    assert ids[0] == f"{exact:.0f}"
    assert reasons == [None, LOST_DIGITS, None, None]


@pytest.mark.parametrize("space", SPACES)
def test_surrounding_spaces_are_stripped(space):
    assert column([f"{space}an{space}n {space}"]) == ([f"an{space}n"], [None])
    assert parse_id(f"{space} an{space}n{space}") == f"an{space}n"
    assert column([space * 2]) == ([None], [None])


def test_all_unicode_white_space_is_stripped():
    assert {character for character in map(chr, range(0x110000)) if character.isspace()} <= set(SPACES)


def test_large_integers_are_ids():
    assert column([2**62, 10**18], pa.int64()) == ([str(2**62), str(10**18)], [None, None])


@pytest.mark.parametrize("text", ['{"id": "42"}', '["a"]', "{}", "[]"])
def test_objects_and_lists_are_refused(text):
    assert column([text])[1] == [NOT_A_VALUE]
    with pytest.raises(ValueError, match=r"use a member of it that is an id, such as author\.id"):
        parse_id(text)


@pytest.mark.parametrize(("value", "text"), [(12, "12"), (12.0, "12"), (1e6, "1000000"), (2**62, str(2**62))])
def test_a_single_value_is_read_like_a_column(value, text):
    assert parse_id(value) == text == column([value])[0][0]


ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@settings(max_examples=20)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.sampled_from(TEXTS),
        min_size=5,
        max_size=40,
    )
)
def test_both_readers_agree(texts):
    ids, reasons = column(texts, pa.string())
    for text, user, reason in zip(texts, ids, reasons, strict=True):
        if reason is None:
            assert parse_id(text) == (user or "")
