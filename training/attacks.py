"""Attacks: what people do to be scored higher without being heard more, as events to put into a community."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

MONTH, QUARTER, WEEK = 28, 90, 7
FAKE = "attacker"


@dataclass(frozen=True)
class Scene:
    """What attackers know of a community at an instant.

    `users` are all ids seen in the last year; `dormant` those silent for 90 days and older than half a year; `pieces`
    (object, actor) what the top 1 % by engagers made in the last 28 days; `rng` draws times and victims.
    """

    as_of: datetime
    users: np.ndarray
    dormant: np.ndarray
    pieces: pd.DataFrame
    rng: np.random.Generator

    def times(self, days: float, count: int) -> pd.DatetimeIndex:
        """Draw instants of the last days, oldest first."""
        back = np.sort(self.rng.uniform(1.0, days * 86_400, count))[::-1]
        return pd.DatetimeIndex(pd.Timestamp(self.as_of) - pd.to_timedelta(back, unit="s").round("us"))

    def victims(self, count: int) -> np.ndarray:
        """Draw different users, all of them if there are no more."""
        return self.rng.choice(self.users, min(count, len(self.users)), replace=False)


Make = Callable[[Sequence[str], Scene], pd.DataFrame]


@dataclass(frozen=True)
class Attack:
    """One way to be scored higher.

    Parameters
    ----------
    name : as in reports
    told : what is done for one member, in words
    make : the acts, given members who do it together, `group` of them at a time
    limit : points that an ordinary member may gain by it in the median
    group : how many members do it together
    bot : whether the member may not end above the median active user either

    """

    name: str
    told: str
    make: Make
    limit: float
    group: int = 1
    bot: bool = False


def acts(times: pd.DatetimeIndex, **fields: object) -> pd.DataFrame:
    """Return events at these times; each field is one value for all or one a time; no target unless it is given."""
    return pd.DataFrame({"time": times, "target": None, **fields})


def accounts(member: str, count: int) -> np.ndarray:
    """Name accounts that an operator makes for a member."""
    return np.array([f"{FAKE} {k} of {member}" for k in range(count)])


def _bought_followers(members: Sequence[str], scene: Scene) -> pd.DataFrame:
    (member,), count = members, 10_000
    return acts(scene.times(1, count), actor=accounts(member, count), verb="follow", target=member)


def _posts(member: str, scene: Scene, days: int, a_day: int = 1) -> pd.DataFrame:
    count = days * a_day
    pieces = [f"{FAKE} piece {k} of {member}" for k in range(count)]
    return acts(scene.times(days, count), actor=member, verb="post", object=pieces)


def _squirrel_bot(members: Sequence[str], scene: Scene) -> pd.DataFrame:
    return _posts(members[0], scene, MONTH, 200)


def _engaging(posts: pd.DataFrame, engagers: np.ndarray, verb: str, scene: Scene) -> pd.DataFrame:
    """Let each of the engagers act on each post, within an hour after it."""
    each = posts.iloc[np.repeat(np.arange(len(posts)), len(engagers))]
    late = pd.to_timedelta(scene.rng.uniform(1.0, 3_600, len(each)), unit="s").round("us")
    times = pd.DatetimeIndex(each["time"]) + late
    last = pd.Timestamp(scene.as_of) - pd.Timedelta(microseconds=1)
    times = times.where(times < last, last)
    actor = np.tile(engagers, len(posts))
    result = [f"{FAKE} answer {k} to {piece}" if verb == "reply" else None for k, piece in enumerate(each["object"])]
    return acts(times, actor=actor, verb=verb, target=each["actor"].array, object=each["object"].array, result=result)


def _pod(members: Sequence[str], scene: Scene) -> pd.DataFrame:
    done = []
    for member in members:
        posts, others = _posts(member, scene, MONTH), np.array([other for other in members if other != member])
        done += [posts, _engaging(posts, others, "like", scene), _engaging(posts, others, "reply", scene)]
    return pd.concat(done, ignore_index=True)


def _fresh_accounts(members: Sequence[str], scene: Scene) -> pd.DataFrame:
    posts = _posts(members[0], scene, MONTH)
    return pd.concat([posts, _engaging(posts, accounts(members[0], 200), "like", scene)], ignore_index=True)


def _aged_farm(members: Sequence[str], scene: Scene) -> pd.DataFrame:
    """Two hundred accounts that post every week, like each other twice a week and answer the member every week."""
    (member,), farm, weeks = members, accounts(members[0], 200), QUARTER // WEEK
    posts = pd.concat([_posts(account, scene, QUARTER).iloc[::WEEK] for account in farm], ignore_index=True)
    likes = _engaging(posts, np.array([None, None]), "like", scene)
    likes["actor"] = scene.rng.choice(farm, len(likes))
    bait = _posts(member, scene, QUARTER).iloc[::WEEK][:weeks]
    return pd.concat([posts, likes, bait, _engaging(bait, farm, "reply", scene)], ignore_index=True)


def _mention_spam(members: Sequence[str], scene: Scene) -> pd.DataFrame:
    victims = np.concatenate([scene.victims(1_000) for _ in range(WEEK)])
    return acts(scene.times(WEEK, len(victims)), actor=members[0], verb="mention", target=victims)


def _follow_back(members: Sequence[str], scene: Scene) -> pd.DataFrame:
    followed = scene.victims(5_000)
    back = followed[: int(0.4 * len(followed))]
    asked = acts(scene.times(WEEK, len(followed)), actor=members[0], verb="follow", target=followed)
    return pd.concat([asked, acts(scene.times(1, len(back)), actor=back, verb="follow", target=members[0])])


def _reply_to_stars(members: Sequence[str], scene: Scene) -> pd.DataFrame:
    (member,), count = members, len(scene.pieces)
    made = [f"{FAKE} answer {k} of {member}" for k in range(count)]
    to = {"target": scene.pieces["actor"].array, "object": scene.pieces["object"].array}
    return acts(scene.times(MONTH, count), actor=member, verb="reply", result=made, **to)


def _repost(members: Sequence[str], scene: Scene) -> pd.DataFrame:
    posts = _posts(members[0], scene, MONTH, 10)
    return posts.assign(content_hash=[f"{FAKE} text {k % 10}" for k in range(len(posts))])


def _old_accounts(members: Sequence[str], scene: Scene) -> pd.DataFrame:
    bought = scene.rng.choice(scene.dormant, min(50, len(scene.dormant)), replace=False)
    posts = _posts(members[0], scene, MONTH)
    return pd.concat([posts, _engaging(posts, bought, "like", scene)], ignore_index=True)


ATTACKS = (
    Attack("bought_followers", "10,000 bought accounts follow in one day", _bought_followers, 1),
    Attack("squirrel_bot", "200 posts a day for 28 days, engaging with nobody", _squirrel_bot, 1, bot=True),
    Attack("pod", "20 members like and answer each other's every daily post for 28 days", _pod, 4, group=20),
    Attack("fresh_accounts", "200 fresh accounts like every daily post for 28 days", _fresh_accounts, 3),
    Attack("aged_farm", "200 accounts grown for 90 days that answer every week", _aged_farm, 6),
    Attack("mention_spam", "1,000 people mentioned a day for 7 days", _mention_spam, 2),
    Attack("follow_back", "5,000 people followed in 7 days, of whom 40 % follow back", _follow_back, 2),
    Attack("reply_to_stars", "a reply to every piece of the top 1 % for 28 days", _reply_to_stars, 2),
    Attack("repost", "the same ten posts made again every day for 28 days", _repost, 2),
    Attack("old_accounts", "50 bought dormant accounts like every daily post for 28 days", _old_accounts, 6),
)
