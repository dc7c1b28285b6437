"""The story of a score: its sections in the order in which to read them, each a few sentences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from features.catalogue.wording import count_of, people

Topic = Literal["score", "for", "against", "not_counted", "evidence", "change", "words"]
TITLES: dict[Topic, str] = {
    "score": "",
    "for": "What raises it most",
    "against": "What lowers it most",
    "not_counted": "What does not count in full",
    "evidence": "How sure it is",
    "change": "What would change it",
    "words": "Words",
}
TERMS = (
    "established member",
    "response counts",
    "that count",
    "count as about",
    "periods count",
    "last 90 days counts",
)
PERSON = 0.95  # people, about one
ENGAGING = (
    "To respond is to reply, mention, like, repost or quote; to engage is to respond, or to follow, dislike, flag, "
    "unfollow or block."
)
DECAYED = "Where recent responses count most, a person counts half four weeks after the last response."
EXPLAINED = (
    "An established member is somebody to whom long-standing users respond. Newer people, and people who answer each "
    "other, count in part."
)


@dataclass(frozen=True)
class Section:
    """A part of the story of a score.

    Parameters
    ----------
    topic : score (what it is and means), for, against, not_counted, evidence, change or words (what they mean)
    title : the heading, empty for the first
    sentences : what a reviewer reads

    """

    topic: Topic
    title: str
    sentences: tuple[str, ...]


def story(sentences: dict[Topic, Sequence[str]]) -> tuple[Section, ...]:
    """Return the sections with sentences, in the order of TITLES, with the words that they use explained."""
    text = " ".join(sentence for texts in sentences.values() for sentence in texts)
    used = {ENGAGING: ("engage", "respon"), EXPLAINED: TERMS, DECAYED: ("recent responses most",)}
    words = [words for words, terms in used.items() if any(term in text for term in terms)]
    texts = {**sentences, "words": words}
    return tuple(Section(topic, title, tuple(texts[topic])) for topic, title in TITLES.items() if texts.get(topic))


def standing(user: str, score: float, below: float, as_of: str) -> str:
    """Say how many points a user has, and how many users have fewer; `below` is their share, 0 to 1."""
    return f"{user} has {score:.1f} of 100 points, {_rank(below)}, as of {as_of[:10]}."


def _rank(below: float) -> str:
    """Say how many users have fewer points, rounded down: above 99 to a tenth."""
    percent = 100 * below
    if percent < 1:
        return "and less than 1% of users have fewer" if percent else "and no user has fewer"
    shown = f"{math.floor(10 * percent + 1e-6) / 10:.1f}" if percent > 99 else f"{math.floor(percent + 1e-6)}"
    return f"more than {shown}% of users"


def expectation(expected: float, low: int, high: int, level: float, days: int, credible: bool) -> str:
    """Say how many people are expected to engage; below one, the chance that anybody does.

    The chance that anybody engages is at most the expected number of people, whatever its distribution.
    """
    number = f"{low:,} to {count_of(high, 'person', 'people')}" if low < high else people(high) if high else "nobody"
    among = f"{level:.0%} of users like this one hear from {number}."
    counted = ", counted as established members" if credible else ""
    if expected >= PERSON:
        who = count_of(expected, "person is", "different people are")
        return f"About {who} expected to engage with this user in the next {days} days{counted}; {among}"
    return (
        f"The chance that anybody engages with this user in the next {days} days is at most about {chance(expected)}; "
        f"{among}"
    )


def expectations(before: float, after: float) -> str:
    """Say how many people were expected to engage at two instants; below one, the chance that anybody does."""
    if max(before, after) < PERSON:
        return f"The chance that anybody engages: at most about {chance(before)}, then {chance(after)}."
    numbers = (
        f"about {expected:,.0f}" if expected >= PERSON else f"less than one (a chance of at most {chance(expected)})"
        for expected in (before, after)
    )
    return f"People expected to engage: {', then '.join(numbers)}."


def chance(share: float) -> str:
    """Return a share in words: `1 in 50`, `7 in 10`."""
    if share >= 0.4:
        return f"{min(round(10 * share), 9)} in 10"
    number = 1 / max(share, 1e-3)
    rounding = 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return f"1 in {round(number / rounding) * rounding:,}"
