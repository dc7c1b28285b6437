"""The simulated behaviour: nights and weekends, kinds of users, fans, newcomers and absences."""

import pandas as pd
import pytest

from features.events.event_table import ENGAGEMENTS
from features.simulation.community import DAY
from features.simulation.population import YEAR, draw_population


@pytest.fixture(scope="module")
def engagements(events):
    """Engagements whose actor is not null."""
    return events[events.verb.isin(ENGAGEMENTS) & events.actor.notna()]


def test_the_volume_is_realistic(events, community):
    per_user = len(events) / community.users * 28 / community.days
    assert 6 < per_user < 14


def test_days_have_a_peak_and_a_trough(events):
    hours = events.time.dt.hour.value_counts()
    assert 3 < hours.max() / hours.min() < 12
    assert hours.idxmax() in range(16, 23)


def test_weekends_are_quieter(events):
    days = events.time.dt.day_of_week.value_counts()
    assert 0.7 < days[[5, 6]].mean() / days[[0, 1, 2, 3, 4]].mean() < 0.95


def test_kinds_have_their_shares(truth):
    share = truth.kind.value_counts(normalize=True)
    assert share.to_dict() == {"lurker": 0.48, "ordinary": 0.46, "expert": 0.04, "bot": 0.02}


def test_bots_post_most_and_get_almost_no_engagement(events, truth, engagements):
    posts = events[events.verb == "post"].actor.map(truth.kind).value_counts()
    received = engagements.target.map(truth.kind).value_counts()
    users = truth.kind.value_counts()
    assert (posts / users).idxmax() == "bot"
    assert received["bot"] / posts["bot"] < 0.1 * received["ordinary"] / posts["ordinary"]


def test_bots_only_post_and_mention_and_repeat_themselves(events, truth):
    bots = events[events.actor.map(truth.kind) == "bot"]
    assert set(bots.verb) == {"post", "mention"}
    posts = bots[bots.verb == "post"]
    assert posts.groupby("actor").content_hash.nunique().max() <= 4
    assert events[events.verb.isin(["reply", "quote"])].content_hash.is_unique


def test_bots_post_regularly_and_humans_do_not(events, truth):
    posts = events[events.verb == "post"].sort_values(["actor", "time"])
    gap = posts.groupby("actor").time.diff().dt.total_seconds()
    spread = gap.groupby(posts.actor).agg(lambda gaps: gaps.std() / gaps.mean() if len(gaps) > 20 else None)
    spread = spread.groupby(truth.kind).median()
    assert spread["bot"] < 0.5 < spread["ordinary"]


def test_lurkers_engage_and_rarely_post(events, truth):
    counts = events.groupby([events.actor.map(truth.kind), "verb"]).size().unstack()
    users = truth.kind.value_counts()
    assert counts.post["lurker"] / users["lurker"] < 0.15 * counts.post["ordinary"] / users["ordinary"]
    assert counts["like"]["lurker"] > 10 * counts.post["lurker"]


def test_most_engagement_comes_from_recurring_fans(engagements):
    pairs = engagements.groupby(["target", "actor"]).size()
    assert pairs[pairs >= 3].sum() / pairs.sum() > 0.3


def test_some_engagement_is_returned_and_most_is_not(engagements):
    pairs = set(zip(engagements.actor, engagements.target, strict=True))
    returned = sum((target, actor) in pairs for actor, target in pairs) / len(pairs)
    assert 0.1 < returned < 0.6


def test_engagers_share_the_interest(engagements, truth):
    same = engagements.actor.map(truth.topic).to_numpy() == engagements.target.map(truth.topic).to_numpy()
    by_chance = (truth.topic.value_counts(normalize=True) ** 2).sum()
    assert same.mean() > 3 * by_chance


def test_reactions_take_hours_and_some_take_days(events):
    posted = events[events.verb == "post"].set_index("object").time
    reaction = events[(events.verb == "like") & events.object.isin(posted.index)]
    hours = (reaction.time.to_numpy() - posted.loc[reaction.object].to_numpy()) / pd.Timedelta(hours=1)
    assert 2 < pd.Series(hours).median() < 10
    assert 0.03 < (hours > 72).mean() < 0.3


def test_users_join_and_leave_throughout_the_period(truth, community):
    begin = pd.Timestamp(community.start)
    assert 0.5 < (truth.joined == begin).mean() < 0.6
    for instants in (truth.joined[truth.joined > begin], truth.left.dropna()):
        quarters = ((instants - begin) / pd.Timedelta(days=community.days) * 4).astype(int).value_counts(normalize=True)
        assert quarters.index.isin(range(4)).all()
        assert quarters.min() > 0.15
    assert (truth.left.dropna() > truth.joined[truth.left.notna()]).all()


def test_users_are_inactive_during_absences(events, community):
    population = draw_population(community)
    away = pd.DataFrame({"begin": population.absence_start, "length": population.absence_length}).query("length > 0")
    assert 0.35 < len(away) / community.users < 0.45
    assert away.length.between(7 * DAY, 28 * DAY).all()
    attributed = events[events.actor.notna()]
    user = attributed.actor.str[1:].astype(int)
    since = (attributed.time.dt.as_unit("us").astype("int64") - population.absence_start[user]) % YEAR
    assert (since >= population.absence_length[user]).all()
    assert (since < 28 * DAY).any()


def test_audiences_are_skewed(engagements, truth, community):
    last = pd.Timestamp(community.start) + pd.Timedelta(days=community.days - 28)
    engagers = (
        engagements[engagements.time >= last].groupby("target").actor.nunique().reindex(truth.index, fill_value=0)
    )
    assert engagers.median() <= 1
    assert 0.35 < (engagers == 0).mean() < 0.8
    assert engagers.max() > 20 * engagers.mean()
