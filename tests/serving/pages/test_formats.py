"""Formats: numbers, ranks and URLs on the pages."""

import re

import pytest

from features.catalogue import INPUTS
from serving.pages import formats
from serving.snapshots import story
from training.model.baseline import Baseline


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1234.5, 0, "1,234"), (-3.26, 1, "\N{MINUS SIGN}3.3"), (-0.01, 1, "0.0"), (0.0, 1, "0.0"), (12.0, 2, "12.00")],
)
def test_numbers(value, digits, text):
    assert formats.number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"), [(3.26, "+3.3"), (-3.26, "\N{MINUS SIGN}3.3"), (0.01, "0.0"), (-0.04, "0.0")]
)
def test_signs(value, text):
    assert formats.signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(279.2, "279"), (2415.0, "2,415"), (9.96, "10"), (6.24, "6.2"), (3.0, "3"), (0.01, "less than 0.1"), (0, "0")],
)
def test_people(value, text):
    assert formats.people(value) == text


@pytest.mark.parametrize(
    ("user", "path"),
    [
        ("ann", "/u/ann"),
        ("a/b c?", "/u/a%2Fb%20c%3F"),
        ("..", "/u?user=.."),
        ("", "/u?user="),
        ("مريم", "/u/%D9%85%D8%B1%D9%8A%D9%85"),
    ],
)
def test_the_path_of_a_user_is_unchanged_by_a_browser(user, path):
    assert formats.user_path(user) == path


def test_query_parameters_follow_the_path():
    assert formats.user_path("ann", scope="topic:birds & bees", as_of=None) == "/u/ann?scope=topic%3Abirds+%26+bees"
    assert formats.user_path(".", scope="all") == "/u?user=.&scope=all"


@pytest.mark.parametrize(
    ("percentile", "text"),
    [
        (100.0, "the highest"),
        (100 - 1e-9, "top 0.1 %"),
        (99.98, "top 0.1 %"),
        (99.2, "top 0.8 %"),
        (97.5, "top 3 %"),
        (100 * 0.58, "top 42 %"),
        (75.0, "top 25 %"),
        (10.7, "lower 10 %"),
        (0.3, "lower 1 %"),
    ],
)
def test_ranks(percentile, text):
    assert formats.rank(percentile).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(("percentile", "text"), [(99.98, "99.9"), (100.0, "100"), (97.5, "97")])
def test_only_all_users_are_100_of_100(percentile, text):
    assert formats.share_below(percentile) == text


@pytest.mark.parametrize(("points", "text"), [(4.87, "+4.8"), (0.1 + 0.2, "+0.3"), (12.39, "+12.3")])
def test_at_least_so_many_points_are_rounded_down(points, text):
    assert formats.at_least(points) == text


@pytest.mark.parametrize("below", [0.012, 0.29, 0.5, 0.571, 0.899, 0.975, 0.99, 0.991, 0.999])
def test_a_rank_agrees_with_its_sentence(below):
    sentence = story.rank(below, Baseline(100, {}, None, {}, scores=[1.0]), "all", 20.0, 20.0)
    share = float(re.search(r"higher than ([\d.]+)% of", sentence)[1])
    side, percent = re.match(r"(top|lower) ([\d.]+)", formats.rank(100 * below)).groups()
    assert float(percent) == pytest.approx(100 - share if side == "top" else share)
    assert formats.share_below(100 * below) == f"{share:.1f}".removesuffix(".0")


def test_an_instant_is_a_time_element_with_utc_in_its_title():
    element = formats.when("2026-02-24T23:58:59Z")
    assert element == (
        '<time datetime="2026-02-24T23:58:59Z" title="24 Feb 2026, 23:58 UTC" data-show="time">'
        "24 Feb 2026, 23:58 UTC</time>"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("days_of_absence", "Days of absence"),
        ("credible_pace_28d", "Credible pace, 28 days"),
        ("words", "Words"),
    ],
)
def test_feature_names_become_words(name, words):
    assert formats.feature_name(name) == words


def test_every_input_of_a_model_has_a_short_title():
    assert {feature.name for feature in INPUTS if not 0 < len(feature.title) < 50} == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("active before 2025-11-04", "active before 4 Nov 2025"),
        ("against decayed_engagers: no clear difference", "against decayed engagers: no clear difference"),
        ("R2 (log) is -0.003", "R2 (log) is -0.003"),
    ],
)
def test_code_and_dates_are_readable(text, words):
    assert formats.plain(text) == words
