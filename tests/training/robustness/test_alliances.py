"""Alliances: their events, duration, and limits in people."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from features.events.event_table import open_events
from training.robustness.alliances import ALLIANCES, Helpers, _alliance_events, _assign, _unanswered, alliance_suite
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
    groups = dict(_assign(USERS))
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
    groups = _assign(USERS)
    members = np.concatenate([np.concatenate(several) for _, several in groups])
    assert len(set(members)) == len(members)
    assert {alliance.name for alliance, _ in groups} == set(BY_NAME)
    assert [len(several) for _, several in _assign(USERS[:10])] == []
    assert [len(several) for _, several in groups] == [20] * 24 + [1] * 6
    assert _assign(USERS[:0]) == []


@pytest.mark.parametrize(("members", "lowest"), [(1, 0), (5, 0), (8, 0), (9, 1), (20, 5)])
def test_the_median_of_members_has_an_interval(members, lowest):
    """By the table of the sign test: for 9 values from the second value on, for 20 from the sixth."""
    assert low_median(np.random.default_rng(0).permutation(members)) == lowest


def test_alliances_are_measured_in_people(simulated, bundle):
    results = alliance_suite(open_events(simulated.events), bundle, simulated.as_of)
    assert results
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
    assert one.as_json()["held"] == one.within_limit
