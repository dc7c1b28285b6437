"""The story of a score: its sections in the order in which to read them, each a few sentences."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from features.aggregates.credibility import ESTABLISHED_DAYS, HISTORY_DAYS
from features.catalogue.credible_wording import COUNTS_MUCH
from features.catalogue.tenure import ABSENT_DAYS, PARTS_OF_HISTORY
from features.catalogue.wording import count_of, people
from features.events.scopes import ALL
from serving.snapshots.facts import Fact
from training.model.baseline import Baseline
from training.model.intervals import Interval
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
    "words": "What the words mean",
}
APPEARED = re.compile(r"since this user appeared (?:less than a day|[\d,]+ days?) ago")
SINCE_THEN = "since this user appeared"
CERTAINTY = {15.0: "fairly certain", 35.0: "rough", math.inf: "very uncertain"}  # up to so many points
PERSON = 0.9  # people, about one
RAREST = 1_000  # of so many users, one
STEPS = 1_000  # in which the share of users below is rounded down
Expected = tuple[float, float | None]  # people, and the chance of any
ENGAGING = "To respond: reply, mention, like, repost, quote. To engage: any of these, or follow, or show dislike."
ENGAGE = "To engage: reply, mention, like, repost, quote, follow, or show dislike."
ESTABLISHED = (
    "An established member is a person who gets responses from several users who have been here {time}, or from people "
    "who get such responses. Anybody else counts as a part of one, or not at all."
)
SIMILAR, SHORT_SIMILAR = "users with similar figures", "similar users"
POINTS = re.compile(r", which would be a score of -?\d+ to \d+")
WITHIN, SHARE = re.compile(r" in the next [\d,]+ days"), re.compile(r"; this is true of at least [^.]+")
COUNTS_HALF = "Somebody who counts much counts as half of an established member or more."
ANONYMOUS = "Anonymous responses, such as votes, count in full, but not as people."


@dataclass(frozen=True, slots=True)
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


def story(
    sentences: dict[Topic, Sequence[str]],
    lowered: bool = False,
    free_days: float | None = ABSENT_DAYS,
) -> tuple[Section, ...]:
    """Return the sections with sentences, in the order of TITLES, with the words that they use explained.

    What lowers a score comes before what raises it where it is `lowered`, all in all. `free_days` is that of
    `words`.
    """
    text = " ".join(sentence for texts in sentences.values() for sentence in texts)
    texts = {**sentences, "words": words(text, free_days)}
    order = list(TITLES)
    if lowered:
        order[1:3] = "against", "for"
    return tuple(Section(topic, TITLES[topic], tuple(texts[topic])) for topic in order if texts.get(topic))


def words(text: str, free_days: float | None) -> list[str]:
    """Explain the words that a text uses.

    Parameters
    ----------
    text : all other sentences
    free_days : after so many days without activity absence begins, a tenth of a short history; the time after which
        users count as long-standing is half of one; None where they are not known

    """
    explained = {
        ENGAGING: "in the next" in text,
        ESTABLISHED.format(time=_established_time(free_days)): "established" in text,
        COUNTS_HALF: COUNTS_MUCH in text,
        ANONYMOUS: "nonymous" in text,
    }
    return [explanation for explanation, is_used in explained.items() if is_used]


def _established_time(free_days: float | None) -> str:
    """Say after which time users count as long-standing, half of a short history: in words, or about in days."""
    if free_days is None:
        return "long"
    days = free_days * PARTS_OF_HISTORY * ESTABLISHED_DAYS / HISTORY_DAYS
    return "for half a year" if days >= ESTABLISHED_DAYS else f"for about {count_of(days, 'day')}"


def time_named_once() -> Callable[[str], str]:
    """Return a function that says of a newcomer's time what it is in the first text, and names no number of days later.

    It is for texts that are read in the order in which the function gets them.
    """
    named: list[str] = []

    def name(match: re.Match[str]) -> str:
        named.append(match[0])
        return match[0] if len(named) == 1 else SINCE_THEN

    return lambda text: APPEARED.sub(name, text) if "appeared" in text else text


def standing(user: str, score: float, as_of: str) -> str:
    """Say which score a user has."""
    return f"The influence score of {user} is {score:.1f} out of 100, as of {as_of[:10]}."


def rank(below: float, baseline: Baseline, scope: str, score: float, base: float) -> str:
    """Say how many of the active users have a lower score, and where a score is beside their average.

    Parameters
    ----------
    below : the share with a lower score, 0 to 1
    baseline : of active users; where it is not of the scope, or does not hold their scores, `below` is of all users
    scope : the part of the activity
    score : the user's
    base : the average score of the baseline

    """
    if _is_of(baseline, scope):
        compared = _compared(below, baseline.users, f"the {baseline.population}", score)
        return f"{compared.removesuffix('.')}{_beside_average(below, score, base)}."
    return _compared(below, None, "all users" if scope == ALL else f"all users of {scope}", score)


def _beside_average(below: float, score: float, base: float) -> str:
    """Say that a score which more than half are below is itself below the average, or the other way round."""
    difference = round(score, 1) - round(base, 1)
    if below >= 0.5 and difference < 0:
        return f", but below their average of {base:.1f}"
    return f", but above their average of {base:.1f}" if below < 0.5 and difference > 0 else ""


def start(base: float, baseline: Baseline, scope: str, ranked: str) -> str:
    """Say which average the points start from: that of the users of `rank`, where the baseline is of them.

    `ranked` is the sentence before, which may have named it.
    """
    if "average" in ranked:
        raised = ", which a few high scores raise" if "below their average" in ranked else ""
        return f"The points below start from this average{raised}; all averages below are of these users."
    if _is_of(baseline, scope):
        return (
            f"The points below start from the average score of these users, {base:.1f}; all averages below are theirs."
        )
    return f"The points below start from {baseline.description}: {base:.1f}."


def _is_of(baseline: Baseline, scope: str) -> bool:
    return baseline.scope == scope and baseline.median is not None


def _compared(below: float, count: int | None, users: str, score: float) -> str:
    """Say how many of so many users (None: not known) have less, rounded down: above 99 % to a tenth."""
    percent = 100 * below
    if score <= 0 or (not below and count is not None and count <= STEPS):
        return f"None of {users} has a lower score."
    if not below and count is not None:
        return f"At most {count // STEPS:,} of {users} {'has' if count // STEPS == 1 else 'have'} a lower score."
    if percent < 1:
        return f"Fewer than {1 if below else 0.1}% of {users} have a lower score."
    tenths = math.floor(10 * percent + 1e-6)
    share = "" if tenths == 1_000 else f"{tenths / 10:.1f}% of " if percent > 99 else f"{tenths // 10}% of "
    return f"The score is higher than {share}{users}."


def describe_expectation(expected: float, chance: float | None, days: int, credible: bool) -> str:
    """Say how many people a score stands for; where that is less than one, how many such users anybody engages with.

    Parameters
    ----------
    expected : people
    chance : that anybody engages, as `explanation.chance`; None where it is not known: it is at most the expected
        number of people, whatever its distribution
    days : the horizon
    credible : whether people are counted by how credible they are

    """
    if expected >= PERSON:
        counted = ", counted as established members" if credible else ""
        who = count_of(expected, "person is", "people are")
        return f"It means that about {who} expected to engage with this user in the next {days} days{counted}."
    share = at_most(expected) if chance is None else about(chance)
    engage = "somebody credible respond to" if credible else "somebody engage with"
    return f"It means that, in the next {days} days, {share} {SIMILAR} will have {engage} them."


def describe_factor(expected: float, scale: Scale) -> list[str]:
    """Say how many times the people ten points more stand for, after a number of people."""
    return (
        [f"A score 10 points higher stands for {scale.factor_per_10_points:.1f} times as many people."]
        if expected >= PERSON
        else []
    )


def describe_spread(interval: Interval, days: int) -> str:
    """Say with how many people engaging most users end who are like this one."""
    return f"For {_most_users(interval, days)}."


def describe_certainty(interval: Interval, days: int, scale: Scale) -> str:
    """Say how sure a score is, by the points between the ends of its interval, and the people and points at these.

    Where one person engages at most, points of the ends say nothing: such a score stands for a chance.
    """
    if interval.high <= 1:
        return f"Very probably, {_engage(interval, days)}; this is true of at least {_most(interval.level)} {SIMILAR}."
    low, high = (scale.points_of_people(end) for end in (interval.low, interval.high))
    judgement = next(words for most, words in CERTAINTY.items() if high - low <= most)
    ends = f"{low:.0f}", f"{high:.0f}"
    points = f", which would be a score of {' to '.join(ends)}" if ends[0] != ends[1] else ""
    return f"The prediction is {judgement}: for {_most_users(interval, days)}{points}."


def shorten_certainty(certainty: str) -> str:
    """Shorten `describe_certainty` for a place after `describe_expectation`, which names the days and the users."""
    for words in (POINTS, WITHIN, SHARE):
        certainty = words.sub("", certainty)
    return certainty.replace(SIMILAR, SHORT_SIMILAR)


def _most_users(interval: Interval, days: int) -> str:
    return f"{_most(interval.level)} {SIMILAR}, {_engage(interval, days)}"


def _engage(interval: Interval, days: int) -> str:
    return f"{_between(interval)} {'engages' if interval.high <= 1 else 'engage'} in the next {days} days"


def _most(level: float) -> str:
    tenths = 10 * level
    return f"{tenths:.0f} in 10" if abs(tenths - round(tenths)) < 1e-9 else f"{level:.0%} of"


def _between(interval: Interval) -> str:
    low, high = interval.low, interval.high
    if high == 0:
        return "nobody"
    if low == high:
        return people(high)
    return "nobody or 1 person" if high == 1 else f"{low:,} to {people(high)}"


def remainder(others: Fact | None, unclipped: float, score: float) -> list[str]:
    """Say what everything adds that is no reason, by what it is of, and what the ends of the scale do.

    Parameters
    ----------
    others : all other facts; None if there is none
    unclipped, score : the score before and after it is limited to 0 to 100, rounded

    """
    rest = [others.pointed] if others and others.points else []
    ends = f"This makes {unclipped:.1f}, but scores end at {score:.0f}."
    return [" ".join([*rest, ends])] if abs(unclipped - score) >= 0.05 else rest


def expectations(before: Expected, after: Expected) -> str:
    """Say how many people were expected to engage at two instants; below one, the chance that anybody does.

    Each is the expected number of people, and the chance as for `describe_expectation`.
    """
    shares = [at_most(people) if chance is None else about(chance) for people, chance in (before, after)]
    if max(before[0], after[0]) < PERSON:
        return f"The chance that anybody engages: {shares[0]}, then {shares[1]}."
    numbers = (
        f"about {expected:,.0f}" if expected >= PERSON else f"less than one (a chance of {share})"
        for (expected, _), share in zip((before, after), shares, strict=True)
    )
    return f"People expected to engage: {', then '.join(numbers)}."


def about(share: float) -> str:
    """Return a measured share in words: `about 3 in 10`, `about 1 in 50`; from 1 in 1,000 to 9 in 10."""
    if share < 1 / RAREST:
        return f"fewer than 1 in {RAREST:,}"
    if share > 0.95:
        return "more than 9 in 10"
    if share >= 0.25:
        return f"about {round(10 * share)} in 10"
    return f"about 1 in {_rounded(1 / share, round):,}"


def at_most(share: float) -> str:
    """Return a share that is not exceeded in words: `at most 7 in 10`, `at most 1 in 50`; rounded up."""
    if share > 1 / 3:
        return f"at most {math.ceil(10 * share - 1e-9)} in 10"
    return f"at most 1 in {_rounded(min(1 / max(share, 1e-9), RAREST) + 1e-9, math.floor):,}"


def _rounded(number: float, rounding: Callable[[float], int]) -> int:
    """Round to whole numbers, from 10 to steps of 5, from 100 to steps of 5 in the second digit."""
    step = 1 if number < 10 else 5 * 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return rounding(number / step) * step
