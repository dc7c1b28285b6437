import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.selection.audiences import SHARE_PRIOR, Audiences, expected_audiences


@pytest.fixture
def two_users():
    """Users 0 and 1 share person 2; 0 also has person 3; strangers are from a pool of 20."""
    starts, engagers = np.array([0, 2, 3, 3, 3]), np.array([2, 3, 2], dtype=np.int32)
    chance = np.array([0.5, 0.25, 0.5], dtype=np.float32)
    return Audiences(starts, engagers, chance, np.array([2.0, 4.0, 0.0, 0.0]), 20.0, np.ones(4))


def test_reach_grows_with_the_members(two_users):
    # 0.5 + 0.25 + 2; then 0.5 * 0.5 for the shared person and 4 of 20 for the 18 strangers not yet reached
    assert two_users.reach([0, 1]).tolist() == pytest.approx([2.75, 2.75 + 0.25 + 3.6])
    assert two_users.reach_of_each.tolist() == [2.75, 4.5, 0.0, 0.0]


def test_overlap_counts_people_whom_both_reach(two_users):
    overlap = two_users.overlap([0, 1])
    assert overlap.tolist() == [[2.75, pytest.approx(0.25 + 20 * 0.1 * 0.2)], [pytest.approx(0.65), 4.5]]
    assert overlap[0, 1] == pytest.approx(two_users.reach_of_each[:2].sum() - two_users.reach([0, 1])[-1])


def test_an_empty_group_reaches_nobody(two_users):
    assert two_users.reach([]).tolist() == []
    assert two_users.overlap([]).shape == (0, 0)


def test_people_without_weight_do_not_count(two_users):
    counted = two_users.counting(np.array([1.0, 1.0, 0.0, 1.0]))
    overall = 1 / 3
    shares = [(1 + SHARE_PRIOR * overall) / (2 + SHARE_PRIOR), SHARE_PRIOR * overall / (1 + SHARE_PRIOR)]
    assert counted.reach_of_each[:2].tolist() == pytest.approx([0.25 + 2 * shares[0], 4 * shares[1]])
    assert counted.pool == pytest.approx(20 / 3)


class TestExpectedAudiences:
    STARTS, ENGAGERS = np.array([0, 2, 3, 3]), np.array([1, 2, 0], dtype=np.int32)

    def test_strangers_are_the_rest_of_the_expected_audience(self):
        chance = np.array([0.5, 0.25, 0.5], dtype=np.float32)
        audiences = expected_audiences(self.STARTS, self.ENGAGERS, chance, np.array([3.0, 0.25, 1.0]), 50.0)
        assert audiences.strangers.tolist() == [2.25, 0.0, 1.0]
        assert audiences.probability.tolist() == [0.5, 0.25, 0.25]
        assert audiences.weight.tolist() == [1, 1, 1]

    @given(
        st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3), st.lists(st.floats(0, 40), min_size=3, max_size=3)
    )
    def test_a_single_user_reaches_the_expected_audience(self, chance, expected):
        audiences = expected_audiences(
            self.STARTS, self.ENGAGERS, np.array(chance, dtype=np.float32), np.array(expected), 50.0
        )
        assert audiences.reach_of_each == pytest.approx(np.array(expected), rel=1e-5, abs=1e-6)
        assert (audiences.probability <= 1).all()
