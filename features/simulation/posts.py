"""New pieces: people post in the rhythm of the day, bots by the clock."""

import numpy as np

from features.simulation.acts import VERB, Acts, acts
from features.simulation.community import DAY, SECOND
from features.simulation.crowd import mix
from features.simulation.people import BOT, People
from features.simulation.rhythm import PEAK, activity
from features.simulation.tags import draw_tags

LINKS = np.array([0.25, 0.25, 0.6, 1.5])  # mean links per post, by kind
BOT_TEXTS = 4
MENTION_SHARE = 0.05
JITTER = 120 * SECOND
TEXTS = np.uint64(10**15)


def draw_posts(people: People, block: tuple[int, int], topics: int, first_piece: int, rng: np.random.Generator) -> Acts:
    """Draw the posts of a block of days, grouped by author; pieces are numbered from first_piece."""
    author, time = (
        np.concatenate(both) for both in zip(_people(people, block, rng), _bots(people, block, rng), strict=True)
    )
    there = people.there(author, time)
    author, time = author[there], time[there]
    piece = first_piece + np.arange(len(author))
    bot = people.kind[author] == BOT
    repeated = -2 - (author * BOT_TEXTS + rng.integers(0, BOT_TEXTS, len(author)))
    return acts(
        time,
        actor=author,
        verb=VERB["post"],
        object=piece,
        tags=draw_tags(people.topic[author], people.second_topic[author], topics, rng),
        text=text_key(np.where(bot, repeated, piece)),
        links=np.minimum(rng.poisson(LINKS[people.kind[author]]), 20),
    )


def bot_mentions(people: People, posts: Acts, rng: np.random.Generator) -> Acts:
    """Let bots mention anybody in a share of their posts: the only thing that they do to others."""
    said = posts.where((people.kind[posts.actor] == BOT) & (rng.random(len(posts)) < MENTION_SHARE))
    target = rng.integers(0, len(people.kind), len(said))
    known = (people.joined[target] <= said.time) & (target != said.actor)
    return acts(said.time, actor=said.actor, verb=VERB["mention"], target=target).where(known)


def text_key(number: np.ndarray) -> np.ndarray:
    """Return the key of a text, the same for the same number; 15 decimal digits."""
    return (mix(number) % TEXTS).astype(np.int64)


def _people(people: People, block: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a Poisson process in the daily rhythm, by thinning one at the peak rate (Lewis and Shedler 1979)."""
    begin, end = block
    around = (people.kind != BOT) & (people.joined < end) & (people.left > begin)
    expected = np.where(around, people.posts_per_day, 0) * PEAK * (end - begin) / DAY
    author = np.repeat(np.arange(len(expected)), rng.poisson(expected))
    time = begin + (rng.random(len(author)) * (end - begin)).astype(np.int64)
    kept = rng.random(len(author)) * PEAK < activity(time)
    return author[kept], time[kept]


def _bots(people: People, block: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Post at even intervals from the day of joining, give or take two minutes."""
    bots = np.flatnonzero(people.kind == BOT)
    every = DAY / people.posts_per_day[bots]
    first, last = (np.maximum(np.ceil((edge - people.joined[bots]) / every), 0).astype(np.int64) for edge in block)
    author = np.repeat(bots, last - first)
    turn = rank(author) + np.repeat(first, last - first)
    time = people.joined[author] + (turn * np.repeat(every, last - first)).astype(np.int64)
    return author, time + rng.integers(0, JITTER, len(author))


def rank(group: np.ndarray) -> np.ndarray:
    """Count up from 0 within each run of equal values."""
    position = np.arange(len(group))
    opens = np.append(True, group[1:] != group[:-1])[: len(group)]
    return position - np.maximum.accumulate(np.where(opens, position, 0))
