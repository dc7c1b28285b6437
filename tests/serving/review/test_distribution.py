"""The distribution of scores counts every visible user once and no hidden user."""

import numpy as np
import pytest

from features.errors import ScopeError
from serving.review.distribution import distribution
from serving.snapshots.repository import open_snapshot
from training.records.opt_outs import opt_out


def test_every_scored_user_is_in_one_bin(home, scores):
    scored = scores[(scores["scope"] == "all") & (scores["evidence"] != "insufficient_evidence")]
    figures = distribution(open_snapshot(home))
    expected, _ = np.histogram(scored["score"], np.arange(0, 105, 5))
    assert [score_bin.users for score_bin in figures.bins] == expected.tolist()
    assert (figures.scored, figures.insufficient_evidence) == (len(scored), 309 - len(scored))
    assert (figures.median, figures.p95) == pytest.approx(scored["score"].quantile([0.5, 0.95]).tolist(), abs=1e-5)


def test_a_bin_has_the_interval_of_its_median_user(home, scores):
    scored = scores[(scores["scope"] == "all") & (scores["evidence"] != "insufficient_evidence")]
    for score_bin in distribution(open_snapshot(home)).bins:
        users = scored[
            (scored["score"] >= score_bin.low) & ((scored["score"] < score_bin.high) | (score_bin.high == 100))
        ]
        medians = (None, None) if users.empty else (users["low"].median(), users["high"].median())
        assert (score_bin.people_low, score_bin.people_high) == medians


def test_hidden_users_are_not_counted(home):
    snapshot = open_snapshot(home)
    before = distribution(snapshot).scored
    opt_out(home, "user0001")
    assert distribution(open_snapshot(home)).scored == before - 1


def test_a_scope_without_users_is_an_error(home):
    assert distribution(open_snapshot(home), "topic:birds").scored == 2
    with pytest.raises(ScopeError, match="nobody has a score of the scope 'topic:cats' as of 2017-07-30"):
        distribution(open_snapshot(home), "topic:cats")
