"""Simulate a community block by block and write its events and ground truth."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from features.progress import Progress, ignore_progress
from features.simulation import behaviour
from features.simulation.community import Community, Summary
from features.simulation.event_arrays import (
    VERB,
    EventArrays,
    build_events,
    concatenate,
    tag_lists,
    to_table,
    topic_names,
    user_names,
)
from features.simulation.population import (
    FAN,
    KINDS,
    NEVER,
    Drift,
    EngagerPool,
    Population,
    build_engager_pool,
    draw_population,
)
from features.simulation.writer import EventWriter

HORIZON_DAYS = 28
INSTANT = pa.timestamp("us", tz="UTC")


def simulate(community: Community, out: Path, progress: Progress = ignore_progress) -> Summary:
    """Write a community's events, and the ground truth about its users beside them.

    Parameters
    ----------
    community : what to simulate
    out : a `.parquet` file or a folder for the events, replaced as a whole; `x/events.parquet` and `x/events` both
        have their ground truth in `x/events.truth.parquet`
    progress : called with the share that is done, above 0 to 1

    Raises
    ------
    EventsError : out exists and must not be replaced

    """
    population = draw_population(community)
    stream = EventStream(community, population)
    tags = tag_lists(community.topics)
    with EventWriter(Path(out)) as output:
        for done, events in stream.blocks():
            output.parts.add(to_table(events, community.users, tags))
            progress(done)
        files = output.publish(ground_truth(community, population, stream.pool))
    return Summary(events=output.parts.rows, users=community.users, files=files, truth=output.truth)


class EventStream:
    """Draws events block by block. Events after the end of a block are pending; memory holds one block and those."""

    def __init__(self, community: Community, population: Population) -> None:
        self.community = community
        self.population = population
        self.pool = build_engager_pool(population, community.topics)
        self.drift = Drift(community)
        self.follows = behaviour.FollowGraph(population, self.pool)
        self.pieces = 0
        self.pending = build_events(np.zeros(0, dtype=np.int64))

    def blocks(self) -> Iterator[tuple[float, EventArrays]]:
        """Draw the events of each block in the order of time, none at or after the end of the period.

        Yields the share of the period that is done, and the events.
        """
        begin, end = self.community.begin, self.community.end
        for number, block in enumerate(self.community.blocks()):
            parts = self._draw_block(block, self.community.generator("block", number))
            due, self.pending = concatenate(self.pending, *parts).split(block[1])
            yield (block[1] - begin) / (end - begin), due

    def _draw_block(self, block: tuple[int, int], rng: np.random.Generator) -> list[EventArrays]:
        """Draw a block's posts and all events that follow from them, at any later time."""
        population = self.population
        posts = behaviour.draw_posts(population, block, self.community.topics, self.pieces, rng)
        self.pieces += len(posts)
        pull = population.pull * self.drift.factors_at(block[0]) / present_share(population, sum(block) // 2)
        reactions = behaviour.draw_reactions(population, self.pool, posts, pull[posts.actor], self.follows, rng)
        self.pieces = behaviour.number_new_pieces(reactions, self.pieces)
        answers = behaviour.draw_answers(population, reactions, rng)
        self.pieces = behaviour.number_new_pieces(answers, self.pieces)
        follows = reactions.where(reactions.verb == VERB["follow"])
        follow_backs = self.follows.draw_follow_backs(follows, rng)
        unfollows = self.follows.draw_unfollows(concatenate(follows, follow_backs), rng)
        for likes in (reactions, answers):
            behaviour.anonymize_some_likes(likes, rng)
        mentions = behaviour.draw_bot_mentions(population, posts, rng)
        return [posts, mentions, reactions, answers, follow_backs, unfollows]


def present_share(population: Population, time: int) -> float:
    """Return the share of users that is present at an instant, weighted by engagement weight; at least 1 %.

    Reactions from absent users are dropped. Pull is divided by this share, so that it is
    the number of reactions that a post draws from users who are present.
    """
    users = len(population.kind)
    present = population.is_present(np.arange(users), np.full(users, time))
    return max(float(np.average(present, weights=population.engagement_weight)), 0.01)


def ground_truth(community: Community, population: Population, pool: EngagerPool) -> pa.Table:
    """Return one row per user: user, kind, pull, posts_per_day, reach, topic, joined, left.

    `pull` is the expected engagements per post, `reach` the expected number of distinct engagers of the user's posts in
    28 days of presence, `left` is null for users that stay past the end.
    """
    users = np.arange(community.users)
    return pa.table(
        {
            "user": user_names(users, community.users),
            "kind": pa.array(np.array(KINDS)[population.kind]),
            "pull": population.pull,
            "posts_per_day": population.posts_per_day,
            "reach": expected_reach(population, pool),
            "topic": pa.array(np.array(topic_names(community.topics))[population.topic]),
            "joined": pa.array(population.joined_at).cast(INSTANT),
            "left": pa.array(population.left_at, mask=population.left_at == NEVER).cast(INSTANT),
        }
    )


def expected_reach(population: Population, pool: EngagerPool, nodes: int = 16) -> np.ndarray:
    """Return the expected distinct engagers that posts draw in 28 days.

    With m = 28 * posts_per_day * pull engagements, of which a share s = FAN comes from F fans, the fan number F * x has
    the density 1 / (2 * sqrt(x)), because x = u ** 2 for a uniform u. A fan at x engages at least once with the
    probability 1 - exp(-s * m / F / (2 * sqrt(x))). Integrating over fans with x = u ** 2, and counting every other
    engagement as another user:

        reach = F * integral over u from 0 to 1 of 2 * u * (1 - exp(-s * m / (2 * F * u))) + (1 - s) * m

    by Gauss-Legendre quadrature. It ignores drift, luck, absent fans, and answers to the user's own replies.
    """
    engagements = HORIZON_DAYS * population.posts_per_day * population.pull
    fans = pool.fans.astype(np.float64)
    expected_fans = np.zeros(len(fans))
    for node, weight in zip(*np.polynomial.legendre.leggauss(nodes), strict=True):
        u = (node + 1) / 2
        expected_fans += weight * u * -np.expm1(-FAN * engagements / (2 * fans * u))
    reach: np.ndarray = fans * expected_fans + (1 - FAN) * engagements
    return reach
