"""The words for a rank, an expected audience and a chance."""

import pytest

from serving.snapshots.story import (
    average,
    chance,
    describe_expectation,
    describe_spread,
    expectations,
    pointed,
    rank,
    remainder,
    standing,
    story,
)
from training.explanation.reasons import Line
from training.model.baseline import Baseline
from training.model.scale import Scale

ACTIVE = Baseline(2_311, {}, None, {}, "2017-07-30T00:00:00Z", active_days=56.0, scores=(1.0,))


def test_standing():
    assert (
        standing("ann", 12.34, "2017-07-30T00:00:00Z")
        == "ann has an influence score of 12.3 out of 100, as of 2017-07-30."
    )


@pytest.mark.parametrize(
    ("below", "words"),
    [
        (1.0, "all have"),
        (0.9999, "99.9% have"),
        (0.9971, "99.7% have"),
        (0.99, "99% have"),
        (0.579, "57% have"),
        (0.58, "58% have"),
        (0.009, "less than 1% have"),
        (0.0, "less than 1% have"),
    ],
)
def test_rank_among_active_users(below, words):
    assert rank(below, 39.14, ACTIVE, "all") == (
        f"Of the 2,311 users active in the last eight weeks, {words} a lower one. The average of all these users is "
        "39.1 points."
    )


@pytest.mark.parametrize(
    ("baseline", "scope", "words"),
    [
        (
            ACTIVE,
            "topic:fish",
            "Of all users of topic:fish, 57% have a lower one. The average is the average of the 2,311 users active in "
            "the last eight weeks, as of 2017-07-30: 39.1 points.",
        ),
        (
            Baseline(900, {}, None, {}),
            "all",
            "Of all users, 57% have a lower one. The average is the average of the 900 rows (a user at an instant) "
            "that the model was trained on: 39.1 points.",
        ),
    ],
)
def test_rank_among_all_users(baseline, scope, words):
    assert rank(0.571, 39.14, baseline, scope) == words


SCALE = Scale(4.0, 12.0)
MORE = "100 points stand for 2,981 people, every 10 points less for 2.3 times fewer."
EXPECTED = "expected to engage with this user in the next 28 days"
NOBODY = "Most users like this one have nobody engage with them in the next 28 days:"


@pytest.mark.parametrize(
    ("expected", "credible", "words"),
    [
        (285.1, False, f"The score stands for about 285 different people {EXPECTED};"),
        (0.9, False, f"The score stands for about 1 person {EXPECTED};"),
        (9.0, True, f"The score stands for about 9 different people {EXPECTED}, counted as established members;"),
        (
            0.78,
            False,
            f"The score stands for less than one person {EXPECTED}: of users like this one at most 8 in 10 "
            "have anybody;",
        ),
        (0.42, False, f"{NOBODY} at most 5 in 10 have anybody;"),
        (0.31, False, f"{NOBODY} at most 1 in 3 has anybody;"),
        (0.13, False, f"{NOBODY} at most 1 in 7 has anybody;"),
        (0.021, False, f"{NOBODY} at most 1 in 45 has anybody;"),
    ],
)
def test_expectation(expected, credible, words):
    assert describe_expectation(expected, 28, SCALE, credible) == f"{words} {MORE}"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 0, ": with 90% of users like this one nobody engages, worth 0 points; one person would be worth 4 points."),
        (0, 1, " are less certain: with 90% of users like this one nobody or 1 person engages, worth 0 to 4 points."),
        (0, 3, " are less certain: with 90% of users like this one 0 to 3 people engage, worth 0 to 17 points."),
        (2, 2, " are less certain: with 90% of users like this one 2 people engage, worth 12 to 12 points."),
        (
            8,
            1_200,
            " are less certain: with 90% of users like this one 8 to 1,200 people engage, worth 29 to 89 points.",
        ),
    ],
)
def test_spread(low, high, words):
    assert describe_spread(low, high, 0.9, 28, SCALE) == f"The next 28 days{words}"


RATE, LATELY = "established_rate_365d", "credible_engagers_decayed_28d"


@pytest.mark.parametrize(
    ("typical", "words"),
    [
        ({RATE: None}, None),
        ({RATE: 2.0}, "4"),
        ({LATELY: 0.52}, "0.5"),
        ({RATE: 5.4, LATELY: 0.52}, "11"),
        ({RATE: 5.4, LATELY: None}, None),
        ({"credible_posts_90d": 0.97}, "1 post"),
        ({"credible_posts_90d": 1.9}, "1.9 posts"),
        ({"established_periods_168d": 2.0}, "2 periods"),
        ({"days_of_silence": 0.3}, "within 28 days"),
        ({"days_of_silence": 3.2}, "31 days ago"),
        ({"days_of_silence": 338.0}, "not in the last year"),
        ({"tenure_days": 185.0}, "185 days ago"),
        ({"days_absent": 0.0}, None),
    ],
)
def test_what_gives_the_average(typical, words):
    lines = [Line(name, "reach", 1.0, 1.0, f"{name}.", value) for name, value in typical.items()]
    assert average(lines, {"account_age_days": 56.0}) == words


def test_lines_that_say_the_same_have_no_average():
    lines = [Line(name, "reach", 0.0, -1.0, "Nobody responded.", 2.0) for name in (RATE, LATELY)]
    assert average(lines, {"account_age_days": 56.0}) is None


def test_a_rate_has_no_average_without_the_age_of_the_user():
    assert average([Line(RATE, "reach", 1.0, 1.0, "", 2.0)]) is None


def test_points_and_the_average_follow_a_sentence():
    assert pointed("Nobody responded.", -12.94) == "Nobody responded (-12.9 points)."
    assert pointed("Nobody responded.", 3.0, "2 posts") == "Nobody responded (+3.0 points; average: 2 posts)."


@pytest.mark.parametrize(
    ("points", "unclipped", "score", "sentences"),
    [
        (0.04, 30.0, 30.0, []),
        (-2.2, 30.0, 30.0, ["Smaller facts together: -2.2 points."]),
        (-2.2, -3.0, 0.0, ["Smaller facts together: -2.2 points. This makes -3.0, but scores end at 0."]),
        (0.0, 101.3, 100.0, ["Smaller facts together: +0.0 points. This makes 101.3, but scores end at 100."]),
    ],
)
def test_remainder(points, unclipped, score, sentences):
    assert remainder(points, unclipped, score) == sentences


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.89, "9 in 10"),
        (0.6, "6 in 10"),
        (0.4, "4 in 10"),
        (0.35, "4 in 10"),
        (1 / 3, "1 in 3"),
        (0.1, "1 in 10"),
        (0.021, "1 in 45"),
        (0.0031, "1 in 300"),
        (0.0, "1 in 1,000"),
    ],
)
def test_chance(share, words):
    assert chance(share) == words


def test_sections_without_sentences_are_omitted():
    assert [section.topic for section in story({"change": ["b"], "for": [], "score": ["a"]})] == ["score", "change"]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("This user was last active 3 days ago.", []),
        ("Much is known: 1,243 people engaged with this user in the last year.", ["To respond"]),
        ("Of the 9 people who responded in the last year, about 3 count.", ["Everybody who", "To respond"]),
        ("Only anonymous people responded in the last year.", ["An anonymous", "To respond"]),
        ("No post (-2.7 points; average: 1 post).", ["Average: about"]),
    ],
)
def test_words_are_explained_where_they_are_used(sentence, words):
    explained = [text for section in story({"score": [sentence]}, 1.9)[1:] for text in section.sentences]
    assert [" ".join(text.split()[:2]) for text in explained] == words
    limited = [text for text in explained if "move a score by 1.9 points at most" in text]
    assert len(limited) == ("Everybody who" in words)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (211.6, 234.2, "People expected to engage: about 212, then about 234."),
        (0.95, 0.78, "People expected to engage: about 1, then less than one (a chance of at most 8 in 10)."),
        (0.0286, 0.2, "The chance that anybody engages: at most 1 in 30, then 1 in 5."),
    ],
)
def test_expectations_at_two_instants(before, after, sentence):
    assert expectations(before, after) == sentence
