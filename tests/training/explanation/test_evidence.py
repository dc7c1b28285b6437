import numpy as np
import pandas as pd
import pytest

from training.explanation.reasons import evidence


@pytest.mark.parametrize(
    ("acts", "engagements", "grade"),
    [
        (0, 0, "insufficient_evidence"),
        (2, 0, "insufficient_evidence"),
        (1, 1, "insufficient_evidence"),
        (1, 2, "some"),
        (0, 3, "some"),
        (19, 0, "some"),
        (10, 10, "strong"),
        (0, 20, "strong"),
        (np.nan, np.nan, "insufficient_evidence"),
        (np.nan, 3, "some"),
    ],
)
def test_grade(acts, engagements, grade):
    rows = pd.DataFrame({"acts_365d": [acts], "engagements_365d": [engagements]})
    assert evidence(rows).tolist() == [grade]


def test_nobody():
    assert evidence(pd.DataFrame({"acts_365d": [], "engagements_365d": []})).shape == (0,)
