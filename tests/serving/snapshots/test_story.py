"""The words for a rank, an expected audience and a chance."""

import pytest

from serving.snapshots.story import chance, expectation, expectations, standing, story


@pytest.mark.parametrize(
    ("below", "words"),
    [
        (0.9999, "more than 99.9% of users"),
        (0.9971, "more than 99.7% of users"),
        (0.99, "more than 99% of users"),
        (0.579, "more than 57% of users"),
        (0.58, "more than 58% of users"),
        (0.009, "and less than 1% of users have fewer"),
        (0.0, "and no user has fewer"),
    ],
)
def test_rank(below, words):
    assert (
        standing("ann", 12.34, below, "2017-07-30T00:00:00Z")
        == f"ann has 12.3 of 100 points, {words}, as of 2017-07-30."
    )


LIKE = "; 90% of users like"
IN_28 = "engage with this user in the next 28 days"


@pytest.mark.parametrize(
    ("expected", "high", "credible", "words"),
    [
        (285.1, 3, False, f"About 285 different people are expected to {IN_28}{LIKE}"),
        (0.95, 3, False, f"About 1 person is expected to {IN_28}{LIKE}"),
        (1.2, 3, False, f"About 1 person is expected to {IN_28}{LIKE}"),
        (
            9.0,
            3,
            True,
            f"About 9 different people are expected to {IN_28}, counted as established members{LIKE}",
        ),
        (
            0.78,
            1,
            False,
            f"The chance that anybody engages with this user in the next 28 days is at most about 8 in 10{LIKE}",
        ),
        (
            0.02,
            0,
            False,
            f"The chance that anybody engages with this user in the next 28 days is at most about 1 in 50{LIKE}",
        ),
    ],
)
def test_expectation(expected, high, credible, words):
    sentence = expectation(expected, 0, high, 0.9, 28, credible)
    assert sentence.startswith(words)
    ends = {0: "this one hear from nobody.", 1: "hear from 0 to 1 person.", 3: "hear from 0 to 3 people."}
    assert sentence.endswith(ends[high])


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.99, "9 in 10"),
        (0.6, "6 in 10"),
        (0.4, "4 in 10"),
        (0.35, "1 in 3"),
        (0.1, "1 in 10"),
        (0.021, "1 in 48"),
        (0.0031, "1 in 320"),
        (0.0, "1 in 1,000"),
    ],
)
def test_chance(share, words):
    assert chance(share) == words


def test_sections_without_sentences_are_omitted():
    assert [section.topic for section in story({"change": ["b"], "for": [], "score": ["a"]})] == ["score", "change"]


def test_words_are_explained_where_they_are_used():
    def words(sentence):
        return [text.split(" is ")[0] for section in story({"score": [sentence]})[1:] for text in section.sentences]

    assert words("Last active 3 days ago.") == []
    assert words("1,243 people engaged with this user.") == ["To respond"]
    assert words("Nobody responded; no response counts as an established member's.") == [
        "To respond",
        "An established member",
    ]
    assert words("In each of the last six four-week periods a response came that counts.") == [
        "To respond",
        "An established member",
    ]


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (211.6, 234.2, "People expected to engage: about 212, then about 234."),
        (0.95, 0.78, "People expected to engage: about 1, then less than one (a chance of at most 8 in 10)."),
        (0.0286, 0.2, "The chance that anybody engages: at most about 1 in 35, then 1 in 5."),
    ],
)
def test_expectations_at_two_instants(before, after, sentence):
    assert expectations(before, after) == sentence
