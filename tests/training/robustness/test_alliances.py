"""Alliances: their events, duration, and limits in people."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.events.event_table import open_events
from training.robustness.alliances import (
    ALLIANCES,
    Helpers,
    _alliance_events,
    _assign,
    _divide,
    _helpers,
    _ordinary_members,
    _unanswered,
    alliance_suite,
)
from training.robustness.attack_report import AttackReport, low_median
from training.robustness.attacks import AttackContext

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
USERS = np.array([f"u{k}" for k in range(400)], dtype=object)
BY_NAME = {alliance.name: alliance for alliance in ALLIANCES}
HELPERS = Helpers(USERS[100:200], USERS[100:101], USERS[200:220])


def events_of(name):
    alliance = BY_NAME[name]
    return _alliance_events(alliance, USERS[: alliance.group], 0, HELPERS, attack_context())


def attack_context():
    return AttackContext(
        AS_OF, USERS, USERS[:0], USERS, USERS, pd.DataFrame({"actor": [], "object": []}), 90, np.random.default_rng(0)
    )


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("friends_1_for_28d", 1.25),
        ("new_with_5_for_7d", 6.25),
        ("friends_5_for_120d", 6.25),
        ("pod_12_for_120d", 5.5),
        ("slow_ring", 10.0),
    ],
)
def test_limits_in_people(name, limit):
    assert BY_NAME[name].limit == limit


def test_friends_answer_every_daily_post():
    events = events_of("friends_3_for_28d")
    posts, answers = events[events["verb"] == "post"], events[events["verb"] == "reply"]
    assert (len(posts), len(answers)) == (28, 3 * 28)
    assert answers["actor"].nunique() == 3
    assert set(answers["target"]) == {"u0"}
    assert not answers["actor"].isin(USERS[:100]).any()
    assert (events["time"] >= pd.Timestamp(AS_OF) - pd.Timedelta(days=28)).all()


def test_members_of_a_pod_answer_all_others():
    events = events_of("pod_5_for_28d")
    answers = events[events["verb"] == "reply"]
    assert len(answers) == 5 * 28 * 4
    assert (answers["actor"] != answers["target"]).all()
    assert set(answers["actor"]) == set(answers["target"]) == set(USERS[:5])


def test_a_ring_responds_internally_before_it_answers_the_member():
    events = events_of("slow_ring")
    to_member = events["target"] == "u0"
    ring = set(events.loc[to_member, "actor"])
    assert len(ring) == 8
    early = events[events["actor"].isin(ring) & ~to_member]
    assert (early["time"] < pd.Timestamp(AS_OF) - pd.Timedelta(days=28)).all()
    assert early["time"].min() < pd.Timestamp(AS_OF) - pd.Timedelta(days=300)


def test_new_accounts_are_answered_before_they_answer_the_member():
    events = events_of("answered_12_28d")
    to_member = events["target"] == "u0"
    accounts = set(events.loc[to_member, "actor"])
    assert len(accounts) == 12
    assert BY_NAME["answered_12_28d"].limit == 15
    earlier = events[events["target"].isin(accounts)]
    assert (earlier.groupby("target").size() == 3).all()
    assert set(earlier["actor"]) <= set(USERS)
    assert earlier["time"].max() <= pd.Timestamp(AS_OF) - pd.Timedelta(days=27)
    assert not BY_NAME["answered_12_28d"].exchanged


def test_a_new_account_is_compared_with_an_unanswered_one():
    alliance = BY_NAME["new_with_2_for_7d"]
    groups = dict(_assign(USERS)[0])
    account = groups[alliance][0]
    assert not set(account) & set(USERS)
    context = attack_context()
    events = _alliance_events(alliance, account, 0, HELPERS, context)
    answers = events[events["verb"] == "reply"]
    assert (len(events), len(answers), answers["actor"].nunique()) == (7 + 2 * 7, 2 * 7, 2)
    assert set(answers["target"]) == set(account)
    other = _unanswered(events, account)
    posts = events[events["verb"] == "post"]
    assert other["time"].tolist() == posts["time"].tolist()
    assert not set(other["object"]) & set(posts["object"])
    assert other["actor"].unique().tolist() == [f"{account[0]}, unanswered"]
    assert _unanswered(events_of("friends_3_for_28d"), account).empty


def test_every_alliance_gets_its_own_members():
    groups, omissions = _assign(USERS)
    assert omissions == []
    members = np.concatenate([np.concatenate(several) for _, several in groups])
    assert len(set(members)) == len(members)
    assert {alliance.name for alliance, _ in groups} == set(BY_NAME)
    none, omissions = _assign(USERS[:10])
    assert none == []
    assert {(alliance.name, alliance.reason) for alliance in omissions} == {
        (name, "10 ordinary members are too few for all alliances") for name in BY_NAME
    }
    assert {len(several) for alliance, several in groups if alliance.group == 1} == {20, 21}
    assert [len(several) for alliance, several in groups if alliance.group > 1] == [1] * 6
    assert _assign(USERS[:0])[0] == []


def users_of(history, count=1_000):
    """Return users of all ages, with as many engagers as they are old, some of them silent for long."""
    ages = np.linspace(history, 0, count)
    silent = np.where(np.arange(count) % 3 == 0, ages, 0.0)
    users = {"age_days": ages, "tenure_days": ages, "silent_days": silent, "engagers": np.ceil(ages)}
    return pd.DataFrame(users, index=pd.Index([f"u{k}" for k in range(count)]))


def divided(history):
    users = users_of(history)
    return _divide(ALLIANCES, users, _helpers(users, users.index[:10].to_numpy(object)))


def test_members_are_old_present_and_ordinary():
    silent_days = np.tile([0.0, 1.0, 7.0, 2.0, 3.0, 7.1, 8.0, 27.0], 125)  # absent after 7 days
    users = users_of(70).assign(silent_days=silent_days)
    score = pd.Series(np.tile(np.arange(8.0), 125), users.index)  # of active users 0 to 4
    members = _ordinary_members(score, users, np.random.default_rng(0))
    assert set(users.loc[members, "silent_days"]) == {1.0, 7.0, 2.0}
    assert users.loc[members, "age_days"].min() > 35


def test_a_long_history_allows_all_alliances():
    possible, omissions = divided(400)
    assert (tuple(possible), omissions) == (ALLIANCES, [])


def test_a_young_community_leaves_out_what_does_not_fit():
    possible, omissions = divided(70)
    reason = (
        "an alliance of 120 days takes 240 days of history or more, so that its members were there before it begins "
        "(this history has 70)"
    )
    reasons = {alliance.name: alliance.reason for alliance in omissions}
    assert reasons.pop("dormant_5_28d") == "the community has 0 users who could help in this way, and 5 are needed"
    assert reasons == dict.fromkeys((name for name in BY_NAME if name.endswith("120d")), reason)
    (ring,) = (alliance for alliance in possible if alliance.ring_days)
    assert ring.ring_days + ring.days == int((300 + 28) * 70 / 360)


def test_a_ring_needs_four_weeks_to_establish_itself():
    _, omissions = divided(60)
    (ring,) = (alliance for alliance in omissions if alliance.name == "slow_ring")
    assert ring.reason == (
        "in 60 days of history its accounts could answer each other for 26 days only, and 28 are needed"
    )


def test_a_history_that_is_hours_too_short_is_not_rounded_up():
    _, omissions = divided(239.9)
    assert {alliance.reason[-26:] for alliance in omissions if alliance.name.endswith("120d")} == {
        "begins (this history has 239)"[-26:]
    }


def test_titles_say_in_words_what_names_do():
    titles = [BY_NAME[name].title for name in ("friends_1_for_120d", "friends_3_for_7d", "new_with_2_for_28d")]
    assert titles == ["one friend for 120 days", "3 friends for 7 days", "a new account with 2 friends for 28 days"]
    assert BY_NAME["pod_5_for_28d"].title == "a pod of 5 for 28 days"


def test_an_alliance_without_helpers_is_not_tried():
    users = users_of(400)
    possible, omissions = _divide(ALLIANCES, users, Helpers(USERS[:4], USERS[:1], USERS[:0]))
    reasons = {alliance.name: alliance.reason for alliance in omissions}
    assert reasons["dormant_5_28d"] == "the community has 0 users who could help in this way, and 5 are needed"
    assert "friends_5_for_7d" in reasons
    assert "friends_3_for_7d" in {alliance.name for alliance in possible}


def test_alliances_of_a_single_helper_get_up_to_60_members():
    many = np.array([f"m{k}" for k in range(1_000)], dtype=object)
    for members, of_one in ((many, 60), (many[: 74 + 16 * 20 + 4 * 7], 27)):
        for alliance, several in _assign(members)[0]:
            if alliance.group == 1:
                assert len(several) == (of_one if alliance.people == 1 else 20)


@pytest.mark.parametrize(("members", "lowest"), [(1, 0), (5, 0), (8, 0), (9, 1), (20, 5)])
def test_the_median_of_members_has_an_interval(members, lowest):
    """By the table of the sign test: for 9 values from the second value on, for 20 from the sixth."""
    assert low_median(np.random.default_rng(0).permutation(members)) == lowest


def test_alliances_are_measured_in_people(simulated, bundle):
    report = alliance_suite(open_events(simulated.events), bundle, simulated.as_of)
    results = report.results
    assert results
    first = simulated.events["time"].to_pandas().min()
    assert report.history_days == pytest.approx((simulated.as_of - first) / timedelta(days=1))
    tried, omissions = (set(names) for names in ((r.alliance for r in results), (r.name for r in report.omissions)))
    assert not tried & omissions
    assert tried | omissions == set(BY_NAME)
    for result in results:
        few_points = result.points_limit is None or result.gain_median <= result.points_limit
        assert result.within_limit == (few_points and result.people_gain_median <= result.people_limit)
        assert result.gain_low <= result.gain_median
        assert result.people_gain_low <= result.people_gain_median
        assert result.members >= 1
    by_name = {result.alliance: result for result in results}
    one, answered = by_name["friends_1_for_28d"], by_name["answered_12_28d"]
    assert one.people == 1
    assert (one.acts, one.answers) == (2 * 28, 0)
    assert (answered.acts, answered.answers) == (28 + 12 * 28 + 12, 3)  # posts, responses and questions
    assert answered.cost in AttackReport(simulated.as_of, "", 20.0, (), alliances=results).answered_accounts
    new = by_name["new_with_1_for_7d"]
    assert (new.acts, new.members) == (2 * 7, one.members)
    assert new.gain_median > 0 < new.people_gain_median
    assert (one.points_limit, answered.points_limit) == (None, 35.0)
    assert "points_limit" not in one.as_json()
    assert one.as_json()["within_limit"] == one.within_limit
