"""New pieces: people post in the rhythm of the day, bots by the clock.

What posts draw directly: who reacts, how, and when.
What replies and quotes make and lead to: new pieces, and answers by the authors.
Who follows whom: each follows another once, some are followed back, some leave again.
"""

import numpy as np

from features.simulation.community import DAY, SECOND
from features.simulation.event_table import NOTHING, VERB, EventArrays, draw_tags, empty_events, main_topic
from features.simulation.population import BOT, PEAK, Population, activity, awake, delays
from features.simulation.social_graph import Crowd, mix

FOLLOW_BACK_SHARE = 0.12
UNFOLLOW_SHARE, UNFOLLOW_DAYS = 0.12, 60.0
SLOTS_PER_USER = 128


class Follows:
    """Remembers how many followers each user has been given, and which pairs have followed, in O(users) memory.

    Pairs are remembered as marks in a table of at least SLOTS_PER_USER slots per user, found by a hash. A pair whose
    slot another pair has marked counts as known, so a few follows are lost, and none comes twice.
    """

    def __init__(self, people: Population, crowd: Crowd) -> None:
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

    def back(self, follows: EventArrays, rng: np.random.Generator) -> EventArrays:
        """Let a share of those who got a follower follow back; bots follow nobody."""
        got = _share(follows.where(self.people.kind[follows.target] != BOT), FOLLOW_BACK_SHARE, rng)
        time = awake(got.time + delays(np.zeros(len(got)), rng), rng)
        made = empty_events(time, actor=got.target, verb=VERB["follow"], target=got.actor)
        made = made.where(self.people.there(made.actor, made.time))
        return made.where(self.first(made.actor, made.target))

    def lost(self, follows: EventArrays, rng: np.random.Generator) -> EventArrays:
        """Let a share of the followers leave again, exponentially later."""
        gone = _share(follows, UNFOLLOW_SHARE, rng)
        time = gone.time + 1 + (rng.exponential(UNFOLLOW_DAYS, len(gone)) * DAY).astype(np.int64)
        made = empty_events(time, actor=gone.actor, verb=VERB["unfollow"], target=gone.target)
        return made.where(self.people.there(made.actor, made.time))


def _share(follows: EventArrays, share: float, rng: np.random.Generator) -> EventArrays:
    return follows.where(rng.random(len(follows)) < share)


CREATES = np.isin(np.arange(len(VERB)), [VERB["reply"], VERB["quote"]])
ANSWER_SHARE, ANSWER_IS_REPLY = 0.3, 0.4
UNKNOWN_SHARE = 0.02


def create_pieces(made: EventArrays, first_piece: int) -> int:
    """Give every reply and quote its new piece, in place; return the number of the piece after the last."""
    rows = np.flatnonzero(CREATES[made.verb])
    made.result[rows] = first_piece + np.arange(len(rows))
    made.text[rows] = text_key(made.result[rows])
    made.links[rows] = 0
    return first_piece + len(rows)


def answers(people: Population, reactions: EventArrays, rng: np.random.Generator) -> EventArrays:
    """Let authors like or reply to a share of the replies and quotes that they got; bots answer nobody."""
    rows = np.flatnonzero(CREATES[reactions.verb] & (people.kind[reactions.target] != BOT))
    got = reactions.where(rows[rng.random(len(rows)) < ANSWER_SHARE])
    verb = np.where(rng.random(len(got)) < ANSWER_IS_REPLY, VERB["reply"], VERB["like"])
    time = awake(got.time + delays(np.zeros(len(got)), rng), rng)
    made = empty_events(time, actor=got.target, verb=verb, target=got.actor, object=got.result, tags=got.tags)
    return made.where(people.there(made.actor, made.time))


def forget_some(made: EventArrays, rng: np.random.Generator) -> None:
    """Make the actor of a few likes unknown, in place."""
    likes = np.flatnonzero(made.verb == VERB["like"])
    made.actor[likes[rng.random(len(likes)) < UNKNOWN_SHARE]] = NOTHING


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
    people: Population,
    crowd: Crowd,
    posts: EventArrays,
    expected: np.ndarray,
    follows: Follows,
    rng: np.random.Generator,
) -> EventArrays:
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
    return empty_events(
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


LINKS = np.array([0.25, 0.25, 0.6, 1.5])  # mean links per post, by kind
BOT_TEXTS = 4
MENTION_SHARE = 0.05
JITTER = 120 * SECOND
TEXTS = np.uint64(10**15)


def draw_posts(
    people: Population, block: tuple[int, int], topics: int, first_piece: int, rng: np.random.Generator
) -> EventArrays:
    """Draw the posts of a block of days, grouped by author; pieces are numbered from first_piece."""
    author, time = (
        np.concatenate(both) for both in zip(_people(people, block, rng), _bots(people, block, rng), strict=True)
    )
    there = people.there(author, time)
    author, time = author[there], time[there]
    piece = first_piece + np.arange(len(author))
    bot = people.kind[author] == BOT
    repeated = -2 - (author * BOT_TEXTS + rng.integers(0, BOT_TEXTS, len(author)))
    return empty_events(
        time,
        actor=author,
        verb=VERB["post"],
        object=piece,
        tags=draw_tags(people.topic[author], people.second_topic[author], topics, rng),
        text=text_key(np.where(bot, repeated, piece)),
        links=np.minimum(rng.poisson(LINKS[people.kind[author]]), 20),
    )


def bot_mentions(people: Population, posts: EventArrays, rng: np.random.Generator) -> EventArrays:
    """Let bots mention anybody in a share of their posts: the only thing that they do to others."""
    said = posts.where((people.kind[posts.actor] == BOT) & (rng.random(len(posts)) < MENTION_SHARE))
    target = rng.integers(0, len(people.kind), len(said))
    known = (people.joined[target] <= said.time) & (target != said.actor)
    return empty_events(said.time, actor=said.actor, verb=VERB["mention"], target=target).where(known)


def text_key(number: np.ndarray) -> np.ndarray:
    """Return the key of a text, the same for the same number; 15 decimal digits."""
    return (mix(number) % TEXTS).astype(np.int64)


def _people(people: Population, block: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a Poisson process in the daily rhythm, by thinning one at the peak rate (Lewis and Shedler 1979)."""
    begin, end = block
    around = (people.kind != BOT) & (people.joined < end) & (people.left > begin)
    expected = np.where(around, people.posts_per_day, 0) * PEAK * (end - begin) / DAY
    author = np.repeat(np.arange(len(expected)), rng.poisson(expected))
    time = begin + (rng.random(len(author)) * (end - begin)).astype(np.int64)
    kept = rng.random(len(author)) * PEAK < activity(time)
    return author[kept], time[kept]


def _bots(people: Population, block: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
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
