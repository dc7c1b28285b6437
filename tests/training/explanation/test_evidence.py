import numpy as np
import pandas as pd
import pytest

from training.explanation.reasons import describe_evidence, evidence


@pytest.mark.parametrize(
    ("acts", "engagements", "people", "grade"),
    [
        (0, 0, 0, "insufficient_evidence"),
        (2, 0, 0, "insufficient_evidence"),
        (1, 1, 1, "insufficient_evidence"),
        (1, 2, 2, "some"),
        (0, 3, 0, "some"),
        (900, 0, 0, "some"),
        (75, 4, 2, "some"),
        (0, 900, 19, "some"),
        (0, 20, 20, "strong"),
        (np.nan, np.nan, np.nan, "insufficient_evidence"),
        (np.nan, 3, np.nan, "some"),
    ],
)
def test_grade(acts, engagements, people, grade):
    rows = pd.DataFrame({"acts_365d": [acts], "engagements_365d": [engagements], "engagers_365d": [people]})
    assert evidence(rows).tolist() == [grade]


def test_nobody():
    assert evidence(pd.DataFrame({"acts_365d": [], "engagements_365d": [], "engagers_365d": []})).shape == (0,)


FEW = "fewer than 20, so a few more or fewer make a difference."
RESPONDED = {"credible_engagers_365d": 16.0, "uncounted_new_365d": 28.0, "uncounted_exchange_365d": 0.0}


@pytest.mark.parametrize(
    ("grade", "row", "sentence"),
    [
        (
            "strong",
            {"engagers_365d": 1_062.0},
            "The past is well known: 1,062 people engaged with this user in the last year (20 are enough).",
        ),
        (
            "strong",
            RESPONDED | {"engagers_365d": 48.0},
            "The past is well known: 44 people responded in the last year (20 are enough).",
        ),
        (
            "strong",
            RESPONDED | {"uncounted_new_365d": 0.0, "engagers_365d": 48.0},
            "The past is well known: 48 people engaged with this user in the last year, 16 of whom responded (20 are "
            "enough).",
        ),
        (
            "strong",
            RESPONDED | {"engagers_365d": 48.0, "account_age_days": 12.5},
            "Much is known, but only of the last 12 days: 44 people responded (20 are enough).",
        ),
        (
            "some",
            RESPONDED | {"credible_engagers_365d": 0.0, "uncounted_new_365d": 1.0, "engagers_365d": 8.0},
            f"Of the past little is known: 1 person responded in the last year, {FEW}",
        ),
        (
            "some",
            dict.fromkeys(RESPONDED, 0.0) | {"engagers_365d": 3.0},
            f"Of the past little is known: 3 people engaged with this user in the last year, none of "
            "whom responded, "
            f"{FEW}",
        ),
        (
            "strong",
            {"engagers_365d": 127.0, "account_age_days": 12.5},
            "Much is known, but only of the last 12 days: 127 people engaged with this user (20 are enough).",
        ),
        (
            "some",
            {"engagers_365d": 0.0, "engagements_365d": 0.0},
            "Of the past little is known: nobody engaged with this user in the last year; the score is "
            "based on users like "
            "this one.",
        ),
        (
            "some",
            {"engagers_365d": 0.0, "engagements_365d": 3.0},
            "Of the past little is known: only anonymous people engaged with this user in the last "
            "year; the score is based on "
            "users like this one.",
        ),
        (
            "some",
            {"engagers_365d": 1.0, "account_age_days": 400.0},
            f"Of the past little is known: 1 person engaged with this user in the last year, {FEW}",
        ),
        (
            "some",
            {"engagers_365d": 2.0, "account_age_days": 0.2},
            "Of the past little is known: 2 people engaged with this user in the 1 day since this user "
            f"was first seen, {FEW}",
        ),
        (
            "insufficient_evidence",
            {"acts_365d": 1.0, "engagements_365d": 0.0},
            "Too little is known for a score: in the last year this user acted once, and others did not engage. It "
            "takes 3 events, so 2 more.",
        ),
        (
            "insufficient_evidence",
            {"acts_365d": 0.0, "engagements_365d": 2.0},
            "Too little is known for a score: in the last year this user did nothing, and others engaged 2 times. It "
            "takes 3 events, so 1 more.",
        ),
    ],
)
def test_sentence_of_a_grade(grade, row, sentence):
    assert describe_evidence(grade, row) == sentence
