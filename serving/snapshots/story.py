"""The story of a score: its sections in the order in which to read them, each a few sentences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from features.catalogue.wording import count_of, people
from features.events.scopes import ALL
from training.model.baseline import Baseline
from training.model.scale import Scale

Topic = Literal["score", "for", "against", "rest", "not_counted", "evidence", "change", "words"]
TITLES: dict[Topic, str] = {
    "score": "",
    "words": "",
    "for": "What raises it",
    "against": "What lowers it",
    "rest": "",
    "not_counted": "What does not count in full",
    "evidence": "How sure it is",
    "change": "What would change it, by the model's estimate",
}
NOT_ACTIVE = " (this user is not one of them)"
PERSON = 0.9  # people, about one
REACTIONS = "a reply, like, follow, dislike and so on"
ESTABLISHED = (
    "A response (reply, mention, like, repost or quote) counts in full if it comes from an established member: "
    "somebody to whom several long-standing users respond, directly or through others. From anybody else, or if this "
    "user responds to them as well, it counts in part, or not at all."
)
ANONYMOUS = "Anonymous responses, such as votes, count in full but add no person."
# Words that need an explanation, by a part of the texts that use them.
WORDS = {"respon": ESTABLISHED, "nonymous": ANONYMOUS}


@dataclass(frozen=True)
class Section:
    """A part of the story of a score.

    Parameters
    ----------
    topic : score (what it is and means), words (what they mean), for, against, rest (of the points), not_counted,
        evidence or change
    title : the heading, empty for the first
    sentences : what a reviewer reads

    """

    topic: Topic
    title: str
    sentences: tuple[str, ...]


def story(sentences: dict[Topic, Sequence[str]], lowered: bool = False) -> tuple[Section, ...]:
    """Return the sections with sentences, in the order of TITLES, with the words that they use explained.

    What lowers a score comes before what raises it where it is `lowered`, all in all.
    """
    text = " ".join(sentence for texts in sentences.values() for sentence in texts)
    texts = {**sentences, "words": [explained for word, explained in WORDS.items() if word in text]}
    order = list(TITLES)
    if lowered:
        order[2:4] = "against", "for"
    return tuple(Section(topic, TITLES[topic], tuple(texts[topic])) for topic in order if texts.get(topic))


def standing(user: str, score: float, as_of: str) -> str:
    """Say which score a user has."""
    return f"{user} has an influence score of {score:.1f} out of 100, as of {as_of[:10]}."


def rank(below: float, base: float, baseline: Baseline, scope: str, score: float, is_absent: bool = False) -> str:
    """Say how many of the active users have a lower score, and what their average is.

    Parameters
    ----------
    below : the share with a lower score, 0 to 1
    base : the points of the baseline
    baseline : of active users; where it is not of the scope, or does not hold their scores, `below` is of all users
    scope : the part of the activity
    score : the user's
    is_absent : whether the user is none of the active ones

    """
    if baseline.scope == scope and baseline.median is not None:
        compared = _compared(below, f"the {baseline.population}", score).removesuffix(".")
        return f"{compared}{NOT_ACTIVE if is_absent else ''}. The points below start from their average, {base:.1f}."
    everybody = "all users" if scope == ALL else f"all users of {scope}"
    return f"{_compared(below, everybody, score)} The points below start from {baseline.description}: {base:.1f}."


def _compared(below: float, users: str, score: float) -> str:
    """Say how many users have less, rounded down: above 99 % to a tenth."""
    percent = 100 * below
    if score <= 0:
        return f"None of {users} has a lower one."
    if percent < 1:
        return f"Fewer than {1 if below else 0.1}% of {users} have a lower one."
    tenths = math.floor(10 * percent + 1e-6)
    share = "" if tenths == 1_000 else f"{tenths / 10:.1f}% of " if percent > 99 else f"{tenths // 10}% of "
    return f"That is higher than {share}{users}."


def describe_expectation(expected: float, days: int, scale: Scale, credible: bool) -> str:
    """Say how many people a score stands for; where that is less than one, how many such users anybody engages with.

    The chance that anybody engages is at most the expected number of people, whatever its distribution.

    Parameters
    ----------
    expected : people
    days : the horizon
    scale : from people to points
    credible : whether people are counted by how credible they are

    """
    more = f"10 points more mean {scale.factor_per_10_points:.1f} times the people."
    if expected >= PERSON:
        counted = ", counted as established members" if credible else ""
        who = count_of(expected, "person is", "different people are")
        return (
            f"It means that about {who} expected to engage with this user ({REACTIONS}) in the next {days} "
            f"days{counted}. {more}"
        )
    return (
        f"It means that of users with similar figures at most {chance(expected)} will hear from anybody ({REACTIONS}) "
        f"in the next {days} days. {more}"
    )


def describe_spread(low: int, high: int, level: float, days: int, scale: Scale) -> str:
    """Say with how many people engaging most users end who are like this one."""
    tenths = 10 * level
    share = f"{tenths:.0f} in 10" if abs(tenths - round(tenths)) < 1e-9 else f"{level:.0%} of"
    for_most = f"For {share} users with similar figures, {{who}} in the next {days} days"
    if high == 0:
        return f"{for_most.format(who='nobody engages')}."
    ends = [round(scale.points_of_people(end)) for end in (low, high)]
    who = f"{people(high) if low == high else f'between {low:,} and {people(high)}'} engage"
    if high == 1:
        who = "1 person engages" if low else "nobody or 1 person engages"
    stated = f"{ends[0]}" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
    return f"{for_most.format(who=who)} ({stated} points)."


def remainder(points: float, unclipped: float, score: float) -> list[str]:
    """Say what all facts add together that are no reasons, and what the ends of the scale do; rounded figures."""
    ends = f" This makes {unclipped:.1f}, but scores end at {score:.0f}." if abs(unclipped - score) >= 0.05 else ""
    return [f"All other facts together: {points:+.1f} points.{ends}"] if abs(points) >= 0.05 or ends else []


def expectations(before: float, after: float) -> str:
    """Say how many people were expected to engage at two instants; below one, the chance that anybody does."""
    if max(before, after) < PERSON:
        return f"The chance that anybody engages: at most {chance(before)}, then {chance(after)}."
    numbers = (
        f"about {expected:,.0f}" if expected >= PERSON else f"less than one (a chance of at most {chance(expected)})"
        for expected in (before, after)
    )
    return f"People expected to engage: {', then '.join(numbers)}."


def chance(share: float) -> str:
    """Return a share in words, rounded up: `1 in 50`, `7 in 10`; 0.001 at least."""
    if share > 1 / 3:
        return f"{math.ceil(10 * share - 1e-9)} in 10"
    number = 1 / max(share, 1e-3) + 1e-9
    rounding = 5 if number >= 10 else 1
    if number >= 100:
        rounding = 5 * 10 ** (math.floor(math.log10(number)) - 1)
    return f"1 in {math.floor(number / rounding) * rounding:,}"
