"""The community's acts in the order of time, one block of days after the other."""

from collections.abc import Iterator

import numpy as np

from features.simulation.acts import VERB, Acts, acts, together
from features.simulation.answers import answers, create_pieces, forget_some
from features.simulation.community import Community
from features.simulation.crowd import gather
from features.simulation.drift import Drift
from features.simulation.follows import Follows
from features.simulation.people import People
from features.simulation.posts import bot_mentions, draw_posts
from features.simulation.reactions import draw_reactions


class Stream:
    """Draws block by block; what happens after a block waits for a later one, so one block and the waiting are held."""

    def __init__(self, community: Community, people: People) -> None:
        self.community = community
        self.people = people
        self.crowd = gather(people, community.topics)
        self.drift = Drift(community)
        self.follows = Follows(people, self.crowd)
        self.pieces = 0
        self.waiting = acts(np.zeros(0, dtype=np.int64))

    def blocks(self) -> Iterator[tuple[float, Acts]]:
        """Draw the acts of each block in the order of time; nothing at or after the end of the period.

        Yields
        ------
        the share of the period that is done, and the acts

        """
        begin, end = self.community.begin, self.community.end
        for number, block in enumerate(self.community.blocks()):
            drawn = self._drawn(block, self.community.generator("block", number))
            due, self.waiting = together(self.waiting, *drawn).split(block[1])
            yield (block[1] - begin) / (end - begin), due

    def _drawn(self, block: tuple[int, int], rng: np.random.Generator) -> list[Acts]:
        """Draw a block's posts and everything that follows from them, at whatever time."""
        people = self.people
        posts = draw_posts(people, block, self.community.topics, self.pieces, rng)
        self.pieces += len(posts)
        expected = (people.pull * self.drift.at(block[0]) / around(people, sum(block) // 2))[posts.actor]
        reactions = draw_reactions(people, self.crowd, posts, expected, self.follows, rng)
        self.pieces = create_pieces(reactions, self.pieces)
        answered = answers(people, reactions, rng)
        self.pieces = create_pieces(answered, self.pieces)
        follows = reactions.where(reactions.verb == VERB["follow"])
        back = self.follows.back(follows, rng)
        lost = self.follows.lost(together(follows, back), rng)
        for likes in (reactions, answered):
            forget_some(likes, rng)
        return [posts, bot_mentions(people, posts, rng), reactions, answered, back, lost]


def around(people: People, time: int) -> float:
    """Return the share of the crowd, weighted by appetite, that is there at an instant; at least 1 %.

    Reactions from those who are not there are dropped, so dividing by it keeps pull the number that a post draws.
    """
    there = people.there(np.arange(len(people.kind)), np.full(len(people.kind), time))
    return max(float(np.average(there, weights=people.appetite)), 0.01)
