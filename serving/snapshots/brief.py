"""The story of a score in ten lines that can be read out: whole sentences, without points of facts."""

import math
import re
from collections.abc import Iterator, Sequence
from textwrap import wrap

from serving.snapshots.explanation import Explanation
from serving.snapshots.facts import Fact
from serving.snapshots.story import MEMBER, TITLES, describe_spread_briefly, time_named_once

MOST_LINES, WIDTH = 10, 80
CHANGE = "What would change it"
NOTHING = "Nothing moves it by half a point or more from the average."
ESTABLISHED = f"An established member is {MEMBER}."
END_OF_SENTENCE = re.compile(r"(?<=\.) ")
Sentence = tuple[str, str]  # the title of its paragraph and the sentence; the title is empty for the first paragraph


def brief(explanation: Explanation) -> tuple[str, ...]:
    """Return the paragraphs of the story: as many of its sentences as ten lines of 80 characters hold.

    What the score is and means, the strongest fact, what would change it and how sure it is come first; then further
    facts, strongest first, none of which is hidden behind a weaker one.
    """
    if explanation.missing is not None:
        return tuple(sentence for section in explanation.story for sentence in section.sentences)
    facts = list(_facts(explanation))
    changes = [(CHANGE, change.sentence) for change in explanation.possible_changes]
    selected = [*_opening(explanation), *(facts[:1] or [("", NOTHING)]), *changes[:1]]
    certainty = next(section for section in explanation.story if section.topic == "evidence").sentences[0]
    selected += [("", describe_spread_briefly(explanation.interval)), ("", certainty)]
    if any("established" in sentence for _, sentence in selected):
        selected.append(("", ESTABLISHED))
    for further in (facts[1:], changes[1:]):
        for sentence in further:
            if _lines([*selected, sentence]) > MOST_LINES:
                break
            selected.append(sentence)
    return tuple(_paragraphs(selected))


def _opening(explanation: Explanation) -> list[Sentence]:
    score, rank, _, expectation, *_ = explanation.story[0].sentences
    return [("", score), ("", rank), ("", expectation)]


def _facts(explanation: Explanation) -> Iterator[Sentence]:
    """Yield the sentences of the reasons, strongest first, without points."""
    for fact in explanation.main_facts:
        title = TITLES["for" if fact.points > 0 else "against"]
        yield from ((title, sentence) for sentence in _leading_sentences(fact))


def _leading_sentences(fact: Fact) -> list[str]:
    """Return the sentences of a fact that move the score as it does, at least half as far as the strongest."""
    sentences, sign = END_OF_SENTENCE.split(fact.sentence), math.copysign(1.0, fact.points)
    if len(sentences) != len(fact.rows):
        return sentences
    points = [sign * row.points for row in fact.rows]
    return [sentence for sentence, moved in zip(sentences, points, strict=True) if moved >= max(points) / 2]


def _paragraphs(sentences: Sequence[Sentence]) -> list[str]:
    """Return the sentences as paragraphs, in the order of their first sentences, what would change the score last."""
    titles = sorted(dict.fromkeys(title for title, _ in sentences), key=lambda title: title == CHANGE)
    shorten = time_named_once()
    return [
        shorten(f"{title}{': ' if title else ''}{' '.join(sentence for of, sentence in sentences if of == title)}")
        for title in titles
    ]


def _lines(sentences: Sequence[Sentence]) -> int:
    return sum(len(wrap(paragraph, WIDTH)) for paragraph in _paragraphs(sentences))
