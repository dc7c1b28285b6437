"""The facts of a score: which are shown, in which words, with points that add up as printed."""

import pytest

from serving.snapshots.comparisons import AMOUNTS, Comparisons
from serving.snapshots.facts import LABELS, OTHERS, Fact, FactRow, facts_of, label, main_lines
from training.explanation.ledger import ANYBODY, Ledger
from training.explanation.reasons import Line

RATE, LATELY, PERIODS = "responder_rate_365d", "credible_engagers_decayed_28d", "responder_periods_168d"
ROW = {"account_age_days": 100.0, "days_since_last_act": 91.4}
IN_ONE = "In 1 of the last six four-week periods a response came that counts in full."


def facts(*lines, base=28.42, row=ROW):
    """Return the facts of lines (feature, value, points, sentence, typical value)."""
    items = tuple(
        Line(name, "reach", value, points, sentence, typical) for name, value, points, sentence, typical in lines
    )
    score = base + sum(line.points for line in items)
    return facts_of(Ledger(min(max(score, 0.0), 100.0), score, base, "", items), row)


@pytest.mark.parametrize(
    ("feature", "value", "points", "typical", "shown"),
    [
        (RATE, 4.0, 2.24, 1.0, " (average in 100 days: 3.6 established members)"),
        (LATELY, 4.0, 2.24, 0.52, " (average: 0.5)"),
        (LATELY, 0.0, -2.24, None, ""),
        ("credible_posts_90d", 2.0, -1.0, 11.93, " (average: 11.9)"),
        ("credible_posts_90d", 2.0, -1.0, 2.3, " (average: 2.3)"),
        ("credible_posts_90d", 2.0, -1.0, 2.4, " (average: 2.4)"),
        ("credible_posts_90d", 1.4, 1.0, 1.1, ""),
        ("credible_posts_90d", 0.4, -1.0, 0.8, " (average: 0.8)"),
        (PERIODS, 2.0, 1.0, 1.96, ""),
        ("days_without_established", 38.0, -0.8, 5.2, " (average: 33 days ago)"),
        ("days_of_silence", 0.0, 5.6, 1.3, " (average: 29 days ago)"),
        ("days_of_silence", 338.0, -0.8, 0.2, " (average: in the last 28 days)"),
        ("days_of_silence", 38.0, 0.8, 338.0, " (average: none in a year)"),
        ("tenure_days", 418.5, 1.6, 305.4, " (average: 305 days ago)"),
        ("days_of_absence", 35.0, -25.8, 0.0, ""),
        ("repetitions_beyond_10_90d", 35.0, -5.8, 0.0, ""),
    ],
)
def test_the_average_stands_behind_the_number_and_the_points_at_the_end(feature, value, points, typical, shown):
    (fact,) = facts((feature, value, points, "About so many did; the others did not.", typical))
    assert fact.pointed == f"About so many did{shown}; the others did not: {fact.points:+.1f} points."
    assert fact.points == pytest.approx(points, abs=0.1)


@pytest.mark.parametrize(
    ("points", "age", "typical", "opening", "average"),
    [
        (-1.7, 400.0, 2.0, "In only 1 of", " (average: 2)"),
        (-1.7, 400.0, None, "In 1 of", ""),
        (-1.7, 400.0, 1.02, "In 1 of", ""),
        (1.7, 400.0, 0.5, "In 1 of", " (average: 0.5)"),
        (1.7, 14.0, None, "In 1 of", ""),
        (-1.7, 168.0, 2.0, "In only 1 of", " (average: 2)"),
    ],
)
def test_fewer_periods_than_the_average_are_only_so_many(points, age, typical, opening, average):
    (fact,) = facts((PERIODS, 1.0, points, IN_ONE, typical), row=ROW | {"account_age_days": age})
    assert fact.sentence == f"{IN_ONE[:-1].replace('In 1 of', opening)}{average}."


def test_the_average_stands_behind_what_periods_count_as():
    sentence = "In each of the last six periods somebody responded, but not always a member; these count as about 1."
    (fact,) = facts((PERIODS, 1.0, -1.7, sentence, 2.0), row=ROW | {"account_age_days": 400.0})
    assert fact.sentence == sentence.replace("about 1.", "about 1 (average: 2).")


def test_who_came_lately_cannot_have_more_periods():
    for age, is_reason in ((14.0, False), (40.0, True)):
        (fact,) = facts((PERIODS, 1.0, -1.7, IN_ONE, None), row=ROW | {"account_age_days": age})
        assert fact.is_distinct == is_reason


def test_what_most_active_users_share_or_another_fact_says_is_one_row_without_figures():
    merged = facts(
        ("days_of_absence", 0.0, 1.7, "Active 3 days ago.", 0.0),
        (ANYBODY, 40.0, -1.3, "40 people.", 2.0),
        ("repetitions_beyond_10_90d", 0.0, 0.5, "At most 10 repeats.", 0.0),
        (LATELY, 0.0, -0.7, "Nobody who counts.", None),
    )
    assert [fact.points for fact in merged if fact.is_distinct] == [-0.7]
    sentence = "Active 3 days ago. 40 people. At most 10 repeats."
    assert merged[-1] == Fact(
        sentence=sentence,
        points=0.9,
        features=("days_of_absence", ANYBODY, "repetitions_beyond_10_90d"),
        rows=(FactRow("Other facts, and what facts do together", "", "", 0.9, sentence),),
        is_distinct=False,
    )


def test_a_user_who_was_never_active_has_no_days():
    (fact,) = facts(("days_of_absence", 20.0, -9.0, "Never.", 0.0), row=ROW | {"days_since_last_act": float("nan")})
    assert fact.rows[0].value == "never"


def test_two_numbers_of_the_same_people_have_their_own_averages():
    (fact,) = facts((RATE, 27 * 28 / 100, 2.83, "About 27 count.", 5.0), (LATELY, 4.7, 4.38, "They weigh 5.", 1.2))
    assert fact.pointed == (
        "About 27 count (average in 100 days: 17.9 established members; +2.8 points). They weigh 5 (average: 1.2; +4.4 "
        "points). Together: +7.2 points."
    )
    assert [(row.label, row.value, row.average, row.points) for row in fact.rows] == [
        (LABELS[RATE], "27", "17.9", 2.8),
        (LABELS[LATELY], "5", "1.2", 4.4),
    ]
    assert fact.points == 7.2


def test_the_average_of_a_part_is_at_most_that_of_the_sum():
    counted = (RATE, 4 * 28 / 100, 2.8, "About 4 count.", 0.4 * 28 / 100)
    (fact,) = facts(counted, (LATELY, 4.0, 4.4, "They weigh 4.", 1.2))
    assert fact.sentence == (
        "About 4 count (average in 100 days: 0.4 established members; +2.8 points). They weigh 4 (+4.4 points)."
    )


def test_the_rate_of_a_newcomer_is_compared_with_that_of_90_days():
    """It divides the first responders by 90 days."""
    (fact,) = facts(
        (RATE, 4 * 28 / 90, 2.8, "About 4 count.", 0.4 * 28 / 90),
        (LATELY, 4.0, 4.4, "They weigh 4.", 1.2),
        row=ROW | {"account_age_days": 89.0},
    )
    assert fact.sentence == (
        "About 4 count (average in 90 days: 0.4 established members; +2.8 points). They weigh 4 (average: 1.2; +4.4 "
        "points)."
    )


def test_responses_are_one_fact_of_what_moves_half_a_point_or_more():
    merged = facts(
        ("days_of_silence", 0.0, 5.1, "The last came lately.", 0.2),
        (LATELY, 0.8, -0.9, "They are worth 0.8.", 1.2),
        (PERIODS, 2.0, -0.6, "In 2 of six somebody responded.", 4.0),
        (RATE, 28 / 100, 0.2, "1 person responded.", 0.1),
        row=ROW | {"account_age_days": 400.0},
    )
    (fact,) = merged
    assert fact.sentence == (
        "1 person responded (average: 1.3 established members; +0.2 points). They are worth 0.8 (average: 1.2; -0.9 "
        "points). The last came lately (+5.1 points). In only 2 of six somebody responded (average: in 4 of them; -0.6 "
        "points)."
    )
    assert fact.points == pytest.approx(3.8)
    assert [row.points for row in fact.rows] == [0.2, -0.9, 5.1, -0.6]
    assert sum(row.points for row in fact.rows) == pytest.approx(fact.points)


def test_a_number_that_is_the_average_as_printed_is_no_reason():
    merged = facts(
        ("credible_posts_90d", 1.4, -2.2, "About 1 post.", 1.1),
        ("tenure_days", 30.2, 1.1, "30 days ago.", 30.1),
        ("tenure_days_of_another", 1.0, -0.7, "A fact without averages.", None),
    )
    assert [fact.points for fact in merged if fact.is_distinct] == [-0.7]


def test_features_that_say_the_same_are_one_row_with_the_average_of_the_people():
    (fact,) = facts(
        ("credible_posts_90d", 0.0, -6.0, "Nobody responded.", 2.0), (RATE, 0.0, -3.0, "Nobody responded.", 1.0)
    )
    assert fact.sentence == "Nobody responded (average in 100 days: 3.6 established members)."
    assert [(row.label, row.value, row.average, row.points) for row in fact.rows] == [(LABELS[RATE], "0", "3.6", -9.0)]


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("1 person counts in part, because of that.", "1 person counts in part (average: 0.8), because of that."),
        ("About 2; one each.", "About 2 (average: 0.8); one each."),
        ("About 2.", "About 2 (average: 0.8)."),
    ],
)
def test_the_average_stands_before_the_reason(sentence, shown):
    (fact,) = facts(("credible_posts_90d", 2.0, 1.0, sentence, 0.8))
    assert fact.sentence == shown


def test_a_small_amount_is_not_shown_as_zero():
    (fact,) = facts((LATELY, 0.04, -3.7, "Less than 0.1.", 1.2))
    assert fact.rows[0].value == "under 0.1"


@pytest.mark.parametrize("base", [28.42, 28.449, 0.05])
def test_printed_points_add_up_to_the_printed_score(base):
    points = [2.241, -1.149, 0.648, 0.055, 0.049, -0.251]
    merged = facts(*((f"feature_{k}x", 1.0, p, f"Fact {k}.", None) for k, p in enumerate(points)), base=base)
    assert round(base, 1) + sum(fact.points for fact in merged) == pytest.approx(round(base + sum(points), 1))
    for fact in merged:
        assert sum(row.points for row in fact.rows) == pytest.approx(fact.points)


@pytest.mark.parametrize(
    ("points", "shown"),
    [
        ([5.0, -3.0, 0.5, 0.4], 3),
        ([5.0, 0.4, 0.3], 1),
        ([5.0, -3.0, 2.0, -1.5, 1.0, 0.9], 5),
        ([0.4], 0),
    ],
)
def test_no_fact_of_a_point_is_hidden(points, shown):
    merged = [Line(f"feature_{k}x", "reach", 1.0, p, f"Fact {k}.") for k, p in enumerate(points)]
    assert main_lines(merged, Comparisons(ROW)) == merged[:shown]


def test_labels_are_short():
    assert max(map(len, LABELS.values())) <= 40
    assert {*AMOUNTS, OTHERS} == set(LABELS)
    assert label("original_share_90d") == "Original share 90d"
