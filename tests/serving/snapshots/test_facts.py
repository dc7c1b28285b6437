"""The facts of a score: which ones are shown, their wording, and printed points that add up."""

import pytest

from serving.snapshots.comparisons import AMOUNTS, Comparisons
from serving.snapshots.facts import LABELS, Fact, FactRow, facts_of, label, main_lines
from training.explanation.ledger import ANYBODY, Ledger
from training.explanation.reasons import Line

RATE, LATELY, PERIODS = "responder_rate_365d", "credible_engagers_decayed_28d", "responder_periods_168d"
ROW = {"account_age_days": 100.0, "days_since_last_act": 91.4}
IN_ONE = "A response that counts came in 1 of the last six four-week periods."


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
        (LATELY, 4.0, 2.24, 0.52, " (average: 0.5 members)"),
        (LATELY, 0.0, -2.24, None, ""),
        ("credible_posts_90d", 2.0, -1.0, 11.93, " (average: 11.9 posts)"),
        ("credible_posts_90d", 2.0, -1.0, 2.3, " (average: 2.3 posts)"),
        ("credible_posts_90d", 2.0, -1.0, 2.4, " (average: 2.4 posts)"),
        ("credible_posts_90d", 1.4, 1.0, 1.1, ""),
        ("credible_posts_90d", 0.4, -1.0, 0.8, " (average: 0.8 posts)"),
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
def test_the_average_follows_the_number_and_the_points_come_last(feature, value, points, typical, shown):
    (fact,) = facts((feature, value, points, "About so many did; the others did not.", typical))
    assert fact.rows[0].sentence == f"About so many did{shown}; the others did not."
    assert fact.pointed.endswith(f": {fact.points:+.1f} points.")
    assert fact.points == pytest.approx(points, abs=0.1)


@pytest.mark.parametrize(
    ("points", "age", "typical", "opening", "average"),
    [
        (-1.7, 400.0, 2.0, "in only 1 of", " (average: in 2 of them)"),
        (-1.7, 400.0, None, "in 1 of", ""),
        (-1.7, 400.0, 1.02, "in 1 of", ""),
        (1.7, 400.0, 0.5, "in 1 of", " (average: in 0.5 of them)"),
        (1.7, 14.0, None, "in 1 of", ""),
        (-1.7, 168.0, 2.0, "in only 1 of", " (average: in 2 of them)"),
    ],
)
def test_fewer_periods_than_the_average_are_introduced_by_only(points, age, typical, opening, average):
    (fact,) = facts((PERIODS, 1.0, points, IN_ONE, typical), row=ROW | {"account_age_days": age})
    assert fact.rows[0].sentence == f"{IN_ONE[:-1].replace('in 1 of', opening)}{average}."


def test_a_newcomer_cannot_have_more_periods():
    for age, is_reason in ((14.0, False), (40.0, True)):
        (fact,) = facts((PERIODS, 1.0, -1.7, IN_ONE, None), row=ROW | {"account_age_days": age})
        assert fact.is_distinct == is_reason


def test_facts_of_most_active_users_are_added_to_the_strongest_reason():
    """Its points differ between active users only by the facts beside it."""
    shared = (("days_of_absence", 0.0, 0.4, "Active.", 0.0), ("repetitions_beyond_10_90d", 0.0, 0.1, "Few.", 0.0))
    (fact,) = facts((LATELY, 4.0, 2.2, "They weigh 4.", 1.2), *shared)
    assert (fact.sentence, fact.points) == ("They weigh 4 (average: 1.2 members).", 2.7)
    assert fact.features == (LATELY, "days_of_absence", "repetitions_beyond_10_90d")
    assert [row.points for row in fact.rows] == [2.2, 0.4, 0.1]


@pytest.mark.parametrize("points", [-2.0, -2.5, -1.9])
def test_facts_of_most_active_users_do_not_change_the_sign_of_a_reason(points):
    merged = facts((LATELY, 4.0, 2.2, "They weigh 4.", 1.2), ("days_of_absence", 0.0, points, "Active.", 0.0))
    assert [fact.points for fact in merged] == [2.2, points]
    assert merged[-1].sentence == "Active."


def test_the_strongest_figure_about_responses_is_always_stated():
    periods = (PERIODS, 1.0, -1.6, IN_ONE, None)
    (fact,) = facts(
        (LATELY, 0.8, -0.3, "They weigh 0.8.", 1.2), periods, ("days_of_absence", 0.0, -1.7, "Active.", 0.0)
    )
    assert fact.sentence == f"They weigh 0.8 (average: 1.2 members). {IN_ONE}"
    assert [row.points for row in fact.rows] == [-0.3, -1.6, -1.7]


def test_everything_else_is_named():
    merged = facts(
        (LATELY, 0.0, -0.7, "Nobody who counts.", None),
        ("credible_posts_90d", 3.0, 0.3, "3 posts.", 1.4),
        ("tenure_days", 30.0, -0.2, "30 days.", 300.0),
    )
    rows = (FactRow(LABELS["credible_posts_90d"], "3", "1.4", 0.3, "3 posts (average: 1.4 posts)."),)
    rows += (FactRow(LABELS["tenure_days"], "30", "300", -0.2, "30 days (average: 300 days ago)."),)
    assert merged[-1] == Fact(
        sentence="Everything else (posts with engagement that counts +0.3, days since the first activity -0.2).",
        points=0.1,
        features=("credible_posts_90d", "tenure_days"),
        rows=rows,
        is_distinct=False,
    )


def test_responses_from_anybody_are_added_to_responses_if_the_sign_stays():
    for points, features in ((0.9, (LATELY, ANYBODY)), (-0.9, (LATELY, ANYBODY)), (-1.2, (LATELY,))):
        merged = facts((LATELY, 4.0, 2.2, "They weigh 4.", 1.2), (ANYBODY, 40.0, points, "40 people.", 2.0))
        assert merged[0].features == features
        assert merged[0].sentence == "They weigh 4 (average: 1.2 members)."
    assert merged[-1].sentence == "40 people."


def test_how_many_people_responded_is_not_said_where_it_does_not_explain_the_points():
    merged = facts((LATELY, 4.0, 2.2, "They weigh 4.", 1.2), (ANYBODY, 40.0, -1.2, "40 people.", None))
    assert merged[-1].pointed == "Everything else (people who responded, established or not): -1.2 points."


def test_an_unexplained_tenure_is_added_to_the_absence():
    absent = ("days_of_absence", 140.0, -15.0, "Away.", 0.0)
    (fact,) = facts(absent, ("tenure_days", 217.0, -2.1, "217 days.", None), (LATELY, 1.0, 0.2, "1.", 0.9))[:1]
    assert (fact.sentence, fact.points) == ("Away.", -17.1)
    assert len(facts(absent, ("tenure_days", 100.0, -2.1, "100 days.", 300.0))) == 2


def test_a_user_who_was_never_active_has_no_days():
    (fact,) = facts(("days_of_absence", 20.0, -9.0, "Never.", 0.0), row=ROW | {"days_since_last_act": float("nan")})
    assert fact.rows[0].value == "never"


def test_two_numbers_about_the_same_people_have_averages_of_their_own():
    (fact,) = facts((RATE, 27 * 28 / 100, 2.83, "About 27 count.", 5.0), (LATELY, 4.7, 4.38, "They weigh 5.", 1.2))
    assert fact.pointed == (
        "About 27 count (average in 100 days: 17.9 established members). They weigh 5 (average: 1.2 members). Most "
        "of the points come from how much the responses count now. Together: +7.2 points."
    )
    assert [(row.label, row.value, row.average, row.points) for row in fact.rows] == [
        (LABELS[RATE], "27", "17.9", 2.8),
        (LABELS[LATELY], "5", "1.2", 4.4),
    ]
    assert fact.points == 7.2
    assert fact.label == "Responses of others"


def test_two_numbers_with_similar_points_are_equally_important():
    (fact,) = facts((RATE, 27 * 28 / 100, 4.0, "About 27 count.", 5.0), (LATELY, 4.7, 4.4, "They weigh 5.", 1.2))
    assert (
        fact.sentence
        == "About 27 count (average in 100 days: 17.9 established members). They weigh 5 (average: 1.2 members)."
    )


def test_a_figure_without_a_sentence_of_its_own_can_matter_as_much():
    """Nobody is told of a last response that came lately and counts much, so nothing else matters most."""
    merged = facts(
        ("days_of_silence", 0.0, 1.31, "Somebody who counts much last responded 2 days ago.", 1.2),
        (LATELY, 1.7, 1.29, "They weigh 1.7.", 1.1),
        (RATE, 9 * 28 / 100, -0.28, "About 9 count.", None),
    )
    assert merged[0].sentence == "About 9 count. They weigh 1.7 (average: 1.1 members)."


def test_the_average_of_a_part_is_at_most_that_of_the_sum():
    counted = (RATE, 4 * 28 / 100, 4.4, "About 4 count.", 0.4 * 28 / 100)
    (fact,) = facts(counted, (LATELY, 4.0, 4.4, "They weigh 4.", 1.2))
    assert fact.sentence == "About 4 count (average in 100 days: 0.4 established members). They weigh 4."


def test_the_rate_of_a_newcomer_has_no_average():
    """It divides the first responders by 90 days."""
    (fact,) = facts(
        (RATE, 4 * 28 / 90, 4.2, "About 4 count.", 0.4 * 28 / 90),
        (LATELY, 4.0, 4.4, "They weigh 4.", 1.2),
        row=ROW | {"account_age_days": 89.0},
    )
    assert fact.sentence == "About 4 count. They weigh 4 (average: 1.2 members)."


def test_responses_are_one_fact_of_what_moves_half_a_point_or_more():
    merged = facts(
        ("days_of_silence", 0.0, 5.1, "The last came lately.", 0.2),
        (LATELY, 0.8, -0.9, "They are worth 0.8.", 1.2),
        (PERIODS, 2.0, -0.6, "One came in 2 of six.", 4.0),
        (RATE, 28 / 100, 0.2, "1 person responded.", 0.1),
        row=ROW | {"account_age_days": 400.0},
    )
    (fact,) = merged
    assert fact.sentence == (
        "1 person responded (average: 1.3 established members). They are worth 0.8 (average: 1.2 members). The last "
        "came lately. One came in only 2 of six (average: in 4 of them). Most of the points come from how recent the "
        "last response is."
    )
    assert fact.points == pytest.approx(3.8)
    assert [row.points for row in fact.rows] == [0.2, -0.9, 5.1, -0.6]
    assert sum(row.points for row in fact.rows) == pytest.approx(fact.points)


def test_a_number_that_equals_the_average_as_printed_is_not_a_reason():
    merged = facts(
        ("credible_posts_90d", 1.4, -1.9, "About 1 post.", 1.1),
        ("tenure_days", 30.2, 1.1, "30 days ago.", 30.1),
        ("tenure_days_of_another", 1.0, -0.7, "A fact without averages.", None),
    )
    assert [fact.points for fact in merged if fact.is_distinct] == [-0.7]


def test_a_number_of_two_points_is_a_reason_even_if_nothing_explains_it():
    (fact,) = facts(("credible_posts_90d", 1.4, -2.0, "About 1 post.", 1.1))
    assert fact.pointed == "About 1 post: -2.0 points."


def test_features_with_the_same_sentence_are_one_row():
    (fact,) = facts(
        ("credible_posts_90d", 0.0, -6.0, "Nobody responded.", 2.0), (RATE, 0.0, -3.0, "Nobody responded.", 1.0)
    )
    assert fact.sentence == "Nobody responded (average in 100 days: 3.6 established members)."
    assert [(row.label, row.value, row.average, row.points) for row in fact.rows] == [(LABELS[RATE], "0", "3.6", -9.0)]


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("1 person counts in part, because of that.", "1 person counts in part (average: 0.8 posts), because of that."),
        ("About 2; one each.", "About 2 (average: 0.8 posts); one each."),
        ("About 2.", "About 2 (average: 0.8 posts)."),
    ],
)
def test_the_average_precedes_the_reason(sentence, shown):
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
        ([5.0, -3.0, 0.9, 0.8, 0.7, 0.6], 4),
        ([5.0, -3.0, 0.9, 0.8, -0.7, 0.7, 0.6], 3),
        ([0.45] * 6, 2),
        ([1.5, 1.2, 1.1, 0.97, 0.94], 4),
        ([1.5, 1.2, 1.1, 0.9, 0.9, 0.2], 4),
        ([0.24] * 9, 0),
    ],
)
def test_no_fact_of_a_point_and_no_sum_of_two_points_is_hidden(points, shown):
    merged = [Line(f"feature_{k}x", "reach", 1.0, p, f"Fact {k}.") for k, p in enumerate(points)]
    assert main_lines(merged, Comparisons(ROW)) == merged[:shown]


def test_labels_are_short():
    assert max(map(len, LABELS.values())) <= 40
    assert {*AMOUNTS, ANYBODY} == set(LABELS)
    assert label("original_share_90d") == "Original share 90d"
