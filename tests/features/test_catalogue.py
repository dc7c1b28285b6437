import dataclasses
import math
import re

import pytest

from features.catalogue import CATALOGUE
from features.feature import Catalogue, Feature

AFTER = 1 / 86_400  # a second, in days

# What `u` did and received, as (days before as_of, actor, verb, target, object), and what is to come of it by hand.
WITHIN = {
    days: [
        (days, "a", "like", "u"),  # the very edge is inside
        (days + AFTER, "b", "like", "u"),  # a second earlier is not
        (1, "c", "reply", "u"),
        (2, "c", "block", "u"),  # the same person twice, and a negative act draws people too
        (1, None, "like", "u"),  # unknown: nobody in particular
        (1, "u", "like", "u"),  # oneself
        (1, "d", "view", "u"),  # a view is no engagement
    ]
    for days in (7, 28, 90, 365)
}
MADE = {
    days: [
        (days, "u", "post", None),
        (days + AFTER, "u", "post", None),
        (1, "u", "reply", "a"),
        (1, "u", "quote", "a"),
        (1, "u", "like", "a"),
        (1, "a", "reply", "u"),
    ]
    for days in (7, 28, 90, 365)
}
BY_HAND = [
    *((f"engagers_{days}d", WITHIN[days], 2) for days in WITHIN),
    *((f"engagements_{days}d", WITHIN[days], 4) for days in (7, 28, 365)),
    *((f"created_{days}d", MADE[days], 3) for days in MADE),
    ("engagers_7d", [(1, "u", "post", None)], 0),
    (
        "pace_28d",  # weights 1, 1/2, 1/4, 1/8, 1/16, 1/32 add up to 63/32
        [
            (1, "a", "like", "u"),
            (2, "b", "like", "u"),
            (3, "a", "like", "u"),
            (29, "a", "like", "u"),
            (56 + AFTER, "c", "like", "u"),
            (168, "c", "like", "u"),
            (168 + AFTER, "d", "like", "u"),
            (1, None, "like", "u"),
        ],
        (2 + 1 / 2 + 1 / 4 + 1 / 32) / (63 / 32),
    ),
    (
        "engagers_ever",
        [(400, "a", "like", "u"), (800, "b", "flag", "u"), (1, "b", "like", "u"), (1, None, "like", "u")],
        2,
    ),
    (
        "engagers_decayed_28d",
        [(28, "a", "like", "u"), (84, "a", "like", "u"), (56, "b", "like", "u"), (1, None, "like", "u")],
        1 / 2 + 1 / 4,
    ),
    (
        "new_engagers_28d",
        [
            (28, "a", "like", "u"),
            (3, "a", "like", "u"),
            (3, "b", "like", "u"),
            (28 + AFTER, "b", "like", "u"),
            (9, "c", "like", "u"),
            (9, None, "like", "u"),
        ],
        2,
    ),
    (
        "returning_engagers_28d",
        [
            (3, "a", "like", "u"),
            (29, "a", "like", "u"),
            (3, "b", "like", "u"),
            (28, "b", "like", "u"),
            (40, "c", "like", "u"),
        ],
        1,
    ),
    (
        "periods_drawing_168d",
        [
            (1, None, "like", "u"),
            (28, "a", "like", "u"),
            (29, "a", "like", "u"),
            (168, "a", "like", "u"),
            (169, "a", "like", "u"),
        ],
        3,
    ),
    ("periods_drawing_168d", [(1, "u", "like", "a")], 0),
    (
        "followers",
        [
            (10, "a", "follow", "u"),
            (10, "b", "follow", "u"),
            (5, "b", "unfollow", "u"),
            (12, "c", "unfollow", "u"),
            (10, "c", "follow", "u"),
            (3, "d", "unfollow", "u"),
            (4, "e", "follow", "u"),
            (4, "e", "unfollow", "u"),  # at one instant: the follow is not later
            (2, None, "follow", "u"),
            (900, "f", "follow", "u"),
        ],
        3,
    ),
    (
        "replies_90d",
        [
            (90, "a", "reply", "u"),
            (1, "a", "reply", "u"),
            (1, None, "reply", "u"),
            (91, "b", "reply", "u"),
            (1, "a", "quote", "u"),
        ],
        3,
    ),
    (
        "endorsements_90d",
        [
            (90, "a", "like", "u"),
            (1, "a", "repost", "u"),
            (1, None, "quote", "u"),
            (91, "b", "like", "u"),
            (1, "a", "reply", "u"),
            (1, "a", "follow", "u"),
        ],
        3,
    ),
    (
        "disapprovals_90d",
        [
            (90, "a", "dislike", "u"),
            (1, None, "flag", "u"),
            (1, "a", "unfollow", "u"),
            (1, "b", "block", "u"),
            (91, "c", "flag", "u"),
            (1, "c", "like", "u"),
        ],
        4,
    ),
    (
        "pieces_drawing_90d",
        [
            (1, "a", "like", "u", "o1"),
            (2, None, "reply", "u", "o1"),
            (90, "b", "like", "u", "o2"),
            (91, "b", "like", "u", "o3"),
            (1, "b", "like", "u", None),
            (1, "b", "follow", "u", "o4"),
            (1, "u", "like", "u", "o5"),
        ],
        2,
    ),
    (
        "engagers_per_piece_90d",
        [
            (5, "u", "post", None),
            (6, "u", "reply", "c"),
            (91, "u", "post", None),
            (1, "a", "like", "u"),
            (90, "b", "like", "u"),
            (2, "c", "like", "u"),
        ],
        3 / 2,
    ),
    ("engagers_per_piece_90d", [(5, "u", "post", None)], 0),
    ("engagers_per_piece_90d", [(5, "a", "like", "u"), (91, "u", "post", None)], None),
    (
        "engager_prominence_365d",  # a has two engagers within the year, b none that is known
        [
            (1, "a", "like", "u"),
            (1, "b", "like", "u"),
            (9, "c", "like", "a"),
            (365, "d", "like", "a"),
            (366, "e", "like", "a"),
            (9, None, "like", "b"),
            (366, "d", "like", "u"),
            (1, None, "like", "u"),
        ],
        math.log(3) / 2,
    ),
    ("engager_prominence_365d", [(1, None, "like", "u"), (366, "a", "like", "u")], None),
    (
        "mutual_share_365d",
        [
            (1, "a", "like", "u"),
            (365, "b", "like", "u"),
            (2, "c", "like", "u"),
            (3, "u", "reply", "a"),
            (366, "u", "reply", "b"),
            (4, "u", "like", "d"),
        ],
        1 / 3,
    ),
    ("mutual_share_365d", [(1, "u", "like", "a"), (1, None, "like", "u")], None),
    (
        "concentration_365d",
        [
            (1, "a", "like", "u"),
            (2, "a", "like", "u"),
            (365, "a", "reply", "u"),
            (366, "a", "like", "u"),
            (1, "b", "like", "u"),
            (1, None, "like", "u"),
        ],
        (3**2 + 1**2) / 4**2,
    ),
    ("concentration_365d", [(1, None, "like", "u"), (1, None, "like", "u")], None),
    (
        "people_engaged_90d",
        [
            (90, "u", "like", "a"),
            (3, "u", "follow", "a"),
            (4, "u", "block", "c"),
            (91, "u", "like", "b"),
            (1, "u", "like", "u"),
            (1, "u", "view", "d"),
        ],
        2,
    ),
    ("people_engaged_90d", [(1, "a", "like", "u"), (1, None, "like", "u")], 0),
    (
        "created_decayed_7d",  # a day weighs as its middle
        [
            (0.2, "u", "post", None),
            (0.9, "u", "reply", "a"),
            (1.5, "u", "quote", "a"),
            (7, "u", "post", None),
            (1, "u", "like", "a"),
        ],
        2 * 2 ** (-0.5 / 7) + 2 ** (-1.5 / 7) + 2 ** (-6.5 / 7),
    ),
    ("created_decayed_7d", [(1, "a", "like", "u")], 0),
    (
        "acts_365d",
        [
            (1, "u", "view", "a"),
            (1, "u", "like", "u"),
            (365, "u", "post", None),
            (365 + AFTER, "u", "post", None),
            (1, "a", "like", "u"),
        ],
        3,
    ),
    (
        "active_days_28d",
        [
            (0.1, "u", "view", "a"),
            (1, "u", "post", None),
            (1 + AFTER, "u", "post", None),
            (28, "u", "post", None),
            (28 + AFTER, "u", "post", None),
        ],
        3,
    ),
    (
        "active_weeks_52w",
        [
            (1, "u", "post", None),
            (7, "u", "post", None),
            (7 + AFTER, "u", "post", None),
            (364, "u", "post", None),
            (364 + AFTER, "u", "post", None),
        ],
        3,
    ),
    ("days_since_last_act", [(2.5, "u", "view", "a"), (9, "u", "post", None), (1, "a", "like", "u")], 2.5),
    ("days_since_last_act", [(1, "a", "like", "u")], None),
    (
        "days_since_last_engagement",
        [(1.25, None, "like", "u"), (9, "a", "like", "u"), (1, "u", "like", "u"), (1, "a", "view", "u")],
        1.25,
    ),
    ("days_since_last_engagement", [(1, "u", "post", None)], None),
    ("account_age_days", [(3, "u", "post", None), (10.5, None, "like", "u"), (2, "u", "like", "u")], 10.5),
    ("account_age_days", [(400.25, "u", "view", None), (10.5, "a", "like", "u"), (1, "u", "post", None)], 400.25),
]

UNKNOWN_WITHOUT_ENGAGEMENT = {
    "engagers_per_piece_90d",
    "engager_prominence_365d",
    "mutual_share_365d",
    "concentration_365d",
    "days_since_last_engagement",
}


@pytest.fixture(scope="module")
def computed(features_of):
    """All cases at once: the people of each are called apart by its number."""

    def apart(case, acts):
        named = [(act[0], *(name and f"{case}{name}" for name in act[1:2]), act[2], *act[3:]) for act in acts]
        return [(act[0], act[1], act[2], act[3] and f"{case}{act[3]}", *act[4:]) for act in named]

    found = features_of([act for case, (_, acts, _) in enumerate(BY_HAND) for act in apart(case, acts)])
    return [found[f"{case}u"] for case in range(len(BY_HAND))]


@pytest.mark.parametrize("case", range(len(BY_HAND)), ids=[f"{name}={value}" for name, _, value in BY_HAND])
def test_by_hand(case, computed):
    name, _, value = BY_HAND[case]
    found = computed[case][name]
    if value is None:
        assert found is None
    else:
        assert found == pytest.approx(value, abs=2e-9)


def test_every_feature_is_computed_by_hand():
    assert {name for name, _, value in BY_HAND if value} == set(CATALOGUE.names)


def test_every_feature_that_can_be_unknown_is_so_by_hand():
    unknown = {feature.name for feature in CATALOGUE if feature.if_none is None} | {"engagers_per_piece_90d"}
    assert {name for name, _, value in BY_HAND if value is None} == unknown


def test_unknown_is_null_and_nothing_found_is_zero(features_of):
    (quiet,) = features_of([(3, "u", "view", None)]).values()
    seen = {
        "acts_365d": 1,
        "active_days_28d": 1,
        "active_weeks_52w": 1,
        "days_since_last_act": 3,
        "account_age_days": 3,
    }
    for name in CATALOGUE.names:
        assert quiet[name] == seen.get(name, None if name in UNKNOWN_WITHOUT_ENGAGEMENT else 0), name


class TestWords:
    @pytest.mark.parametrize("feature", CATALOGUE, ids=CATALOGUE.names)
    def test_well_formed(self, feature):
        assert feature.direction in ("up", "down", "free")
        assert feature.family in ("reach", "response", "network", "cadence")
        assert feature.sentence.count("{value}") == 1
        assert "{" not in feature.sentence.replace("{value}", "")
        assert feature.sentence[0].isupper() or feature.sentence.startswith("{value}")
        assert feature.sentence.endswith(".")
        assert feature.meaning
        assert not feature.meaning.endswith(".")
        assert re.fullmatch(r"[a-z0-9_]+", feature.name)
        assert feature.unit

    @pytest.mark.parametrize("feature", CATALOGUE, ids=CATALOGUE.names)
    def test_a_window_in_the_name_is_told(self, feature):
        for days in re.findall(r"_(\d+)d$", feature.name):
            told = "six periods of 28" if days == "168" else days
            assert told in feature.meaning

    def test_what_others_do_cannot_be_acted_on(self):
        assert {feature.family for feature in CATALOGUE if feature.actionable} == {"network", "cadence"}
        assert not any(feature.actionable for feature in CATALOGUE.over("pairs"))

    def test_only_praise_raises_and_disapproval_lowers(self):
        assert [feature.name for feature in CATALOGUE if feature.direction == "down"] == [
            "disapprovals_90d",
            "days_since_last_engagement",
        ]
        assert all(feature.direction == "up" for feature in CATALOGUE if feature.family == "reach")
        assert all(feature.direction != "up" for feature in CATALOGUE if feature.actionable)


def a_feature(**changed) -> Feature:
    plain = Feature("n", "meaning", "Value {value}.", lambda table: table.x, "reach", "people", "pairs", "up")
    return dataclasses.replace(plain, **changed)


class TestFingerprint:
    @pytest.mark.parametrize("change", [{"name": "m"}, {"meaning": "other"}, {"direction": "down"}, {"unit": "acts"}])
    def test_changes_with_what_a_model_rests_on(self, change):
        assert a_feature(**change).fingerprint != a_feature().fingerprint
        assert Catalogue([a_feature(**change)]).fingerprint != Catalogue([a_feature()]).fingerprint

    @pytest.mark.parametrize("change", [{"sentence": "Now {value}."}, {"actionable": True}, {"family": "response"}])
    def test_stays_with_words_for_reviewers(self, change):
        assert a_feature(**change).fingerprint == a_feature().fingerprint

    def test_order_counts(self):
        one, other = a_feature(), a_feature(name="m")
        assert Catalogue([one, other]).fingerprint != Catalogue([other, one]).fingerprint

    def test_form(self):
        assert all(re.fullmatch("[0-9a-f]{12}", each.fingerprint) for each in [*CATALOGUE, CATALOGUE])


class TestCatalogue:
    def test_names_are_unique(self):
        assert len(set(CATALOGUE.names)) == len(CATALOGUE) == len(list(CATALOGUE))
        with pytest.raises(ValueError, match="two features are called n"):
            Catalogue([a_feature(), a_feature()])

    def test_look_up(self):
        assert "followers" in CATALOGUE
        assert "klout" not in CATALOGUE
        assert CATALOGUE["followers"].name == "followers"

    def test_every_feature_is_over_one_relation(self):
        parts = [CATALOGUE.over(relation) for relation in ("pairs", "pieces", "days", "given", "users")]
        assert sorted(feature.name for part in parts for feature in part) == sorted(CATALOGUE.names)


class TestTell:
    @pytest.mark.parametrize(
        ("value", "unit", "said"),
        [
            (0.0, "people", "Value 0."),
            (3.0, "people", "Value 3."),
            (2.5, "people", "Value 2.50."),
            (1234567.0, "people", "Value 1,234,567."),
            (123.456, "people", "Value 123."),
            (-2.5, "nats", "Value -2.50."),
            (-123.4, "nats", "Value -123."),
            (0.25, "share", "Value 25%."),
            (0.0, "share", "Value 0%."),
            (1.0, "share", "Value 100%."),
            (None, "people", "Not known: meaning."),
            (math.nan, "people", "Not known: meaning."),
        ],
    )
    def test_value_in_a_sentence(self, value, unit, said):
        assert a_feature(unit=unit).tell(value) == said
