"""The story of a score: its sections in the order in which to read them, each a few sentences."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from features.catalogue.credible import MONTH_DAYS, NEVER, RATE_DAYS, SILENCE, WITHOUT_ESTABLISHED, observed_days
from features.catalogue.wording import count_of, people, points_of
from features.events.scopes import ALL
from training.explanation.feature_constraints import AGE
from training.explanation.reasons import Line
from training.model.baseline import Baseline
from training.model.scale import Scale

Topic = Literal["score", "for", "against", "rest", "not_counted", "evidence", "change", "words"]
TITLES: dict[Topic, str] = {
    "score": "",
    "for": "What raises it, compared with the average",
    "against": "What lowers it, compared with the average",
    "rest": "Everything else",
    "not_counted": "What does not count in full",
    "evidence": "How sure it is",
    "change": "What would change it",
    "words": "Words",
}
PERSON = 0.9  # people, about one
# Words that need an explanation, and the explanation.
COUNT = (" count", "established member")
WORDS = {
    COUNT: (
        "Everybody who responds counts in full, in part or not at all. Established members count in full: people to "
        "whom several long-standing users respond (here for half a year, in a young community less), or whose own "
        "responders have such backing. With less backing people count less. So do people who respond to very many "
        "users, and people to whom this user responds as well, who count for less than half. What people do not count "
        "for is taken off."
    ),
    ("nonymous",): (
        "An anonymous response, such as a vote, shows when and to which post it came, and counts in full for that. As "
        "nobody knows who sent it, it adds nobody to the number of people."
    ),
    ("; average:",): ("Average: about there a fact neither raises nor lowers the score."),
    ("engage", "respon"): (
        "To respond is to reply, mention, like, repost or quote; to engage is to respond, or to follow, dislike, flag, "
        "unfollow or block."
    ),
}
LIMITED = "Sheer numbers matter little: people who do not count move a score by {points} at most."


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


def story(sentences: dict[Topic, Sequence[str]], most_from_anybody: float = 0.0) -> tuple[Section, ...]:
    """Return the sections with sentences, in the order of TITLES, with the words that they use explained.

    `most_from_anybody` are the points by which people who do not count can move a score; 0 where they cannot.
    """
    text = " ".join(sentence for texts in sentences.values() for sentence in texts)
    words = [explained for terms, explained in WORDS.items() if any(term in text for term in terms)]
    if most_from_anybody and words and words[0] == WORDS[COUNT]:
        words[0] += f" {LIMITED.format(points=points_of(most_from_anybody))}"
    texts = {**sentences, "words": words}
    return tuple(Section(topic, title, tuple(texts[topic])) for topic, title in TITLES.items() if texts.get(topic))


def standing(user: str, score: float, as_of: str) -> str:
    """Say which score a user has."""
    return f"{user} has an influence score of {score:.1f} out of 100, as of {as_of[:10]}."


def rank(below: float, base: float, baseline: Baseline, scope: str) -> str:
    """Say how many of the active users have a lower score, and what their average is.

    Parameters
    ----------
    below : the share with a lower score, 0 to 1
    base : the points of the baseline
    baseline : of active users; where it is not of the scope, or does not hold their scores, `below` is of all users
    scope : the part of the activity

    """
    share = _share(below)
    if baseline.scope == scope and baseline.scores is not None:
        return (
            f"Of the {baseline.population}, {share} a lower one. The average of all these users is {base:.1f} points."
        )
    of_scope = "" if scope == ALL else f" of {scope}"
    return f"Of all users{of_scope}, {share} a lower one. The average is {baseline.description}: {base:.1f} points."


def _share(below: float) -> str:
    """Say how many users have less, rounded down: above 99 % to a tenth."""
    percent = 100 * below
    if percent < 1:
        return "less than 1% have"
    if percent > 100 - 1e-6:
        return "all have"
    tenths = math.floor(10 * percent + 1e-6)
    return f"{tenths / 10:.1f}% have" if percent > 99 else f"{tenths // 10}% have"


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
    most = count_of(scale.people(100.0), "person", "people")
    points = f"100 points stand for {most}, every 10 points less for {scale.factor_per_10_points:.1f} times fewer"
    if expected >= PERSON:
        counted = ", counted as established members" if credible else ""
        who = f"{count_of(expected, 'person', 'different people')} expected to engage with this user"
        return f"The score stands for about {who} in the next {days} days{counted}; {points}."
    at_most = f"at most {chance(expected)} {'has' if expected <= 1 / 3 else 'have'} anybody"
    if expected >= 0.5:
        who = f"less than one person expected to engage with this user in the next {days} days"
        return f"The score stands for {who}: of users like this one {at_most}; {points}."
    return f"Most users like this one have nobody engage with them in the next {days} days: {at_most}; {points}."


def describe_spread(low: int, high: int, level: float, days: int, scale: Scale) -> str:
    """Say with how many people engaging most users end who are like this one, and what these are worth."""
    like = f"{level:.0%} of users like this one"
    if not high:
        worth = f"one person would be worth {scale.points_of_people(1):.0f} points"
        return f"The next {days} days: with {like} nobody engages, worth 0 points; {worth}."
    least = f"{low:,} to " if low else "nobody or " if high == 1 else "0 to "
    number = f"{least if low < high else ''}{people(high)}"
    verb = "engages" if high == 1 else "engage"
    points = " to ".join(f"{scale.points_of_people(end):.0f}" for end in (low, high))
    return f"The next {days} days are less certain: with {like} {number} {verb}, worth {points} points."


def pointed(sentence: str, points: float, average: str | None = None) -> str:
    """Add points to a sentence, and what would give the average: `... (+1.2 points; average: 2 posts).`."""
    compared = f"; average: {average}" if average else ""
    return f"{sentence.removesuffix('.')} ({points:+.1f} points{compared})."


def average(lines: Sequence[Line], row: Mapping[str, float] | None = None) -> str | None:
    """Return what gives about the average of each fact that lines tell, in words; None where it is not known of all.

    With the user's features, a rate is given as a number of people in the time in which the user is known. Of facts
    about the same people the first is given.
    """
    if len({line.sentence for line in lines}) < len(lines):
        return None
    texts = [_average_of(line.feature, line.typical, row) for line in lines]
    return None if None in texts else texts[0]


def _average_of(feature: str, typical: float | None, row: Mapping[str, float] | None) -> str | None:
    if typical is None:
        return None
    if feature in RATE_DAYS and row is not None:
        return _about(typical * observed_days(row[AGE], RATE_DAYS[feature]) / MONTH_DAYS)
    return AVERAGES[feature](typical) if feature in AVERAGES else None


def _about(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0") if value < 9.95 else f"{value:,.0f}"


def _counted(value: float, noun: str) -> str:
    return f"{_about(value)} {noun if _about(value) == '1' else f'{noun}s'}"


def _last_established(days: float) -> str:
    if days > NEVER - 1:
        return "not in the last year"
    return f"{count_of(MONTH_DAYS + days, 'day')} ago" if days >= 0.5 else "within 28 days"


AVERAGES: dict[str, Callable[[float], str]] = {
    "credible_engagers_decayed_28d": _about,
    "credible_posts_90d": lambda posts: _counted(posts, "post"),
    "credible_periods_168d": lambda periods: _counted(periods, "period"),
    "established_periods_168d": lambda periods: _counted(periods, "period"),
    **dict.fromkeys((WITHOUT_ESTABLISHED, SILENCE), _last_established),
    "tenure_days": lambda days: f"{count_of(days, 'day')} ago",
}


def remainder(points: float, unclipped: float, score: float) -> list[str]:
    """Say what all facts add together that are no reasons, and what the ends of the scale do."""
    ends = f" This makes {unclipped:.1f}, but scores end at {score:.0f}." if abs(unclipped - score) >= 0.05 else ""
    return [f"Smaller facts together: {points:+.1f} points.{ends}"] if abs(points) >= 0.05 or ends else []


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
