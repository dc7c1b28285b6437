"""Equal pull gives equal points, computed by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.events.event_table import open_events
from tests.benchmarks.fairness import equality, exchange, residuals


def test_exchange_by_hand(table):
    acts = [
        (0, "a", "like", "b"),
        (1, "a", "reply", "b"),
        (2, "c", "like", "b"),
        (3, "b", "like", "a"),
        (4, "b", "dislike", "c"),
        (5, "b", "like", "b"),
        (6, None, "like", "b"),
        (400, "b", "like", "c"),
    ]
    result = exchange(open_events(table(acts)), datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=30))
    assert result.to_dict("index") == {"a": {"engagers": 1, "mutual": 1}, "b": {"engagers": 2, "mutual": 1}}


def test_residuals_show_the_favoured_group():
    rng = np.random.default_rng(0)
    pull = pd.Series(rng.uniform(0, 10, 2_000))
    favoured = pd.Series(np.arange(2_000) % 2 == 0)
    score = 5 * pull + 3.0 * favoured + rng.normal(0, 1, 2_000)
    result = residuals(score, pull, {"favoured": favoured, "others": ~favoured, "nobody": favoured & ~favoured})
    assert [group["group"] for group in result] == ["favoured", "others"]
    assert result[0]["residual"] == pytest.approx(1.5, abs=0.2)
    assert result[1]["residual"] == pytest.approx(-1.5, abs=0.2)
    for group in result:
        assert group["low"] < group["residual"] < group["high"]
    assert result[0]["low"] > 0 > result[1]["high"]


def test_higher_pull_is_no_advantage():
    pull = pd.Series(np.arange(1_000.0))
    high = pull > 500
    for group in residuals(np.sqrt(pull), pull, {"high": high, "low": ~high}):
        assert group["residual"] == pytest.approx(0, abs=1e-9)


def test_groups_of_a_community(simulated, bundle):
    truth = simulated.truth.reset_index()
    result = {
        group["group"]: group for group in equality(open_events(simulated.events), truth, bundle, simulated.as_of)
    }
    assert set(result) == {"friends", "others", "newcomers", "long-standing"}
    both = result["friends"]["users"] + result["others"]["users"]
    assert result["newcomers"]["users"] + result["long-standing"]["users"] < both
    means = [result[name]["residual"] * result[name]["users"] for name in ("friends", "others")]
    assert sum(means) == pytest.approx(0, abs=1e-6)
