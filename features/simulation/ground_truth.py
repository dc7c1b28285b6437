"""The known truth about everybody, as a table."""

import numpy as np
import pyarrow as pa

from features.simulation.community import Community
from features.simulation.event_table import names, user_names
from features.simulation.population import KINDS, NEVER, Population
from features.simulation.social_graph import FAN, Crowd

HORIZON_DAYS = 28
INSTANT = pa.timestamp("us", tz="UTC")


def truth(community: Community, people: Population, crowd: Crowd) -> pa.Table:
    """Return one row per user: user, kind, pull, posts_per_day, reach, topic, joined, left.

    `pull` is the expected engagements per post, `reach` the expected distinct people that the user's posts draw in 28
    days of being there, `left` is null for those who are still there at the end.
    """
    users = np.arange(community.users)
    return pa.table(
        {
            "user": user_names(users, community.users),
            "kind": pa.array(np.array(KINDS)[people.kind]),
            "pull": people.pull,
            "posts_per_day": people.posts_per_day,
            "reach": reach(people, crowd),
            "topic": pa.array(np.array(names(community.topics))[people.topic]),
            "joined": pa.array(people.joined).cast(INSTANT),
            "left": pa.array(people.left, mask=people.left == NEVER).cast(INSTANT),
        }
    )


def reach(people: Population, crowd: Crowd, nodes: int = 16) -> np.ndarray:
    """Return the expected distinct engagers that posts draw in 28 days.

    With m = 28 * posts_per_day * pull engagements, of which a share s = FAN comes from F fans, the fan number F * x has
    the density 1 / (2 * sqrt(x)), because x = u ** 2 for a uniform u. A fan at x is met at least once with the
    probability 1 - exp(-s * m / F / (2 * sqrt(x))). Integrating over fans with x = u ** 2, and counting every other
    engagement as another person:

        reach = F * integral over u from 0 to 1 of 2 * u * (1 - exp(-s * m / (2 * F * u))) + (1 - s) * m

    by Gauss-Legendre quadrature. Left out: drift, luck, fans who are away, and answers to the user's own replies.
    """
    engagements = HORIZON_DAYS * people.posts_per_day * people.pull
    fans = crowd.fans.astype(np.float64)
    met = np.zeros(len(fans))
    for node, weight in zip(*np.polynomial.legendre.leggauss(nodes), strict=True):
        u = (node + 1) / 2
        met += weight * u * -np.expm1(-FAN * engagements / (2 * fans * u))
    return fans * met + (1 - FAN) * engagements
