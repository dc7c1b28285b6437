"""The story of a score in ten lines that can be read out: whole sentences, without points of facts."""

import math
import re
from collections.abc import Sequence
from textwrap import wrap

from serving.snapshots.explanation import Explanation
from serving.snapshots.facts import Fact
from serving.snapshots.story import ENGAGE, ENGAGING, SHORT_SIMILAR, SIMILAR, TITLES, shorten_certainty, time_named_once
from training.explanation.possible_changes import UNDONE

MOST_LINES, WIDTH = 10, 80
AVERAGE, ACTIVE_AVERAGE = "(average", "(active users' average"
UNIT, WITH_AVERAGE = re.compile(r" (?:(?:established )?members?|posts?)(?=\))"), re.compile(r" \(average[^)]*\)")
CHANGE, WORDS = "What would change it", TITLES["words"]
PEOPLE = re.compile(r"(person|people) responded|(Nobody|No known person|No person who counts) responded")
ACTIVE = re.compile(r"users( of \S+)? active in the last (?:eight weeks|[\d,]+ days?)")
NOTHING = "In all facts this user is close to the average active user."
ESTABLISHED = "Established members are people who get responses from several long-time users."
Sentence = tuple[str, str]  # the title of its paragraph and the sentence; the title is empty for the first paragraph


def brief(explanation: Explanation) -> tuple[str, ...]:
    """Return the paragraphs of the story: as many of its sentences as ten lines of 80 characters hold.

    What the score is and means, the strongest fact, what would change it and how sure it is come first; then how many
    people responded, unless a fact says so or the user's own acts come first; then further facts, strongest first, none
    of which is hidden behind a weaker one; last, what points and words mean.
    """
    if explanation.missing is not None:
        return tuple(sentence for section in explanation.story for sentence in section.sentences)
    facts = _facts(explanation)
    changes = [(CHANGE, change.sentence) for change in explanation.possible_changes]
    selected = [*_opening(explanation), *(facts[:1] or [("", NOTHING)]), *changes[:1]]
    certainty, evidence = next(section for section in explanation.story if section.topic == "evidence").sentences
    selected.append(("", shorten_certainty(certainty)))
    texts = _with_further(selected, facts[1:])
    own_acts = any(fact.features[:1] == (name,) for fact in explanation.main_facts[:1] for name in UNDONE.values())
    if not own_acts and not any(PEOPLE.search(sentence) for _, sentence in texts):
        texts = _with_further(_with_further(selected, [("", evidence)]), facts[1:])
    texts = _with_further(texts, changes[1:])
    engaging = ENGAGING if any("respond" in sentence for _, sentence in texts) else ENGAGE
    return tuple(_explained(_with_further(_with_further(texts, [(WORDS, engaging)]), _factor(explanation))))


def _with_further(selected: Sequence[Sentence], further: Sequence[Sentence]) -> list[Sentence]:
    """Add further sentences as long as the text has ten lines at most."""
    fitting = list(selected)
    for sentence in further:
        if not _fits(_explained_paragraphs([*fitting, sentence])):
            break
        fitting.append(sentence)
    return fitting


def _explained(sentences: Sequence[Sentence]) -> list[str]:
    """Return the paragraphs, with what "established" means and whose averages these are if there is room for it."""
    bare = _paragraphs(sentences)
    longer = (_explained_paragraphs(sentences, title) for title in (WORDS, None))
    shorter = ([words.sub("", text) for text in bare] for words in (UNIT, WITH_AVERAGE))
    return next((text for text in (*longer, bare, *shorter) if _fits(text)), bare)


def _explained_paragraphs(sentences: Sequence[Sentence], title: str | None = None) -> list[str]:
    """Return the paragraphs, and last what "established" means, if they use the word: with a title or in the last."""
    titles = _titles(sentences)
    ordered = sorted(sentences, key=lambda sentence: titles.index(sentence[0]))
    if any("established" in sentence for _, sentence in ordered):
        ordered.append((title or ordered[-1][0], ESTABLISHED))
    return _name_average(_paragraphs(ordered))


def _factor(explanation: Explanation) -> list[Sentence]:
    return [("", sentence) for sentence in explanation.story[0].sentences[4:]]


def _opening(explanation: Explanation) -> list[Sentence]:
    score, expectation, rank, *_ = explanation.story[0].sentences
    return [("", score), ("", expectation.replace(SIMILAR, SHORT_SIMILAR)), ("", ACTIVE.sub(r"active users\1", rank))]


def _facts(explanation: Explanation) -> list[Sentence]:
    """Return the sentences of the reasons, strongest first, without points.

    What the user can undo comes first where it moves the score half as far as the strongest or more.
    """
    facts = explanation.main_facts
    undone = {UNDONE[change.kind] for change in explanation.possible_changes if change.kind in UNDONE}

    def comes_first(fact: Fact) -> bool:
        return not undone.isdisjoint(fact.features) and abs(fact.points) >= abs(facts[0].points) / 2

    return [
        (f"{TITLES['for' if fact.points > 0 else 'against']} most", sentence)
        for fact in sorted(facts, key=comes_first, reverse=True)
        for sentence in _leading_sentences(fact)
    ]


def _leading_sentences(fact: Fact) -> list[str]:
    """Return the first sentence of a fact, and those that move the score as it does, half as far as the strongest.

    Where the first has no comparison, the next that has one follows. The first is left out where its comparison speaks
    for the other way.
    """
    sign, (first, *further) = math.copysign(1.0, fact.points), fact.stated
    most = max(sign * row.points for row in fact.stated)
    strong = [row for row in further if sign * row.points >= most / 2]
    if "(" not in first.sentence:
        strong = strong or [row for row in further if AVERAGE in row.sentence][:1]
    elif strong and sign * first.points < 0:
        return [row.sentence for row in strong]
    return [row.sentence for row in (first, *strong)]


def _titles(sentences: Sequence[Sentence]) -> list[str]:
    """Return the titles in the order of their first sentences, last what would change the score and what words mean."""
    titles = list(dict.fromkeys(title for title, _ in sentences))
    return sorted(titles, key=lambda title: (CHANGE, WORDS).index(title) + 1 if title in (CHANGE, WORDS) else 0)


def _paragraphs(sentences: Sequence[Sentence]) -> list[str]:
    """Return the sentences as paragraphs, in the order of their titles."""
    shorten = time_named_once()
    return [
        shorten(f"{title}{': ' if title else ''}{' '.join(sentence for of, sentence in sentences if of == title)}")
        for title in _titles(sentences)
    ]


def _name_average(paragraphs: Sequence[str]) -> list[str]:
    """Say of the first average whose it is."""
    first = next((k for k, text in enumerate(paragraphs) if AVERAGE in text), None)
    return [text.replace(AVERAGE, ACTIVE_AVERAGE, 1) if k == first else text for k, text in enumerate(paragraphs)]


def _fits(paragraphs: Sequence[str]) -> bool:
    return sum(len(wrap(paragraph, WIDTH)) for paragraph in paragraphs) <= MOST_LINES
