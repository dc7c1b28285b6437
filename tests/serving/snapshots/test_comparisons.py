"""What a figure is compared with: the average, or the share of active users that explains its points."""

import pytest

from serving.snapshots.comparisons import Comparisons, compared, value_shown
from training.explanation.reasons import Line

LATELY, SILENCE, POSTS = "credible_engagers_decayed_28d", "days_of_silence", "credible_posts_90d"
PERIODS, TENURE, RATE = "responder_periods_168d", "tenure_days", "responder_rate_365d"
ROW = {"account_age_days": 400.0}
PERCENTILES = {
    LATELY: [0.0] * 40 + [0.84] * 27 + [3.0] * 33,
    SILENCE: [0.0] * 43 + [100.0] * 34 + [338.0] * 23,
    POSTS: [0.0] * 30 + [1.0] * 30 + [2.0] * 40,
    PERIODS: [0.0] * 38 + [2.0] * 62,
    TENURE: [30.2] * 50 + [800.0] * 50,
}
HALF = "Somebody who counts much responded in the last 28 days."


def text(feature, value, points, typical=None, sentence="So many.", row=ROW):
    line = Line(feature, "reach", value, points, sentence, typical)
    return Comparisons(row, True, PERCENTILES).of(line, points).text


@pytest.mark.parametrize(
    ("feature", "value", "points", "share"),
    [
        (LATELY, 3.4, 2.0, "33% of active users have at least as much"),
        (LATELY, 0.8, 2.0, ""),
        (LATELY, 0.0, -2.0, "59% of active users have more"),
        (LATELY, 0.8, -2.0, ""),
        (LATELY, 3.4, 0.4, ""),
        (POSTS, 2.4, 1.0, "40% of active users have at least as many"),
        (POSTS, 0.0, -1.0, "69% of active users have more"),
        (PERIODS, 1.0, -1.0, "61% of active users have more"),
        (TENURE, 800.9, 1.0, "50% of active users have been here at least as long"),
        (TENURE, 10.0, -1.0, "99% of active users have been here longer"),
        (TENURE, 30.9, -1.0, ""),
        ("days_of_absence", 90.0, -9.0, ""),
    ],
)
def test_a_share_explains_points_where_no_average_does(feature, value, points, share):
    assert text(feature, value, points) == share


@pytest.mark.parametrize(("feature", "value"), [(POSTS, 0.9), (RATE, 28 / 90)])
def test_a_newcomer_is_not_compared_with_the_average_of_90_days(feature, value):
    for age, is_compared in ((3.0, False), (89.0, False), (90.0, True)):
        line = Line(feature, "reach", value, -2.0, "So many.", 1.4)
        assert bool(Comparisons({"account_age_days": age}, True).of(line, -2.0).text) == is_compared


def test_few_posts_of_a_newcomer_are_introduced_by_only():
    sentence, row = "About 1 post drew reactions since this user appeared.", {"account_age_days": 3.0}
    line, comparisons = Line(POSTS, "reach", 0.9, -2.0, sentence, 1.4), Comparisons(row, True)
    assert compared(sentence, line, comparisons.of(line, -2.0)) == f"Only about{sentence[5:]}"
    assert compared("No post did since this user appeared.", line, comparisons.of(line, -2.0)).startswith("No post")
    assert not comparisons.contradict(line)


@pytest.mark.parametrize(
    ("value", "points", "sentence", "age", "share"),
    [
        (0.0, 2.0, HALF, 400.0, "44% of active users had such a response"),
        (0.0, 2.0, HALF, 9.0, "44% of active users had such a response in the last 28 days"),
        (0.0, 2.0, "An anonymous one.", 400.0, "44% of active users had such a response"),
        (50.0, 2.0, HALF, 400.0, "44% of active users had such a response as recently"),
        (200.0, -2.0, HALF, 400.0, "77% of active users had such a response more recently"),
        (338.0, -2.0, "Nobody.", 400.0, "77% of active users had such a response"),
        (100.0, -2.0, HALF, 400.0, ""),
        (0.0, -2.0, HALF, 400.0, ""),
    ],
)
def test_shares_of_the_last_response_count_responses_of_some_weight(value, points, sentence, age, share):
    assert text(SILENCE, value, points, sentence=sentence, row={"account_age_days": age}) == share


def test_an_average_is_preferred_to_a_share():
    assert text(LATELY, 3.4, 2.0, typical=1.2) == "average: 1.2 members"
    assert text(LATELY, 3.4, 2.0, typical=3.3) == "33% of active users have at least as much"


def test_for_the_last_response_a_share_is_preferred_to_an_older_average():
    assert text(SILENCE, 50.0, -1.0, typical=0.3) == "average: in the last 28 days"
    assert (
        text(SILENCE, 150.0, -1.0, typical=0.3, sentence=HALF)
        == "77% of active users had such a response more recently"
    )


def test_no_response_that_counts_is_none_or_none_in_a_year():
    line = Line(SILENCE, "cadence", 338.0, -2.0, "Nobody.")
    assert [value_shown(line.feature, line.value, {"account_age_days": age}) for age in (138.0, 400.0)] == [
        "none",
        "none in a year",
    ]


@pytest.mark.parametrize(
    ("feature", "value", "points", "percentiles", "contradicts"),
    [
        (SILENCE, 0.0, 2.0, PERCENTILES, False),
        (SILENCE, 0.0, -2.0, PERCENTILES, True),
        (SILENCE, 0.0, -2.0, {}, False),
        (POSTS, 1.0, 2.0, PERCENTILES, True),
        (POSTS, 2.0, 2.0, PERCENTILES, False),
        (POSTS, 2.0, 2.0, {}, True),
        (LATELY, 0.8, 2.0, PERCENTILES, False),
    ],
)
def test_points_without_an_explanation_contradict_their_sentence(feature, value, points, percentiles, contradicts):
    line = Line(feature, "reach", value, points, "So many.")
    assert Comparisons(ROW, True, percentiles).contradict(line) == contradicts


@pytest.mark.parametrize(
    ("sentence", "age", "says"),
    [
        ("A response that counts came in 1 of the last six four-week periods.", 400.0, "average: in 2 of them"),
        ("A response that counts came in 1 of the 3 four-week periods begun.", 80.0, "average: in 2 of the last six"),
        ("No response that counts came in the last six four-week periods.", 400.0, "average: in 2 of them"),
        ("A response that counts came in about 1 of the last six four-week periods.", 400.0, "average: in 2 of them"),
    ],
)
def test_an_average_of_periods_names_its_unit(sentence, age, says):
    line = Line(PERIODS, "reach", 1.0, -1.0, sentence, 2.0)
    comparison = Comparisons({"account_age_days": age}).of(line, -1.0)
    assert comparison.text == says
    assert (
        compared(sentence, line, comparison)
        == f"{sentence[:-1].replace('in 1', 'in only 1').replace('in about', 'in only about')} ({says})."
    )
