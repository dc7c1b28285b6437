import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.simulation.behaviour import rank
from features.simulation.event_arrays import draw_tags, main_topic, number_ids, tag_lists


@given(st.lists(st.integers(-3, 10**10 - 1), max_size=50))
def test_ids_are_the_numbers_padded_with_zeros(numbers):
    expected = [None if number < 0 else f"p{number:010d}" for number in numbers]
    assert number_ids("p", np.array(numbers, dtype=np.int64), 10).to_pylist() == expected


@given(st.lists(st.integers(0, 10**7 - 1), max_size=50))
def test_user_ids_have_seven_digits(numbers):
    assert number_ids("u", np.array(numbers, dtype=np.int32), 7).to_pylist() == [f"u{number:07d}" for number in numbers]


@given(st.lists(st.integers(0, 3), max_size=30))
def test_rank_restarts_in_every_run(groups):
    expected, last, count = [], None, 0
    for group in groups:
        count = count + 1 if group == last else 0
        expected.append(count)
        last = group
    assert rank(np.array(groups, dtype=np.int64)).tolist() == expected


@given(st.integers(1, 100), st.integers(0, 1_000))
def test_packed_tags_decode_to_the_topics(topics, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, topics, (2, 40)).astype(np.int16)
    tags = draw_tags(first, second, topics, rng)
    lists = tag_lists(topics).take(tags).to_pylist()
    assert [tags[0] for tags in lists] == [f"topic{number:02d}" for number in main_topic(tags, topics)]
    for one, other, tags in zip(first, second, lists, strict=True):
        assert set(tags) <= {f"topic{one:02d}", f"topic{other:02d}"}
