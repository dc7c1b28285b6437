"""What posts draw directly: who reacts, how, and when."""

import numpy as np

from features.simulation.acts import NOTHING, VERB, Acts, acts
from features.simulation.crowd import Crowd
from features.simulation.follows import Follows
from features.simulation.people import People
from features.simulation.rhythm import awake, delays
from features.simulation.tags import main_topic

VERB_SHARES = {  # in thousandths
    "like": 630,
    "reply": 115,  # more come from those who react to one post again
    "repost": 100,
    "follow": 65,
    "mention": 30,
    "quote": 30,
    "dislike": 18,
    "flag": 7,
    "block": 5,
}
VERB_TABLE = np.repeat(np.array([VERB[name] for name in VERB_SHARES], dtype=np.int8), list(VERB_SHARES.values()))
ABOUT_PERSON = np.isin(np.arange(len(VERB)), [VERB["follow"], VERB["block"]])

REPEATABLE = np.isin(np.arange(len(VERB)), [VERB["reply"], VERB["mention"], VERB["follow"], VERB["block"]])

BURST = 0.7  # shape of the gamma-distributed luck of a post, whose mean is 1
SLOW = np.array([0.08, 0.08, 0.35, 0.08], dtype=np.float32)  # share of late finds, by the author's kind


def draw_reactions(
    people: People, crowd: Crowd, posts: Acts, expected: np.ndarray, follows: Follows, rng: np.random.Generator
) -> Acts:
    """Draw the reactions to posts, each from somebody who is there at its time and is not the author.

    Parameters
    ----------
    people, crowd : who there is, and who comes to whom
    posts : acts of the verb post, grouped by author
    expected : mean number of reactions of each post; the number is negative binomial, a Poisson with gamma luck
    follows : who follows whom so far; brought up to date
    rng : where the chance comes from

    """
    luck = rng.standard_gamma(BURST, len(posts)) / BURST
    post = np.repeat(np.arange(len(posts)), rng.poisson(expected * luck))
    author = posts.actor[post]
    topic = main_topic(posts.tags[post], len(crowd.size) - 1)
    verb = VERB_TABLE[rng.integers(0, len(VERB_TABLE), len(post), dtype=np.uint16)]
    actor = crowd.come(author, topic, rng)
    follow = np.flatnonzero(verb == VERB["follow"])
    actor[follow] = follows.next(author[follow])
    time = awake(posts.time[post] + delays(SLOW[people.kind[author]], rng), rng)
    kept = (actor != author) & people.there(actor, time)
    follow = follow[kept[follow]]
    kept[follow] = follows.first(actor[follow], author[follow])
    post, actor = post[kept], actor[kept]
    verb = _reply_again(post, actor, verb[kept])
    personal = ABOUT_PERSON[verb]
    return acts(
        time[kept],
        actor=actor,
        verb=verb,
        target=author[kept],
        object=np.where(personal, NOTHING, posts.object[post]),
        tags=np.where(personal, NOTHING, posts.tags[post]),
    )


def _reply_again(post: np.ndarray, actor: np.ndarray, verb: np.ndarray) -> np.ndarray:
    """Turn what nobody does twice to one post, such as a second like, into a reply; verbs of the same shape."""
    rows = np.flatnonzero(~REPEATABLE[verb])
    key = (((post[rows] << 32) + actor[rows]) << 4) + verb[rows]
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(key[order][1:] == key[order][:-1]) + 1
    verb[rows[order[again]]] = VERB["reply"]
    return verb
