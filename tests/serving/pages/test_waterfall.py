"""The waterfall chart: its steps lead from the base to the score, and the rounded numbers add up."""

import pytest

from serving.pages.waterfall import waterfall
from serving.snapshots.repository import open_snapshot


def tenths(values):
    return sum(round(10 * value) for value in values)


@pytest.mark.parametrize("user", ["user0001", "user0003", "user0150", "a/b"])
def test_rounded_numbers_add_up(home, user):
    falls = waterfall(open_snapshot(home).explain(user))
    assert tenths([falls.base.points, *(step.points for step in falls.steps)]) == tenths([falls.score.points])
    for step in falls.steps:
        assert step.fact is None or tenths([step.points]) == tenths(row.points for row in step.fact.rows)


def test_a_bar_begins_where_the_one_before_ended(home):
    falls = waterfall(open_snapshot(home).explain("user0001"))
    before = falls.base
    for step in falls.steps:
        start = step.left if step.at > step.left else step.left + step.width
        assert start == pytest.approx(before.at, abs=0.01)
        before = step
    assert before.at == pytest.approx(falls.score.at, abs=0.01)
    assert all(0 <= step.left <= step.left + step.width <= 100.001 for step in (falls.base, *falls.steps))


def test_it_has_every_fact_in_the_words_of_the_text(home):
    explanation = open_snapshot(home).explain("user0001")
    steps = [step for step in waterfall(explanation).steps if step.fact]
    assert [step.fact for step in steps] == list(explanation.facts)
    names = [name for fact in explanation.facts for name in fact.features]
    assert sorted(names) == sorted(part.feature for line in explanation.lines for part in line.parts or (line,))
    assert {reason.sentence for reason in explanation.reasons} <= {step.fact.sentence for step in steps}
