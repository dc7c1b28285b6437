import lightgbm as lgb
import numpy as np
import pytest

from training.model.earlier_intervals import EarlierIntervals, Knot, read_earlier_intervals

EXPECTED = np.array([0.99, 1.0, 10.0, 1000.0])
FEATURES = np.zeros((4, 2))


@pytest.fixture(scope="module")
def texts():
    """Texts of boosters that always predict -0.5 and 0.5 nats."""
    settings = {"verbose": -1, "min_data_in_leaf": 1, "objective": "regression"}
    data = [lgb.Dataset(np.zeros((20, 1)), np.full(20, value), feature_name=["used"]) for value in (-0.5, 0.5)]
    return [lgb.train(settings, one, num_boost_round=1).model_to_string() for one in data]


def around(intervals):
    return [end.tolist() for end in intervals.around(EXPECTED, FEATURES, ["other", "used"])]


def people(*nats):
    return [round(float(value)) for value in np.expm1(nats)]


def test_logarithms_are_interpolated_between_knots(texts):
    knots = (Knot(1.0, 0.0, 0.0), Knot(100.0, -1.0, np.log(4.0)))
    low, high = around(EarlierIntervals(0.9, (), knots, *texts))
    start, half = np.log1p(EXPECTED), np.log(2)
    assert high == people(start[0] + 0.5, start[1] + 0.5, start[2] + 0.5 + half, start[3] + 0.5 + 2 * half)
    assert low[1:] == people(start[1] - 0.5, start[2] - 1.0, start[3] - 1.5)


def test_bands_extend_to_the_next_edge(texts):
    bands = [{"edge": 0.0, "margin": 0.0}, {"edge": 1.0, "margin": 2.0}]
    intervals = read_earlier_intervals({"level": 0.9, "bands": bands}, *texts)
    assert around(intervals)[1] == [1.0, *people(2.5, 2.5), 1000.0]


def test_knots_are_unchanged_by_saving(texts):
    intervals = EarlierIntervals(0.8, (), (Knot(0.5, -0.1, 0.2),), *texts, relative=False)
    assert read_earlier_intervals(intervals.as_json(), *texts) == intervals
