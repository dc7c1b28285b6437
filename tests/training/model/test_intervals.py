import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.model.intervals import (
    EXPECTED,
    FEW_PEOPLE,
    LEAST_ROWS,
    IntervalInput,
    IntervalPart,
    Intervals,
    fit_intervals,
)

LEVEL = 0.9
NAMES = ["steadiness", "followers"]
WIDE = {"least": -99.0, "most": 99.0}


def intervals(*parts):
    return Intervals(LEVEL, parts)


def constant(low, high, expected=0.0, inputs=(), **limits):
    return IntervalPart(expected, low, high, **WIDE | limits, inputs=inputs)


def around(one, expected, features=None):
    expected = np.atleast_1d(np.asarray(expected, float))
    features = np.zeros((len(expected), 2)) if features is None else np.asarray(features, float)
    return [end.tolist() for end in one.around(expected, features, NAMES)]


class TestEnds:
    def test_are_at_distances_in_nats_from_the_expected_audience(self):
        # 6 / 2 and 6 * 3, minus one
        assert around(intervals(constant(-np.log(2), np.log(3))), 5) == [[2.0], [17.0]]

    def test_are_integers(self):
        assert around(intervals(constant(np.log(3.4 / 5), np.log(8.4 / 5))), 4) == [[2.0], [7.0]]
        assert around(intervals(constant(np.log(3.6 / 5), np.log(8.6 / 5))), 4) == [[3.0], [8.0]]

    def test_contain_the_expected_audience_and_never_fall_below_zero(self):
        assert around(intervals(constant(9.0, -9.0)), [0.2, 3.4, 3.6]) == [[0.0, 3.0, 4.0]] * 2
        assert around(intervals(constant(-9.0, 0.0)), 2)[0] == [0.0]

    def test_are_no_further_away_than_past_audiences(self):
        assert around(intervals(constant(-5.0, 5.0, least=-np.log(2), most=np.log(3))), 5) == [[2.0], [17.0]]

    def test_are_no_higher_than_the_largest_past_audience(self):
        one = intervals(constant(-5.0, 5.0, largest=40.0))
        assert around(one, [5, 39.7, 40, 90])[1] == [40.0, 40.0, 40.0, 90.0]
        assert around(intervals(constant(-5.0, 5.0, largest=None)), 5)[1] == [round(6 * np.exp(5) - 1)]

    def test_depend_on_features_and_the_expected_audience(self):
        inputs = (
            IntervalInput("steadiness", 0.0, 9.0, low_nats=0.5, high_nats=-0.5),
            IntervalInput(EXPECTED, -9.0, 9.0, low_nats=0.1, high_nats=0.0),
        )
        low, high = around(intervals(constant(-1.0, 1.0, inputs=inputs)), [9.0, 9.0], [[0.0, 7.0], [3.0, 7.0]])
        assert low == [round(10 * np.exp(-1 + 0.1 * np.log(9)) - 1), round(10 * 2 * np.exp(-1 + 0.1 * np.log(9)) - 1)]
        assert high == [round(10 * np.e - 1), round(5 * np.e - 1)]

    def test_clip_features_to_their_range_and_treat_unknown_ones_as_zero(self):
        inputs = (IntervalInput("followers", 0.0, np.log(4), low_nats=-1.0, high_nats=1.0),)
        features = [[0.0, value] for value in (0.0, np.nan, 3.0, 1e9)]
        low, high = around(intervals(constant(0.0, 0.0, inputs=inputs)), [7.0] * 4, features)
        assert (low, high) == ([7.0, 7.0, 1.0, 1.0], [7.0, 7.0, 31.0, 31.0])

    def test_parts_extend_to_the_next(self):
        two = intervals(constant(0.0, 0.0), constant(0.0, np.log(2), expected=1.0))
        assert around(two, [0.99, 1.0, 50.0])[1] == [1.0, 3.0, 101.0]

    def test_are_the_same_for_one_row_and_many(self, fitted):
        rows, expected = draw(5, rows=500)
        features = rows[NAMES].to_numpy(float)
        many = fitted.around(expected, features, NAMES)
        for k in range(0, 500, 50):
            one = fitted.around(expected[k : k + 1], features[k : k + 1], NAMES)
            assert [end.item() for end in one] == [end[k] for end in many]

    @settings(max_examples=25)
    @given(st.lists(st.tuples(st.floats(1e-4, 1e4), st.floats(0, 1e9), st.floats(0, 1e9)), min_size=1, max_size=30))
    def test_are_plausible_for_any_features(self, fitted, rows):
        expected, *features = np.array(rows).T
        lowest, highest = fitted.around(expected, np.column_stack(features), NAMES)
        assert (lowest >= 0).all()
        assert (lowest <= np.rint(expected)).all()
        assert (np.rint(expected) <= highest).all()
        assert np.isfinite(highest).all()


def draw(seed, rows=8_000):
    """Past predictions: half of the users vary widely, half narrowly, which a feature predicts."""
    rng = np.random.default_rng(seed)
    expected, steady = rng.lognormal(0.5, 1.2, rows), rng.random(rows) < 0.5
    audience = rng.poisson(expected * np.where(steady, 1.0, rng.gamma(1.0, 1.0, rows)))
    return pd.DataFrame({"steadiness": steady.astype(float), "followers": 5.0, "audience": audience}), expected


@pytest.fixture(scope="module")
def fitted():
    return fit_intervals(*draw(1), NAMES, LEVEL)


class TestFit:
    def test_covers_its_level_of_new_users_at_every_expected_audience(self, fitted):
        rows, expected = draw(2)
        audience, (low, high) = rows["audience"], fitted.around(expected, rows[NAMES].to_numpy(float), NAMES)
        covered = (low <= audience) & (audience <= high)
        assert covered.mean() >= LEVEL - 0.01
        for least in (1, 3, 10):
            assert LEVEL - 0.03 <= covered[expected >= least].mean() <= LEVEL + 0.08
        for steady in (0, 1):
            assert LEVEL - 0.03 <= covered[(expected >= 3) & (rows["steadiness"] == steady)].mean() <= LEVEL + 0.06

    def test_is_narrow_for_users_with_steady_audiences(self, fitted):
        low, high = fitted.around(np.array([6.0, 6.0]), np.array([[0.0, 5.0], [1.0, 5.0]]), NAMES)
        loose, steady = high - low
        assert loose > 1.5 * steady

    def test_ends_depend_on_features_if_a_person_or_more_is_expected(self, fitted):
        few, several = fitted.parts
        assert (few.expected, several.expected) == (0.0, FEW_PEOPLE)
        assert [one.name for one in few.inputs] == [EXPECTED]
        assert [one.name for one in several.inputs] == [EXPECTED, *NAMES]

    def test_stores_the_largest_past_audience(self):
        rows, expected = draw(7)
        several = fit_intervals(rows, np.minimum(expected, 3.0), NAMES, LEVEL).parts[1]
        assert several.largest == rows["audience"][expected >= FEW_PEOPLE].max()
        assert several.inputs[0].most == pytest.approx(np.log(several.largest) + 1)
        assert several.inputs[1].most == pytest.approx(np.log(2) + 1)

    def test_is_unchanged_by_json(self, fitted):
        document = json.loads(json.dumps(fitted.as_json()))
        assert document == json.loads(json.dumps(dataclasses.asdict(fitted)))
        assert document["parts"][1]["low_nats"] == fitted.parts[1].low_nats

    def test_few_rows_have_one_part_that_covers_the_past(self):
        rows, expected = draw(3, rows=15)
        one = fit_intervals(rows, expected, NAMES, LEVEL)
        low, high = one.around(expected, rows[NAMES].to_numpy(float), NAMES)
        assert [part.expected for part in one.parts] == [0.0]
        assert ((low <= rows["audience"]) & (rows["audience"] <= high)).mean() >= LEVEL

    def test_the_highest_expectations_form_a_part_if_few_are_large(self):
        rows, expected = draw(4, rows=1_000)
        small = fit_intervals(rows, expected / 1e3, NAMES, LEVEL)
        assert (expected / 1e3 >= small.parts[1].expected).sum() == LEAST_ROWS

    def test_rows_of_a_sample_count_by_weight(self):
        rows, expected = draw(6, rows=2_000)
        steady = rows["steadiness"] == 1
        double = pd.concat([rows, rows[steady]], ignore_index=True)
        sampled = fit_intervals(rows.assign(sample_weight=1.0 + steady), expected, NAMES, LEVEL)
        everybody = fit_intervals(double, np.append(expected, expected[steady]), NAMES, LEVEL)
        features, some = rows[NAMES].to_numpy(float), expected >= 3
        for ours, theirs in zip(*(one.around(expected, features, NAMES) for one in (sampled, everybody)), strict=True):
            assert np.abs(ours - theirs)[some].mean() < 0.03 * theirs[some].mean()
