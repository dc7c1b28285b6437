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


@pytest.mark.parametrize(
    ("grade", "people", "sentence"),
    [
        ("strong", 1_062.0, "The evidence is strong: 1,062 people engaged in the last year."),
        ("some", 0.0, "There is only some evidence: nobody who is known engaged in the last year."),
        (
            "some",
            1.0,
            "There is only some evidence: 1 person engaged in the last year, so a few more or fewer matter.",
        ),
        (
            "some",
            2.0,
            "There is only some evidence: 2 people engaged in the last year, so a few more or fewer matter.",
        ),
        (
            "insufficient_evidence",
            0.0,
            "Too little is known for a score: in the last year the user acted once, and others engaged never. It takes "
            "3 events, so 2 more.",
        ),
    ],
)
def test_sentence_of_a_grade(grade, people, sentence):
    row = {"acts_365d": 1.0, "engagements_365d": 0.0, "engagers_365d": people}
    assert describe_evidence(grade, row) == sentence
