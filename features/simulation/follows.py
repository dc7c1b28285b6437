"""Who follows whom: each follows another once, some are followed back, some leave again."""

import numpy as np

from features.simulation.acts import VERB, Acts, acts
from features.simulation.community import DAY
from features.simulation.crowd import Crowd, mix
from features.simulation.people import BOT, People
from features.simulation.posts import rank
from features.simulation.rhythm import awake, delays

FOLLOW_BACK_SHARE = 0.12
UNFOLLOW_SHARE, UNFOLLOW_DAYS = 0.12, 60.0
SLOTS_PER_USER = 128


class Follows:
    """Remembers how many followers each user has been given, and which pairs have followed, in O(users) memory.

    Pairs are remembered as marks in a table of at least SLOTS_PER_USER slots per user, found by a hash. A pair whose
    slot another pair has marked counts as known, so a few follows are lost, and none comes twice.
    """

    def __init__(self, people: People, crowd: Crowd) -> None:
        users = len(people.kind)
        self.people, self.crowd = people, crowd
        self.given = np.zeros(users, dtype=np.int64)
        self.marked = np.zeros(1 << (SLOTS_PER_USER * users - 1).bit_length(), dtype=bool)

    def next(self, author: np.ndarray) -> np.ndarray:
        """Return each author's next follower: the fans in their order, then others of the topic.

        Parameters
        ----------
        author : users' numbers, equal ones side by side

        """
        number = self.given[author] + rank(author)
        self.given += np.bincount(author, minlength=len(self.given))
        return self.crowd.fan(author, self.people.topic[author], number)

    def first(self, actor: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Tell which of these follows are the first of their pair, and remember them; a mask of the same shape."""
        pair = (actor.astype(np.int64) << 32) + target
        slot = (mix(pair) & np.uint64(len(self.marked) - 1)).astype(np.int64)
        earliest = np.unique(slot, return_index=True)[1]
        new = np.zeros(len(slot), dtype=bool)
        new[earliest] = ~self.marked[slot[earliest]]
        self.marked[slot] = True
        return new

    def back(self, follows: Acts, rng: np.random.Generator) -> Acts:
        """Let a share of those who got a follower follow back; bots follow nobody."""
        got = _share(follows.where(self.people.kind[follows.target] != BOT), FOLLOW_BACK_SHARE, rng)
        time = awake(got.time + delays(np.zeros(len(got)), rng), rng)
        made = acts(time, actor=got.target, verb=VERB["follow"], target=got.actor)
        made = made.where(self.people.there(made.actor, made.time))
        return made.where(self.first(made.actor, made.target))

    def lost(self, follows: Acts, rng: np.random.Generator) -> Acts:
        """Let a share of the followers leave again, exponentially later."""
        gone = _share(follows, UNFOLLOW_SHARE, rng)
        time = gone.time + 1 + (rng.exponential(UNFOLLOW_DAYS, len(gone)) * DAY).astype(np.int64)
        made = acts(time, actor=gone.actor, verb=VERB["unfollow"], target=gone.target)
        return made.where(self.people.there(made.actor, made.time))


def _share(follows: Acts, share: float, rng: np.random.Generator) -> Acts:
    return follows.where(rng.random(len(follows)) < share)
