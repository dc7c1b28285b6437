"""The acts of each attack: what is done, by whom, when, and how often."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from training.robustness.attacks import ATTACKS, AttackContext

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
USERS = np.array([f"u{k}" for k in range(6_000)], dtype=object)
MEMBERS = [f"u{k}" for k in range(20)]
SEEN = ("users", "dormant", "present", "established", "pieces")
BY_NAME = {attack.name: attack for attack in ATTACKS}


def scene(seed=0):
    pieces = pd.DataFrame({"actor": ["star", "star", "other"], "object": ["o1", "o2", "o3"]})
    dormant, present, established = USERS[-500:], USERS[20:-500], USERS[100:200]
    return AttackContext(AS_OF, USERS[20:], dormant, present, established, pieces, np.random.default_rng(seed))


def made(name, seed=0, hires=None):
    attack, stage = BY_NAME[name], scene(seed)
    members = MEMBERS[: attack.group]
    return attack.make(members, attack.hired(members, stage, hires), stage)


@pytest.mark.parametrize("name", BY_NAME)
def test_before_the_instant_and_within_a_quarter(name):
    acts = made(name)
    assert (acts["time"] < AS_OF).all()
    assert (acts["time"] >= AS_OF - pd.Timedelta(days=91)).all()
    assert acts[["time", "actor", "verb"]].notna().all(axis=None)


@pytest.mark.parametrize("name", ["mention_spam", "follow_back"])
def test_attackers_do_not_hit_each_other(name):
    assert not set(made(name).query("actor == @MEMBERS[0]")["target"]) & set(MEMBERS)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_same_seed_gives_the_same_acts(name):
    pd.testing.assert_frame_equal(made(name), made(name))
    assert not made(name).equals(made(name, seed=1))


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
def test_by_hand(name, verbs, accounts):
    acts = made(name)
    assert acts["verb"].value_counts().to_dict() == verbs
    assert acts.loc[~acts["drawn"], "actor"].nunique() == accounts


@pytest.mark.parametrize("name", ["bought_followers", "fresh_accounts", "aged_farm", "old_accounts", "bridged_farm"])
def test_fewer_hired_accounts_make_it_smaller(name):
    acts = made(name, hires=2)
    hired = set(acts.loc[~acts["drawn"], "actor"]) - {MEMBERS[0]}
    assert len(hired) == 2
    assert set(acts["target"].dropna()) <= hired | {MEMBERS[0]}


def test_pieces_of_different_days_are_different():
    earlier = AttackContext(
        AS_OF - pd.Timedelta(days=28), *(getattr(scene(), name) for name in SEEN), np.random.default_rng(0)
    )
    for name in ("squirrel_bot", "pod", "aged_farm", "reply_to_stars", "bridged_farm"):
        attack = BY_NAME[name]
        members = MEMBERS[: attack.group]
        before, now = (attack.make(members, attack.hired(members, each, 2), each) for each in (earlier, scene()))
        new = [
            set(acts.get("result", acts["object"]).dropna()) | set(acts.query("verb == 'post'").get("object", ()))
            for acts in (before, now)
        ]
        assert not new[0] & new[1] - {"o1", "o2", "o3"}, name


def test_others_who_are_moved_to_act_are_told_apart():
    follows = made("follow_back")
    assert (follows["drawn"] == (follows["actor"] != MEMBERS[0])).all()
    farm = made("bridged_farm")
    assert set(farm.loc[farm["drawn"], "actor"]) <= set(USERS[100:200])
    assert not made("pod")["drawn"].any()


def test_a_bridge_is_built_once_for_each_account_before_it_likes():
    acts = made("bridged_farm")
    answers = acts.query("verb == 'reply'").set_index("target")
    assert answers.index.is_unique
    assert len(answers) == 50
    asked = acts.query("verb == 'post' and actor != @MEMBERS[0]").set_index("object")
    assert (asked.loc[answers["object"], "actor"].to_numpy() == answers.index).all()
    assert (asked.loc[answers["object"], "time"].to_numpy() <= answers["time"].to_numpy()).all()
    likes = acts.query("verb == 'like'")
    assert set(likes["actor"]) == set(answers.index)
    assert (answers["time"] < likes.groupby("actor")["time"].min().loc[answers.index]).all()


def test_nobody_answers_where_nobody_is_established():
    lonely = AttackContext(AS_OF, USERS, USERS[:0], USERS[:0], USERS[:0], scene().pieces, np.random.default_rng(0))
    attack = BY_NAME["bridged_farm"]
    acts = attack.make(MEMBERS[:1], attack.hired(MEMBERS, lonely), lonely)
    assert acts.loc[acts["drawn"], "actor"].isna().all()
    old = BY_NAME["old_accounts"]
    assert len(old.make(MEMBERS[:1], old.hired(MEMBERS, lonely), lonely)) == 28


def test_whom_they_engage_with():
    member = MEMBERS[0]
    assert set(made("bought_followers")["target"]) == {member}
    assert made("squirrel_bot")["object"].is_unique
    assert set(made("reply_to_stars")["object"]) == {"o1", "o2", "o3"}
    assert made("repost")["content_hash"].nunique() == 10
    back = made("follow_back").query("actor != @member")
    assert (len(back), set(back["target"])) == (2_000, {member})
    likes = made("old_accounts").query("verb == 'like'")
    assert set(likes["actor"]) <= set(USERS[-500:])
    assert (likes.groupby("object")["actor"].nunique() == 50).all()
    pod = made("pod").query("verb != 'post'")
    assert (pod["actor"] != pod["target"]).all()
    assert (pod.groupby("target")["actor"].nunique() == 19).all()


def test_only_who_is_present_follows_back():
    few = replace(scene(), present=USERS[100:110])
    attack = BY_NAME["follow_back"]
    back = attack.make(MEMBERS[:1], attack.hired(MEMBERS[:1], few), few).query("drawn")
    assert 0 < len(back) <= 10
    assert set(back["actor"]) <= set(USERS[100:110])


def test_a_tenth_of_dormant_accounts_is_for_sale():
    few = replace(scene(), dormant=USERS[-81:])
    assert len(BY_NAME["old_accounts"].hired(MEMBERS[:1], few)) == 9


def test_an_answer_comes_after_its_post():
    acts = made("fresh_accounts")
    posted = acts[acts["verb"] == "post"].set_index("object")["time"]
    likes = acts[acts["verb"] == "like"]
    waited = likes["time"].reset_index(drop=True) - posted.loc[likes["object"]].reset_index(drop=True)
    assert waited.between(pd.Timedelta(0), pd.Timedelta(hours=1)).all()
