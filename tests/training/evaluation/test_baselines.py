from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from features.events.loading import load_encoded_events
from features.feature_table import feature_rows
from training.evaluation.baselines import BASELINES, baselines, best_baseline, pagerank, tweepcred

AS_OF = datetime(2025, 1, 11, tzinfo=UTC)  # day 10 of the event tables


def edges(*rows):
    return pd.DataFrame(rows, columns=["actor", "target", "acts", "follows"])


def dense(flow: np.ndarray, damping: float) -> np.ndarray:
    """Solve the equation of PageRank for acts[from, to]; users without acts spread their rank over all users."""
    n = len(flow)
    outgoing = flow.sum(axis=1, keepdims=True)
    steps = np.where(outgoing > 0, flow / np.maximum(outgoing, 1e-300), 1 / n)
    return np.linalg.solve(np.eye(n) - damping * steps.T, np.full(n, (1 - damping) / n)) * n


@pytest.fixture(scope="module")
def signals(table):
    def compute(acts):
        events = load_encoded_events(table(acts))
        rows = feature_rows(events, AS_OF)
        return baselines(events, rows, AS_OF).set_index(rows["user"])

    return compute


class TestPagerank:
    def test_pagerank_of_a_mutual_pair_is_average(self):
        ranks = pagerank(edges(("a", "b", 3, 0), ("b", "a", 1, 0)))
        assert ranks.to_dict() == pytest.approx({"a": 1.0, "b": 1.0})

    def test_pagerank_of_three_users_by_hand(self):
        # a -> c, b -> c, c -> nobody: a and b get the base share only, c gets it plus 0.85 (a + b), so c = 2.7 a.
        ranks = pagerank(edges(("a", "c", 1, 0), ("b", "c", 1, 0)))
        x = 3 / (2 + 2.7)
        assert ranks.to_dict() == pytest.approx({"a": x, "b": x, "c": 2.7 * x}, rel=1e-6)

    def test_agrees_with_a_dense_solution(self):
        rng = np.random.default_rng(0)
        flow = rng.integers(0, 4, (9, 9)) * (rng.random((9, 9)) < 0.4)
        np.fill_diagonal(flow, 0)
        flow[3] = 0
        rows = [(f"u{i}", f"u{j}", flow[i, j], 0) for i, j in np.argwhere(flow)]
        ranks = pagerank(edges(*rows))
        exact = pd.Series(dense(flow.astype(float), 0.85), index=[f"u{k}" for k in range(9)])
        assert set(ranks.index) == set(exact.index)
        assert ranks[exact.index].to_numpy() == pytest.approx(exact.to_numpy(), abs=1e-3)
        assert ranks.mean() == pytest.approx(1.0)

    def test_ranks_are_weighted_by_events(self):
        ranks = pagerank(edges(("a", "b", 9, 0), ("a", "c", 1, 0)))
        assert ranks["b"] > ranks["c"] > 0

    def test_no_edges_give_no_ranks(self):
        assert pagerank(edges()).empty


class TestTweepcred:
    @staticmethod
    def hub(following, followers):
        rows = [("hub", f"x{k}", 1, 1) for k in range(following)]
        return edges(*rows, *((f"y{k}", "hub", 1, 1) for k in range(followers)))

    def test_following_many_more_than_followers_lowers_the_rank(self):
        assert tweepcred(self.hub(501, 1))["hub"] == 0.0
        assert tweepcred(self.hub(500, 1))["hub"] > 50

    def test_the_penalty_by_hand(self):
        follows = self.hub(1_000, 300)
        mass = pagerank(follows, damping=0.9, rounds=20)
        excess = 1_000 / 300 - 0.6
        expected = 130 + 5.21 * (np.log(mass["hub"] / mass.sum()) - 5 * excess)
        assert 0 < expected < 100
        assert tweepcred(follows)["hub"] == pytest.approx(expected)

    def test_repeated_follows_count_once(self):
        one, often = edges(("a", "b", 1, 1), ("a", "c", 1, 1)), edges(("a", "b", 9, 9), ("a", "c", 1, 1))
        pd.testing.assert_series_equal(tweepcred(one), tweepcred(often))

    def test_ranks_are_between_0_and_100(self):
        assert tweepcred(edges(("a", "b", 1, 1))).to_dict() == {"a": 100.0, "b": 100.0}

    def test_more_followers_rank_higher(self):
        ring = [(f"x{k}", f"x{(k + 1) % 2_000}", 1, 1) for k in range(2_000)]
        scores = tweepcred(edges(*ring, *((f"x{k}", "x0", 1, 1) for k in range(2, 9))))
        assert 100 > scores["x0"] > scores["x1"] > scores["x1000"] > 0


class TestSignals:
    ACTS = (
        (1, "a", "follow", "u"),
        (2, "b", "follow", "u"),
        (3, "c", "like", "v"),
        (4, "d", "like", "v"),
        (5, "e", "like", "v"),
        (6, "a", "like", "v"),
        (7, "u", "post", None),
    )

    def test_signals_by_hand(self, signals):
        result = signals(self.ACTS)
        assert list(result) == list(BASELINES)
        assert result.loc["u", ["followers", "engagers", "recent_engagers", "activity"]].tolist() == [2, 2, 2, 1]
        assert result.loc["v", ["followers", "engagers"]].tolist() == [0, 4]
        assert result.loc["v", "pagerank"] > result.loc["u", "pagerank"] > result.loc["a", "pagerank"]
        assert result.loc["u", "tweepcred"] > 0
        assert result.loc["v", "tweepcred"] == 0  # only follows count
        assert result.notna().all(axis=None)

    def test_later_events_are_ignored(self, signals):
        later = [(10 + k, f"x{k % 3}", "follow", "v") for k in range(30)]
        pd.testing.assert_frame_equal(signals([*self.ACTS, *later]), signals(self.ACTS))

    def test_negative_own_anonymous_and_old_events_give_no_rank(self, signals):
        ranked = ["pagerank", "tweepcred"]
        idle = [(8, "c", "block", "u"), (8, "u", "like", "u"), (8, None, "like", "u"), (-356, "w", "follow", "u")]
        pd.testing.assert_frame_equal(
            signals([*self.ACTS, *idle])[ranked].drop("w", errors="ignore"), signals(self.ACTS)[ranked]
        )

    def test_tweepcred_uses_all_engagement_without_follows(self, signals):
        result = signals([(day, who, "reply", target) for day, who, _, target in self.ACTS[:6]])
        assert (result["tweepcred"] > 0).all()

    def test_without_engagements_all_signals_are_zero(self, signals):
        result = signals([(1, "a", "post", None), (2, "b", "post", None)])
        assert result[["pagerank", "tweepcred", "followers"]].eq(0).all(axis=None)


FANS = [(day, f"f{k}", "like", f"u{day}") for day in range(4) for k in range(day)]
BUSY = [(k / 50, f"x{4 - day}", "post", None) for day in range(1, 5) for k in range(10 * day)]
HEARD = [(15, f"f{k}", "like", f"u{day}") for day in range(1, 4) for k in range(day)]


class TestBest:
    """One signal predicts the audience of days 10 to 20: earlier engagers, earlier followers or earlier activity."""

    def best(self, table, acts):
        return best_baseline(load_encoded_events(table(acts)), datetime(2025, 1, 21, tzinfo=UTC), 10)

    def test_engagers_are_best_if_they_predict_the_audience(self, table):
        assert self.best(table, FANS + BUSY + HEARD) == "engagers"

    def test_activity_is_best_if_it_predicts_the_audience(self, table):
        audience = [(15, f"f{k}", "like", f"x{4 - day}") for day in range(1, 5) for k in range(day - 1)]
        assert self.best(table, FANS + BUSY + audience) == "activity"

    def test_events_after_the_instant_are_ignored(self, table):
        later = [(25, f"f{k}", "like", f"x{day}") for day in range(4) for k in range(40)]
        assert self.best(table, FANS + BUSY + HEARD + later) == "engagers"
