"""Simulate a community and write it down.

The community's acts in the order of time, one block of days after the other.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from features.simulation.behaviour import (
    Follows,
    answers,
    bot_mentions,
    create_pieces,
    draw_posts,
    draw_reactions,
    forget_some,
)
from features.simulation.community import Community, Summary
from features.simulation.event_table import VERB, EventArrays, concatenate, empty_events, tag_lists, to_table
from features.simulation.ground_truth import truth
from features.simulation.population import Drift, Population, draw_population
from features.simulation.social_graph import gather
from features.simulation.writer import EventWriter

Progress = Callable[[float], None]


def simulate(community: Community, out: Path, progress: Progress | None = None) -> Summary:
    """Write a community's events, and the truth about it beside them.

    Parameters
    ----------
    community : what to simulate
    out : a `.parquet` file or a folder for the events, replaced as a whole; `x/events.parquet` and `x/events` both
        have their truth in `x/events.truth.parquet`
    progress : called with the share that is done, above 0 to 1

    Raises
    ------
    EventsError : out is something that must not be replaced

    """
    people = draw_population(community)
    stream = Stream(community, people)
    tags = tag_lists(community.topics)
    with EventWriter(Path(out)) as output:
        for done, acts in stream.blocks():
            output.parts.add(to_table(acts, community.users, tags))
            if progress is not None:
                progress(done)
        files = output.publish(truth(community, people, stream.crowd))
    return Summary(events=output.parts.rows, users=community.users, files=files, truth=output.truth)


class Stream:
    """Draws block by block; what happens after a block waits for a later one, so one block and the waiting are held."""

    def __init__(self, community: Community, people: Population) -> None:
        self.community = community
        self.people = people
        self.crowd = gather(people, community.topics)
        self.drift = Drift(community)
        self.follows = Follows(people, self.crowd)
        self.pieces = 0
        self.waiting = empty_events(np.zeros(0, dtype=np.int64))

    def blocks(self) -> Iterator[tuple[float, EventArrays]]:
        """Draw the acts of each block in the order of time; nothing at or after the end of the period.

        Yields
        ------
        the share of the period that is done, and the acts

        """
        begin, end = self.community.begin, self.community.end
        for number, block in enumerate(self.community.blocks()):
            drawn = self._drawn(block, self.community.generator("block", number))
            due, self.waiting = concatenate(self.waiting, *drawn).split(block[1])
            yield (block[1] - begin) / (end - begin), due

    def _drawn(self, block: tuple[int, int], rng: np.random.Generator) -> list[EventArrays]:
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
        lost = self.follows.lost(concatenate(follows, back), rng)
        for likes in (reactions, answered):
            forget_some(likes, rng)
        return [posts, bot_mentions(people, posts, rng), reactions, answered, back, lost]


def around(people: Population, time: int) -> float:
    """Return the share of the crowd, weighted by appetite, that is there at an instant; at least 1 %.

    Reactions from those who are not there are dropped, so dividing by it keeps pull the number that a post draws.
    """
    there = people.there(np.arange(len(people.kind)), np.full(len(people.kind), time))
    return max(float(np.average(there, weights=people.appetite)), 0.01)
