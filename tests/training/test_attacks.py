"""The acts of each attack: what is done, by whom, when, and how often."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from training.attacks import ATTACKS, Scene

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
USERS = np.array([f"u{k}" for k in range(6_000)], dtype=object)
MEMBERS = [f"u{k}" for k in range(20)]
BY_NAME = {attack.name: attack for attack in ATTACKS}


def scene(seed=0):
    pieces = pd.DataFrame({"actor": ["star", "star", "other"], "object": ["o1", "o2", "o3"]})
    return Scene(AS_OF, USERS, USERS[-100:], pieces, np.random.default_rng(seed))


def made(name, seed=0):
    attack = BY_NAME[name]
    return attack.make(MEMBERS[: attack.group], scene(seed))


@pytest.mark.parametrize("name", BY_NAME)
def test_before_the_instant_and_within_a_quarter(name):
    acts = made(name)
    assert (acts["time"] < AS_OF).all()
    assert (acts["time"] >= AS_OF - pd.Timedelta(days=91)).all()
    assert acts[["time", "actor", "verb"]].notna().all(axis=None)


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
        ("follow_back", {"follow": 7_000}, 2_001),
        ("reply_to_stars", {"reply": 3}, 1),
        ("repost", {"post": 280}, 1),
        ("old_accounts", {"post": 28, "like": 50 * 28}, 51),
    ],
)
def test_by_hand(name, verbs, accounts):
    acts = made(name)
    assert acts["verb"].value_counts().to_dict() == verbs
    assert acts["actor"].nunique() == accounts


def test_whom_they_engage_with():
    member = MEMBERS[0]
    assert set(made("bought_followers")["target"]) == {member}
    assert made("squirrel_bot")["object"].is_unique
    assert set(made("reply_to_stars")["object"]) == {"o1", "o2", "o3"}
    assert made("repost")["content_hash"].nunique() == 10
    back = made("follow_back").query("actor != @member")
    assert (len(back), set(back["target"])) == (2_000, {member})
    likes = made("old_accounts").query("verb == 'like'")
    assert set(likes["actor"]) <= set(USERS[-100:])
    assert (likes.groupby("object")["actor"].nunique() == 50).all()
    pod = made("pod").query("verb != 'post'")
    assert (pod["actor"] != pod["target"]).all()
    assert (pod.groupby("target")["actor"].nunique() == 19).all()


def test_an_answer_comes_after_its_post():
    acts = made("fresh_accounts")
    posted = acts[acts["verb"] == "post"].set_index("object")["time"]
    likes = acts[acts["verb"] == "like"]
    waited = likes["time"].reset_index(drop=True) - posted.loc[likes["object"]].reset_index(drop=True)
    assert waited.between(pd.Timedelta(0), pd.Timedelta(hours=1)).all()
