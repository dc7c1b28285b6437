"""The words for a rank, an expected audience and a chance."""

import pytest

from serving.snapshots.story import chance, expectation, standing, story


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


@pytest.mark.parametrize(
    ("expected", "high", "credible", "words"),
    [
        (285.1, 3, False, "About 285 different people are expected to engage in the next 28 days; 90% of users like"),
        (0.95, 3, False, "About 1 person is expected to engage in the next 28 days; 90% of users like"),
        (1.2, 3, False, "About 1 person is expected to engage in the next 28 days; 90% of users like"),
        (
            9.0,
            3,
            True,
            "About 9 different people are expected to engage in the next 28 days, counted as established members; 90%",
        ),
        (0.78, 1, False, "The chance that anybody engages in the next 28 days is at most about 8 in 10; 90% of users"),
        (0.02, 0, False, "The chance that anybody engages in the next 28 days is at most about 1 in 50; 90% of users"),
    ],
)
def test_expectation(expected, high, credible, words):
    sentence = expectation(expected, 0, high, 0.9, 28, credible)
    assert sentence.startswith(words)
    ends = {0: "are engaged with by nobody.", 1: "by 0 to 1 person.", 3: "by 0 to 3 people."}
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
