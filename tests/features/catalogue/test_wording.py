"""Wording: rounded parts add up to the rounded total."""

from hypothesis import given
from hypothesis import strategies as st

from features.catalogue.wording import rounded_to_sum


@given(st.lists(st.floats(-90, 90), min_size=1, max_size=9))
def test_rounded_parts_add_up_to_the_rounded_total(parts):
    rounded = rounded_to_sum(parts, sum(parts))
    assert sum(round(10 * value) for value in rounded) == round(10 * sum(parts))
    assert all(abs(value - part) < 0.1 + 1e-9 for value, part in zip(rounded, parts, strict=True))
