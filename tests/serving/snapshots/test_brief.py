"""The plain story: at most ten lines of whole sentences, the most important first."""

from dataclasses import replace
from textwrap import wrap

import pytest

from serving.snapshots.brief import ESTABLISHED, NOTHING, brief
from serving.snapshots.facts import Fact, FactRow
from serving.snapshots.repository import open_snapshot
from serving.snapshots.story import ENGAGING


@pytest.fixture
def explanation(home):
    return open_snapshot(home).explain("user0004")


def _facts(*sentences):
    return tuple(_fact(9.0 - k, *sentence.split(" | ")) for k, sentence in enumerate(sentences))


def _fact(points, *sentences):
    rows = tuple(FactRow("", "", "", points / len(sentences), sentence) for sentence in sentences)
    return Fact(" ".join(sentences), points, (), rows)


def test_further_facts_follow_until_one_does_not_fit(explanation):
    long = "Another fact that is long " + "and longer " * 40
    texts = brief(replace(explanation, facts=_facts("The first fact.", f"{long}.", "A short fact.")))
    assert "What raises it most: The first fact." in texts
    assert len(texts) == 3
    assert sum(len(wrap(text, 80)) for text in texts) <= 10
    both = brief(replace(explanation, facts=_facts("The first fact. | Its second sentence.", "A short fact.")))
    assert "What raises it most: The first fact. Its second sentence. A short fact." in both


def test_established_members_are_defined_if_a_fact_names_them(explanation):
    changes = tuple(replace(change, sentence="Nothing.") for change in explanation.possible_changes)
    for fact, explained in (("Nobody came.", False), ("2 established members came.", True)):
        texts = brief(replace(explanation, facts=_facts(fact), possible_changes=changes))
        assert any(ESTABLISHED in text for text in texts) == explained


def test_words_are_defined_last(explanation):
    changes = (replace(explanation.possible_changes[0], sentence="2 established members more."),)
    for fact in ("1 established member came. | It counts.", "Nobody came."):
        *_, last = brief(replace(explanation, facts=_facts(fact), possible_changes=changes))
        assert last == f"What the words mean: {ENGAGING} {ESTABLISHED}"


def test_the_number_of_responders_is_added_if_no_fact_states_it(explanation):
    evidence = "The score rests on only 26 people who responded since this user appeared 7 days ago."
    for fact, stated in (("The first activity was long ago.", True), ("1 person responded in the last year.", False)):
        texts = brief(replace(explanation, facts=_facts(fact)))
        assert texts[0].endswith(f" {evidence}") == stated


def test_a_fact_is_shortened_to_its_first_and_strongest_sentences(explanation):
    sentences = {"8 people responded.": 0.3, "They are worth 0.1.": -1.2, "The last came long ago.": -2.3}
    rows = tuple(FactRow("", "", "", points, sentence) for sentence, points in sentences.items())
    fact = Fact(" ".join([*sentences, "Most of the points come from that."]), -3.2, (), rows)
    assert "What lowers it most: 8 people responded. They are worth 0.1. The last came long ago." in brief(
        replace(explanation, facts=(fact,))
    )


def test_a_comparison_that_speaks_for_the_other_way_is_omitted(explanation):
    sentences = {"8 people responded (average: 5).": 0.3, "They are worth 0.1 (average: 2).": -3.2}
    rows = tuple(FactRow("", "", "", points, sentence) for sentence, points in sentences.items())
    texts = brief(replace(explanation, facts=(Fact(" ".join(sentences), -2.9, (), rows),)))
    assert any(text.startswith("What lowers it most: They are worth 0.1 (active users' average: 2).") for text in texts)
    assert not any("8 people" in text for text in texts)


@pytest.mark.parametrize(("points", "first"), [(-4.0, "The user repeats posts."), (-3.0, "Nobody came.")])
def test_what_the_user_can_undo_comes_first_unless_it_is_weak(explanation, points, first):
    stop = replace(explanation.possible_changes[0], kind="repetition", sentence="If the repeats stop, 22.")
    repeats = replace(_fact(points, "The user repeats posts."), features=("repetitions_beyond_10_90d",))
    facts = (_fact(-7.0, "Nobody came."), repeats)
    texts = brief(replace(explanation, facts=facts, possible_changes=(stop,)))
    assert any(text.startswith(f"What lowers it most: {first}") for text in texts)


@pytest.mark.parametrize(
    ("users", "shorter"),
    [
        ("the 3,863 users active in the last eight weeks", "the 3,863 active users"),
        ("the 20 users of topic:a active in the last 41 days", "the 20 active users of topic:a"),
        ("the 20 users who are active", "the 20 users who are active"),
    ],
)
def test_the_time_of_active_users_is_omitted(explanation, users, shorter):
    score, *others = explanation.story
    sentences = list(score.sentences)
    for end in (".", ", but below their average of 9.3.", " has a lower score."):
        sentences[2] = f"The score is higher than 60% of {users}{end}"
        texts = brief(replace(explanation, story=(replace(score, sentences=tuple(sentences)), *others)))
        assert f"The score is higher than 60% of {shorter}{end}" in texts[0]


def test_the_first_average_names_its_group(explanation):
    texts = brief(
        replace(explanation, facts=_facts("3 people responded (average: 2). | 4 went (average in 9 days: 5)."))
    )
    both = "3 people responded (active users' average: 2). 4 went (average in 9 days: 5)."
    assert f"What raises it most: {both}" in texts


def test_a_text_that_would_be_too_long_omits_the_group_of_the_average(explanation):
    text = "So many came (average: 2)" + " and came" * 44
    texts = brief(replace(explanation, facts=_facts(f"{text}.")))
    assert f"What raises it most: {text}." in texts


def test_no_facts(explanation):
    assert NOTHING in brief(replace(explanation, facts=()))[0]


def test_a_user_with_too_little_evidence(home):
    explained = open_snapshot(home).explain("user0003")
    assert brief(explained) == ("user0003 has no score as of 2017-07-30.", explained.missing)
