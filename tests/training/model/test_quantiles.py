import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE, SCORED
from training.config import Model
from training.model.intervals import fit_quantiles

LEVEL = 0.9
MODEL = Model(feature_share=1.0)


def rows(seed, count=6_000):
    """Rows whose audience scatters little or much around its expectation, as `established_periods_168d` tells."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(0.0, index=range(count), columns=CATALOGUE.names)
    frame["credible_engagers_decayed_28d"] = rng.lognormal(1.5, 0.8, count)
    frame["established_periods_168d"] = (rng.random(count) < 0.5).astype(float)
    loose = np.where(frame["established_periods_168d"] == 1, 1.0, rng.gamma(1.0, 1.0, count))
    return frame.assign(audience=rng.poisson(frame["credible_engagers_decayed_28d"] * loose))


def expected(frame):
    return frame["credible_engagers_7d"].to_numpy()


@pytest.fixture(scope="module")
def fitted():
    return fit_quantiles(rows(0), expected(rows(0)), MODEL, LEVEL)


def test_most_audiences_of_other_rows_lie_between(fitted):
    others = rows(1)
    low, high = fitted.around(others[SCORED.names].to_numpy(float))
    people = np.log1p(others["audience"].to_numpy(float)) - np.log1p(expected(others))
    assert 0.02 < (people < low).mean() < 0.08
    assert 0.02 < (people > high).mean() < 0.08


def test_wide_where_audiences_scatter_and_narrow_where_they_do_not(fitted):
    two = rows(2, count=2).assign(credible_engagers_decayed_28d=8.0, established_periods_168d=[0.0, 1.0])
    low, high = fitted.around(two[SCORED.names].to_numpy(float))
    loose, steady = high - low
    assert loose > 1.5 * steady


def test_the_same_rows_and_seed_give_the_same_trees(fitted):
    first = rows(0)
    assert fit_quantiles(first, expected(first), MODEL, LEVEL) == fitted
    assert fit_quantiles(first, expected(first), Model(seed=1, feature_share=1.0), LEVEL) != fitted
