"""The ground truth about every user, as a table."""

import numpy as np
import pyarrow as pa

from features.simulation.community import Community
from features.simulation.event_table import topic_names, user_names
from features.simulation.population import KINDS, NEVER, Population
from features.simulation.social_graph import FAN, EngagerPool

HORIZON_DAYS = 28
INSTANT = pa.timestamp("us", tz="UTC")


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
    return fans * expected_fans + (1 - FAN) * engagements
