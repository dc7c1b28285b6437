"""What peers show, by hand."""

import numpy as np
import pytest

from training.explanation.peer_ranges import PeerValues, percentiles


@pytest.fixture
def peers():
    return PeerValues(4, {"posts": percentiles(np.array([0.0, 0.0, 0.0, 8.0]))}, 56.0)


def test_every_percentile_is_somebodys():
    values = np.random.default_rng(0).normal(size=37)
    found = percentiles(values)
    assert len(found) == 101
    assert set(found) <= set(values)
    assert (found[0], found[-1]) == (values.min(), values.max())


def test_held(peers):
    assert [peers.hold("posts", value) for value in (-0.1, 0.0, 3.0, 8.0, 8.1)] == [False, True, True, True, False]
    assert not peers.hold("links", 1.0)


def test_rank_is_the_share_below_and_half_of_those_alike(peers):
    zeros = (peers.values["posts"] == 0).mean()
    assert peers.rank("posts", 0.0) == pytest.approx(zeros / 2)
    assert peers.rank("posts", 5.0) == pytest.approx(zeros)
    assert (peers.rank("posts", -1.0), peers.rank("posts", 9.0)) == (0, 1)
    assert peers.rank("posts", float("nan")) == peers.rank("links", 1.0) == 0.5


def test_levels_are_different_and_rise(peers):
    assert peers.levels("posts") == [0.0, 8.0]
    assert peers.levels("links") == peers.different("links") == []


def test_few_who_stand_out_are_no_level_and_are_shown():
    peers = PeerValues(100, {"posts": percentiles(np.array([0.0] * 97 + [1.0, 2.0, 7.0]))}, 56.0)
    assert peers.levels("posts") == [0.0]
    assert peers.different("posts") == [0.0, 1.0, 2.0, 7.0]
