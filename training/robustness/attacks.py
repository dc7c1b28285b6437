"""Attacks: what people do to be scored higher without being heard more, as events to put into a community."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

MONTH, QUARTER, WEEK = 28, 90, 7
FAKE = "attacker"
FOR_SALE = 10


@dataclass(frozen=True)
class AttackContext:
    """What attackers know of a community at an instant.

    `users` are all ids seen in the last year but the attackers' own; `dormant` those silent for 90 days and older than
    half a year; `present` those who acted in the last 28 days and `established` the longer known half of them; `pieces`
    (object, actor) what the top 1 % by engagers made in the last 28 days; `rng` draws times and victims.
    """

    as_of: datetime
    users: np.ndarray
    dormant: np.ndarray
    present: np.ndarray
    established: np.ndarray
    pieces: pd.DataFrame
    rng: np.random.Generator

    def times(self, days: float, count: int, people: int = 1) -> pd.DatetimeIndex:
        """Draw so many instants of the last days for each of so many people, each one's oldest first."""
        back = np.sort(self.rng.uniform(1.0, days * 86_400, (people, count)))[:, ::-1].ravel()
        return pd.DatetimeIndex(pd.Timestamp(self.as_of) - pd.to_timedelta(back, unit="s").round("us"))

    def victims(self, count: int) -> np.ndarray:
        """Draw different users, all of them if there are no more."""
        return self.rng.choice(self.users, min(count, len(self.users)), replace=False)


Make = Callable[[Sequence[str], np.ndarray, AttackContext], pd.DataFrame]


@dataclass(frozen=True)
class Attack:
    """One way to be scored higher.

    Parameters
    ----------
    name : as in reports
    told : what is done for one member, in words
    make : the acts, given members who do it together, the accounts they hire, and the scene; as many as are given
    limit : points that an ordinary member may gain by it in the median
    group : how many members do it together
    hires : how many accounts they hire for it
    grown : whether hired accounts are dormant ones of the community, instead of new ones
    bot : whether a new account that does nothing else may not end above the median active user either

    """

    name: str
    told: str
    make: Make
    limit: float
    group: int = 1
    hires: int = 0
    grown: bool = False
    bot: bool = False

    def hired(self, members: Sequence[str], scene: AttackContext, count: int | None = None) -> np.ndarray:
        """Hire accounts for members: as many as the attack asks for unless told, of dormant ones a tenth at most."""
        count = self.hires if count is None else count
        if self.grown:
            for_sale = -(-len(scene.dormant) // FOR_SALE)
            return scene.rng.choice(scene.dormant, min(count, for_sale), replace=False)
        return np.array([f"{FAKE} {k} of {members[0]}" for k in range(count)], dtype=object)


def acts(times: pd.DatetimeIndex, **fields: object) -> pd.DataFrame:
    """Return events at these times; each field is one value for all or one a time; no target unless it is given.

    `drawn` tells the acts that others are moved to from those which the attackers do.
    """
    return pd.DataFrame({"time": times, "target": None, "drawn": False, **fields})


def _bought_followers(members: Sequence[str], hired: np.ndarray, scene: AttackContext) -> pd.DataFrame:
    return acts(scene.times(1, len(hired)), actor=hired, verb="follow", target=members[0])


def _posts(
    members: Sequence[str] | np.ndarray, scene: AttackContext, days: int, a_day: int = 1, every: int = 1
) -> pd.DataFrame:
    """Let each of the members post, one after the other; of the posts of each only one in `every` is made."""
    count = days * a_day
    until = f"until {scene.as_of:%Y-%m-%d}"
    pieces = [f"{FAKE} piece {k} of {member} {until}" for member in members for k in range(0, count, every)]
    made = np.arange(count * len(members)) % count % every == 0
    actor = np.repeat(np.array(members, dtype=object), count)[made]
    return acts(scene.times(days, count, len(members))[made], actor=actor, verb="post", object=pieces)


def _squirrel_bot(members: Sequence[str], _: np.ndarray, scene: AttackContext) -> pd.DataFrame:
    return _posts(members, scene, MONTH, 200)


def _engaging(posts: pd.DataFrame, engagers: np.ndarray, verb: str, scene: AttackContext) -> pd.DataFrame:
    """Let each of the engagers act on each post, within an hour after it."""
    each = posts.iloc[np.repeat(np.arange(len(posts)), len(engagers))]
    late = pd.to_timedelta(scene.rng.uniform(1.0, 3_600, len(each)), unit="s").round("us")
    times = pd.DatetimeIndex(each["time"]) + late
    last = pd.Timestamp(scene.as_of) - pd.Timedelta(microseconds=1)
    times = times.where(times < last, last)
    actor = np.tile(engagers, len(posts))
    result = [f"{FAKE} answer {k} to {piece}" if verb == "reply" else None for k, piece in enumerate(each["object"])]
    return acts(times, actor=actor, verb=verb, target=each["actor"].array, object=each["object"].array, result=result)


def _pod(members: Sequence[str], _: np.ndarray, scene: AttackContext) -> pd.DataFrame:
    done = []
    for member in members:
        posts, others = _posts([member], scene, MONTH), np.array([other for other in members if other != member])
        done += [posts, _engaging(posts, others, "like", scene), _engaging(posts, others, "reply", scene)]
    return pd.concat(done, ignore_index=True)


def _liked(members: Sequence[str], hired: np.ndarray, scene: AttackContext) -> pd.DataFrame:
    """Let the hired accounts like every daily post of the member."""
    posts = _posts(members, scene, MONTH)
    return pd.concat([posts, _engaging(posts, hired, "like", scene)], ignore_index=True)


def _bridged_farm(members: Sequence[str], hired: np.ndarray, scene: AttackContext) -> pd.DataFrame:
    """Let each hired account ask a question in the week before, which one established user answers; then all like."""
    asked = _posts(hired, scene, WEEK, every=WEEK)
    asked["time"] -= pd.Timedelta(days=MONTH)
    answers = _engaging(asked, np.array([None]), "reply", scene)
    answers["actor"] = scene.rng.choice(scene.established, len(answers)) if len(scene.established) else None
    return pd.concat([asked, answers.assign(drawn=True), _liked(members, hired, scene)], ignore_index=True)


def _aged_farm(members: Sequence[str], farm: np.ndarray, scene: AttackContext) -> pd.DataFrame:
    """Let a farm post every week, its accounts like each other twice a week and answer the member every week."""
    weeks = QUARTER // WEEK
    posts = _posts(farm, scene, QUARTER, every=WEEK)
    likes = _engaging(posts, np.array([None, None]), "like", scene)
    likes["actor"] = scene.rng.choice(farm, len(likes))
    bait = _posts(members, scene, QUARTER, every=WEEK)[:weeks]
    return pd.concat([posts, likes, bait, _engaging(bait, farm, "reply", scene)], ignore_index=True)


def _mention_spam(members: Sequence[str], _: np.ndarray, scene: AttackContext) -> pd.DataFrame:
    victims = np.concatenate([scene.victims(1_000) for _ in range(WEEK)])
    return acts(scene.times(WEEK, len(victims)), actor=members[0], verb="mention", target=victims)


def _follow_back(members: Sequence[str], _: np.ndarray, scene: AttackContext) -> pd.DataFrame:
    followed = scene.victims(5_000)
    back = followed[np.isin(followed, scene.present)][: int(0.4 * len(followed))]
    asked = acts(scene.times(WEEK, len(followed)), actor=members[0], verb="follow", target=followed)
    return pd.concat([asked, acts(scene.times(1, len(back)), actor=back, verb="follow", target=members[0], drawn=True)])


def _reply_to_stars(members: Sequence[str], _: np.ndarray, scene: AttackContext) -> pd.DataFrame:
    (member,), count = members, len(scene.pieces)
    made = [f"{FAKE} answer {k} of {member} until {scene.as_of:%Y-%m-%d}" for k in range(count)]
    to = {"target": scene.pieces["actor"].array, "object": scene.pieces["object"].array}
    return acts(scene.times(MONTH, count), actor=member, verb="reply", result=made, **to)


def _repost(members: Sequence[str], _: np.ndarray, scene: AttackContext) -> pd.DataFrame:
    posts = _posts(members, scene, MONTH, 10)
    return posts.assign(content_hash=[f"{FAKE} text {k % 10}" for k in range(len(posts))])


ATTACKS = (
    Attack("bought_followers", "10,000 bought accounts follow in one day", _bought_followers, 1, hires=10_000),
    Attack("squirrel_bot", "200 posts a day for 28 days, engaging with nobody", _squirrel_bot, 1, bot=True),
    Attack("pod", "20 members like and answer each other's every daily post for 28 days", _pod, 4, group=20),
    Attack("fresh_accounts", "200 fresh accounts like every daily post for 28 days", _liked, 3, hires=200),
    Attack("aged_farm", "200 accounts grown for 90 days that answer every week", _aged_farm, 6, hires=200),
    Attack("mention_spam", "1,000 people mentioned a day for 7 days", _mention_spam, 2),
    Attack(
        "follow_back",
        "5,000 people followed in 7 days, of whom those present, 40 % at most, follow back",
        _follow_back,
        2,
    ),
    Attack("reply_to_stars", "a reply to every piece of the top 1 % for 28 days", _reply_to_stars, 2),
    Attack("repost", "the same ten posts made again every day for 28 days", _repost, 2),
    Attack(
        "old_accounts",
        "50 bought dormant accounts, a tenth of all at most, like every daily post for 28 days",
        _liked,
        10,
        hires=50,
        grown=True,
    ),
    Attack(
        "bridged_farm",
        "50 fresh accounts, each answered once by an established user, like every daily post",
        _bridged_farm,
        6,
        hires=50,
    ),
)
