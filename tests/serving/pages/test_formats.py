"""Formats: numbers, ranks and URLs on the pages."""

import pytest

from features.catalogue import INPUTS
from serving.pages import formats


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
    ("percentile", "text"), [(100.0, "the highest"), (99.98, "top 0.1 %"), (75.0, "top 25 %"), (10.0, "lower 10 %")]
)
def test_ranks(percentile, text):
    assert formats.rank(percentile).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(("percentile", "text"), [(99.98, "99.9"), (100.0, "100"), (61.04, "61")])
def test_only_all_users_are_100_of_100(percentile, text):
    assert formats.share_below(percentile) == text


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
