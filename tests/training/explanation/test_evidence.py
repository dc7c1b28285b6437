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
def test_grades_by_hand(acts, engagements, people, grade):
    rows = pd.DataFrame({"acts_365d": [acts], "engagements_365d": [engagements], "engagers_365d": [people]})
    assert evidence(rows).tolist() == [grade]


def test_no_rows():
    assert evidence(pd.DataFrame({"acts_365d": [], "engagements_365d": [], "engagers_365d": []})).shape == (0,)


NOBODY_COUNTS = "other users with similar figures: no person who counts has responded in the last year."
NOBODY = NOBODY_COUNTS.replace("person who counts", "person")
RESPONDED = {
    "credible_engagers_365d": 16.0,
    "uncounted_new_365d": 28.0,
    **dict.fromkeys(["uncounted_exchange_365d", "uncounted_returned_365d"], 0.0),
}


@pytest.mark.parametrize(
    ("grade", "row", "sentence"),
    [
        ("strong", {"engagers_365d": 1_062.0}, "1,062 people who engaged with this user in the last year."),
        ("strong", RESPONDED | {"engagers_365d": 48.0}, "44 people who responded in the last year."),
        (
            "strong",
            RESPONDED | {"uncounted_new_365d": 0.0, "engagers_365d": 48.0},
            "48 people who engaged with this user (16 of them responded) in the last year.",
        ),
        (
            "strong",
            RESPONDED | {"engagers_365d": 48.0, "account_age_days": 12.5},
            "44 people who responded since this user appeared 12 days ago.",
        ),
        (
            "some",
            RESPONDED | {"credible_engagers_365d": 0.4, "uncounted_new_365d": 0.6, "engagers_365d": 8.0},
            "only 1 person who responded in the last year.",
        ),
        ("some", RESPONDED | {"credible_engagers_365d": 0.0, "engagers_365d": 8.0}, NOBODY_COUNTS),
        ("some", dict.fromkeys(RESPONDED, 0.0) | {"engagers_365d": 3.0}, NOBODY),
        ("some", {"engagers_365d": 0.0}, NOBODY),
        (
            "some",
            {"engagers_365d": 2.0, "account_age_days": 0.2},
            "only 2 people who engaged with this user since this user appeared less than a day ago.",
        ),
    ],
)
def test_the_sentence_states_the_engagement_behind_a_score(grade, row, sentence):
    assert describe_evidence(grade, row) == f"The score rests on {sentence}"


@pytest.mark.parametrize(
    ("grade", "row", "sentence"),
    [
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
def test_the_sentence_for_too_little_evidence(grade, row, sentence):
    assert describe_evidence(grade, row) == sentence
