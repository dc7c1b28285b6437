"""What users do: post, react, answer, mention, follow and unfollow, as arrays of events."""

import numpy as np

from features.simulation.community import DAY, SECOND
from features.simulation.event_arrays import NULL, VERB, EventArrays, build_events, draw_tags, main_topic
from features.simulation.population import (
    BOT,
    PEAK,
    EngagerPool,
    Population,
    draw_delays,
    mix,
    postpone_to_waking_hours,
    relative_activity,
)

FOLLOW_BACK_SHARE = 0.12
UNFOLLOW_SHARE, UNFOLLOW_DAYS = 0.12, 60.0
SLOTS_PER_USER = 128
CREATES = np.isin(np.arange(len(VERB)), [VERB["reply"], VERB["quote"]])
ANSWER_SHARE, ANSWER_IS_REPLY = 0.3, 0.4
UNKNOWN_SHARE = 0.02
VERB_SHARES = {  # in thousandths
    "like": 630,
    "reply": 115,  # repeated reactions to one post add more
    "repost": 100,
    "follow": 65,
    "mention": 30,
    "quote": 30,
    "dislike": 18,
    "flag": 7,
    "block": 5,
}
VERB_TABLE = np.repeat(np.array([VERB[name] for name in VERB_SHARES], dtype=np.int8), list(VERB_SHARES.values()))
ABOUT_USER = np.isin(np.arange(len(VERB)), [VERB["follow"], VERB["block"]])
REPEATABLE = np.isin(np.arange(len(VERB)), [VERB["reply"], VERB["mention"], VERB["follow"], VERB["block"]])
BURST = 0.7  # shape of the gamma-distributed luck of a post, whose mean is 1
SLOW = np.array([0.08, 0.08, 0.35, 0.08], dtype=np.float32)  # share of late reactions, by the author's kind
LINKS = np.array([0.25, 0.25, 0.6, 1.5])  # mean links per post, by kind
BOT_TEXTS = 4
MENTION_SHARE = 0.05
JITTER = 120 * SECOND
TEXTS = np.uint64(10**15)


class FollowGraph:
    """Counts each user's followers and records which pairs have followed, in O(users) memory.

    Pairs are flags in a hash table of at least SLOTS_PER_USER slots per user. A pair whose slot another pair has set
    counts as repeated: a few follows are lost, but none occurs twice.
    """

    def __init__(self, population: Population, pool: EngagerPool) -> None:
        users = len(population.kind)
        self.population, self.pool = population, pool
        self.follower_count = np.zeros(users, dtype=np.int64)
        self.slots = np.zeros(1 << (SLOTS_PER_USER * users - 1).bit_length(), dtype=bool)

    def next_followers(self, author: np.ndarray) -> np.ndarray:
        """Return each author's next follower: fans, then others of the topic; equal authors are adjacent."""
        number = self.follower_count[author] + rank(author)
        self.follower_count += np.bincount(author, minlength=len(self.follower_count))
        return self.pool.fans_at(author, self.population.topic[author], number)

    def add(self, actor: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Record follows; return a mask of the same shape, true for the first follow of a pair."""
        pair = (actor.astype(np.int64) << 32) + target
        slot = (mix(pair) & np.uint64(len(self.slots) - 1)).astype(np.int64)
        earliest = np.unique(slot, return_index=True)[1]
        new = np.zeros(len(slot), dtype=bool)
        new[earliest] = ~self.slots[slot[earliest]]
        self.slots[slot] = True
        return new

    def draw_follow_backs(self, follows: EventArrays, rng: np.random.Generator) -> EventArrays:
        """Draw the follows by which a share of the followed users follow back; bots follow nobody."""
        sample = _sample(follows.where(self.population.kind[follows.target] != BOT), FOLLOW_BACK_SHARE, rng)
        time = postpone_to_waking_hours(sample.time + draw_delays(np.zeros(len(sample)), rng), rng)
        events = build_events(time, actor=sample.target, verb=VERB["follow"], target=sample.actor)
        events = events.where(self.population.is_present(events.actor, events.time))
        return events.where(self.add(events.actor, events.target))

    def draw_unfollows(self, follows: EventArrays, rng: np.random.Generator) -> EventArrays:
        """Draw the unfollows by a share of the followers, after an exponential time."""
        sample = _sample(follows, UNFOLLOW_SHARE, rng)
        time = sample.time + 1 + (rng.exponential(UNFOLLOW_DAYS, len(sample)) * DAY).astype(np.int64)
        events = build_events(time, actor=sample.actor, verb=VERB["unfollow"], target=sample.target)
        return events.where(self.population.is_present(events.actor, events.time))


def _sample(follows: EventArrays, share: float, rng: np.random.Generator) -> EventArrays:
    return follows.where(rng.random(len(follows)) < share)


def number_new_pieces(events: EventArrays, first_piece: int) -> int:
    """Assign numbers to the pieces that replies and quotes create, in place; return the number after the last."""
    rows = np.flatnonzero(CREATES[events.verb])
    events.result[rows] = first_piece + np.arange(len(rows))
    events.text[rows] = text_key(events.result[rows])
    events.links[rows] = 0
    return first_piece + len(rows)


def draw_answers(population: Population, reactions: EventArrays, rng: np.random.Generator) -> EventArrays:
    """Draw the likes and replies by which authors answer a share of their replies and quotes; bots answer nobody."""
    rows = np.flatnonzero(CREATES[reactions.verb] & (population.kind[reactions.target] != BOT))
    sample = reactions.where(rows[rng.random(len(rows)) < ANSWER_SHARE])
    verb = np.where(rng.random(len(sample)) < ANSWER_IS_REPLY, VERB["reply"], VERB["like"])
    time = postpone_to_waking_hours(sample.time + draw_delays(np.zeros(len(sample)), rng), rng)
    events = build_events(
        time, actor=sample.target, verb=verb, target=sample.actor, object=sample.result, tags=sample.tags
    )
    return events.where(population.is_present(events.actor, events.time))


def anonymize_some_likes(events: EventArrays, rng: np.random.Generator) -> None:
    """Set the actor of a few likes to null, in place."""
    likes = np.flatnonzero(events.verb == VERB["like"])
    events.actor[likes[rng.random(len(likes)) < UNKNOWN_SHARE]] = NULL


def draw_reactions(
    population: Population,
    pool: EngagerPool,
    posts: EventArrays,
    expected: np.ndarray,
    follows: FollowGraph,
    rng: np.random.Generator,
) -> EventArrays:
    """Draw the reactions to posts, each from a user who is present at its time and is not the author.

    Parameters
    ----------
    population : all users
    pool : from which engagers are drawn
    posts : events of the verb post, grouped by author
    expected : mean number of reactions to each post; the number is negative binomial, a Poisson with gamma luck
    follows : the follows so far; updated
    rng : the source of randomness

    """
    luck = rng.standard_gamma(BURST, len(posts)) / BURST
    post = np.repeat(np.arange(len(posts)), rng.poisson(expected * luck))
    author = posts.actor[post]
    topic = main_topic(posts.tags[post], len(pool.size) - 1)
    verb = VERB_TABLE[rng.integers(0, len(VERB_TABLE), len(post), dtype=np.uint16)]
    actor = pool.draw_engagers(author, topic, rng)
    follow = np.flatnonzero(verb == VERB["follow"])
    actor[follow] = follows.next_followers(author[follow])
    time = postpone_to_waking_hours(posts.time[post] + draw_delays(SLOW[population.kind[author]], rng), rng)
    valid = (actor != author) & population.is_present(actor, time)
    follow = follow[valid[follow]]
    valid[follow] = follows.add(actor[follow], author[follow])
    post, actor = post[valid], actor[valid]
    verb = _repeats_to_replies(post, actor, verb[valid])
    personal = ABOUT_USER[verb]
    return build_events(
        time[valid],
        actor=actor,
        verb=verb,
        target=author[valid],
        object=np.where(personal, NULL, posts.object[post]),
        tags=np.where(personal, NULL, posts.tags[post]),
    )


def _repeats_to_replies(post: np.ndarray, actor: np.ndarray, verb: np.ndarray) -> np.ndarray:
    """Turn second reactions of a kind that cannot be repeated, such as likes, into replies; the same shape."""
    rows = np.flatnonzero(~REPEATABLE[verb])
    key = (((post[rows] << 32) + actor[rows]) << 4) + verb[rows]
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(key[order][1:] == key[order][:-1]) + 1
    verb[rows[order[again]]] = VERB["reply"]
    return verb


def draw_posts(
    population: Population, block: tuple[int, int], topics: int, first_piece: int, rng: np.random.Generator
) -> EventArrays:
    """Draw the posts of a block of days, grouped by author; pieces are numbered from first_piece."""
    human, bot = _human_posts(population, block, rng), _bot_posts(population, block, rng)
    author, time = (np.concatenate(pair) for pair in zip(human, bot, strict=True))
    present = population.is_present(author, time)
    author, time = author[present], time[present]
    piece = first_piece + np.arange(len(author))
    repeated = -2 - (author * BOT_TEXTS + rng.integers(0, BOT_TEXTS, len(author)))
    return build_events(
        time,
        actor=author,
        verb=VERB["post"],
        object=piece,
        tags=draw_tags(population.topic[author], population.second_topic[author], topics, rng),
        text=text_key(np.where(population.kind[author] == BOT, repeated, piece)),
        links=np.minimum(rng.poisson(LINKS[population.kind[author]]), 20),
    )


def draw_bot_mentions(population: Population, posts: EventArrays, rng: np.random.Generator) -> EventArrays:
    """Draw the mentions of random users in a share of the bots' posts, the only events that bots aim at others."""
    sample = posts.where((population.kind[posts.actor] == BOT) & (rng.random(len(posts)) < MENTION_SHARE))
    target = rng.integers(0, len(population.kind), len(sample))
    valid = (population.joined_at[target] <= sample.time) & (target != sample.actor)
    return build_events(sample.time, actor=sample.actor, verb=VERB["mention"], target=target).where(valid)


def text_key(number: np.ndarray) -> np.ndarray:
    """Return the key of a text, the same for the same number; 15 decimal digits."""
    return (mix(number) % TEXTS).astype(np.int64)


def _human_posts(
    population: Population, block: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a Poisson process in the daily rhythm, by thinning one at the peak rate (Lewis and Shedler 1979)."""
    begin, end = block
    present = (population.kind != BOT) & (population.joined_at < end) & (population.left_at > begin)
    expected = np.where(present, population.posts_per_day, 0) * PEAK * (end - begin) / DAY
    author = np.repeat(np.arange(len(expected)), rng.poisson(expected))
    time = begin + (rng.random(len(author)) * (end - begin)).astype(np.int64)
    accepted = rng.random(len(author)) * PEAK < relative_activity(time)
    return author[accepted], time[accepted]


def _bot_posts(
    population: Population, block: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Post at even intervals from the day of joining, up to two minutes late."""
    bots = np.flatnonzero(population.kind == BOT)
    interval = DAY / population.posts_per_day[bots]
    first, last = (
        np.maximum(np.ceil((edge - population.joined_at[bots]) / interval), 0).astype(np.int64) for edge in block
    )
    author = np.repeat(bots, last - first)
    number = rank(author) + np.repeat(first, last - first)
    time = population.joined_at[author] + (number * np.repeat(interval, last - first)).astype(np.int64)
    return author, time + rng.integers(0, JITTER, len(author))


def rank(group: np.ndarray) -> np.ndarray:
    """Count up from 0 within each run of equal values."""
    position = np.arange(len(group))
    starts = np.append(True, group[1:] != group[:-1])[: len(group)]
    return position - np.maximum.accumulate(np.where(starts, position, 0))
