"""The truth beside the events is the truth of the events."""

import numpy as np
import pandas as pd
import pytest

from features.events.event_table import ENGAGEMENTS
from features.simulation import Community
from features.simulation.ground_truth import reach
from features.simulation.population import WEEK, Drift, draw_population
from features.simulation.social_graph import gather


@pytest.fixture(scope="module")
def realised(events, truth):
    """Per user over the whole period: distinct engagers, engagements with own posts, and posts."""
    posts = events[events.verb == "post"]
    drawn = events[events.verb.isin(ENGAGEMENTS)]
    stayed = truth[(truth.joined == truth.joined.min()) & truth.left.isna()]
    return stayed.assign(
        engagers=drawn.groupby("target").actor.nunique(),
        posts=posts.groupby("actor").size(),
        reactions=drawn[drawn.object.isin(set(posts.object))].groupby("target").size(),
    ).fillna({"engagers": 0, "posts": 0, "reactions": 0})


def test_the_truth_has_its_columns_and_everybody(truth, community):
    assert list(truth.columns) == ["kind", "pull", "posts_per_day", "reach", "topic", "joined", "left"]
    assert len(truth) == community.users
    assert truth.index.is_unique
    assert str(truth.joined.dt.tz) == str(truth.left.dt.tz) == "UTC"


def test_reach_orders_people_and_better_than_their_posts_do(realised):
    order = realised[["engagers", "reach", "posts"]].corr(method="spearman").engagers
    assert order.reach > 0.5
    assert order.reach > order.posts + 0.03


def test_pull_beats_counting_posts_among_those_who_post(realised):
    posters = realised[realised.kind.isin(["ordinary", "expert", "bot"])]
    order = posters[["engagers", "pull", "posts"]].corr(method="spearman").engagers
    assert order.pull > 0.6
    assert order.pull > order.posts + 0.2


def test_pull_says_nothing_about_posting_within_a_kind(truth):
    ordinary = truth[truth.kind == "ordinary"]
    assert abs(ordinary.pull.corr(ordinary.posts_per_day, method="spearman")) < 0.1


def test_pull_is_what_a_post_draws(realised):
    about_pieces = 0.925  # follows, blocks and unfollows name no piece
    expected = (realised.posts * realised.pull).sum() * about_pieces
    assert realised.reactions.sum() == pytest.approx(expected, rel=0.2)


def test_posts_come_at_their_rate(realised, community):
    expected = realised.posts_per_day.sum() * community.days
    assert 0.9 < realised.posts.sum() / expected < 1.01  # less for absences


def test_reach_is_the_expected_number_of_people(events, truth, community):
    last = pd.Timestamp(community.start) + pd.Timedelta(days=community.days - 28)
    drawn = events[events.verb.isin(ENGAGEMENTS) & (events.time >= last)]
    there = truth[(truth.joined < last) & truth.left.isna()]
    people = drawn.groupby("target").actor.nunique().reindex(there.index, fill_value=0)
    assert 0.7 < people.sum() / there.reach.sum() < 1.2


def test_reach_has_the_value_worked_out_by_drawing():
    people = draw_population(Community(users=500, seed=3))
    crowd = gather(people, 12)
    user = int(np.argmax(people.pull * people.posts_per_day))
    mean = 28 * people.posts_per_day[user] * people.pull[user]
    rng = np.random.default_rng(0)
    fans = float(crowd.fans[user])
    found = []
    for _ in range(300):
        number = np.floor(fans * rng.random(rng.poisson(0.68 * mean)) ** 2)
        found.append(len(np.unique(number)) + rng.poisson(0.32 * mean))
    assert reach(people, crowd)[user] == pytest.approx(np.mean(found), rel=0.05)


def test_reach_of_nobody_exceeds_what_the_posts_draw(truth):
    assert (truth.reach <= 28 * truth.posts_per_day * truth.pull * (1 + 1e-9)).all()
    assert (truth.reach > 0).all()


def test_pull_drifts_by_months_around_the_truth():
    drift = Drift(Community(users=4_000))
    first = drift.at(drift.community.begin).copy()
    same = drift.at(drift.community.begin + WEEK - 1)
    later = drift.at(drift.community.begin + 8 * WEEK)
    assert np.array_equal(first, same)
    assert later.mean() == pytest.approx(1, abs=0.05)
    assert 0.5 < np.corrcoef(np.log(first), np.log(later))[0, 1] < 0.8  # 0.95 ** 8 = 0.66
