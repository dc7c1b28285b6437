"""The ground truth matches the simulated events."""

import numpy as np
import pandas as pd
import pytest

from features.events.event_table import ENGAGEMENTS
from features.simulation import Community
from features.simulation.population import WEEK, Drift, build_engager_pool, draw_population
from features.simulation.simulate import expected_reach


@pytest.fixture(scope="module")
def realised(events, truth):
    """Return per user over the whole period: distinct engagers, engagements with own posts, and posts."""
    posts = events[events.verb == "post"]
    engagements = events[events.verb.isin(ENGAGEMENTS)]
    members = truth[(truth.joined == truth.joined.min()) & truth.left.isna()]
    return members.assign(
        engagers=engagements.groupby("target").actor.nunique(),
        posts=posts.groupby("actor").size(),
        reactions=engagements[engagements.object.isin(set(posts.object))].groupby("target").size(),
    ).fillna({"engagers": 0, "posts": 0, "reactions": 0})


def test_the_truth_has_its_columns_and_a_row_per_user(truth, community):
    assert list(truth.columns) == ["kind", "pull", "posts_per_day", "reach", "topic", "joined", "left"]
    assert len(truth) == community.users
    assert truth.index.is_unique
    assert str(truth.joined.dt.tz) == str(truth.left.dt.tz) == "UTC"


def test_reach_ranks_users_better_than_their_post_counts(realised):
    order = realised[["engagers", "reach", "posts"]].corr(method="spearman").engagers
    assert order.reach > 0.5
    assert order.reach > order.posts + 0.03


def test_pull_beats_counting_posts_among_those_who_post(realised):
    posters = realised[realised.kind.isin(["ordinary", "expert", "bot"])]
    order = posters[["engagers", "pull", "posts"]].corr(method="spearman").engagers
    assert order.pull > 0.6
    assert order.pull > order.posts + 0.2


def test_pull_is_independent_of_posting_within_a_kind(truth):
    ordinary = truth[truth.kind == "ordinary"]
    assert abs(ordinary.pull.corr(ordinary.posts_per_day, method="spearman")) < 0.1


def test_pull_is_the_expected_engagement_per_post(realised):
    about_pieces = 0.925  # follows, blocks and unfollows have no post
    expected = (realised.posts * realised.pull).sum() * about_pieces
    assert realised.reactions.sum() == pytest.approx(expected, rel=0.2)


def test_posts_occur_at_their_rate(realised, community):
    expected = realised.posts_per_day.sum() * community.days
    assert 0.9 < realised.posts.sum() / expected < 1.01  # reduced by absences


def test_reach_is_the_expected_number_of_engagers(events, truth, community):
    last = pd.Timestamp(community.start) + pd.Timedelta(days=community.days - 28)
    engagements = events[events.verb.isin(ENGAGEMENTS) & (events.time >= last)]
    present = truth[(truth.joined < last) & truth.left.isna()]
    engagers = engagements.groupby("target").actor.nunique().reindex(present.index, fill_value=0)
    assert 0.7 < engagers.sum() / present.reach.sum() < 1.2


def test_reach_matches_a_monte_carlo_estimate():
    population = draw_population(Community(users=500, seed=3))
    pool = build_engager_pool(population, 12)
    user = int(np.argmax(population.pull * population.posts_per_day))
    mean = 28 * population.posts_per_day[user] * population.pull[user]
    rng = np.random.default_rng(0)
    fans = float(pool.fans[user])
    counts = []
    for _ in range(300):
        number = np.floor(fans * rng.random(rng.poisson(0.68 * mean)) ** 2)
        counts.append(len(np.unique(number)) + rng.poisson(0.32 * mean))
    assert expected_reach(population, pool)[user] == pytest.approx(np.mean(counts), rel=0.05)


def test_reach_never_exceeds_the_engagements(truth):
    assert (truth.reach <= 28 * truth.posts_per_day * truth.pull * (1 + 1e-9)).all()
    assert (truth.reach > 0).all()


def test_pull_drifts_by_months_around_the_truth():
    drift = Drift(Community(users=4_000))
    first = drift.factors_at(drift.community.begin).copy()
    same = drift.factors_at(drift.community.begin + WEEK - 1)
    later = drift.factors_at(drift.community.begin + 8 * WEEK)
    assert np.array_equal(first, same)
    assert later.mean() == pytest.approx(1, abs=0.05)
    assert 0.5 < np.corrcoef(np.log(first), np.log(later))[0, 1] < 0.8  # 0.95 ** 8 = 0.66
