"""A plain story: ten lines that hold what matters most, in whole sentences."""

from dataclasses import replace
from textwrap import wrap

import pytest

from serving.snapshots.brief import ESTABLISHED, NOTHING, brief
from serving.snapshots.facts import Fact, FactRow
from serving.snapshots.repository import open_snapshot


@pytest.fixture
def explanation(home):
    return open_snapshot(home).explain("user0004")


def _facts(*sentences):
    return tuple(Fact(sentence, 9.0 - k, (), ()) for k, sentence in enumerate(sentences))


def test_further_facts_follow_until_one_does_not_fit(explanation):
    long = "Another fact that is long " + "and longer " * 40
    texts = brief(replace(explanation, facts=_facts("The first fact.", f"{long}.", "A short fact.")))
    assert "What raises it: The first fact." in texts
    assert len(texts) == 3
    assert sum(len(wrap(text, 80)) for text in texts) <= 10
    both = brief(replace(explanation, facts=_facts("The first fact. Its second sentence.", "A short fact.")))
    assert "What raises it: The first fact. Its second sentence. A short fact." in both


def test_established_members_are_explained_where_they_occur(explanation):
    changes = tuple(replace(change, sentence="Nothing.") for change in explanation.possible_changes)
    for fact, explained in (("Nobody came.", False), ("2 established members came.", True)):
        texts = brief(replace(explanation, facts=_facts(fact), possible_changes=changes))
        assert texts[0].endswith(ESTABLISHED) == explained


def test_of_a_fact_the_sentences_that_move_the_score_most(explanation):
    rows = tuple(FactRow("", "", "", points) for points in (0.3, -1.2, -2.3))
    fact = Fact("8 people responded. They are worth 0.1. The last came long ago.", -3.7, (), rows)
    assert "What lowers it: They are worth 0.1. The last came long ago." in brief(replace(explanation, facts=(fact,)))


def test_no_facts(explanation):
    assert NOTHING in brief(replace(explanation, facts=()))[0]


def test_a_user_with_too_little_evidence(home):
    explained = open_snapshot(home).explain("user0003")
    assert brief(explained) == ("user0003 has no score as of 2017-07-30.", explained.missing)
