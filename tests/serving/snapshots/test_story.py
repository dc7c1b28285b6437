"""The wording of a rank, an expected audience and a chance."""

from dataclasses import replace

import pytest

from serving.snapshots.facts import Fact
from serving.snapshots.story import (
    ANONYMOUS,
    ENGAGING,
    ESTABLISHED,
    SIMILAR,
    about,
    at_most,
    describe_certainty,
    describe_expectation,
    describe_factor,
    describe_spread,
    expectations,
    rank,
    remainder,
    shorten_certainty,
    standing,
    start,
    story,
    time_named_once,
)
from training.model.baseline import Baseline
from training.model.intervals import Interval
from training.model.scale import Scale

ACTIVE = Baseline(2_311, {}, None, {}, "2017-07-30T00:00:00Z", active_days=56.0, scores=(1.0, 31.5, 60.0, 80.0))


def test_standing():
    assert (
        standing("ann", 12.34, "2017-07-30T00:00:00Z")
        == "The influence score of ann is 12.3 out of 100, as of 2017-07-30."
    )


@pytest.mark.parametrize(
    ("below", "words"),
    [
        (1.0, "The score is higher than {}."),
        (0.9999, "The score is higher than 99.9% of {}."),
        (0.9971, "The score is higher than 99.7% of {}."),
        (0.99, "The score is higher than 99% of {}."),
        (0.579, "The score is higher than 57% of {}."),
        (0.58, "The score is higher than 58% of {}."),
        (0.009, "Fewer than 1% of {} have a lower score."),
        (0.0, "At most 2 of {} have a lower score."),
    ],
)
def test_rank_among_active_users(below, words):
    users = "the 2,311 users active in the last eight weeks"
    ranked = rank(below, ACTIVE, "all", 5.0, 5.0)
    assert ranked == words.format(users)
    assert start(39.14, ACTIVE, "all", ranked) == (
        "The points below start from the average score of these users, 39.1; all averages below are theirs."
    )


@pytest.mark.parametrize(
    ("below", "score", "beside"),
    [
        (0.61, 28.4, ", but below their average of 28.6"),
        (0.61, 28.62, ""),
        (0.5, 20.0, ", but below their average of 28.6"),
        (0.499, 20.0, ""),
        (0.42, 30.0, ", but above their average of 28.6"),
        (0.61, 30.0, ""),
    ],
)
def test_a_score_between_the_average_and_the_median(below, score, beside):
    ranked = rank(below, ACTIVE, "all", score, 28.63)
    assert ranked.endswith(f"active in the last eight weeks{beside}.")
    starts = {
        "": "the average score of these users, 28.6; all averages below are theirs.",
        ", but b": "this average, which a few high scores raise; all averages below are of these users.",
        ", but a": "this average; all averages below are of these users.",
    }
    expected = f"The points below start from {starts[beside[:7]]}"
    assert start(28.63, ACTIVE, "all", ranked) == expected


@pytest.mark.parametrize(
    ("users", "words"),
    [
        (128, "None of the 128 users active in the last eight weeks has a lower score."),
        (1_000, "None of the 1,000 users active in the last eight weeks has a lower score."),
        (1_001, "At most 1 of the 1,001 users active in the last eight weeks has a lower score."),
        (2_000, "At most 2 of the 2,000 users active in the last eight weeks have a lower score."),
    ],
)
def test_a_share_below_a_thousandth_is_a_number_of_users(users, words):
    assert rank(0.0, replace(ACTIVE, users=users), "all", 5.0, 5.0) == words


def test_nobody_is_below_zero():
    assert rank(0.0, ACTIVE, "all", 0.0, 5.0).startswith(
        "None of the 2,311 users active in the last eight weeks has a lower score"
    )


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (2, 2, "is fairly certain: for 9 in 10 similar users, 2 people engage"),
        (
            2,
            6,
            "is fairly certain: for 9 in 10 similar users, 2 to 6 people engage, which would be a score of 12 to 26",
        ),
        (2, 8, "is rough: for 9 in 10 similar users, 2 to 8 people engage, which would be a score of 12 to 29"),
        (0, 10, "is rough: for 9 in 10 similar users, 0 to 10 people engage, which would be a score of 0 to 32"),
        (
            0,
            20,
            "is very uncertain: for 9 in 10 similar users, 0 to 20 people engage, which would be a score of 0 to 40",
        ),
    ],
)
def test_certainty_depends_on_the_points_between_the_ends(low, high, words):
    certainty = describe_certainty(Interval(low, high, 0.9), 28, SCALE)
    shortened = f"The prediction {words.partition(', which')[0]}."
    assert shorten_certainty(certainty) == shortened
    assert certainty.replace(" in the next 28 days", "") == f"The prediction {words}.".replace("similar users", SIMILAR)


@pytest.mark.parametrize(("high", "who"), [(0, "nobody"), (1, "nobody or 1 person")])
def test_a_chance_has_no_range_of_points(high, who):
    certainty = describe_certainty(Interval(0, high, 0.9), 28, SCALE)
    assert certainty == (
        f"Very probably, {who} engages in the next 28 days; this is true of at least 9 in 10 users with similar "
        "figures."
    )
    assert shorten_certainty(certainty) == f"Very probably, {who} engages."


@pytest.mark.parametrize(
    ("baseline", "scope", "users", "average"),
    [
        (
            ACTIVE,
            "topic:fish",
            "all users of topic:fish",
            "the average of the 2,311 users active in the last eight weeks, as of 2017-07-30",
        ),
        (
            Baseline(900, {}, None, {}),
            "all",
            "all users",
            "the average of the 900 rows (a user at an instant) that the model was trained on",
        ),
    ],
)
def test_rank_among_all_users(baseline, scope, users, average):
    ranked = rank(0.571, baseline, scope, 50.0, 60.0)
    assert ranked == f"The score is higher than 57% of {users}."
    assert start(39.14, baseline, scope, ranked) == f"The points below start from {average}: 39.1."


SCALE = Scale(4.0, 12.0)


@pytest.mark.parametrize(
    ("expected", "chance", "credible", "words"),
    [
        (
            285.1,
            None,
            False,
            "It means that about 285 people are expected to engage with this user in the next 28 days.",
        ),
        (0.9, None, False, "It means that about 1 person is expected to engage with this user in the next 28 days."),
        (
            9.0,
            None,
            True,
            "It means that about 9 people are expected to engage with this user in the next 28 days, counted as "
            "established members.",
        ),
        (
            0.78,
            None,
            False,
            "It means that, in the next 28 days, at most 8 in 10 users with similar figures will have "
            "somebody engage with them.",
        ),
        (
            0.78,
            0.31,
            False,
            "It means that, in the next 28 days, about 3 in 10 users with similar figures will have "
            "somebody engage with them.",
        ),
        (
            0.78,
            0.31,
            True,
            "It means that, in the next 28 days, about 3 in 10 users with similar figures will have somebody credible "
            "respond to them.",
        ),
        (
            2e-4,
            1e-4,
            False,
            "It means that, in the next 28 days, fewer than 1 in 1,000 users with similar figures will have "
            "somebody engage with them.",
        ),
    ],
)
def test_expectation(expected, chance, credible, words):
    assert describe_expectation(expected, chance, 28, credible) == words


def test_the_meaning_of_ten_points_is_stated_of_people_not_of_a_chance():
    assert describe_factor(0.9, SCALE) == ["A score 10 points higher stands for 2.3 times as many people."]
    assert describe_factor(0.89, SCALE) == []


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 0, "nobody engages"),
        (0, 1, "nobody or 1 person engages"),
        (1, 1, "1 person engages"),
        (0, 3, "0 to 3 people engage"),
        (2, 2, "2 people engage"),
        (8, 1_200, "8 to 1,200 people engage"),
    ],
)
def test_spread(low, high, words):
    interval = Interval(low, high, 0.9)
    assert describe_spread(interval, 28) == f"For 9 in 10 users with similar figures, {words} in the next 28 days."


def test_spread_of_another_level():
    assert describe_spread(Interval(0, 0, 0.95), 28).startswith("For 95% of users with similar figures, nobody")


@pytest.mark.parametrize(
    ("points", "unclipped", "score", "sentences"),
    [
        (0.0, 30.0, 30.0, []),
        (-2.2, 30.0, 30.0, ["Everything else (days): -2.2 points."]),
        (-2.2, -3.0, 0.0, ["Everything else (days): -2.2 points. This makes -3.0, but scores end at 0."]),
        (0.0, 101.3, 100.0, ["This makes 101.3, but scores end at 100."]),
        (None, 101.3, 100.0, ["This makes 101.3, but scores end at 100."]),
    ],
)
def test_remainder(points, unclipped, score, sentences):
    others = None if points is None else Fact("Everything else (days).", points, (), (), is_distinct=False)
    assert remainder(others, unclipped, score) == sentences


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
def test_a_share_that_is_not_exceeded(share, words):
    assert at_most(share) == f"at most {words}"


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.99, "more than 9 in 10"),
        (0.94, "about 9 in 10"),
        (0.31, "about 3 in 10"),
        (0.26, "about 3 in 10"),
        (0.24, "about 1 in 4"),
        (0.096, "about 1 in 10"),
        (0.0205, "about 1 in 50"),
        (0.0064, "about 1 in 150"),
        (0.0011, "about 1 in 900"),
        (0.00102, "about 1 in 1,000"),
        (0.0009, "fewer than 1 in 1,000"),
        (0.0, "fewer than 1 in 1,000"),
    ],
)
def test_a_measured_share(share, words):
    assert about(share) == words


def test_sections_without_sentences_are_omitted():
    assert [section.topic for section in story({"change": ["b"], "for": [], "score": ["a"]})] == ["score", "change"]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("This user was last active 3 days ago.", []),
        ("About 2 people responded.", []),
        ("About 2 established members came.", [ESTABLISHED.format(time="for half a year")]),
        ("An anonymous response came.", [ANONYMOUS]),
        ("About 2 posts got engagement that counts.", []),
        ("Nobody engages in the next 28 days.", [ENGAGING]),
    ],
)
def test_terms_are_defined_where_they_are_used(sentence, words):
    *_, last = story({"score": [sentence], "change": ["Nothing."]})
    assert [*last.sentences] == (words or ["Nothing."])


def test_users_become_long_standing_earlier_in_a_young_community():
    (_, section) = story({"score": ["1 established member."]}, free_days=18.0)
    assert section.sentences == (ESTABLISHED.format(time="for about 90 days"),)
    (_, section) = story({"score": ["1 established member."]}, free_days=None)
    assert section.sentences == (ESTABLISHED.format(time="long"),)


def test_a_text_names_the_time_of_a_newcomer_once():
    time = "since this user appeared 3 days ago"
    sentences = [f"2 people came {time}.", f"A post {time}.", "It rests on 2 people."]
    (section,) = story({"for": sentences})
    assert list(section.sentences) == sentences
    assert list(map(time_named_once(), sentences)) == [sentences[0], "A post since this user appeared.", sentences[2]]


@pytest.mark.parametrize(
    ("lowered", "topics"), [(False, ["score", "for", "against"]), (True, ["score", "against", "for"])]
)
def test_the_stronger_side_comes_first(lowered, topics):
    sections = story({"for": ["b"], "against": ["c"], "score": ["a"]}, lowered)
    assert [section.topic for section in sections] == topics


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ((211.6, None), (234.2, None), "People expected to engage: about 212, then about 234."),
        (
            (0.95, None),
            (0.78, 0.31),
            "People expected to engage: about 1, then less than one (a chance of about 3 in 10).",
        ),
        ((0.0286, None), (0.2, None), "The chance that anybody engages: at most 1 in 30, then at most 1 in 5."),
        ((0.0286, 0.02), (0.2, 0.1), "The chance that anybody engages: about 1 in 50, then about 1 in 10."),
    ],
)
def test_expectations_at_two_instants(before, after, sentence):
    assert expectations(before, after) == sentence
