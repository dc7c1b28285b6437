"""The events of each attack: actors, verbs, targets, times and counts."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from training.robustness.attacks import ATTACKS, AttackContext

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
USERS = np.array([f"u{k}" for k in range(6_000)], dtype=object)
MEMBERS = [f"u{k}" for k in range(20)]
FIELDS = ("users", "dormant", "active", "established", "top_pieces", "grown_days")
BY_NAME = {attack.name: attack for attack in ATTACKS}


def make_context(seed=0):
    pieces = pd.DataFrame({"actor": ["star", "star", "other"], "object": ["o1", "o2", "o3"]})
    dormant, active, established = USERS[-500:], USERS[20:-500], USERS[100:200]
    return AttackContext(AS_OF, USERS[20:], dormant, active, established, pieces, 90, np.random.default_rng(seed))


def attack_events(name, seed=0, accounts=None, context=None):
    attack, context = BY_NAME[name], context or make_context(seed)
    members = MEMBERS[: attack.group]
    return attack.make_events(members, attack.recruit(members, context, accounts), context)


@pytest.mark.parametrize("name", BY_NAME)
def test_events_lie_within_a_quarter_before_the_instant(name):
    events = attack_events(name)
    assert (events["time"] < AS_OF).all()
    assert (events["time"] >= AS_OF - pd.Timedelta(days=91)).all()
    assert events[["time", "actor", "verb"]].notna().all(axis=None)


@pytest.mark.parametrize("name", ["mention_spam", "follow_back"])
def test_attackers_are_not_victims(name):
    assert not set(attack_events(name).query("actor == @MEMBERS[0]")["target"]) & set(MEMBERS)


@pytest.mark.parametrize("name", BY_NAME)
def test_same_seed_gives_same_events(name):
    pd.testing.assert_frame_equal(attack_events(name), attack_events(name))
    assert not attack_events(name).equals(attack_events(name, seed=1))


@pytest.mark.parametrize(
    ("name", "verbs", "accounts"),
    [
        ("bought_followers", {"follow": 10_000}, 10_000),
        ("squirrel_bot", {"post": 5_600}, 1),
        ("pod", {"post": 20 * 28, "like": 20 * 28 * 19, "reply": 20 * 28 * 19}, 20),
        ("fresh_accounts", {"post": 28, "like": 200 * 28}, 201),
        ("aged_farm", {"post": 200 * 13 + 12, "like": 200 * 13 * 2, "reply": 200 * 12}, 201),
        ("mention_spam", {"mention": 7_000}, 1),
        ("follow_back", {"follow": 7_000}, 1),
        ("reply_to_stars", {"reply": 3}, 1),
        ("repost", {"post": 280}, 1),
        ("old_accounts", {"post": 28, "like": 50 * 28}, 51),
        ("bridged_farm", {"post": 50 + 28, "reply": 50, "like": 50 * 28}, 51),
    ],
)
def test_event_counts_by_hand(name, verbs, accounts):
    events = attack_events(name)
    assert events["verb"].value_counts().to_dict() == verbs
    assert events.loc[~events["provoked"], "actor"].nunique() == accounts


@pytest.mark.parametrize("name", ["bought_followers", "fresh_accounts", "aged_farm", "old_accounts", "bridged_farm"])
def test_fewer_recruited_accounts_make_a_smaller_attack(name):
    events = attack_events(name, accounts=2)
    recruited = set(events.loc[~events["provoked"], "actor"]) - {MEMBERS[0]}
    assert len(recruited) == 2
    assert set(events["target"].dropna()) <= recruited | {MEMBERS[0]}


def test_pieces_of_different_instants_differ():
    earlier = AttackContext(
        AS_OF - pd.Timedelta(days=28), *(getattr(make_context(), name) for name in FIELDS), np.random.default_rng(0)
    )
    for name in ("squirrel_bot", "pod", "aged_farm", "reply_to_stars", "bridged_farm"):
        before, now = (attack_events(name, accounts=2, context=context) for context in (earlier, make_context()))
        new = [
            set(events.get("result", events["object"]).dropna()) | set(events.query("verb == 'post'").get("object", ()))
            for events in (before, now)
        ]
        assert not new[0] & new[1] - {"o1", "o2", "o3"}, name


def test_provoked_events_are_marked():
    follows = attack_events("follow_back")
    assert (follows["provoked"] == (follows["actor"] != MEMBERS[0])).all()
    farm = attack_events("bridged_farm")
    assert set(farm.loc[farm["provoked"], "actor"]) <= set(USERS[100:200])
    assert not attack_events("pod")["provoked"].any()


def test_bridged_farm_gets_one_answer_per_account_before_it_likes():
    events = attack_events("bridged_farm")
    answers = events.query("verb == 'reply'").set_index("target")
    assert answers.index.is_unique
    assert len(answers) == 50
    questions = events.query("verb == 'post' and actor != @MEMBERS[0]").set_index("object")
    assert (questions.loc[answers["object"], "actor"].to_numpy() == answers.index).all()
    assert (questions.loc[answers["object"], "time"].to_numpy() <= answers["time"].to_numpy()).all()
    likes = events.query("verb == 'like'")
    assert set(likes["actor"]) == set(answers.index)
    assert (answers["time"] < likes.groupby("actor")["time"].min().loc[answers.index]).all()


def test_bridged_farm_without_established_users_gets_no_answers():
    without_established = AttackContext(
        AS_OF, USERS, USERS[:0], USERS[:0], USERS[:0], make_context().top_pieces, 90, np.random.default_rng(0)
    )
    farm = attack_events("bridged_farm", context=without_established)
    assert farm.loc[farm["provoked"], "actor"].isna().all()
    assert len(attack_events("old_accounts", context=without_established)) == 28


def test_targets_by_attack():
    member = MEMBERS[0]
    assert set(attack_events("bought_followers")["target"]) == {member}
    assert attack_events("squirrel_bot")["object"].is_unique
    assert set(attack_events("reply_to_stars")["object"]) == {"o1", "o2", "o3"}
    assert attack_events("repost")["content_hash"].nunique() == 10
    back = attack_events("follow_back").query("actor != @member")
    assert (len(back), set(back["target"])) == (2_000, {member})
    likes = attack_events("old_accounts").query("verb == 'like'")
    assert set(likes["actor"]) <= set(USERS[-500:])
    assert (likes.groupby("object")["actor"].nunique() == 50).all()
    pod = attack_events("pod").query("verb != 'post'")
    assert (pod["actor"] != pod["target"]).all()
    assert (pod.groupby("target")["actor"].nunique() == 19).all()


def test_accounts_of_a_young_community_are_grown_for_less_time():
    farm = attack_events("aged_farm", context=replace(make_context(), grown_days=40))
    assert farm["time"].min() >= AS_OF - pd.Timedelta(days=41)
    assert farm["verb"].value_counts().to_dict() == {"post": 200 * 6 + 5, "like": 200 * 6 * 2, "reply": 200 * 5}


def test_only_active_users_follow_back():
    back = attack_events("follow_back", context=replace(make_context(), active=USERS[100:110])).query("provoked")
    assert 0 < len(back) <= 10
    assert set(back["actor"]) <= set(USERS[100:110])


def test_at_most_a_tenth_of_dormant_accounts_is_recruited():
    few = replace(make_context(), dormant=USERS[-81:])
    assert len(BY_NAME["old_accounts"].recruit(MEMBERS[:1], few)) == 9


def test_likes_come_within_an_hour_after_their_post():
    events = attack_events("fresh_accounts")
    posts = events[events["verb"] == "post"].set_index("object")["time"]
    likes = events[events["verb"] == "like"]
    delay = likes["time"].reset_index(drop=True) - posts.loc[likes["object"]].reset_index(drop=True)
    assert delay.between(pd.Timedelta(0), pd.Timedelta(hours=1)).all()
