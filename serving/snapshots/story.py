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
    "for": "What raises it",
    "against": "What lowers it",
    "rest": "",
    "not_counted": "What does not count in full",
    "evidence": "How sure it is",
    "change": "What would change it, by the model's estimate",
    "words": "Words",
}
OTHERS = " This user is not among the active ones."
PERSON = 0.9  # people, about one
ENGAGED = (
    "To respond is to reply, mention, like, repost or quote. To engage is that, or to follow, dislike, flag, unfollow "
    "or block."
)
ESTABLISHED = (
    "Established members are users to whom several long-standing users respond, or whose responders have such "
    "responders. They count in full; everybody else counts in part, such as by half, or not at all."
)
COUNTED = "A response counts as much as the person it comes from."
POSTS = (
    "A post that drew engagement counts in full if somebody established or anonymous engaged, else in part; one person "
    "adds one post at most."
)
EXCHANGED = (
    "Two people who respond to each other count for less than half among those who responded, so that friends do not "
    "raise each other's scores."
)
ANONYMOUS = (
    "An anonymous response, such as a vote, counts in full for when it came and for the post, but adds no person, "
    "neither to those who responded nor to those expected."
)
LIKE = "Users like this one have similar figures and a similar number of people expected to engage with them."
DEPENDING = (
    "Facts count together: the same figure, even an average one, can be worth more or fewer points beside other facts."
)
# Words that need an explanation, by a part of the texts that use them.
WORDS = {
    "engage with": ENGAGED,
    "established": ESTABLISHED,
    "that count": COUNTED,
    "engagement": POSTS,
    "this user responds": EXCHANGED,
    "nonymous": ANONYMOUS,
    "users like this one": LIKE,
    "points.": DEPENDING,
}


@dataclass(frozen=True)
class Section:
    """A part of the story of a score.

    Parameters
    ----------
    topic : score (what it is and means), for, against, rest (of the points), not_counted, evidence, change or words
        (what they mean)
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
        order[1:3] = "against", "for"
    return tuple(Section(topic, TITLES[topic], tuple(texts[topic])) for topic in order if texts.get(topic))


def standing(user: str, score: float, as_of: str) -> str:
    """Say which score a user has."""
    return f"{user} has an influence score of {score:.1f} out of 100, as of {as_of[:10]}."


def rank(below: float, base: float, baseline: Baseline, scope: str, score: float, is_absent: bool = False) -> str:
    """Say how many of the active users have a lower score, what half of them have, and what their average is.

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
        compared = _compared(below, f"the {baseline.population}", score)
        return (
            f"{compared}{OTHERS if is_absent else ''} Half of them have at most {baseline.median:.1f} points; "
            f"their average, from which the points below start, is {base:.1f}."
        )
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
    more = f"10 points more mean {scale.factor_per_10_points:.1f} times as many people."
    if expected >= PERSON:
        counted = ", counted as established members" if credible else ""
        who = count_of(expected, "person is", "different people are")
        return (
            f"About {who} expected to engage with this user, for or against, in the next {days} days{counted}. {more}"
        )
    some = f"at most {chance(expected)} users like this one {'hears' if expected <= 1 / 3 else 'hear'} from anybody"
    return (
        f"Less than one person is expected to engage with this user, for or against, in the next {days} days: {some}. "
        f"{more}"
    )


def describe_spread(low: int, high: int, level: float, days: int, scale: Scale) -> str:
    """Say with how many people engaging most users end who are like this one."""
    tenths = 10 * level
    share = f"{tenths:.0f} in 10" if abs(tenths - round(tenths)) < 1e-9 else f"{level:.0%} of"
    for_most = f"For {share} users like this one, {{who}} with them in the next {days} days"
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
