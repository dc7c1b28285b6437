import json

import numpy as np
import pandas as pd
import pytest

from training.evaluation.metrics import rank_retention
from training.evaluation.report_types import TopShare


def scores(**score_by_user):
    return pd.DataFrame({"user": list(score_by_user), "score": [float(score) for score in score_by_user.values()]})


def top(retention, share):
    return next(row for row in retention.top if row.share == share)


def test_rank_stability_by_hand():
    earlier = scores(a=9, b=8, c=7, d=6, e=5, f=4, g=3, h=2)
    later = scores(h=1, g=2, f=3, e=4, d=5, c=9, b=3.5, a=8)
    retention = rank_retention(earlier, later)
    assert retention.users == (8, 8)
    assert retention.both == 8
    # the first user is a, later c; the first two are a and b, later c and a
    assert top(retention, 0.1) == TopShare(0.1, 1, 0.0, 0.0)
    assert top(retention, 0.25) == TopShare(0.25, 2, 0.5, 0.0)
    now = later.set_index("user")["score"][list("abcdefgh")].to_numpy()
    assert retention.spearman == pytest.approx(np.corrcoef(np.arange(8)[::-1], now.argsort().argsort())[0, 1])


def test_departed_and_new_users_are_ignored():
    earlier, later = scores(a=9, b=8, c=1, d=0), scores(c=5, x=9, b=4)
    retention = rank_retention(earlier, later)
    assert (retention.users, retention.both, retention.spearman) == ((4, 3), 2, pytest.approx(-1))
    assert top(retention, 0.25) == TopShare(0.25, 1, 0.0, 1.0)
    assert top(rank_retention(earlier, scores(x=9, a=10)), 0.25) == TopShare(0.25, 1, 1.0, 0.0)


def test_ties_are_in_the_top_completely_or_not_at_all():
    earlier, later = scores(a=5, b=5, c=5, d=1, e=0, f=0, g=0, h=0), scores(a=5, b=4, c=1, d=5, e=0, f=0, g=0, h=0)
    assert top(rank_retention(earlier, later), 0.01) == TopShare(0.01, 3, 1 / 3, 0.0)
    assert top(rank_retention(later, earlier), 0.01) == TopShare(0.01, 2, 0.5, 0.0)


def test_equal_scores():
    alike = scores(a=1, b=1, c=1)
    retention = rank_retention(alike, alike)
    assert retention.spearman is None
    assert [row.retained for row in retention.top] == [1.0] * 4
    assert [row.users for row in retention.top] == [3] * 4


def test_no_common_users():
    retention = rank_retention(scores(a=1, b=2), scores(x=1, y=2))
    assert (retention.both, retention.spearman) == (0, None)
    assert [row.departed for row in retention.top] == [1.0] * 4
    assert json.loads(json.dumps(retention.as_json(), allow_nan=False)) == retention.as_json()


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    names = [f"u{k}" for k in range(300)]
    one = pd.DataFrame({"user": names, "score": rng.normal(size=300).round(1)})
    other = pd.DataFrame({"user": names, "score": rng.normal(size=300).round(1) + one["score"]})
    retention = rank_retention(one, other)
    mixed = rank_retention(one.sample(frac=1, random_state=1), other.sample(frac=1, random_state=2))
    assert mixed.top == retention.top
    assert mixed.spearman == pytest.approx(retention.spearman, abs=1e-12)
    assert retention.spearman == pytest.approx(one["score"].corr(other["score"], method="spearman"))
