"""Discounts are reported if they cost at least half a point or half a person."""

import pytest

from features.catalogue.credible_wording import WHY_FEWER, WHY_SOME_FEWER
from features.catalogue.wording import UNCOUNTED, least_points_of
from training.explanation.ledger import _discounts, alternatives
from training.model.bundle import feature_row

MANY_NEW = {"uncounted_new_28d": 40.0, "uncounted_new_365d": 50.0}
EXCHANGED = {"uncounted_exchange_28d": 40.0, "uncounted_exchange_365d": 40.0}
RETURNED = {"uncounted_returned_28d": 40.0, "uncounted_returned_365d": 40.0}
NOTHING = {f"uncounted_{kind}_{days}d": 0.0 for kind in UNCOUNTED for days in (28, 365)}
BLAMING = ("fake", "bot", "cheat", "bought", "suspicious", "fraud", "spam")


def discounts(bundle, row):
    return alternatives(bundle, row).discounts


@pytest.fixture(scope="module")
def ordinary(rows, bundle):
    """An ordinary active user without discounts."""
    score = bundle.predict(rows)["score"]
    middle = rows[(score > 15) & (score < 50) & (rows["created_90d"] > 0)].iloc[[0]]
    return middle.assign(**NOTHING, repetitions_beyond_10_90d=0.0)


def test_every_reason_has_words():
    assert {*WHY_FEWER} == {*WHY_SOME_FEWER} == {*UNCOUNTED}


def test_no_discounts_without_uncounted_engagement(bundle, ordinary):
    assert discounts(bundle, feature_row(ordinary)) == ()


@pytest.mark.parametrize(("kind", "change"), [("new", MANY_NEW), ("exchange", EXCHANGED), ("returned", RETURNED)])
def test_uncounted_people_by_reason(bundle, ordinary, kind, change):
    (discount,) = discounts(bundle, feature_row(ordinary.assign(**change)))
    assert discount.kind == kind
    assert discount.value == change[f"uncounted_{kind}_365d"]
    assert discount.points >= 0.5
    assert f" because {WHY_SOME_FEWER[kind]}; " in discount.sentence
    assert discount.sentence.endswith(
        f"; if they counted in full, the score would be at least {least_points_of(discount.points)} higher."
    )
    assert not any(word in discount.sentence.lower() for word in BLAMING)


def test_the_points_are_the_least_gain_predicted_if_they_counted(bundle, ordinary):
    """Forty responded 28 days ago, where half of a response is counted, and end the silence."""
    grown = ordinary.assign(**MANY_NEW, days_of_silence=100.0)
    year, age = grown["credible_engagers_365d"] + 50, grown["account_age_days"]
    few = year.clip(upper=5)
    counted = grown.assign(
        credible_engagers_28d=grown["credible_engagers_28d"] + 40,
        credible_engagers_90d=grown["credible_engagers_90d"] + 40,
        credible_engagers_365d=year,
        responder_rate_365d=28 * (few / age.clip(90, 365) + (year - few) / age.clip(7, 365)),
        credible_engagers_decayed_28d=grown["credible_engagers_decayed_28d"] + 40 / 2,
        credible_pace_28d=grown["credible_pace_28d"] + 40 / sum(0.5**k for k in range(6)),
        days_of_silence=0.0,
    )
    gain = bundle.predict(counted)["score"].iloc[0] - bundle.predict(grown)["score"].iloc[0]
    assert discounts(bundle, feature_row(grown))[0].points == pytest.approx(gain, abs=1e-9)


@pytest.mark.parametrize(
    ("fewer", "counted", "reported"),
    [
        (1e-9, 100.0, ""),
        (0.4, 0.1, ""),
        (3.0, 97.0, "about 3"),
        (12.0, 1_088.0, "about 12"),
        (1.5, 0.5, "1.5"),
    ],
)
def test_a_discount_of_half_a_person_is_reported_even_without_points(fewer, counted, reported):
    row = {"credible_engagers_365d": counted, **NOTHING, "uncounted_new_365d": fewer}
    result = _discounts(row, {"new": 0.2})
    assert [discount.sentence for discount in result] == bool(reported) * [
        f"The people who responded count as {reported} fewer because some of them are people to whom hardly any "
        "established member responds."
    ]


def test_two_reasons_state_the_people_once_and_add_up():
    less = NOTHING | {"uncounted_new_365d": 240.6, "uncounted_exchange_365d": 66.1}
    row = {"credible_engagers_365d": 299.3, **less, "responders_365d": 606.0}
    result = _discounts(row, {"new": 4.5, "exchange": 0.2})
    assert [discount.sentence for discount in result] == [
        "The 606 people who responded count as about 241 fewer because some of them are people to whom hardly any "
        "established member responds; if they counted in full, the score would be at least 4.5 points higher.",
        "They count as about 66 fewer because this user responds to some of them as well.",
    ]


@pytest.mark.parametrize(("counted", "how"), [(0.2, "does not count in full"), (0.0, "does not count")])
def test_the_sentence_for_a_single_person(counted, how):
    row = {"credible_engagers_365d": counted, **NOTHING, "uncounted_new_365d": 1 - counted}
    (discount,) = _discounts(row | {"responders_365d": 1.0}, {"new": 0.7})
    assert discount.sentence == (
        f"The person who responded {how} because hardly any established member responds to them; "
        "if they counted in full, the score would be at least 0.7 points higher."
    )


@pytest.mark.parametrize(
    ("people", "sentence"),
    [
        (1.0, "The person who responded does not count because they came back lately after more than 60 days"),
        (
            9.0,
            "The 9 people who responded count as 1 fewer because some of them came back lately after more than 60 days",
        ),
    ],
)
def test_the_sentence_for_those_who_returned(people, sentence):
    row = {"credible_engagers_365d": people - 1, **NOTHING, "uncounted_returned_365d": 1.0, "responders_365d": people}
    (discount,) = _discounts(row, {"returned": 0.7})
    text = discount.sentence.replace("about ", "", 1) if people > 1 else discount.sentence
    assert text.startswith(f"{sentence} without activity here, and had never responded to this user before; ")
    assert text.endswith("if they counted in full, the score would be at least 0.7 points higher.")
