"""The comparison of tests/benchmarks/quality.py over several instants, by hand."""

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks.quality import Outcomes, mean_leads
from training.evaluation.baselines import BASELINES


def outcomes(users, audience, score, engagers):
    """Return the outcomes of one instant whose other baselines order nobody."""
    expected = np.array(score, float)
    return Outcomes(
        pd.DataFrame({"user": users, "audience": audience}),
        pd.DataFrame({"unclipped": expected, "expected_audience": expected}),
        pd.DataFrame({name: engagers if name == "engagers" else [0] * len(users) for name in BASELINES}),
    )


@pytest.fixture
def instants():
    return [
        outcomes(["a", "b", "c", "d"], [0, 0, 1, 3], [1, 2, 3, 4], [2, 1, 3, 4]),
        outcomes(["b", "c", "d", "e"], [0, 2, 0, 4], [1, 3, 2, 4], [1, 2, 3, 4]),
    ]


def test_means_over_instants_are_compared_with_the_best_baseline(instants):
    table = mean_leads(instants, resamples=50).set_index("metric")
    auc = table.loc["auc"]
    assert (auc["score"], auc["best baseline"], auc["its mean"], auc["lead"]) == (1.0, "engagers", 0.875, 0.125)
    assert table["low"].le(table["lead"]).all()
    assert table["lead"].le(table["high"]).all()


def test_the_seed_decides_the_samples(instants):
    first, again, other = (mean_leads(instants, resamples=20, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)
